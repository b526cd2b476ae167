"""Joint positions without rotations: an `.npy` (F, J, 3), joint names from a list beside it, and the frame rate given.

Names come from the file given, else from `<stem>.names.txt` or `<stem>.names.json` beside the array, else from an
order in ORDERS that fits the number of joints and keeps its bones rigid. A `.txt` has one name per line; a `.json` a
list of names, or {"joint_names": [...], "parents": [...]}. Without parents, the tree is found from the motion.
"""

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np

from motions.errors import InputError, unreadable
from motions.formats.amass import BODY_JOINTS, BONES
from motions.formats.captured import captured_motion, check_tree
from motions.formats.text import check_file, read_lines
from motions.formats.tree import pose_from_points, rigid_tree, straightest_rest, tree_order
from motions.formats.units import guess_scale
from motions.formats.values import choose_fps, finite_numbers
from motions.skeleton import SkeletonMotion

_FINGERS = [f"{{}}Hand{finger}{k}" for finger in ("Thumb", "Index", "Middle", "Ring", "Pinky") for k in (1, 2, 3)]
_ARM = ["{}Shoulder", "{}Arm", "{}ForeArm", "{}Hand", *_FINGERS]
_LEG = ["{}UpLeg", "{}Leg", "{}Foot", "{}ToeBase"]
_SMPL = tuple(name for name in BONES)

# Orders seen in public sets whose files hold no names.
ORDERS: dict[str, tuple[str, ...]] = {
    "SMPL's 22 joints (HumanML3D)": _SMPL[:BODY_JOINTS],
    "SMPL's 24 joints": _SMPL,
    "53 joints with hands (OmniRetarget's climbing data)": (
        *("Hips", "Spine", "Spine1", "Neck", "Head"),
        *(part.format(side) for side in ("Left", "Right") for part in _ARM),
        *(part.format(side) for side in ("Left", "Right") for part in _LEG),
        *("LeftFootMod", "RightFootMod"),
    ),
}
RIGID = 0.02  # a bone whose length varies by less than this part of itself (standard deviation)

_ROOT = re.compile(r"hips?$|pelvis|root", re.IGNORECASE)
_TOP = re.compile(r"head|neck|chest|torso|thorax|spine", re.IGNORECASE)
_FOOT = re.compile(r"foot|ankle|toe", re.IGNORECASE)
_UPS = {
    "z": np.eye(3),
    "y": np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    "-y": np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]),
}


def read_positions(
    path: str | Path, fps: float | None = None, names: str | Path | None = None, scale: float | None = None
) -> SkeletonMotion:
    """Read the array as a captured skeleton; up axis and unit are recognised from the body, and said in `notes`.

    fps [Hz] must be given. names: the file with the joint names. Raises `InputError` for another shape, values that
    are not finite, or names that neither stand in a file nor can be recognised.
    """
    path = Path(path)
    try:
        array = np.load(check_file(path), allow_pickle=False)
    except InputError:
        raise
    except Exception as error:  # the header is a Python literal; parsing a damaged one raises many kinds
        raise unreadable(path, "npy file", error) from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: an npz archive in an .npy file; rename it")
    pos = finite_numbers(array, (None, None, 3), path, "the array")
    notes: list[str] = []
    fps = choose_fps(path, fps, None, notes)
    if min(pos.shape) < 2:
        raise InputError(f"{path}: {pos.shape[0]} frames of {pos.shape[1]} joints, expected at least 3 frames of 2 joints")
    file = _names_file(path, names)
    if file is not None:
        joint_names, parents = read_names(file)
        if len(joint_names) != pos.shape[1]:
            raise InputError(f"{file}: {len(joint_names)} joint names, but {path.name} has {pos.shape[1]} joints")
    else:
        joint_names, parents = _known_order(pos, path, notes), None
    return skeleton_from_positions(path, pos, joint_names, parents, fps, scale, notes)


def is_object_npy(path: Path) -> bool:
    """Whether an `.npy` holds objects (a pickle) and not numbers; False for a damaged header, which its reader names."""
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            return header(stream)[2] == np.dtype(object)
    except Exception:  # the header is a Python literal; parsing a damaged one raises many kinds
        return False


def skeleton_from_positions(
    path: Path,
    pos: np.ndarray,
    names: list[str],
    parents: list[int] | None,
    fps: float,
    scale: float | None,
    notes: list[str],
) -> SkeletonMotion:
    """Positions (F, J, 3) in any unit and axes as a `SkeletonMotion`; `parents` None: found from the motion."""
    pos = pos @ _up_axis(pos, names, notes).T
    if parents is None:
        found = [j for j, name in enumerate(names) if _ROOT.search(name)]
        root = found[0] if found else 0
        parents = rigid_tree(pos, root)
        notes.append(f"bones found from the motion (constant lengths), from {names[root]!r} outwards")
    order = tree_order(parents)
    if sorted(order) != list(range(len(names))):
        raise InputError(f"{path}: the parents are no tree of {len(names)} joints with one root of parent -1")
    names, pos = [names[j] for j in order], pos[:, order]
    parents = [order.index(parents[j]) if parents[j] >= 0 else -1 for j in order]
    rest = straightest_rest(pos, parents, names, notes)
    offsets = rest - rest[parents]
    offsets[0] = 0.0
    skeleton = check_tree(path, names, parents, offsets)
    raw = pose_from_points(pos, skeleton, notes)
    if scale is None:
        scale, sentence = guess_scale(raw, path)
        notes.append(sentence)
    notes.append("rotations made from the bones' directions; what turns about a single bone is not in such a file")
    return captured_motion(path, raw, np.eye(3), scale, fps, notes)


def _names_file(path: Path, given: str | Path | None) -> Path | None:
    if given is not None:
        return check_file(given)
    beside = [path.with_name(f"{path.stem}.names{suffix}") for suffix in (".txt", ".json")]
    return next((file for file in beside if file.is_file()), None)


def read_names(file: Path) -> tuple[list[str], list[int] | None]:
    """Joint names and, where a JSON says them, parents."""
    lines = read_lines(file)
    if file.suffix.lower() != ".json":
        return [name.strip() for line in lines for name in line.split(",") if name.strip()], None
    try:
        content = json.loads("\n".join(lines))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({error})") from None
    table = content if isinstance(content, dict) else {"joint_names": content}
    names, parents = table.get("joint_names"), table.get("parents")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{file}: expected a list of joint names, or an object with joint_names and parents")
    if parents is not None and not (isinstance(parents, list) and all(type(p) is int for p in parents)):
        raise InputError(f"{file}: parents must be a list of joint numbers, -1 for the root")
    if parents is not None and (len(parents) != len(names) or any(not -1 <= p < len(names) for p in parents)):
        raise InputError(f"{file}: {len(parents)} parents for {len(names)} names, each expected from -1 to {len(names) - 1}")
    return names, parents


def _known_order(pos: np.ndarray, path: Path, notes: list[str]) -> list[str]:
    """The names of the first order in ORDERS whose limbs are rigid in `pos` and have the same length on both sides."""
    for label, names in ORDERS.items():
        if len(names) == pos.shape[1] and _limbs_fit(pos, names):
            notes.append(f"joint names taken as those of {label}: as many joints, rigid limbs, alike on both sides")
            return list(names)
    raise InputError(
        f"{path}: no joint names, and the {pos.shape[1]} joints fit no known order ({', '.join(ORDERS)}). Give a file with the "
        f"names (--skeleton NAMES), or put it beside the array as {path.stem}.names.txt: one name per line"
    )


def _limbs_fit(pos: np.ndarray, names: tuple[str, ...]) -> bool:
    chains = (
        ("UpLeg", "Leg", "Foot"),
        ("Arm", "ForeArm", "Hand"),
        ("_hip", "_knee", "_ankle"),
        ("_shoulder", "_elbow", "_wrist"),
    )
    for chain in chains:
        for near, far in pairwise(chain):
            ends = [(side + near, side + far) for side in ("Left", "Right", "left", "right") if side + near in names]
            lengths = [np.linalg.norm(pos[:, names.index(a)] - pos[:, names.index(b)], axis=1) for a, b in ends]
            means = [float(length.mean()) for length in lengths]
            if any(not length.std() < RIGID * mean for length, mean in zip(lengths, means)):
                return False
            if means and max(means) > 1.2 * min(means):
                return False
    return True


def _up_axis(pos: np.ndarray, names: list[str], notes: list[str]) -> np.ndarray:
    """(3, 3) from the file's axes to z up: the axis along which the trunk is above the feet; unnamed: the flattest floor."""
    top = [j for j, name in enumerate(names) if _TOP.search(name)]
    feet = [j for j, name in enumerate(names) if _FOOT.search(name)]
    if top and feet:
        body = pos[:, top].mean(axis=1) - pos[:, feet].mean(axis=1)
        body_up = (body / np.maximum(np.linalg.norm(body, axis=1, keepdims=True), 1e-12)).mean(axis=0)
        share = {axis: float((turn @ body_up)[2]) for axis, turn in _UPS.items()}
        best = max(share, key=share.__getitem__)
        if share[best] > 0.5:
            notes.append(f"{best} taken as up: the trunk is above the feet along it (mean cosine {share[best]:.2f})")
            return _UPS[best]
    floor = {axis: float(np.std((pos @ turn.T)[..., 2].min(axis=1))) for axis, turn in _UPS.items()}
    best = min(floor, key=floor.__getitem__)
    notes.append(f"{best} taken as up: the lowest points stay most level along it")
    return _UPS[best]
