"""BVH (Biovision hierarchy) files: reader and writer.

A joint's CHANNELS are applied left to right as rotations about its own moving axes; position channels are
absolute in the parent's frame and replace the OFFSET on their axes. Angles are degrees; the file's axes and
unit are converted by `motions.formats.units`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motions.errors import InputError, unknown_name
from motions.formats.text import parse_floats, parse_table, read_lines
from motions.formats.units import Y_UP_TO_Z_UP, RawAnimation, change_axes, choose_axes, guess_scale
from motions.motion import MIN_FRAMES
from motions.rotations import quat_angle, quat_from_axis_angle, quat_mul, quat_unroll
from motions.skeleton import Skeleton, SkeletonMotion

_AXES = {"X": 0, "Y": 1, "Z": 2}
CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "XYZ")
MAX_CHANNELS = 6


@dataclass
class _Joint:
    """One node of the hierarchy; `channels` in file order, `first` its first column in a frame."""

    name: str
    parent: int
    offset: list[float] | None = None
    channels: tuple[str, ...] = ()
    first: int = 0
    end: bool = False


def read_bvh(path: str | Path, scale: float | None = None, fps: float | None = None) -> SkeletonMotion:
    """Read a BVH file. `scale` [m per file unit] and `fps` [Hz] overrule what the file is taken to say.

    Joint names are kept as they are; an End Site becomes the joint `<parent>_end`. A leading T-pose row is
    dropped. What was assumed stands in `notes`. Raises `InputError` for a file that is not whole.
    """
    path = Path(path)
    lines = read_lines(path)
    joints, motion_line = _read_hierarchy(lines, path)
    values, file_fps = _read_frames(lines, motion_line, sum(len(j.channels) for j in joints), path)
    raw, notes = _animate(joints, values), []
    if _starts_with_t_pose(raw.local_quat):
        raw = RawAnimation(
            raw.skeleton, raw.root_pos[1:], raw.local_quat[1:], None if raw.translations is None else raw.translations[1:]
        )
        notes.append("dropped the leading T-pose row")
    if len(raw.root_pos) < MIN_FRAMES:
        raise InputError(f"{path}: {len(raw.root_pos)} frame(s) of motion, at least {MIN_FRAMES} are needed")
    if scale is None:
        scale, sentence = guess_scale(raw, path)
        notes.append(sentence)
    elif not scale > 0:
        raise InputError(f"{path}: scale is {scale}, expected metres per unit above 0")
    axes, sentence = choose_axes(raw)
    notes.append(sentence)
    if fps is not None:
        notes.append(f"{fps:g} frames per second as given (the file says {file_fps:g})")
    raw = change_axes(raw, axes, scale)
    return SkeletonMotion(
        name=path.stem,
        skeleton=raw.skeleton,
        fps=file_fps if fps is None else float(fps),
        root_pos=raw.root_pos,
        local_quat=raw.local_quat,
        source=path.name,
        translations=raw.translations,
        notes=tuple(notes),
        unit_m=scale,
    )


def _read_hierarchy(lines: list[str], path: Path) -> tuple[list[_Joint], int]:
    """The joints in file order and the index of the MOTION line."""
    first = next(i for i, line in enumerate(lines) if line.strip())
    if lines[first].split()[0].upper() != "HIERARCHY":
        raise InputError(
            f"{path}, line {first + 1}: starts with {lines[first].strip()[:40]!r}, expected HIERARCHY: not a BVH file"
        )
    joints: list[_Joint] = []
    stack: list[int] = []
    pending = -1
    columns = 0
    for index in range(first + 1, len(lines)):
        words = lines[index].replace("{", " { ").replace("}", " } ").split()
        where = f"{path}, line {index + 1}"
        while words:
            word = words.pop(0)
            key = word.upper()
            if key in ("ROOT", "JOINT", "END"):
                cut = words.index("{") if "{" in words else len(words)
                name, words = " ".join(words[:cut]), words[cut:]
                if key == "ROOT" and joints:
                    raise InputError(f"{where}: a second ROOT {name!r}; one body per file is expected")
                if key != "ROOT" and not stack:
                    raise InputError(f"{where}: {word} {name!r} outside of a ROOT")
                parent = stack[-1] if stack else -1
                name = f"{joints[parent].name}_end" if key == "END" else name
                joints.append(_Joint(_unique(name, joints, where), parent, end=key == "END"))
                pending = len(joints) - 1
            elif key == "{":
                if pending < 0:
                    raise InputError(f"{where}: '{{' without a ROOT, JOINT or End Site before it")
                stack.append(pending)
                pending = -1
            elif key == "}":
                if not stack:
                    raise InputError(f"{where}: '}}' without its '{{'")
                stack.pop()
            elif key in ("OFFSET", "CHANNELS") and not stack:
                raise InputError(f"{where}: {word} outside of a joint")
            elif key == "OFFSET":
                joints[stack[-1]].offset = parse_floats(_take(words, 3, where, "OFFSET"), path, index + 1)
            elif key == "CHANNELS":
                joint = joints[stack[-1]]
                joint.channels, joint.first = _read_channels(words, where), columns
                columns += len(joint.channels)
            elif key == "MOTION":
                if stack or not joints:
                    raise InputError(f"{where}: MOTION before the hierarchy is complete ({len(stack)} '}}' missing)")
                return joints, index
            else:
                raise InputError(f"{where}: {word!r}, expected ROOT, JOINT, End Site, OFFSET, CHANNELS, braces or MOTION")
    raise InputError(f"{path}: ends after line {len(lines)} without a MOTION section: truncated?")


def _unique(name: str, joints: list[_Joint], where: str) -> str:
    if not name:
        raise InputError(f"{where}: a joint without a name")
    taken = {joint.name for joint in joints}
    return next(n for n in (name, *(f"{name}_{i}" for i in range(2, len(joints) + 3))) if n not in taken)


def _take(words: list[str], count: int, where: str, what: str) -> list[str]:
    taken, words[:count] = words[:count], []
    if len(taken) < count:
        raise InputError(f"{where}: {what} with {len(taken)} values, expected {count} on the same line")
    return taken


def _read_channels(words: list[str], where: str) -> tuple[str, ...]:
    count = _take(words, 1, where, "CHANNELS")[0]
    if not count.isdigit() or int(count) > MAX_CHANNELS:
        raise InputError(f"{where}: CHANNELS {count!r}, expected a number from 0 to {MAX_CHANNELS} and that many names")
    names = []
    for word in _take(words, int(count), where, f"CHANNELS {count}"):
        name = word[:1].upper() + word[1:].lower()
        if name not in CHANNELS:
            raise InputError(f"{where}: {unknown_name('channel', word, CHANNELS)}")
        names.append(name)
    if len(set(names)) != len(names):
        raise InputError(f"{where}: CHANNELS names one channel twice")
    return tuple(names)


def _read_frames(lines: list[str], motion_line: int, columns: int, path: Path) -> tuple[np.ndarray, float]:
    """The frame table (F, columns) and the frame rate [Hz]."""
    body = [(i + 1, lines[i]) for i in range(motion_line + 1, len(lines)) if lines[i].strip()]
    if len(body) < 2:
        raise InputError(f"{path}: ends after MOTION; 'Frames:' and 'Frame Time:' are expected: truncated?")
    count = _header_number(*body[0], "Frames:", path)
    frame_time_s = _header_number(*body[1], "Frame Time:", path)
    if count < 1 or count != int(count):
        raise InputError(f"{path}, line {body[0][0]}: Frames: {count:g}, expected a whole number above 0")
    if frame_time_s <= 0:
        raise InputError(f"{path}, line {body[1][0]}: Frame Time: {frame_time_s:g}, expected seconds above 0")
    rows = [(number, line.split()) for number, line in body[2:]]
    if len(rows) != count:
        raise InputError(f"{path}: {len(rows)} rows of motion, but line {body[0][0]} says Frames: {count:g}: truncated?")
    values = parse_table(rows, columns, path, "the hierarchy's CHANNELS")
    fps = 1.0 / frame_time_s
    # Files print .0083333 for 1/120: a rate this near a whole number is that number.
    return values, float(round(fps)) if abs(fps - round(fps)) < 5e-4 * fps else fps


def _header_number(line_number: int, line: str, key: str, path: Path) -> float:
    words = " ".join(line.split())
    if not words.lower().startswith(key.lower()):
        raise InputError(f"{path}, line {line_number}: {words[:40]!r}, expected '{key} <number>'")
    tokens = words[len(key) :].split()
    if len(tokens) != 1:
        raise InputError(f"{path}, line {line_number}: {words[:40]!r}, expected '{key} <number>'")
    return parse_floats(tokens, path, line_number)[0]


def _animate(joints: list[_Joint], values: np.ndarray) -> RawAnimation:
    """Channel values (F, columns) to local rotations and translations, still in the file's axes and unit."""
    frames = len(values)
    offsets = np.array([j.offset if j.offset is not None else (0.0, 0.0, 0.0) for j in joints])
    local_quat = np.zeros((frames, len(joints), 4))
    local_quat[..., 0] = 1.0
    translations = np.broadcast_to(offsets, (frames, len(joints), 3)).copy()
    moving = False
    for j, joint in enumerate(joints):
        for k, channel in enumerate(joint.channels):
            column, axis = values[:, joint.first + k], _AXES[channel[0]]
            if channel.endswith("position"):
                translations[:, j, axis] = column
                moving = moving or j > 0
            else:
                turn = quat_from_axis_angle(np.eye(3)[axis], np.deg2rad(column))
                local_quat[:, j] = quat_mul(local_quat[:, j], turn)
    root_pos = translations[:, 0].copy()
    offsets[0] = 0.0  # the root's channels replace its OFFSET
    names = tuple(j.name for j in joints)
    skeleton = Skeleton(names, tuple(j.parent for j in joints), offsets, tuple(j.name for j in joints if j.end))
    return RawAnimation(skeleton, root_pos, quat_unroll(local_quat), translations if moving else None)


def _starts_with_t_pose(local_quat: np.ndarray) -> bool:
    """Whether frame 0 is a rest pose put before the motion: root unturned, most joints at zero, then a jump."""
    if len(local_quat) < 3:
        return False
    identity = np.array([1.0, 0.0, 0.0, 0.0])
    at_zero = quat_angle(np.broadcast_to(identity, local_quat[0].shape), local_quat[0]) < 1e-6
    step = quat_angle(local_quat[:-1], local_quat[1:]).max(axis=1)[:100]  # [F - 1] largest joint change [rad]
    jump = step[0] > 0.2 and step[0] > 5.0 * np.median(step[1:])
    return bool(at_zero[0] and at_zero.mean() > 0.5 and jump)


def write_bvh(motion: SkeletonMotion, path: str | Path, scale: float | None = None, rotation_order: str = "ZYX") -> None:
    """Write a Y-up BVH: `scale` [m per file unit], by default the motion's own `unit_m`, every joint with rotations in
    `rotation_order`, the root with positions.

    With `motion.translations` every joint gets position channels. Ends of bones that have no end site get one of
    length zero, as the format wants a leaf below each chain.
    """
    from scipy.spatial.transform import Rotation  # at call time: reading must not wait for scipy

    if sorted(rotation_order) != ["X", "Y", "Z"]:
        raise InputError(f"rotation order {rotation_order!r}, expected the letters X, Y, Z in some order")
    raw = RawAnimation(motion.skeleton, motion.root_pos, motion.local_quat, motion.translations)
    raw = change_axes(raw, Y_UP_TO_Z_UP.T, 1.0 / (motion.unit_m if scale is None else scale))
    skeleton = raw.skeleton
    children: dict[int, list[int]] = {j: [] for j in range(-1, len(skeleton.parents))}
    for j, parent in enumerate(skeleton.parents):
        children[parent].append(j)
    lines, order = ["HIERARCHY"], []
    rotations = " ".join(f"{axis}rotation" for axis in rotation_order)

    def visit(j: int, depth: int) -> None:
        tab = "\t" * depth
        end = skeleton.joint_names[j] in skeleton.end_sites
        lines.append(tab + ("End Site" if end else f"{'JOINT' if depth else 'ROOT'} {skeleton.joint_names[j]}"))
        lines.append(f"{tab}{{\n{tab}\tOFFSET {_row(skeleton.offsets[j])}")
        if not end:
            order.append(j)
            free = j == 0 or raw.translations is not None
            lines.append(f"{tab}\tCHANNELS {'6 Xposition Yposition Zposition' if free else '3'} {rotations}")
            for child in children[j]:
                visit(child, depth + 1)
            if not children[j]:
                lines.append(f"{tab}\tEnd Site\n{tab}\t{{\n{tab}\t\tOFFSET 0 0 0\n{tab}\t}}")
        lines.append(tab + "}")

    visit(0, 0)
    frames = motion.num_frames
    columns = []
    for j in order:
        if j == 0:
            columns.append(raw.root_pos)
        elif raw.translations is not None:
            columns.append(raw.translations[:, j])
        rotation = Rotation.from_quat(raw.local_quat[:, j], scalar_first=True)
        columns.append(rotation.as_euler(rotation_order, degrees=True, suppress_warnings=True))
    lines += ["MOTION", f"Frames: {frames}", f"Frame Time: {1.0 / motion.fps:.9g}"]
    lines += [_row(row) for row in np.concatenate(columns, axis=1)]
    Path(path).write_text("\n".join(lines) + "\n")


def _row(values: np.ndarray) -> str:
    return " ".join(f"{v:.6f}" for v in values)
