"""Binary FBX: the skeleton (Model nodes) and the first animation, straight between its keys.

A node's transform is T Roff Rp Rpre R Rpost^-1 Rp^-1 Soff Sp S Sp^-1 (Autodesk's documentation), angles in degrees
applied in the node's rotation order about fixed axes. Axes and unit come from GlobalSettings; times are counted in
1/46186158000 s. The rest pose is that of the nodes' own properties.
"""

from pathlib import Path
from typing import Any

import numpy as np

from motions.errors import InputError
from motions.formats.fbx_records import Record, read_records
from motions.formats.nodes import Nodes, sample_times, skeleton_motion, skeleton_nodes, world_poses
from motions.formats.units import Y_UP_TO_Z_UP
from motions.rotations import quat_conj, quat_from_axis_angle, quat_mul, quat_rotate
from motions.skeleton import SkeletonMotion

TICKS_PER_S = 46186158000
ORDERS = ("XYZ", "XZY", "YZX", "YXZ", "ZXY", "ZYX")  # axis turned first comes first
BONES, PLACES = ("LimbNode", "Root", "Limb"), ("Null",)
_MOVING = {"Lcl Translation": (0.0, 0.0, 0.0), "Lcl Rotation": (0.0, 0.0, 0.0), "Lcl Scaling": (1.0, 1.0, 1.0)}
_FIXED = ("PreRotation", "PostRotation", "RotationOffset", "RotationPivot", "ScalingOffset", "ScalingPivot")
_CHANNELS = {b"d|X": 0, b"d|Y": 1, b"d|Z": 2}


def read_fbx(path: str | Path, fps: float | None = None, scale: float | None = None) -> SkeletonMotion:
    """Read the animation at the rate of its keys, or at `fps` [Hz].

    Raises `InputError` for a file that is damaged, written as text, or holds no skeleton or no animation.
    """
    path = Path(path)
    root = read_records(path)
    try:
        return _read(root, path, fps, scale)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        # Every record's values are the file's word; whichever is missing or of another kind ends up here.
        raise InputError(f"{path}: an FBX whose records are not whole: {type(error).__name__} {error}") from error


def _read(root: Record, path: Path, fps: float | None, scale: float | None) -> SkeletonMotion:
    notes: list[str] = []
    objects = {item.values[0]: item for part in root.all("Objects") for item in part.children if item.values}
    links = [item.values for part in root.all("Connections") for item in part.all("C")]
    models = [k for k, item in objects.items() if item.name == "Model"]
    parents = [-1] * len(models)
    place = {key: n for n, key in enumerate(models)}
    for link in links:
        if link[0] == b"OO" and link[1] in place and link[2] in place:
            parents[place[link[1]]] = place[link[2]]
    for kinds in (BONES, PLACES):
        joints = [n for n, key in enumerate(models) if _text(objects[key].values[2]) in kinds]
        if len(joints) > 1:
            break
    else:
        raise InputError(f"{path}: {len(models)} nodes, but no skeleton among them (LimbNode)")
    used = skeleton_nodes(parents, joints)
    nodes = [{**_MOVING, **_properties(objects[key])} for key in models]
    curves = _curves(objects, links, place, path, notes)
    if not curves:
        raise InputError(f"{path}: no animation curve moves a node of its skeleton")
    times, fps = sample_times(path, [curve[0] for curve in curves.values()], fps, len(used), notes)
    still = _poses(nodes, {}, np.zeros(1))
    moving = _poses(nodes, curves, times)
    names = [_text(objects[models[n]].values[1]) for n in used]
    tree = [used.index(parents[n]) if parents[n] in used else -1 for n in used]
    axes, unit_m = _global_settings(root, path, notes)
    rest = tuple(part[0] for part in world_poses(still, parents, used))
    poses = world_poses(moving, parents, used)
    return skeleton_motion(path, names, tree, poses, (rest[0], rest[1]), axes, unit_m, scale, fps, notes)


def _text(value: bytes) -> str:
    """The name before FBX's class separator."""
    return value.split(b"\0", 1)[0].decode("utf-8", "replace")


def _properties(item: Record) -> dict[str, Any]:
    """Properties70 by name: one value, or a tuple of them."""
    found = {}
    for row in (row for part in item.all("Properties70") for row in part.all("P")):
        values = row.values[4:]
        found[_text(row.values[0])] = tuple(values) if len(values) > 1 else values[0] if values else None
    return found


def _global_settings(root: Record, path: Path, notes: list[str]) -> tuple[np.ndarray, float]:
    """(3, 3) from the file's axes to ours, and metres per unit."""
    settings = _properties(root.all("GlobalSettings")[0]) if root.all("GlobalSettings") else {}
    y_up = np.zeros((3, 3))  # rows: where our usual x (left), y (up), z (front) lie in the file
    for row, (name, usual) in enumerate((("CoordAxis", 0), ("UpAxis", 1), ("FrontAxis", 2))):
        y_up[row, int(settings.get(name, usual))] = int(settings.get(f"{name}Sign", 1))
    if abs(np.linalg.det(y_up) - 1.0) > 1e-9:
        raise InputError(f"{path}: its GlobalSettings name axes that are no right-handed frame: {y_up.tolist()}")
    up = int(np.argmax(np.abs(y_up[1])))
    notes.append(f"{'-' if y_up[1, up] < 0 else ''}{'xyz'[up]} is up, as the file says")
    unit_m = 0.01 * float(settings.get("UnitScaleFactor", 1.0))
    if not (np.isfinite(unit_m) and unit_m > 0):
        raise InputError(f"{path}: UnitScaleFactor is {100 * unit_m:g}, expected centimetres above 0")
    return Y_UP_TO_Z_UP @ y_up, unit_m


Curve = tuple[np.ndarray, np.ndarray]  # times [s], values


def _curves(
    objects: dict[int, Record], links: list[list[Any]], place: dict[int, int], path: Path, notes: list[str]
) -> dict[tuple[int, str, int], Curve]:
    """(node, property, axis) -> its curve, of the first animation stack."""
    stacks = [key for key, item in objects.items() if item.name == "AnimationStack"]
    owner = {link[1]: link[2] for link in links if link[0] == b"OO"}
    if len(stacks) > 1:
        named = ", ".join(repr(_text(objects[key].values[1])) for key in stacks[:6])
        notes.append(f"{len(stacks)} animations ({named}): the first is read")
    targets = {}  # curve node -> (node, property)
    for link in links:
        if link[0] == b"OP" and link[2] in place and link[1] in objects and objects[link[1]].name == "AnimationCurveNode":
            stack = owner.get(owner.get(link[1], -1), -1)  # by way of its layer
            if _text(link[3]) in _MOVING and (stack in stacks[:1] or stack not in stacks):
                targets[link[1]] = (place[link[2]], _text(link[3]))
    curves: dict[tuple[int, str, int], Curve] = {}
    for link in links:
        if link[0] != b"OP" or link[2] not in targets or link[3] not in _CHANNELS or link[1] not in objects:
            continue
        item = objects[link[1]]
        if item.name == "AnimationCurve":
            times = np.asarray(item.all("KeyTime")[0].values[0], dtype=np.float64) / TICKS_PER_S
            values = np.asarray(item.all("KeyValueFloat")[0].values[0], dtype=np.float64)
            if len(times) != len(values) or not np.isfinite(values).all() or np.any(np.diff(times) < 0):
                raise InputError(f"{path}: curve {link[1]} has {len(values)} finite values for {len(times)} rising times?")
            if len(times):
                curves[(*targets[link[2]], _CHANNELS[link[3]])] = (times, values)
    return curves


def _poses(nodes: list[dict[str, Any]], curves: dict[tuple[int, str, int], Curve], times: np.ndarray) -> Nodes:
    """Transforms (F, N, ...) of all nodes relative to their parents."""
    shape = (len(times), len(nodes))
    poses = Nodes(np.zeros((*shape, 3)), np.zeros((*shape, 4)), np.ones((*shape, 3)))
    for n, node in enumerate(nodes):
        value = {key: np.tile(np.array(node[key], dtype=np.float64), (len(times), 1)) for key in _MOVING}
        for key, part in value.items():
            for axis in range(3):
                if (n, key, axis) in curves:
                    part[:, axis] = np.interp(times, *curves[n, key, axis])
        pre, post, r_off, r_pivot, s_off, s_pivot = (np.array(node.get(key) or (0, 0, 0), dtype=np.float64) for key in _FIXED)
        order = ORDERS[int(node.get("RotationOrder") or 0)]
        quat = quat_mul(quat_mul(euler(pre, "XYZ"), euler(value["Lcl Rotation"], order)), quat_conj(euler(post, "XYZ")))
        inner = s_off + s_pivot - r_pivot - value["Lcl Scaling"] * s_pivot
        poses.translation[:, n] = value["Lcl Translation"] + r_off + r_pivot + quat_rotate(quat, inner)
        poses.quat[:, n], poses.scale[:, n] = quat, value["Lcl Scaling"]
    if not all(np.isfinite(part).all() for part in (poses.translation, poses.quat, poses.scale)):
        raise ValueError("a node's place is not finite")
    return poses


def euler(degrees: np.ndarray, order: str) -> np.ndarray:
    """Quaternions (..., 4) of angles x, y, z (..., 3) [degrees], turned about fixed axes in `order`, the first first."""
    radians = np.deg2rad(degrees)
    quat = np.broadcast_to([1.0, 0.0, 0.0, 0.0], (*radians.shape[:-1], 4))
    for letter in order:
        axis = "XYZ".index(letter)
        quat = quat_mul(quat_from_axis_angle(np.eye(3)[axis], radians[..., axis]), quat)
    return quat
