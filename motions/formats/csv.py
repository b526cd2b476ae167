"""CSV of generalized positions: root xyz, root quaternion, one column per joint of a robot; names if a first line has them, no
rate.

Two families write the same columns with the quaternion in different orders (Unitree's retargeted LAFAN1: xyzw,
Kimodo: wxyz), so the order must be named or given, or is decided where only one of the two readings can be true.
"""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from motions.errors import InputError, unknown_name
from motions.formats.result import ReadResult, build_motion
from motions.formats.text import parse_table, read_lines
from motions.motion import Motion

if TYPE_CHECKING:
    from motions.kinematics import Body

DEFAULT_FPS = 30.0
QUAT_ORDERS = ("wxyz", "xyzw")
COMMENT = "#"  # leads the line of names that is written: who reads numbers only passes over it

# What decides the order; see `decide_quat_order`.
MIN_UP, FALLEN_FRACTION = 0.5, 0.3
LOWEST_BODY = (-0.2, 0.6)  # height of the lowest body's origin over the root's; a knee, on a body without ankles
MAX_SLIDE_M_S, MIN_WRONG_SLIDE_M_S, SLIDE_RATIO = 0.3, 0.5, 4.0


def read_csv(path: str | Path, body: "Body | None", quat_order: str | None = None, fps: float | None = None) -> ReadResult:
    """Read 7 + J columns for the J hinges of `body`, in MuJoCo's joint order. z up, metres, radians.

    A header line is skipped, or used to order the joints when it holds all their names; the quaternion's order is taken from
    it, too. Raises `InputError` for another number of columns, no robot, or a quaternion order that is neither said nor
    decidable.
    """
    path = Path(path)
    if body is None:
        raise InputError(f"{path}: a CSV file does not name its robot; give the robot it was made for")
    if quat_order is not None and quat_order not in QUAT_ORDERS:
        raise unknown_name("quaternion order", quat_order, QUAT_ORDERS)
    notes: list[str] = []
    joints = body.joint_names
    rows = [(i, line.replace(",", " ").replace(";", " ").split()) for i, line in enumerate(read_lines(path), 1)]
    rows = [(i, tokens) for i, tokens in rows if tokens]
    order = list(range(len(joints)))
    expected = f"3 position, 4 quaternion, {len(joints)} joints of robot {body.name!r}"
    if not _is_number(rows[0][1][0]):
        header = " ".join(rows.pop(0)[1]).lstrip(COMMENT).split()
        if len(header) == 7 + len(joints) and set(joints) == set(header[7:]):
            order = [header[7:].index(name) for name in joints]
            notes.append("joint columns ordered by the names in the header line")
            if named := _named_quat_order(header[3:7]):
                but = f"as given, though the header line names it {named}"
                taken = quat_order or named
                notes.append(f"quaternion taken as {taken}, {'as the header line names it' if taken == named else but}")
                quat_order = taken
        else:
            notes.append(f"the first line is not numbers and was skipped; columns taken in the joint order of {body.name}")
            if header and header[0].lower().startswith("time"):
                expected += f"; the first column is named {header[0]!r}: leave times out, --fps gives the rate"
    if not rows:
        raise InputError(f"{path}: no line of numbers")
    qpos = parse_table(rows, 7 + len(joints), path, expected)
    qpos[:, 7:] = qpos[:, 7:][:, order]
    if fps is None:
        fps = DEFAULT_FPS
        notes.append(f"{fps:g} frames per second assumed, the file does not say")
    if quat_order is None:
        quat_order, sentence = decide_quat_order(qpos, body, fps, path)
        notes.append(sentence)
    else:
        with suppress(InputError):  # not told by the data: as given
            found, sentence = decide_quat_order(qpos, body, fps, path)
            if found != quat_order:
                notes.append(f"quaternion taken as {quat_order}, as said, but by the data it would be {found}: {sentence}")
    qpos = as_wxyz(qpos, quat_order)
    motion = build_motion(path, notes, name=path.stem, robot=body.name, fps=fps, qpos=qpos, joint_names=joints, source=path.name)
    return ReadResult(motion, tuple(notes))


def _named_quat_order(names: list[str]) -> str | None:
    """The order that the names of four columns end in, as qw, qx, qy, qz do; None for other names."""
    order = "".join(name[-1].lower() for name in names)
    return order if order in QUAT_ORDERS else None


def _is_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def as_wxyz(qpos: np.ndarray, quat_order: str) -> np.ndarray:
    """`qpos` (F, 7 + J) with columns 3 to 6 turned from `quat_order` to wxyz."""
    qpos = qpos.copy()
    if quat_order == "xyzw":
        qpos[:, 3:7] = qpos[:, [6, 3, 4, 5]]
    return qpos


def decide_quat_order(qpos: np.ndarray, body: "Body", fps: float, path: object = "") -> tuple[str, str]:
    """The quaternion order of raw rows (F, 7 + J) and the reason, or `InputError` where both could be true.

    Turning by yaw alone, wxyz read as xyzw tilts by pi - yaw and xyzw read as wxyz by yaw. So the wrong reading often
    lies on its back, and then the upright one, if its feet are near the ground, is right. Where both stand
    upright they face opposite ways, and the stance foot tells: it rests in the true reading and slides at twice
    the walking speed in the other. Standing still facing along x, nothing tells.
    """
    upright, fallen, slide = {}, {}, {}
    for order in QUAT_ORDERS:
        reading = as_wxyz(qpos, order)
        up = 1.0 - 2.0 * (reading[:, 4] ** 2 + reading[:, 5] ** 2)
        lowest, slide[order] = _stance(reading, body, fps)
        upright[order] = np.percentile(up, 5) > MIN_UP and LOWEST_BODY[0] < lowest < LOWEST_BODY[1]
        fallen[order] = np.mean(up < 0) > FALLEN_FRACTION
    for order, other in (QUAT_ORDERS, QUAT_ORDERS[::-1]):
        if upright[order] and fallen[other]:
            return order, f"quaternion taken as {order}: read as {other} the robot would lie or stand on its head"
        if (
            upright[order]
            and upright[other]
            and slide[order] < MAX_SLIDE_M_S
            and slide[other] > max(MIN_WRONG_SLIDE_M_S, SLIDE_RATIO * slide[order])
        ):
            return order, (
                f"quaternion taken as {order}: the stance foot slides at {slide[order]:.2f} m/s, "
                f"read as {other} at {slide[other]:.2f} m/s"
            )
    raise InputError(
        f"{path}: the quaternion order of columns 4 to 7 cannot be told from the data. Give --quat-order wxyz or xyzw "
        f"(Unitree's own CSV files are xyzw, Kimodo's wxyz)"
    )


def _stance(qpos: np.ndarray, body: "Body", fps: float) -> tuple[float, float]:
    """Median height of the lowest body's origin over the root's, and median horizontal speed of the lower foot [m/s].

    Without feet the speed is infinite.
    """
    from motions.kinematics import forward_kinematics

    pos = forward_kinematics(body, qpos)[0][:, 1:]  # [F, bodies, 3]
    root_height_m = max(float(np.median(qpos[:, 2])), 1e-6)
    lowest = float(np.median(pos[..., 2].min(axis=1))) / root_height_m
    if not body.foot_bodies or len(qpos) < 2:
        return lowest, np.inf
    feet = pos[:, body.body_ids(body.foot_bodies) - 1]
    speed = np.linalg.norm(np.diff(feet[..., :2], axis=0), axis=-1) * fps
    lower = np.argmin(feet[1:, :, 2], axis=1)
    return lowest, float(np.median(speed[np.arange(len(speed)), lower]))


def write_csv(motion: Motion, path: str | Path, quat_order: str = "wxyz") -> None:
    """Write the rows, below a comment that names the columns; `quat_order` as the receiver expects it."""
    if quat_order not in QUAT_ORDERS:
        raise unknown_name("quaternion order", quat_order, QUAT_ORDERS)
    rows = motion.qpos.copy()
    if quat_order == "xyzw":
        rows[:, 3:7] = rows[:, [4, 5, 6, 3]]
    names = [*"xyz", *(f"q{part}" for part in quat_order), *motion.joint_names]
    np.savetxt(path, rows, delimiter=",", fmt="%.9g", header=",".join(names), comments=f"{COMMENT} ", encoding="utf-8")
