"""A captured body (joint tree with rest offsets) and its animation, in SI units, z up, wxyz."""

from dataclasses import dataclass

import numpy as np

from motions.rotations import quat_mul, quat_rotate


@dataclass(frozen=True)
class Skeleton:
    """Joint tree. Parents come before children; exactly one root, whose parent is -1.

    `offsets` are rest translations in the parent joint's frame [m], shape (J, 3). `end_sites` name the
    leaf joints that only mark the end of a bone (no rotation of their own).
    """

    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    end_sites: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.parents) != len(self.joint_names) or self.offsets.shape != (len(self.joint_names), 3):
            raise ValueError("joint_names, parents and offsets disagree in length")
        if self.parents[0] != -1 or any(not 0 <= p < j for j, p in enumerate(self.parents) if j > 0):
            raise ValueError("parents must come before children, with one root of parent -1 first")

    def index(self, name: str) -> int:
        return self.joint_names.index(name)


@dataclass(frozen=True)
class SkeletonMotion:
    """An animation of a `Skeleton`.

    root_pos (F, 3) world [m]; local_quat (F, J, 4) wxyz, each joint relative to its parent (the root's is
    its world rotation); world z up. In the identity pose every joint frame is parallel to the world.
    `translations` (F, J, 3) [m], if not None, replaces the constant offsets (6-channel BVH joints). `unit_m` [m]: of the file
    that it came from, which a BVH of it is written in again.
    """

    name: str
    skeleton: Skeleton
    fps: float
    root_pos: np.ndarray
    local_quat: np.ndarray
    source: str = ""
    licence: str = ""
    translations: np.ndarray | None = None
    notes: tuple[str, ...] = ()  # what the reader decided (unit, dropped T-pose row, ...), for the user
    unit_m: float = 0.01

    @property
    def num_frames(self) -> int:
        return len(self.root_pos)

    def forward_kinematics(self) -> tuple[np.ndarray, np.ndarray]:
        """World joint positions (F, J, 3) [m] and rotations (F, J, 4) wxyz."""
        frames, joints = self.local_quat.shape[:2]
        pos = np.zeros((frames, joints, 3))
        quat = np.zeros((frames, joints, 4))
        pos[:, 0], quat[:, 0] = self.root_pos, self.local_quat[:, 0]
        for j, parent in enumerate(self.skeleton.parents[1:], start=1):
            offset = self.skeleton.offsets[j] if self.translations is None else self.translations[:, j]
            pos[:, j] = pos[:, parent] + quat_rotate(quat[:, parent], np.broadcast_to(offset, (frames, 3)))
            quat[:, j] = quat_mul(quat[:, parent], self.local_quat[:, j])
        return pos, quat
