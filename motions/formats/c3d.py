"""C3D marker files: points over time with their labels, read as positions.

The header block (256 words) says where parameters and data begin; point data are 16-bit integers times the scale,
or floats where the scale is negative; the fourth value of a point is below 0 where the marker was not seen. Short
gaps are bridged. Labels of the Plug-in Gait set become joint centres (`motions.formats.markers`); other points are
joints as they stand, under their labels or given names. Source: the C3D format's user guide.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from motions.errors import InputError
from motions.formats.markers import joint_centres
from motions.formats.positions import read_names, skeleton_from_positions
from motions.formats.text import check_file
from motions.formats.values import choose_fps
from motions.skeleton import SkeletonMotion

BLOCK = 512
INTEL, DEC, MIPS = 84, 85, 86
MAX_GAP_S = 0.5
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}


def read_c3d(
    path: str | Path, fps: float | None = None, names: str | Path | None = None, scale: float | None = None
) -> SkeletonMotion:
    """Read the points as a captured skeleton (see `motions.formats.positions`).

    names: a file with the joint name of every point, over the labels in the file. Markers unseen for longer than
    MAX_GAP_S are left out with a note. Raises `InputError` for damage and for processors other than Intel's.
    """
    path = Path(path)
    pos, labels, said, unit = read_points(path)
    notes: list[str] = []
    fps = choose_fps(path, fps, said, notes)
    if names is not None:
        labels, _ = read_names(check_file(names))
        if len(labels) != pos.shape[1]:
            raise InputError(f"{names}: {len(labels)} names, but {path.name} has {pos.shape[1]} points")
    pos, labels = _bridged(pos, labels, fps, path, notes)
    if scale is None and unit in UNITS:
        scale = UNITS[unit]
        notes.append(f"unit {unit} as the file says")
    parents = None
    centres = joint_centres(pos, labels)
    if centres is not None:
        pos, labels, parents = centres
        notes.append("Plug-in Gait markers: joint centres estimated from them, to a few centimetres")
    return skeleton_from_positions(path, pos, labels, parents, fps, scale, notes)


def read_points(path: Path) -> tuple[np.ndarray, list[str], float, str]:
    """Points (F, P, 3) in the file's unit (NaN where not seen), their labels, the rate [Hz] and the unit's name."""
    raw = check_file(path).read_bytes()
    if len(raw) < BLOCK or raw[1] != 0x50:
        raise InputError(f"{path}: starts with {raw[:2]!r}: not a C3D file")
    try:
        parameters = _parameters(raw, path)
        points, analog, first, last, _, scale, data_block, _, rate = struct.unpack_from("<HHHHHfHHf", raw, 2)
    except (struct.error, IndexError, ValueError) as error:
        raise InputError(f"{path}: not a whole C3D file: damaged or truncated ({error})") from error
    frames = last - first + 1
    if parameters.get(("POINT", "FRAMES")):  # more than the header's 16 bits can count
        frames = max(frames, int(np.ravel(parameters["POINT", "FRAMES"])[0]))
    width = np.dtype("<f4" if scale < 0 else "<i2").itemsize
    step, start = (4 * points + analog) * width, (data_block - 1) * BLOCK
    if points < 2 or frames < 1 or start < BLOCK or start + step * frames > len(raw):
        raise InputError(
            f"{path}: {frames} frames of {points} points need bytes {start} to {start + step * frames}, the file has {len(raw)}: "
            f"truncated?"
        )
    table = np.frombuffer(raw, "<f4" if scale < 0 else "<i2", frames * step // width, start).reshape(frames, -1)
    values = table[:, : 4 * points].reshape(frames, points, 4).astype(np.float64)
    pos = values[..., :3] * (1.0 if scale < 0 else scale)
    pos[(values[..., 3] < 0) | ~np.isfinite(values).all(axis=-1)] = np.nan
    labels = [label for key in ("LABELS", "LABELS2", "LABELS3") for label in parameters.get(("POINT", key), [])]
    labels = [label.split(":")[-1] for label in labels[:points]]
    labels += [f"point_{k}" for k in range(len(labels), points)]
    unit = next(iter(parameters.get(("POINT", "UNITS"), [])), "")
    return pos, labels, float(rate), unit.lower()


def _parameters(raw: bytes, path: Path) -> dict[tuple[str, str], Any]:
    """(group, name) -> text list or numbers; only Intel's byte order."""
    at = (raw[0] - 1) * BLOCK
    if raw[at + 3] != INTEL:
        known = {DEC: "DEC", MIPS: "MIPS"}.get(raw[at + 3], "unknown")
        raise InputError(f"{path}: written for processor type {raw[at + 3]} ({known}), expected {INTEL} (Intel)")
    end = min(at + raw[at + 2] * BLOCK, len(raw))
    groups: dict[int, str] = {}
    found: list[tuple[int, str, Any]] = []
    at += 4
    while at + 2 < end:
        length, group = abs(struct.unpack_from("<b", raw, at)[0]), struct.unpack_from("<b", raw, at + 1)[0]
        if length == 0:
            break
        name = raw[at + 2 : at + 2 + length].decode("latin-1").strip().upper()
        follows = at + 2 + length
        offset = struct.unpack_from("<h", raw, follows)[0]
        if group < 0:
            groups[-group] = name
        else:
            found.append((group, name, _parameter(raw, follows + 2)))
        if offset <= 0:
            break
        at = follows + offset
    return {(groups.get(group, ""), name): value for group, name, value in found}


def _parameter(raw: bytes, at: int) -> Any:
    kind, dimensions = struct.unpack_from("<bB", raw, at)
    shape = list(raw[at + 2 : at + 2 + dimensions])
    at += 2 + dimensions
    count = int(np.prod(shape)) if shape else 1
    if kind == -1:
        size = shape[0] if shape else 1
        text = raw[at : at + count].decode("latin-1")
        return [text[k : k + size].strip() for k in range(0, count, size)] if size else []
    dtype = {1: "<i1", 2: "<i2", 4: "<f4"}.get(kind)
    if dtype is None:
        raise ValueError(f"a parameter of type {kind}")
    return np.frombuffer(raw, dtype, count, at).tolist()


def _bridged(pos: np.ndarray, labels: list[str], fps: float, path: Path, notes: list[str]) -> tuple[np.ndarray, list[str]]:
    """Points without gaps: short ones bridged by straight lines, points with longer ones left out."""
    pos, keep, filled = pos.copy(), [], 0
    for p in range(pos.shape[1]):
        seen = np.flatnonzero(np.isfinite(pos[:, p, 0]))
        if not len(seen):
            continue
        gap = int(np.diff(np.concatenate([[-1], seen, [len(pos)]])).max()) - 1
        if gap <= MAX_GAP_S * fps:
            keep.append(p)
            filled += len(pos) - len(seen)
            for axis in range(3):
                pos[:, p, axis] = np.interp(np.arange(len(pos)), seen, pos[seen, p, axis])
    if filled:
        notes.append(f"{filled} unseen points in gaps of up to {MAX_GAP_S:g} s bridged by straight lines")
    if len(keep) < pos.shape[1]:
        lost = ", ".join(labels[p] for p in range(len(labels)) if p not in keep)
        notes.append(f"points unseen for longer than {MAX_GAP_S:g} s left out: {lost}")
    if len(keep) < 2:
        raise InputError(f"{path}: no two points are seen throughout; gaps longer than {MAX_GAP_S:g} s are not bridged")
    return pos[:, keep], [labels[p] for p in keep]
