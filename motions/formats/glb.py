"""GLB (binary glTF 2.0): writer of a moving skeleton with a skinned mesh, for Blender, three.js, Unity, Unreal.

glTF is Y up, metres, quaternions **xyzw**, and a body faces +z with its left at +x: file x, y, z = our y, z, x, applied
to positions, rotations and vertices alike. So joint frames are parallel to the file's axes in the rest pose, and no
node turns the axes. Every vertex hangs on one joint; keys are LINEAR at the motion's rate.
"""

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motions.formats.scene import FIXED_M, Part, Scene, make_scene
from motions.formats.units import Y_UP_TO_Z_UP, RawAnimation, change_axes
from motions.motion import Motion
from motions.skeleton import SkeletonMotion

if TYPE_CHECKING:
    from motions.kinematics import Body

AXES = Y_UP_TO_Z_UP.T  # ours to the file's
_FLOAT, _USHORT, _UINT = 5126, 5123, 5125
_DTYPES = {_FLOAT: "<f4", _USHORT: "<u2", _UINT: "<u4"}
_TYPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_VERTICES, _INDICES = 34962, 34963  # what a GPU buffer is for
_MAGIC, _VERSION, _JSON, _BIN = 0x46546C67, 2, 0x4E4F534A, 0x004E4942


class _Document:
    """The json of the file and the bytes its accessors point into."""

    def __init__(self) -> None:
        self.json: dict[str, Any] = {"asset": {"version": "2.0", "generator": "mimic-mjx"}}
        self.bytes = bytearray()

    def add(self, kind: str, entry: dict[str, Any]) -> int:
        """Append to one of the lists of the document; the index."""
        entries = self.json.setdefault(kind, [])
        entries.append(entry)
        return len(entries) - 1

    def accessor(self, values: np.ndarray, component: int = _FLOAT, target: int | None = None, bounds: bool = False) -> int:
        """Store `values` (count, ...) in a view of their own; matrices column by column, as glTF wants them."""
        stored = values.swapaxes(1, 2) if values.ndim == 3 else values
        data = np.ascontiguousarray(stored, dtype=_DTYPES[component])
        self.bytes += b"\0" * (-len(self.bytes) % 4)
        view = {"buffer": 0, "byteOffset": len(self.bytes), "byteLength": data.nbytes}
        self.bytes += data.tobytes()
        entry: dict[str, Any] = {
            "bufferView": self.add("bufferViews", view if target is None else {**view, "target": target}),
            "componentType": component,
            "count": len(data),
            "type": _TYPES[values.shape[1:]],
        }
        if bounds:
            entry["min"], entry["max"] = (np.atleast_1d(f(data, axis=0)).tolist() for f in (np.min, np.max))
        return self.add("accessors", entry)

    def pack(self) -> bytes:
        """The whole file: header, json chunk, binary chunk, each padded to four bytes."""
        self.json["buffers"] = [{"byteLength": len(self.bytes)}]
        text = json.dumps(self.json, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        data = bytes(self.bytes) + b"\0" * (-len(self.bytes) % 4)
        total = 12 + 8 + len(text) + 8 + len(data)
        return b"".join(
            [struct.pack("<III", _MAGIC, _VERSION, total), struct.pack("<II", len(text), _JSON), text,
             struct.pack("<II", len(data), _BIN), data]
        )  # fmt: skip


def write_glb(motion: Motion | SkeletonMotion, path: str | Path, body: "Body | None" = None) -> tuple[str, ...]:
    """Write the motion of a captured skeleton, or of a robot with its `body`, as one .glb; the notes say what was left out.

    A node per joint (for a robot: per body) under one named after the motion, with the captured rest pose (for a robot: the
    zero pose); bones as thin octahedra, geoms as capsules, boxes, ellipsoids, and hulls of meshes. Raises `InputError` for
    a robot's motion without its body.
    """
    scene = make_scene(motion, body)
    Path(path).write_bytes(glb_bytes(scene))
    return scene.notes


def glb_bytes(scene: Scene) -> bytes:
    """The file of a scene."""
    motion, document = scene.motion, _Document()
    raw = RawAnimation(motion.skeleton, motion.root_pos, motion.local_quat, motion.translations)
    raw = change_axes(raw, AXES, 1.0)
    if motion.licence:
        document.json["asset"]["copyright"] = motion.licence
    document.json["asset"]["extras"] = {"fps": motion.fps, "source": motion.source}
    rest = raw.skeleton.offsets.copy()
    rest[0] = AXES @ scene.rest_root
    joints = _add_joints(document, raw, rest, motion.name)
    roots = [0]
    if scene.parts:
        mesh = _add_mesh(document, scene.parts, joints, motion.name)
        skin = _add_skin(document, raw.skeleton.parents, rest, joints)
        roots.append(document.add("nodes", {"name": f"{motion.name}_mesh", "mesh": mesh, "skin": skin}))
    _add_animation(document, raw, rest, joints, motion)
    document.json["scene"] = document.add("scenes", {"name": motion.name, "nodes": roots})
    return document.pack()


def _add_joints(document: _Document, raw: RawAnimation, rest: np.ndarray, name: str) -> list[int]:
    """Node 0 holds the skeleton's root; the node of every joint."""
    document.add("nodes", {"name": name, "children": [1]})
    names, parents = raw.skeleton.joint_names, raw.skeleton.parents
    for j, joint in enumerate(names):
        node: dict[str, Any] = {"name": joint, "translation": rest[j].tolist()}
        if j in parents:
            node["children"] = [1 + child for child, parent in enumerate(parents) if parent == j]
        document.add("nodes", node)
    return list(range(1, 1 + len(names)))


def _add_mesh(document: _Document, parts: tuple[Part, ...], joints: list[int], name: str) -> int:
    """One mesh in the rest pose, with a primitive for every colour."""
    at = _rest_world(document, joints)
    primitives = []
    for rgba in dict.fromkeys(part.rgba for part in parts):
        chosen = [part for part in parts if part.rgba == rgba]
        surfaces = [part.surface.moved(np.zeros(3), AXES).moved(at[part.joint], np.eye(3)) for part in chosen]
        counts = [len(surface.vertices) for surface in surfaces]
        first = np.cumsum([0, *counts[:-1]])
        bound = np.zeros((sum(counts), 4))
        bound[:, 0] = np.repeat([part.joint for part in chosen], counts)
        weights = np.tile([1.0, 0.0, 0.0, 0.0], (len(bound), 1))
        material = {"baseColorFactor": list(rgba), "metallicFactor": 0.0, "roughnessFactor": 0.7}
        attributes = {
            "POSITION": document.accessor(np.concatenate([s.vertices for s in surfaces]), _FLOAT, _VERTICES, bounds=True),
            "NORMAL": document.accessor(np.concatenate([s.normals for s in surfaces]), _FLOAT, _VERTICES),
            "JOINTS_0": document.accessor(bound, _USHORT, _VERTICES),
            "WEIGHTS_0": document.accessor(weights, _FLOAT, _VERTICES),
        }
        corners = np.concatenate([s.triangles + f for s, f in zip(surfaces, first)]).reshape(-1)
        primitives.append(
            {
                "attributes": attributes,
                "indices": document.accessor(corners, _UINT, _INDICES),
                "material": document.add("materials", {"pbrMetallicRoughness": material}),
            }
        )
    return document.add("meshes", {"name": name, "primitives": primitives})


def _rest_world(document: _Document, joints: list[int]) -> np.ndarray:
    """World positions (J, 3) of the joints at rest, where no node is turned."""
    nodes = document.json["nodes"]
    pos = np.array([nodes[n]["translation"] for n in joints])
    for j, n in enumerate(joints):  # parents come first
        for child in nodes[n].get("children", ()):
            pos[child - joints[0]] += pos[j]
    return pos


def _add_skin(document: _Document, parents: tuple[int, ...], rest: np.ndarray, joints: list[int]) -> int:
    inverse_bind = np.tile(np.eye(4), (len(parents), 1, 1))
    inverse_bind[:, :3, 3] = -_rest_world(document, joints)
    return document.add(
        "skins", {"joints": joints, "skeleton": joints[0], "inverseBindMatrices": document.accessor(inverse_bind)}
    )


def _add_animation(document: _Document, raw: RawAnimation, rest: np.ndarray, joints: list[int], motion: SkeletonMotion) -> None:
    """Translation channels where a joint leaves its rest place (the root always), rotation channels where it turns."""
    time = document.accessor(np.arange(motion.num_frames) / motion.fps, bounds=True)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []

    def add(joint: int, path: str, values: np.ndarray) -> None:
        samplers.append({"input": time, "output": document.accessor(values), "interpolation": "LINEAR"})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": joints[joint], "path": path}})

    for j in range(len(joints)):
        if j == 0:
            add(j, "translation", raw.root_pos)
        elif raw.translations is not None and np.abs(raw.translations[:, j] - rest[j]).max() > FIXED_M:
            add(j, "translation", raw.translations[:, j])
        if np.abs(raw.local_quat[:, j, 1:]).max() > 0.0:
            add(j, "rotation", raw.local_quat[:, j][:, [1, 2, 3, 0]])
    document.add("animations", {"name": motion.name, "samplers": samplers, "channels": channels})
