"""ASF/AMC files (Acclaim; the CMU motion-capture database): a skeleton file and a motion file, read together.

A bone has a global rest direction and length, and axes C (its own frame at rest, in the world). With the values
rx, ry, rz of a frame composed in the bone's axis order to M, its rotation relative to the parent is C M C^-1,
so zero values are the rest pose. A joint here sits at its bone's *start* and takes that bone's rotation, as in
the BVH files made from this database, whose joint names are used where a bone has one.
"""

import re
from pathlib import Path

import numpy as np

from motions.errors import InputError, unknown_name
from motions.formats.asf import AsfSkeleton, compose, read_asf
from motions.formats.text import parse_floats, read_lines
from motions.formats.units import HEIGHT_M, RawAnimation, body_height, change_axes, choose_axes, guess_scale
from motions.motion import MIN_FRAMES
from motions.rotations import quat_conj, quat_mul, quat_unroll
from motions.skeleton import Skeleton, SkeletonMotion

DEFAULT_FPS = 120.0  # the CMU database's capture rate; an AMC file does not say
INCH_M = 0.0254
BVH_NAMES = {
    "root": "Hips",
    "lowerback": "LowerBack",
    "upperback": "Spine",
    "thorax": "Spine1",
    "lowerneck": "Neck",
    "upperneck": "Neck1",
    "head": "Head",
} | {
    f"{side[0].lower()}{bone}": name.format(side=side, s=side[0])
    for side in ("Left", "Right")
    for bone, name in (
        ("hipjoint", "{s}HipJoint"),
        ("femur", "{side}UpLeg"),
        ("tibia", "{side}Leg"),
        ("foot", "{side}Foot"),
        ("toes", "{side}ToeBase"),
        ("clavicle", "{side}Shoulder"),
        ("humerus", "{side}Arm"),
        ("radius", "{side}ForeArm"),
        ("wrist", "{side}Hand"),
        ("hand", "{side}FingerBase"),
        ("fingers", "{s}Fingers"),
        ("thumb", "{s}Thumb"),
    )
}


def read_amc(
    path: str | Path, asf: str | Path | None = None, scale: float | None = None, fps: float | None = None
) -> SkeletonMotion:
    """Read an AMC file with its ASF skeleton (found by `find_asf` if not given).

    `scale` [m per file unit] and `fps` [Hz] overrule the defaults; `notes` say what was assumed. Raises
    `InputError` for a file that is not whole or does not fit its skeleton.
    """
    path = Path(path)
    lines = read_lines(path)
    skeleton_path, found = find_asf(path, asf)
    notes = [f"skeleton {skeleton_path.name} ({found})"]
    source = read_asf(skeleton_path)
    values, degrees = _read_frames(lines, source, path, skeleton_path)
    raw = _animate(source, values, np.pi / 180.0 if degrees else 1.0)
    if scale is None:
        scale = INCH_M / source.unit_length
        if HEIGHT_M[0] <= body_height(raw)[0] * scale <= HEIGHT_M[1]:
            notes.append(f"1 unit = 1/{source.unit_length:g} inch = {scale:.6g} m")
        else:
            scale, sentence = guess_scale(raw, skeleton_path)
            notes.append(sentence)
    elif not scale > 0:
        raise InputError(f"{path}: scale is {scale}, expected metres per unit above 0")
    axes, sentence = choose_axes(raw)
    notes.append(sentence)
    notes.append(
        f"{DEFAULT_FPS:g} frames per second assumed, the file does not say"
        if fps is None
        else f"{fps:g} frames per second as given"
    )
    raw = change_axes(raw, axes, scale)
    return SkeletonMotion(
        name=path.stem,
        skeleton=raw.skeleton,
        fps=DEFAULT_FPS if fps is None else float(fps),
        root_pos=raw.root_pos,
        local_quat=raw.local_quat,
        source=f"{path.name} with {skeleton_path.name}",
        notes=tuple(notes),
        unit_m=scale,
    )


def find_asf(path: Path, asf: str | Path | None = None) -> tuple[Path, str]:
    """The skeleton file of an AMC and how it was found: given, same stem, or the subject's file in the folder.

    A subject's file starts with the same number: `07_05-walk.amc` -> `07-walk.asf`, `01_01.amc` -> `01.asf`.
    """
    if asf is not None:
        return Path(asf), "as given"
    here = sorted(p for p in path.parent.iterdir() if p.suffix.lower() == ".asf")
    for candidate in here:
        if candidate.stem.lower() == path.stem.lower():
            return candidate, "same name"
    subject = _subject(path)
    of_subject = [p for p in here if subject is not None and _subject(p) == subject]
    if len(of_subject) > 1:
        ending = path.stem[path.stem.find("-") :] if "-" in path.stem else ""
        of_subject = [p for p in of_subject if (ending and p.stem.endswith(ending)) or (not ending and p.stem.isdigit())]
    if len(of_subject) == 1:
        return of_subject[0], f"the file of subject {subject} in the folder"
    listing = ", ".join(p.name for p in here) or "no .asf at all"
    raise InputError(
        f"{path}: its skeleton is needed: {path.stem}.asf, or the subject's .asf in the same folder, or give one with "
        f"--skeleton. The folder holds {listing}"
    )


def _subject(path: Path) -> int | None:
    """The number a file's name starts with."""
    number = re.match(r"\d+", path.stem)
    return int(number[0]) if number else None


def _read_frames(lines: list[str], skeleton: AsfSkeleton, path: Path, asf: Path) -> tuple[dict[str, np.ndarray], bool]:
    """Values (F, dof) of every bone with degrees of freedom, and whether angles are degrees."""
    wanted = {name: len(bone.dof) for name, bone in skeleton.bones.items() if bone.dof}
    values: dict[str, list[list[float]]] = {name: [] for name in wanted}
    degrees, frames, current, start = skeleton.degrees, 0, 0, 0

    def finish() -> None:
        short = [name for name, rows in values.items() if len(rows) < frames]
        if short:
            raise InputError(f"{path}, line {start}: frame {current} has no values for bone {short[0]!r}: truncated?")

    for number, line in enumerate(lines, start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if words[0].startswith(":"):
            degrees = degrees if words[0].upper() not in (":DEGREES", ":RADIANS") else words[0].upper() == ":DEGREES"
        elif len(words) == 1 and words[0].isdigit():
            finish()
            if frames and int(words[0]) != current + 1:
                raise InputError(f"{path}, line {number}: frame {words[0]} follows frame {current}; frames are missing")
            frames, current, start = frames + 1, int(words[0]), number
        elif frames == 0:
            raise InputError(f"{path}, line {number}: {words[0][:40]!r}, expected a frame number: not an AMC file")
        elif words[0] not in wanted:
            raise InputError(f"{path}, line {number}: {unknown_name(f'bone (skeleton {asf.name})', words[0], wanted)}")
        elif len(words) - 1 != wanted[words[0]]:
            raise InputError(
                f"{path}, line {number}: {len(words) - 1} values for bone {words[0]!r}, expected {wanted[words[0]]} "
                f"({' '.join(skeleton.bones[words[0]].dof)} in {asf.name})"
            )
        elif len(values[words[0]]) != frames - 1:
            raise InputError(f"{path}, line {number}: bone {words[0]!r} a second time in frame {current}")
        else:
            values[words[0]].append(parse_floats(words[1:], path, number))
    finish()
    if frames < MIN_FRAMES:
        raise InputError(f"{path}: {frames} frame(s) of motion, at least {MIN_FRAMES} are needed")
    return {name: np.array(rows) for name, rows in values.items()}, degrees


def _animate(source: AsfSkeleton, values: dict[str, np.ndarray], radians_per_unit: float) -> RawAnimation:
    """Joints at the bones' starts, an end joint at every leaf; still in the file's axes and unit."""
    frames = len(values["root"])
    names, parents, offsets, quats, ends = [], [], [], [], []
    index = {}
    has_child = {bone.parent for bone in source.bones.values()}
    for name, bone in source.bones.items():
        index[name] = len(names)
        names.append(BVH_NAMES.get(name, name))
        parents.append(index[bone.parent] if bone.parent else -1)
        offsets.append(source.bones[bone.parent].vector if bone.parent else np.zeros(3))
        angles = {d[1].upper(): values[name][:, k] * radians_per_unit for k, d in enumerate(bone.dof) if d[0] == "r"}
        turn = np.broadcast_to(compose(angles, bone.order), (frames, 4))
        axes = np.broadcast_to(bone.axes, (frames, 4))
        quats.append(quat_mul(quat_mul(axes, turn), quat_conj(axes)))
        if name not in has_child:
            names.append(f"{names[-1]}_end")
            parents.append(index[name])
            offsets.append(bone.vector)
            quats.append(np.broadcast_to(np.array([1.0, 0.0, 0.0, 0.0]), (frames, 4)))
            ends.append(names[-1])
    root = source.bones["root"]
    place = [root.dof.index(d) for d in ("tx", "ty", "tz")]
    skeleton = Skeleton(tuple(names), tuple(parents), np.array(offsets), tuple(ends))
    root_pos = values["root"][:, place] + source.root_position
    return RawAnimation(skeleton, root_pos, quat_unroll(np.stack(quats, axis=1)), None)
