"""`Capture`: the few points and frames of a captured body the solver follows, low-passed and sampled at the output rate.

Directions between joint positions carry the limbs, so a file's rest pose does not matter; pelvis, chest, head and
feet also need orientations, which come from joint rotations calibrated by the skeleton itself. The feet of four legs are
points and have none.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.signal import butter, sosfiltfilt

from motions.formats.units import rest_positions
from motions.rotations import quat_normalize, quat_rotate, quat_to_matrix, quat_unroll
from motions.skeleton import Skeleton, SkeletonMotion
from retarget.mapping import SourceMap
from retarget.roles import LEG_PARTS, TWO_LEGS, is_left, legs_of

CUTOFF_HZ = 10.0  # of the zero-phase low-pass: marker noise goes, kicks of 5 m/s stay
IN_PLANE = 0.1  # knee and foot are in one plane ahead if they differ by less to the side than this part of what the thigh does
FRAME_ROLES = ("pelvis", "chest", "head", "l_foot", "r_foot")


@dataclass(frozen=True)
class Capture:
    """F frames at `fps`. `xyz` role -> (F, 3) [m]; `rot` role -> (F, 3, 3) joint rotation in the world.

    `upright` role -> (3, 3): the joint-frame orientation of (forward, left, up) when the body stands straight.
    Feet have none here: contacts calibrate them. Legs are in the order of `legs`.
    """

    fps: float
    xyz: dict[str, np.ndarray]
    rot: dict[str, np.ndarray]
    upright: dict[str, np.ndarray]

    @property
    def num_frames(self) -> int:
        return len(self.xyz["pelvis"])

    @property
    def legs(self) -> tuple[str, ...]:
        return legs_of(self.xyz)

    @property
    def leg_length(self) -> float:
        """Hip to ankle, mean over legs and frames [m]."""
        parts = (("thigh", "shank"), ("shank", "foot"))
        bones = [self.xyz[leg + a] - self.xyz[leg + b] for leg in self.legs for a, b in parts]
        return float(sum(np.median(np.linalg.norm(bone, axis=1)) for bone in bones) / len(self.legs))

    @property
    def hip_centre(self) -> np.ndarray:
        """The middle of the thighs' upper ends (F, 3) [m]."""
        return np.mean([self.xyz[leg + "thigh"] for leg in self.legs], axis=0)

    @property
    def hips_xy(self) -> np.ndarray:
        """Where the thighs begin, ahead and to the left of their middle, median over frames (L, 2) [m]."""
        pelvis, centre = self.rot["pelvis"] @ self.upright["pelvis"], self.hip_centre
        own = [np.einsum("fji,fj->fi", pelvis, self.xyz[leg + "thigh"] - centre) for leg in self.legs]
        return np.median(own, axis=1)[:, :2]

    @property
    def hip_half_width(self) -> float:
        """Of the first pair of legs [m]."""
        left, right = (self.xyz[leg + "thigh"] for leg in self.legs[:2])
        return 0.5 * float(np.median(np.linalg.norm(left - right, axis=1)))


def capture(motion: SkeletonMotion, roles: SourceMap, fps: float) -> Capture:
    """Sample a skeleton's motion at `fps` [Hz] (cubic between low-passed frames)."""
    pos, quat = motion.forward_kinematics()
    for joint, aside in _beside_the_leg(motion.skeleton, roles).items():
        pos[:, joint] += quat_rotate(quat[:, joint], np.broadcast_to(aside, pos[:, joint].shape))
    count = int(np.floor((motion.num_frames - 1) / motion.fps * fps + 1e-6)) + 1
    at = np.arange(count) / fps
    cutoff = min(CUTOFF_HZ, 0.4 * fps)
    names = list(roles.joints)
    index = [roles[name] for name in names]
    xyz = _sample(pos[:, index], motion.fps, at, cutoff)
    turning = [name for name in FRAME_ROLES if name in roles]
    quats = quat_unroll(quat[:, [roles[name] for name in turning]])
    rot = quat_to_matrix(quat_normalize(_sample(quats, motion.fps, at, cutoff)))
    points = {name: xyz[:, i] for i, name in enumerate(names)}
    for side in roles.legs:  # a foot without a toe joint: its end site, or straight ahead
        if roles.legs != TWO_LEGS:
            points[side + "toe"] = points[side + "foot"]
        elif side + "toe" not in points:
            foot = roles[side + "foot"]
            points[side + "toe"] = points[side + "foot"] + np.einsum(
                "fij,j->fi", rot[:, turning.index(side + "foot")], _toe_offset(motion.skeleton, foot)
            )
    return Capture(
        fps=fps,
        xyz=points,
        rot={name: rot[:, i] for i, name in enumerate(turning)},
        upright={n: joint_upright(motion.skeleton, roles, quat[:, roles[n]]) for n in turning if not n.endswith("foot")},
    )


def _sample(values: np.ndarray, fps: float, at: np.ndarray, cutoff: float) -> np.ndarray:
    """Zero-phase low-pass along axis 0, then a cubic spline read at times `at` [s]."""
    if cutoff < 0.45 * fps and len(values) > 15:
        values = sosfiltfilt(butter(2, cutoff, fs=fps, output="sos"), values, axis=0)
    time = np.arange(len(values)) / fps
    if len(at) == len(time) and np.allclose(at, time):
        return values
    return make_interp_spline(time, values, k=3)(np.minimum(at, time[-1]))


def _toe_offset(skeleton: Skeleton, foot: int) -> np.ndarray:
    children = [j for j, p in enumerate(skeleton.parents) if p == foot and np.linalg.norm(skeleton.offsets[j]) > 0.03]
    if children:
        return skeleton.offsets[max(children, key=lambda j: skeleton.offsets[j][0])]
    return np.array([0.12, 0.0, -0.05])


def joint_upright(skeleton: Skeleton, roles: SourceMap, quat: np.ndarray) -> np.ndarray:
    """(forward, left, up) as columns, in the joint frame, of a body standing straight; `quat` (F, 4) are the joint's.

    In the skeleton's rest pose joint frames are parallel to the world, and a rest pose that stands upright says it
    directly. Where it does not stand (bones laid along one axis), up is what points up in the median frame.
    """
    rest = rest_positions(skeleton)
    left = _to_the_left(rest, roles)
    up = np.array([0.0, 0.0, 1.0])
    if not rest_stands(skeleton, roles):
        up = np.median(quat_to_matrix(quat)[:, 2, :], axis=0)
        up /= np.linalg.norm(up)
    left = left - up * (left @ up)
    left /= np.linalg.norm(left)
    return np.stack([np.cross(left, up), left, up], axis=1)


def rest_stands(skeleton: Skeleton, roles: SourceMap) -> bool:
    """Whether the rest pose stands upright: legs down, hips level."""
    rest = rest_positions(skeleton)
    left = _to_the_left(rest, roles)
    hips, feet = (np.mean([rest[roles[leg + part]] for leg in roles.legs], axis=0) for part in ("thigh", "foot"))
    legs = hips - feet
    return bool(legs[2] >= 0.8 * np.linalg.norm(legs) and abs(left[2]) <= 0.3 * np.linalg.norm(left))


def _beside_the_leg(skeleton: Skeleton, roles: SourceMap) -> dict[int, np.ndarray]:
    """Thighs' joints that lie beside the plane in which a leg of four moves -> the way into it (3,) [m], in their frames.

    Machines have them so: a hinge that turns the thigh ahead and back may sit anywhere along its axis. Told by a rest pose that
    stands, where knee and foot are as far to the side, and the thigh is not.
    """
    if roles.legs == TWO_LEGS or not rest_stands(skeleton, roles):
        return {}
    rest, found = rest_positions(skeleton), {}
    left = _to_the_left(rest, roles)
    left /= np.linalg.norm(left)
    for leg in roles.legs:
        thigh, shank, foot = (rest[roles[leg + part]] @ left for part in LEG_PARTS)
        if abs(foot - shank) < IN_PLANE * abs(shank - thigh):
            found[roles[leg + "thigh"]] = (shank - thigh) * left
    return found


def _to_the_left(rest: np.ndarray, roles: SourceMap) -> np.ndarray:
    """From the right thighs to the left ones in the rest pose (3,) [m]."""
    sides = ([rest[roles[leg + "thigh"]] for leg in roles.legs if is_left(leg) == side] for side in (True, False))
    left, right = (np.mean(points, axis=0) for points in sides)
    return left - right
