"""python experiments/clips/make_clips.py DATA [--out motions/clips]

Makes the clips that come with the project: CMU captures, retargeted onto our humanoid, and one of them again as a
BVH on a plain human skeleton, where the demo starts. DATA is a folder with `motions/cmu_asfamc` and `motions/cmu_bvh`
(the CMU files named in `PIECES`). Prints the quality table of what it wrote.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mimic.robots import load_robot
from motions.formats import read_amc, read_bvh, write_bvh
from motions.kinematics import Body, forward_kinematics
from motions.motion import Motion, save_motion
from motions.rotations import quat_conj, quat_mul, quat_rotate, yaw_quat
from motions.skeleton import Skeleton, SkeletonMotion
from retarget import QualityReport, ground, quality_table, retarget

FPS = 50.0  # the control rate of the presets: nothing is resampled again
LICENCE = "CMU Graphics Lab Motion Capture Database: free for all uses, not to be resold (see NOTICE)"
RUN_STRIDES = 5
DEMO = "dance"


@dataclass(frozen=True)
class Piece:
    """One clip: its file under `motions/`, the part that is kept [s] and what it is."""

    file: str
    start_s: float = 0.0
    end_s: float = 60.0
    repeat: bool = False


PIECES = {
    "walk": Piece("cmu_asfamc/07_05-walk.amc"),
    "run": Piece("cmu_asfamc/09_06-run.amc", repeat=True),
    "basketball": Piece("cmu_bvh/06_09_basketball.bvh"),
    "dance": Piece("cmu_asfamc/131_04-dance.amc", 0.2, 5.3),
    "martial_arts": Piece("cmu_asfamc/135_06-martialArts.amc", 1.6, 8.4),
}

# The plain skeleton: joint, parent, body of the humanoid that carries it, and the point of that body.
_JOINTS = (
    ("Hips", None, "pelvis", (0.0, 0.0, 0.0)),
    ("Spine", "Hips", "chest", (0.0, 0.0, 0.0)),
    ("Head", "Spine", "head", (0.0, 0.0, 0.0)),
    ("HeadEnd", "Head", "head", (0.0, 0.0, 0.2)),
    *(
        row
        for side, body in (("Left", "left"), ("Right", "right"))
        for row in (
            (f"{side}Arm", "Spine", f"{body}_upper_arm", (0.0, 0.0, 0.0)),
            (f"{side}ForeArm", f"{side}Arm", f"{body}_forearm", (0.0, 0.0, 0.0)),
            (f"{side}Hand", f"{side}ForeArm", f"{body}_forearm", (0.0, 0.0, -0.23)),
            (f"{side}HandEnd", f"{side}Hand", f"{body}_forearm", (0.0, 0.0, -0.31)),
            (f"{side}UpLeg", "Hips", f"{body}_thigh", (0.0, 0.0, 0.0)),
            (f"{side}Leg", f"{side}UpLeg", f"{body}_shin", (0.0, 0.0, 0.0)),
            (f"{side}Foot", f"{side}Leg", f"{body}_foot", (0.0, 0.0, 0.0)),
            (f"{side}ToeBase", f"{side}Foot", f"{body}_foot", (0.12, 0.0, -0.04)),
            (f"{side}ToeEnd", f"{side}ToeBase", f"{body}_foot", (0.18, 0.0, -0.04)),
        )
    ),
)


def make_clip(name: str, piece: Piece, folder: Path, body: Body) -> tuple[Motion, QualityReport]:
    """Read, retarget, cut and, for a single stride, repeat."""
    path = folder / "motions" / piece.file
    source = read_amc(path) if path.suffix == ".amc" else read_bvh(path)
    motion, report = retarget(source, body, fps=FPS)
    if piece.repeat:
        motion, report = ground(repeat_stride(motion, RUN_STRIDES), body)
    else:
        motion = motion.trimmed(piece.start_s, piece.end_s)
    motion = at_origin(replace(motion, name=name, source=f"CMU motion capture, {path.name}", licence=LICENCE))
    return motion, replace(report, name=name)


def at_origin(motion: Motion) -> Motion:
    """Moved and turned so that frame 0 stands above the origin and faces +x."""
    turn = quat_conj(yaw_quat(motion.qpos[0, 3:7]))
    qpos = motion.qpos.copy()
    qpos[:, :2] -= qpos[0, :2]
    qpos[:, :3] = quat_rotate(np.broadcast_to(turn, (len(qpos), 4)), qpos[:, :3])
    qpos[:, 3:7] = quat_mul(np.broadcast_to(turn, (len(qpos), 4)), qpos[:, 3:7])
    return replace(motion, qpos=qpos)


def repeat_stride(motion: Motion, times: int) -> Motion:
    """The most nearly periodic stride (0.5 to 1 s) of a straight motion, closed and strung together `times` times."""
    first, last = _best_cycle(motion)
    cycle = motion.qpos[first : last + 1].copy()
    part = np.linspace(0.0, 1.0, len(cycle))[:, None]
    gap = cycle[-1] - cycle[0]
    travel, gap[:2] = gap[:2].copy(), 0.0
    cycle -= (part - 0.5) * gap  # half of the gap is taken out at either end
    cycle[:, 3:7] /= np.linalg.norm(cycle[:, 3:7], axis=1, keepdims=True)
    copies = []
    for k in range(times):
        copy = cycle[:-1].copy()
        copy[:, :2] += k * travel
        copies.append(copy)
    return replace(motion, qpos=np.concatenate(copies))


def _best_cycle(motion: Motion) -> tuple[int, int]:
    pose = motion.qpos[:, 2:]
    speed = np.gradient(pose, axis=0) * motion.fps
    best, cycle = np.inf, (0, len(pose) - 1)
    for length in range(int(0.5 * motion.fps), min(int(1.0 * motion.fps), len(pose) - 1) + 1):
        for first in range(len(pose) - length):
            error = np.sum((pose[first] - pose[first + length]) ** 2)
            error += 0.01 * np.sum((speed[first] - speed[first + length]) ** 2)
            if error < best:
                best, cycle = error, (first, first + length)
    return cycle


def on_plain_skeleton(motion: Motion, body: Body) -> SkeletonMotion:
    """The humanoid's motion as a captured one: its bodies' rotations on a skeleton with ordinary joint names."""
    names = [row[0] for row in _JOINTS]
    ids = body.body_ids(tuple(row[2] for row in _JOINTS))
    zero = np.zeros(7 + len(body.joint_names))
    zero[3] = 1.0
    rest, _ = forward_kinematics(body, zero)
    xpos, xquat = forward_kinematics(body, motion.qpos)
    parents = tuple(-1 if row[1] is None else names.index(row[1]) for row in _JOINTS)
    at = np.stack([rest[b] + np.array(row[3]) for b, row in zip(ids, _JOINTS)])
    offsets = np.stack([at[j] - at[p] if p >= 0 else np.zeros(3) for j, p in enumerate(parents)])
    world = xquat[:, ids]
    local = world.copy()
    for j, parent in enumerate(parents):
        if parent >= 0:
            local[:, j] = quat_mul(quat_conj(world[:, parent]), world[:, j])
    ends = tuple(name for name in names if name.endswith("End"))
    skeleton = Skeleton(tuple(names), parents, offsets, ends)
    return SkeletonMotion(motion.name, skeleton, motion.fps, xpos[:, ids[0]], local, motion.source, motion.licence)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[2])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[2] / "motions" / "clips")
    arguments = parser.parse_args()
    body = load_robot("humanoid").body
    arguments.out.mkdir(parents=True, exist_ok=True)
    reports = []
    for name, piece in PIECES.items():
        motion, report = make_clip(name, piece, arguments.data, body)
        save_motion(motion, arguments.out / f"{name}.npz")
        if name == DEMO:
            write_bvh(on_plain_skeleton(motion, body), arguments.out / f"{name}.bvh")
        reports.append(replace(report, frames=motion.num_frames))
    print(quality_table(reports))


if __name__ == "__main__":
    main()
