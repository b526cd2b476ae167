"""glTF and GLB: tiny files made here, against plain chains of scipy rotations, pygltflib where it is installed; broken files."""

import base64
import contextlib
import json
import struct

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline
from scipy.spatial.transform import Rotation, Slerp

from motions.errors import InputError
from motions.formats import read_motion_file
from motions.formats.gltf import read_gltf, sample
from retarget.mapping import map_source

# name: parent, place in the parent's frame [m] as the body stands (y up, left +x)
BODY = {
    "Armature": (None, (0.3, 0.0, -0.2)),
    "Hips": ("Armature", (0.0, 0.95, 0.0)),
    "Spine": ("Hips", (0.0, 0.2, 0.0)),
    "Head": ("Spine", (0.0, 0.4, 0.0)),
    "HeadEnd": ("Head", (0.0, 0.2, 0.0)),
} | {
    f"{side}{part}": (parent.format(side=side), (sign * x, y, z))
    for side, sign in (("Left", 1.0), ("Right", -1.0))
    for part, parent, (x, y, z) in (
        ("UpLeg", "Hips", (0.1, -0.05, 0.0)),
        ("Leg", "{side}UpLeg", (0.0, -0.42, 0.0)),
        ("Foot", "{side}Leg", (0.0, -0.42, 0.0)),
        ("Arm", "Spine", (0.2, 0.25, 0.0)),
        ("ForeArm", "{side}Arm", (0.3, 0.0, 0.0)),
        ("Hand", "{side}ForeArm", (0.25, 0.0, 0.0)),
    )
}
NAMES = list(BODY)
PARENTS = [NAMES.index(parent) if parent else -1 for parent, _ in BODY.values()]
JOINTS = NAMES[1:]


class Scene:
    """A body whose node frames are turned at random at rest, as exporters turn them along the bones."""

    def __init__(self, frames: int = 7, fps: float = 30.0, size: float = 1.0, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.times = np.arange(frames) / fps
        self.rest = [Rotation.random(random_state=rng) for _ in NAMES]  # in the world
        offset = size * np.array([place for _, place in BODY.values()])
        above = [self.rest[p] if p >= 0 else Rotation.identity() for p in PARENTS]
        self.offset = np.array([above[n].inv().apply(offset[n]) for n in range(len(NAMES))])
        self.local = [above[n].inv() * self.rest[n] for n in range(len(NAMES))]
        self.turns = {n: Rotation.from_rotvec(rng.uniform(-0.6, 0.6, (frames, 3))) for n in range(1, len(NAMES))}
        self.hips = self.offset[1] + rng.uniform(-0.2, 0.2, (frames, 3))

    def positions(self) -> np.ndarray:
        """(F, N, 3) in the file's axes."""
        pos = np.zeros((len(self.times), len(NAMES), 3))
        for f in range(len(self.times)):
            world = []
            for n, parent in enumerate(PARENTS):
                own = self.local[n] if n == 0 else self.local[n] * self.turns[n][f]
                place = self.hips[f] if n == 1 else self.offset[n]
                world.append(own if n == 0 else world[parent] * own)
                pos[f, n] = place if n == 0 else pos[f, parent] + world[parent].apply(place)
        return pos

    def document(self) -> tuple[dict, bytes]:
        data, views, accessors = b"", [], []

        def add(values: np.ndarray, kind: str) -> int:
            nonlocal data
            raw = np.asarray(values, dtype="<f4").tobytes()
            views.append({"buffer": 0, "byteOffset": len(data), "byteLength": len(raw)})
            accessors.append({"bufferView": len(views) - 1, "componentType": 5126, "count": len(values), "type": kind})
            data += raw
            return len(accessors) - 1

        time = add(self.times, "SCALAR")
        accessors[time] |= {"min": [float(self.times[0])], "max": [float(self.times[-1])]}
        samplers, channels, nodes = [], [], []
        for n, name in enumerate(NAMES):
            node = {"name": name, "translation": self.offset[n].tolist(), "rotation": self.local[n].as_quat().tolist()}
            children = [c for c, parent in enumerate(PARENTS) if parent == n]
            nodes.append(node | ({"children": children} if children else {}))
            if n:
                quat = (self.local[n] * self.turns[n]).as_quat()
                samplers.append({"input": time, "output": add(quat, "VEC4"), "interpolation": "LINEAR"})
                channels.append({"sampler": len(samplers) - 1, "target": {"node": n, "path": "rotation"}})
        samplers.append({"input": time, "output": add(self.hips, "VEC3")})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": 1, "path": "translation"}})
        document = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": nodes,
            "skins": [{"joints": list(range(1, len(NAMES)))}],
            "animations": [{"name": "walk", "samplers": samplers, "channels": channels}],
            "buffers": [{"byteLength": len(data)}],
            "bufferViews": views,
            "accessors": accessors,
        }
        return document, data


def write_glb(path, document: dict, data: bytes):
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body)
    return path


def check_scene(motion, scene: Scene, size: float = 1.0) -> None:
    pos = motion.forward_kinematics()[0]
    expected = scene.positions()[..., [2, 0, 1]] * size
    for name in JOINTS:
        np.testing.assert_allclose(pos[:, motion.skeleton.index(name)], expected[:, NAMES.index(name)], atol=1e-5)


@pytest.mark.parametrize("form", ["glb", "gltf with a file", "gltf with its data"])
def test_positions_rest_and_rate(tmp_path, form):
    scene = Scene()
    document, data = scene.document()
    if form == "glb":
        path = write_glb(tmp_path / "a.glb", document, data)
    else:
        uri = (
            "a%20b.bin"
            if form == "gltf with a file"
            else "data:application/octet-stream;base64," + base64.b64encode(data).decode()
        )
        (tmp_path / "a b.bin").write_bytes(data)
        document["buffers"][0]["uri"] = uri
        path = tmp_path / "a.gltf"
        path.write_text(json.dumps(document))
    motion = read_motion_file(path).motion
    assert motion.fps == 30.0
    assert motion.num_frames == 7
    assert motion.skeleton.joint_names[0] == "Hips"  # the armature only places the body
    assert motion.skeleton.end_sites == ("HeadEnd",)
    assert motion.translations is None
    check_scene(motion, scene)
    assert {"l_thigh", "r_hand", "head", "pelvis", "chest"} <= set(map_source(motion.skeleton).joints)
    # The rest pose is the identity pose: joints as they stand, whatever the node frames.
    left = motion.skeleton.offsets[motion.skeleton.index("LeftUpLeg")]
    np.testing.assert_allclose(left, [0.0, 0.1, -0.05], atol=1e-5)
    np.testing.assert_allclose(motion.skeleton.offsets[motion.skeleton.index("RightLeg")], [0.0, 0.0, -0.42], atol=1e-5)


def test_another_rate_slerps_between_keys(tmp_path):
    scene = Scene()
    motion = read_gltf(write_glb(tmp_path / "a.glb", *scene.document()), fps=60.0)
    assert motion.num_frames == 13
    pos = motion.forward_kinematics()[0][::2]
    np.testing.assert_allclose(pos[:, 0], scene.positions()[:, 1][..., [2, 0, 1]], atol=1e-5)


def test_centimetres_are_recognised_and_an_armature_may_scale(tmp_path):
    scene = Scene(size=100.0)
    motion = read_gltf(write_glb(tmp_path / "cm.glb", *scene.document()))
    assert any("taken as centimetres" in note for note in motion.notes)
    document, data = scene.document()
    document["nodes"][0] |= {"scale": [0.01] * 3, "translation": [0, 0, 0]}
    scaled = read_gltf(write_glb(tmp_path / "scaled.glb", document, data))
    assert any("unit 1 m as the file says" in note for note in scaled.notes)
    shift = scene.offset[0][[2, 0, 1]] * 0.01
    np.testing.assert_allclose(scaled.forward_kinematics()[0] + shift, motion.forward_kinematics()[0], atol=1e-5)


def test_nodes_given_as_matrices(tmp_path):
    scene = Scene()
    document, data = scene.document()
    for n in (0, 4):
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = scene.local[n].as_matrix(), scene.offset[n]
        node = document["nodes"][n]
        document["nodes"][n] = {k: v for k, v in node.items() if k in ("name", "children")} | {
            "matrix": matrix.T.reshape(-1).tolist()
        }
    check_scene(read_gltf(write_glb(tmp_path / "a.glb", document, data)), scene)


def test_interpolations_against_scipy():
    rng = np.random.default_rng(0)
    keys, times = np.array([0.0, 0.3, 0.5, 1.1]), np.linspace(0.0, 1.1, 40)
    values, tangents = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    cubic = np.stack([tangents, values, tangents], axis=1).reshape(12, 3)
    expected = CubicHermiteSpline(keys, values, tangents)(times)
    np.testing.assert_allclose(sample((keys, cubic, "CUBICSPLINE"), times, False), expected, atol=1e-12)
    turns = Rotation.random(4, random_state=rng)
    ours = sample((keys, turns.as_quat(scalar_first=True), "LINEAR"), times, True)
    np.testing.assert_allclose(
        Rotation.from_quat(ours, scalar_first=True).as_matrix(), Slerp(keys, turns)(times).as_matrix(), atol=1e-9
    )
    steps = sample((keys, values, "STEP"), np.array([-1.0, 0.0, 0.29, 0.3, 0.6, 1.1, 9.0]), False)
    np.testing.assert_allclose(steps, values[[0, 0, 0, 1, 2, 3, 3]])


def test_pygltflib_reads_the_same_keys(tmp_path):
    """The files made here are glTF to somebody else too."""
    pygltflib = pytest.importorskip("pygltflib")
    scene = Scene()
    path = write_glb(tmp_path / "a.glb", *scene.document())
    theirs = pygltflib.GLTF2().load(str(path))
    assert [node.name for node in theirs.nodes] == NAMES
    accessor = theirs.accessors[theirs.animations[0].samplers[-1].output]
    view = theirs.bufferViews[accessor.bufferView]
    hips = np.frombuffer(theirs.binary_blob()[view.byteOffset :][: view.byteLength], "<f4").reshape(-1, 3)
    np.testing.assert_allclose(hips, scene.hips, atol=1e-6)


def _without(document: dict, *keys: str) -> dict:
    return {key: value for key, value in document.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: _without(d, "animations"), "0 animations"),
        (lambda d: _without(d, "nodes"), "0 nodes"),
        (lambda d: _without(d, "asset"), "not of glTF 2.0"),
        (lambda d: _without(d, "accessors"), "not whole glTF 2.0: KeyError 'accessors'"),
        (lambda d: d | {"accessors": d["accessors"][:3]}, "not whole glTF 2.0: IndexError"),
        (lambda d: d | {"bufferViews": [v | {"byteOffset": 10**6} for v in d["bufferViews"]]}, "reaches beyond its buffer"),
        (lambda d: d | {"nodes": [n | {"children": [0]} for n in d["nodes"]]}, "node 0 has the child 0"),
        (lambda d: d | {"nodes": [n | {"rotation": [0, 0, 0, 0]} for n in d["nodes"]]}, "expected a unit quaternion"),
        (lambda d: d | {"skins": [{"joints": [99]}]}, "not whole glTF 2.0: IndexError"),
        (lambda d: d | {"nodes": 3}, "not whole glTF 2.0: TypeError"),
        (lambda d: d | {"animations": [{"samplers": [], "channels": []}]}, "moves no node"),
    ],
)
def test_broken_documents_say_what_is_wrong(tmp_path, change, message):
    document, data = Scene().document()
    with pytest.raises(InputError, match=rf"bad.glb.*{message}"):
        read_gltf(write_glb(tmp_path / "bad.glb", change(document), data))


def test_broken_bytes_say_what_is_wrong(tmp_path):
    path = write_glb(tmp_path / "bad.glb", *Scene().document())
    whole = path.read_bytes()
    for raw, message in ((whole[:-4], "truncated"), (b"glTF", "truncated"), (b"JSON" + whole[4:], "not a GLB file")):
        path.write_bytes(raw)
        with pytest.raises(InputError, match=rf"bad.glb.*{message}"):
            read_gltf(path)
    document, _ = Scene().document()
    for uri, message in (("../x.bin", "beside the glTF"), ("x.bin", "no such file"), ("data:;base64,!!", "not base64")):
        document["buffers"][0]["uri"] = uri
        (tmp_path / "b.gltf").write_text(json.dumps(document))
        with pytest.raises(InputError, match=message):
            read_gltf(tmp_path / "b.gltf")
    rng = np.random.default_rng(0)
    for _ in range(60):  # any byte may be wrong: a motion or an InputError
        raw = bytearray(whole)
        for at in rng.integers(12, len(raw), 4):
            raw[at] = rng.integers(256)
        path.write_bytes(bytes(raw))
        with contextlib.suppress(InputError):
            read_gltf(path)
