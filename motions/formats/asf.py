"""ASF files (Acclaim skeletons): bones with a rest direction, a length and axes of their own."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from motions.errors import InputError, unknown_name
from motions.formats.text import parse_floats, read_lines
from motions.rotations import quat_from_axis_angle, quat_mul


@dataclass
class Bone:
    """One bone: rest `vector` from start to end [file units], `axes` wxyz, `dof` names in file order."""

    name: str
    vector: np.ndarray = field(default_factory=lambda: np.zeros(3))
    axes: np.ndarray = field(default_factory=lambda: np.array([1.0, 0.0, 0.0, 0.0]))
    order: str = "XYZ"
    dof: tuple[str, ...] = ()
    parent: str = ""


@dataclass
class AsfSkeleton:
    """What an ASF file says: bones by name, the root first, parents before children."""

    bones: dict[str, Bone]
    root_position: np.ndarray
    unit_length: float
    degrees: bool


def read_asf(path: str | Path) -> AsfSkeleton:
    """Read a skeleton file. Raises `InputError` naming file and line."""
    path = Path(path)
    lines = read_lines(path)
    bones = {"root": Bone("root", dof=("tx", "ty", "tz", "rx", "ry", "rz"))}
    skeleton = AsfSkeleton(bones, np.zeros(3), 1.0, True)
    section, bone, parents = "", None, {}
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        where = f"{path}, line {number}"
        if words[0].startswith(":"):
            section = words[0].lower()
            seen.add(section)
        elif section == ":units":
            if words[0] == "length":
                skeleton.unit_length = _positive(words, path, number)
            elif words[0] == "angle":
                skeleton.degrees = words[-1].lower().startswith("deg")
        elif section == ":root":
            _read_root_line(skeleton, words, path, number)
        elif section == ":bonedata":
            if words[0] == "begin":
                bone = Bone("")
            elif bone is None:
                raise InputError(f"{where}: {words[0]!r} before 'begin'")
            elif words[0] == "end":
                _keep_bone(bone, bones, where)
                bone = None
            else:
                _read_bone_line(bone, words, skeleton.degrees, path, number)
        elif section == ":hierarchy" and words[0] not in ("begin", "end"):
            for name in words[1:]:
                if name in parents:
                    raise InputError(f"{where}: bone {name!r} has a second parent")
                parents[name] = words[0]
    missing = {":root", ":bonedata", ":hierarchy"} - seen
    if missing:
        raise InputError(f"{path}: no {', '.join(sorted(missing))} section: not an ASF skeleton, or truncated")
    skeleton.bones = _ordered(bones, parents, path)
    return skeleton


def _positive(words: list[str], path: Path, number: int) -> float:
    value = parse_floats(words[1:2] or ["nothing"], path, number)[0]
    if value <= 0:
        raise InputError(f"{path}, line {number}: {words[0]} {value:g}, expected a number above 0")
    return value


def _vector(words: list[str], path: Path, number: int) -> np.ndarray:
    if len(words) < 4:
        raise InputError(f"{path}, line {number}: {words[0]} with {len(words) - 1} values, expected 3")
    return np.array(parse_floats(words[1:4], path, number))


def _read_root_line(skeleton: AsfSkeleton, words: list[str], path: Path, number: int) -> None:
    root = skeleton.bones["root"]
    if words[0] == "order":
        root.dof = tuple(w.lower() for w in words[1:])
        if sorted(root.dof) != ["rx", "ry", "rz", "tx", "ty", "tz"]:
            raise InputError(f"{path}, line {number}: root order {' '.join(words[1:])}, expected TX TY TZ RX RY RZ in some order")
    elif words[0] == "axis":
        root.order = _axis_order(words[-1], path, number)
    elif words[0] == "position":
        skeleton.root_position = _vector(words, path, number)
    elif words[0] == "orientation" and np.any(_vector(words, path, number)):
        raise InputError(f"{path}, line {number}: root orientation {' '.join(words[1:])}; only 0 0 0 is supported")


def _read_bone_line(bone: Bone, words: list[str], degrees: bool, path: Path, number: int) -> None:
    if words[0] == "name":
        bone.name = words[-1]
    elif words[0] == "direction":
        direction = _vector(words, path, number)
        bone.vector = direction * (np.linalg.norm(bone.vector) or 1.0)
    elif words[0] == "length":
        length = parse_floats(words[1:2] or ["nothing"], path, number)[0]
        bone.vector = bone.vector / (np.linalg.norm(bone.vector) or 1.0) * length
    elif words[0] == "axis":
        bone.order = _axis_order(words[-1], path, number)
        angles = _vector(words, path, number) * (np.pi / 180.0 if degrees else 1.0)
        bone.axes = compose(dict(zip("XYZ", angles)), bone.order)
    elif words[0] == "dof":
        bone.dof = tuple(w.lower() for w in words[1:])
        bad = [w for w in bone.dof if w not in ("rx", "ry", "rz")]
        if bad:
            raise InputError(
                f"{path}, line {number}: bone {bone.name!r} has the degree of freedom {bad[0]!r}; rx, ry, rz are read"
            )


def _axis_order(word: str, path: Path, number: int) -> str:
    if sorted(word.upper()) != ["X", "Y", "Z"]:
        raise InputError(f"{path}, line {number}: axis order {word!r}, expected one like XYZ")
    return word.upper()


def _keep_bone(bone: Bone, bones: dict[str, Bone], where: str) -> None:
    if not bone.name:
        raise InputError(f"{where}: the bone that ends here has no name")
    if bone.name in bones:
        raise InputError(f"{where}: a second bone {bone.name!r}")
    bones[bone.name] = bone


def _ordered(bones: dict[str, Bone], parents: dict[str, str], path: Path) -> dict[str, Bone]:
    """The bones depth first from the root, with parents filled in."""
    for name in (*parents, *parents.values()):
        if name not in bones:
            raise InputError(f"{path}: the hierarchy names a bone that has no data: {unknown_name('bone', name, bones)}")
    result = {}

    def visit(name: str) -> None:
        result[name] = bones[name]
        for child, parent in parents.items():
            if parent == name:
                bones[child].parent = name
                visit(child)

    visit("root")
    lost = [name for name in bones if name not in result]
    if lost:
        raise InputError(f"{path}: bone {lost[0]!r} is not connected to the root in the hierarchy")
    return result


def compose(angles: dict[str, np.ndarray], order: str) -> np.ndarray:
    """Rotations about *fixed* axes applied in `order` (XYZ: Rz Ry Rx); angles [rad], missing axes are zero."""
    shape = np.shape(next(iter(angles.values()), 0.0))
    quat = np.broadcast_to(np.array([1.0, 0.0, 0.0, 0.0]), (*shape, 4))
    for letter in order:
        if letter in angles:
            quat = quat_mul(quat_from_axis_angle(np.eye(3)["XYZ".index(letter)], np.asarray(angles[letter])), quat)
    return quat
