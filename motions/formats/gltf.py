"""glTF 2.0 (`.gltf` with its buffers, `.glb`): the skeleton of the first skin and the first animation.

The format fixes its conventions: y up, a body faces +z with its left at +x, metres, seconds, quaternions xyzw.
The rest pose is that of the nodes. Without a skin the animated nodes are the skeleton.
"""

import base64
import binascii
import json
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from motions.errors import InputError
from motions.formats.nodes import Nodes, sample_times, skeleton_motion, skeleton_nodes, world_poses
from motions.formats.text import check_file
from motions.formats.units import Y_UP_TO_Z_UP
from motions.rotations import quat_normalize, slerp
from motions.skeleton import SkeletonMotion

_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_TYPES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_PATHS = {"translation": 3, "rotation": 4, "scale": 3}


def read_gltf(path: str | Path, fps: float | None = None, scale: float | None = None) -> SkeletonMotion:
    """Read the animation at the rate of its keys, or at `fps` [Hz]. Raises `InputError` for a file that is not whole."""
    path = Path(path)
    try:
        document, buffers = _load(check_file(path), path)
        return _read(document, buffers, path, fps, scale)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        # A document of thousands of optional fields: whichever is missing or of another kind ends up here.
        raise InputError(f"{path}: not whole glTF 2.0: {type(error).__name__} {error}") from error


def _load(file: Path, path: Path) -> tuple[dict[str, Any], list[bytes]]:
    """The JSON document and its buffers."""
    raw = file.read_bytes()
    binary = None
    if raw[:4] == b"glTF":
        version, length = struct.unpack_from("<II", raw.ljust(12, b"\0"), 4)
        if version != 2 or length != len(raw):
            raise InputError(
                f"{path}: a GLB of version {version} and {length} bytes, expected version 2 and {len(raw)}: truncated?"
            )
        chunks, at = [], 12
        while at + 8 <= len(raw):
            size, kind = struct.unpack_from("<I4s", raw, at)
            chunks.append((kind, raw[at + 8 : at + 8 + size]))
            at += 8 + size
        if not chunks or chunks[0][0] != b"JSON":
            raise InputError(f"{path}: a GLB whose first chunk is not JSON")
        raw, binary = chunks[0][1], next((data for kind, data in chunks[1:] if kind == b"BIN\0"), None)
    elif path.suffix.lower() == ".glb":
        raise InputError(f"{path}: starts with {raw[:4]!r}, expected b'glTF': not a GLB file")
    try:
        document = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise InputError(f"{path}: a binary file, expected glTF's JSON") from None
    except ValueError as error:
        blank = "only blank lines" if not raw.strip() else f"not JSON ({error})"
        raise InputError(f"{path}: {blank}; expected glTF 2.0") from None
    if not isinstance(document, dict) or str(document.get("asset", {}).get("version", "")).split(".")[0] != "2":
        raise InputError(f"{path}: JSON, but not of glTF 2.0: no asset.version 2")
    return document, [_buffer(item, binary, path) for item in document.get("buffers", [])]


def _buffer(item: dict[str, Any], binary: bytes | None, path: Path) -> bytes:
    uri = item.get("uri")
    if uri is None:
        if binary is None:
            raise InputError(f"{path}: a buffer without uri and no binary chunk to take it from")
        return binary
    if uri.startswith("data:"):
        try:
            return base64.b64decode(uri.split(",", 1)[-1], validate=True)
        except binascii.Error as error:
            raise InputError(f"{path}: a buffer that is not base64 ({error})") from None
    name = Path(unquote(uri))
    if name.is_absolute() or ".." in name.parts or "://" in uri:
        raise InputError(f"{path}: a buffer at {uri!r}, expected a file beside the glTF")
    return check_file(path.parent / name).read_bytes()


def _accessor(document: dict[str, Any], buffers: list[bytes], index: int, path: Path) -> np.ndarray:
    """The values (count, width) of one accessor, normalized integers as floats."""
    item = document["accessors"][index]
    if "sparse" in item or "bufferView" not in item:
        raise InputError(f"{path}: accessor {index} is sparse or without data, which is not read")
    view = document["bufferViews"][item["bufferView"]]
    kind, width, count = np.dtype(_COMPONENTS[item["componentType"]]), _TYPES[item["type"]], int(item["count"])
    start = int(view.get("byteOffset", 0)) + int(item.get("byteOffset", 0))
    stride = int(view.get("byteStride", 0)) or kind.itemsize * width
    data = buffers[view["buffer"]]
    if (
        count < 1
        or start < 0
        or stride < kind.itemsize * width
        or start + stride * (count - 1) + kind.itemsize * width > len(data)
    ):
        raise InputError(f"{path}: accessor {index} reaches beyond its buffer of {len(data)} bytes: truncated?")
    values = np.ndarray((count, width), kind, data, start, (stride, kind.itemsize)).astype(np.float64)
    if item.get("normalized") and kind.kind in "iu":
        values = np.maximum(values / np.iinfo(kind).max, -1.0)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: accessor {index} holds a value that is not finite")
    return values


def _read(document: dict[str, Any], buffers: list[bytes], path: Path, fps: float | None, scale: float | None) -> SkeletonMotion:
    nodes, animations = document.get("nodes", []), document.get("animations", [])
    if not nodes or not animations:
        raise InputError(f"{path}: {len(nodes)} nodes and {len(animations)} animations, expected a skeleton and its animation")
    notes: list[str] = []
    if len(animations) > 1:
        named = ", ".join(repr(item.get("name", "?")) for item in animations[:6])
        notes.append(f"{len(animations)} animations ({named}): the first is read")
    parents = [-1] * len(nodes)
    for n, node in enumerate(nodes):
        for child in node.get("children", []):
            if not 0 <= child < len(nodes) or parents[child] != -1 or child == n:
                raise InputError(f"{path}: node {n} has the child {child}, which does not exist or has another parent")
            parents[child] = n
    tracks = _tracks(document, buffers, animations[0], len(nodes), path)
    skins = document.get("skins", [])
    joints = list(skins[0]["joints"]) if skins else sorted({node for node, _ in tracks})
    if len(skins) > 1:
        notes.append(f"{len(skins)} skins: the skeleton of the first is read")
    used = skeleton_nodes(parents, joints)
    rest = _rest(nodes, path)
    times, fps = sample_times(path, [track[0] for track in tracks.values()], fps, len(used), notes)
    moving = _sampled(rest, tracks, times)
    names = _unique([str(nodes[n].get("name", f"node_{n}")) for n in used], notes)
    tree = [used.index(parents[n]) if parents[n] in used else -1 for n in used]
    poses, still = world_poses(moving, parents, used), world_poses(rest, parents, used)
    return skeleton_motion(path, names, tree, poses, still, Y_UP_TO_Z_UP, 1.0, scale, fps, notes)


def _unique(names: list[str], notes: list[str]) -> list[str]:
    """glTF nodes may share a name; later ones get a number."""
    taken: list[str] = []
    for name in names:
        taken.append(next(n for n in (name, *(f"{name}_{i}" for i in range(2, len(names) + 2))) if n not in taken))
    if taken != names:
        notes.append("nodes of the same name were numbered")
    return taken


def _rest(nodes: list[dict[str, Any]], path: Path) -> Nodes:
    rest = Nodes(np.zeros((len(nodes), 3)), np.tile([1.0, 0.0, 0.0, 0.0], (len(nodes), 1)), np.ones((len(nodes), 3)))
    for n, node in enumerate(nodes):
        if "matrix" in node:
            matrix = np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
            size = np.linalg.norm(matrix[:3, :3], axis=0)
            if not size.min() > 0 or np.linalg.det(matrix[:3, :3]) <= 0:
                raise InputError(f"{path}: node {n} has a matrix that is no rotation and scale")
            from scipy.spatial.transform import Rotation  # at call time: reading must not wait for scipy

            rest.translation[n], rest.scale[n] = matrix[:3, 3], size
            rest.quat[n] = Rotation.from_matrix(matrix[:3, :3] / size).as_quat(scalar_first=True)
            continue
        rest.translation[n] = node.get("translation", (0, 0, 0))
        rest.scale[n] = node.get("scale", (1, 1, 1))
        quat = np.array(node.get("rotation", (0, 0, 0, 1)), dtype=np.float64)
        if quat.shape != (4,) or not 0.5 < np.linalg.norm(quat) < 2.0:
            raise InputError(f"{path}: node {n} has the rotation {quat.tolist()}, expected a unit quaternion")
        rest.quat[n] = quat_normalize(quat[[3, 0, 1, 2]])
    if not all(np.isfinite(part).all() for part in (rest.translation, rest.quat, rest.scale)):
        raise InputError(f"{path}: a node's place is not finite")
    return rest


Track = tuple[np.ndarray, np.ndarray, str]  # times [s], values (keys, 3 or 4; thrice as many for CUBICSPLINE), interpolation


def _tracks(
    document: dict[str, Any], buffers: list[bytes], animation: dict[str, Any], num_nodes: int, path: Path
) -> dict[tuple[int, str], Track]:
    tracks: dict[tuple[int, str], Track] = {}
    for channel in animation["channels"]:
        target, sampler = channel["target"], animation["samplers"][channel["sampler"]]
        kind, node = target["path"], target.get("node")
        if kind not in _PATHS or node is None:  # morph weights move no joint
            continue
        if not 0 <= node < num_nodes:
            raise InputError(f"{path}: an animation of node {node}, of {num_nodes}")
        times = _accessor(document, buffers, sampler["input"], path)[:, 0]
        values = _accessor(document, buffers, sampler["output"], path)
        how = sampler.get("interpolation", "LINEAR")
        if how not in ("LINEAR", "STEP", "CUBICSPLINE"):
            raise InputError(f"{path}: interpolation {how!r}, expected LINEAR, STEP or CUBICSPLINE")
        keys = 3 * len(times) if how == "CUBICSPLINE" else len(times)
        if values.shape != (keys, _PATHS[kind]) or np.any(np.diff(times) < 0):
            raise InputError(f"{path}: the {kind} of node {node} has {values.shape} values for {len(times)} rising times")
        if kind == "rotation":
            values = values[:, [3, 0, 1, 2]]
        tracks[node, kind] = (times, values, how)
    if not tracks:
        raise InputError(f"{path}: its first animation moves no node")
    return tracks


def _sampled(rest: Nodes, tracks: dict[tuple[int, str], Track], times: np.ndarray) -> Nodes:
    shape = (len(times), *rest.translation.shape[:1])
    moving = Nodes(*(np.broadcast_to(p, (*shape, p.shape[-1])).copy() for p in (rest.translation, rest.quat, rest.scale)))
    arrays = {"translation": moving.translation, "rotation": moving.quat, "scale": moving.scale}
    for (node, kind), track in tracks.items():
        arrays[kind][:, node] = sample(track, times, kind == "rotation")
    return moving


def sample(track: Track, times: np.ndarray, rotation: bool) -> np.ndarray:
    """Values (F, 3 or 4) at `times` [s]; held before the first key and after the last (glTF 2.0, appendix C)."""
    keys, values, how = track
    before = np.clip(np.searchsorted(keys, times, side="right") - 1, 0, max(len(keys) - 2, 0))
    after = np.minimum(before + 1, len(keys) - 1)
    span = np.maximum(keys[after] - keys[before], 1e-12)
    part = np.clip((times - keys[before]) / span, 0.0, 1.0)
    if how == "STEP":
        return values[np.where(part >= 1.0, after, before)]
    if how == "CUBICSPLINE":
        tangent_in, value, tangent_out = values[0::3], values[1::3], values[2::3]
        t, d = part[:, None], span[:, None]
        result = (2 * t**3 - 3 * t**2 + 1) * value[before] + (t**3 - 2 * t**2 + t) * d * tangent_out[before]
        result = result + (3 * t**2 - 2 * t**3) * value[after] + (t**3 - t**2) * d * tangent_in[after]
        return quat_normalize(result) if rotation else result
    if rotation:
        return slerp(quat_normalize(values[before]), quat_normalize(values[after]), part)
    return values[before] + part[:, None] * (values[after] - values[before])
