"""GLB: the file parsed by a few lines of its own, its nodes walked and compared with C MuJoCo and with the skeleton."""

import json
import struct
from pathlib import Path

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from stick import stick_body, stick_walk

from motions.errors import InputError
from motions.formats import solids
from motions.formats.glb import write_glb
from motions.kinematics import Body
from motions.motion import Motion
from motions.skeleton import Skeleton, SkeletonMotion

SIZES = {5121: 1, 5123: 2, 5125: 4, 5126: 4}
KINDS = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Parsed:
    """A GLB by the specification: chunks, accessors and their bounds checked while they are read."""

    def __init__(self, path: Path):
        raw = path.read_bytes()
        magic, version, total = struct.unpack("<4sII", raw[:12])
        assert (magic, version, total) == (b"glTF", 2, len(raw))
        length, kind = struct.unpack("<I4s", raw[12:20])
        assert (kind, length % 4) == (b"JSON", 0)
        self.json = json.loads(raw[20 : 20 + length])
        binary_length, kind = struct.unpack("<I4s", raw[20 + length : 28 + length])
        assert (kind, binary_length % 4) == (b"BIN\0", 0)
        self.binary = raw[28 + length :]
        assert len(self.binary) == binary_length
        assert 0 <= binary_length - self.json["buffers"][0]["byteLength"] < 4
        for index, entry in enumerate(self.json["accessors"]):
            values = self.accessor(index)
            if "min" in entry:
                np.testing.assert_array_equal(np.float32(entry["min"]), values.min(axis=0))
                np.testing.assert_array_equal(np.float32(entry["max"]), values.max(axis=0))

    def accessor(self, index: int) -> np.ndarray:
        entry = self.json["accessors"][index]
        view = self.json["bufferViews"][entry["bufferView"]]
        assert view["byteOffset"] % SIZES[entry["componentType"]] == 0
        width = WIDTHS[entry["type"]]
        assert entry["count"] * width * SIZES[entry["componentType"]] == view["byteLength"]
        assert view["byteOffset"] + view["byteLength"] <= self.json["buffers"][0]["byteLength"]
        values = np.frombuffer(self.binary, KINDS[entry["componentType"]], entry["count"] * width, view["byteOffset"])
        return values.reshape(entry["count"], width)

    def world(self, frame: int | None) -> dict[str, tuple[np.ndarray, Rotation]]:
        """Node name to world position and rotation, in a frame or (None) at rest."""
        nodes = self.json["nodes"]
        pose = {n: [node.get("translation", (0, 0, 0)), node.get("rotation", (0, 0, 0, 1))] for n, node in enumerate(nodes)}
        animation = self.json["animations"][0]
        for channel in animation["channels"] if frame is not None else ():
            sampler = animation["samplers"][channel["sampler"]]
            assert sampler["interpolation"] == "LINEAR"
            which = {"translation": 0, "rotation": 1}[channel["target"]["path"]]
            pose[channel["target"]["node"]][which] = self.accessor(sampler["output"])[frame]
        found = {}

        def walk(n: int, pos: np.ndarray, rot: Rotation) -> None:
            here = pos + rot.apply(np.asarray(pose[n][0], float)), rot * Rotation.from_quat(pose[n][1])
            found[nodes[n]["name"]] = here
            for child in nodes[n].get("children", ()):
                walk(child, *here)

        for root in self.json["scenes"][self.json["scene"]]["nodes"]:
            walk(root, np.zeros(3), Rotation.identity())
        return found


def ours(file: np.ndarray) -> np.ndarray:
    """The file faces +z with +x to its left and y up; we face +x, with +y to the left and z up."""
    return file[..., [2, 0, 1]]


@pytest.fixture(scope="module")
def walk_glb(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("glb") / "walk.glb"
    write_glb(stick_walk(yaw=0.7), path, stick_body())
    return path


def assert_follows_mujoco(parsed: Parsed, body: Body, motion: Motion, frames: tuple[int, ...]) -> None:
    data = mujoco.MjData(body.model)
    for frame in frames:
        data.qpos[:] = motion.qpos[frame]
        mujoco.mj_kinematics(body.model, data)
        world = parsed.world(frame)
        for b in range(1, body.model.nbody):
            np.testing.assert_allclose(ours(world[body.model.body(b).name][0]), data.xpos[b], atol=1e-4)


def test_nodes_are_where_mujoco_has_the_bodies(walk_glb):
    body, motion = stick_body(), stick_walk(yaw=0.7)
    parsed = Parsed(walk_glb)
    assert_follows_mujoco(parsed, body, motion, (0, 13, 31, motion.num_frames - 1))
    times = parsed.accessor(parsed.json["animations"][0]["samplers"][0]["input"])[:, 0]
    np.testing.assert_allclose(times, np.arange(motion.num_frames) / motion.fps, rtol=1e-6)


def test_a_real_motion_on_g1(shared_data, shared_robots, tmp_path):
    from motions.formats import read_csv

    model = mujoco.MjModel.from_xml_path(str(shared_robots / "unitree_g1/nomesh/g1_mjlab_nomesh.xml"))
    g1 = Body("g1", model, ("left_ankle_roll_link", "right_ankle_roll_link"))
    motion = read_csv(shared_data / "motions/kimodo_g1/kimodo_high5.csv", g1, "wxyz").motion
    write_glb(motion, tmp_path / "g1.glb", g1)
    assert_follows_mujoco(Parsed(tmp_path / "g1.glb"), g1, motion, (0, 60, 149))


def test_the_skin_carries_the_geoms(walk_glb):
    """Skinned by hand, every vertex of a geom lies on that geom as MuJoCo places it."""
    body, motion, frame = stick_body(), stick_walk(yaw=0.7), 22
    parsed = Parsed(walk_glb)
    names = [parsed.json["nodes"][n]["name"] for n in parsed.json["skins"][0]["joints"]]
    inverse_bind = parsed.accessor(parsed.json["skins"][0]["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
    (primitive,) = parsed.json["meshes"][0]["primitives"]
    vertices, bound, weights, normals = (
        parsed.accessor(primitive["attributes"][key]) for key in ("POSITION", "JOINTS_0", "WEIGHTS_0", "NORMAL")
    )
    np.testing.assert_array_equal(weights, np.tile([1, 0, 0, 0], (len(weights), 1)))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-6)
    assert parsed.accessor(primitive["indices"]).max() == len(vertices) - 1
    world, data = parsed.world(frame), mujoco.MjData(body.model)
    data.qpos[:] = motion.qpos[frame]
    mujoco.mj_kinematics(body.model, data)
    for geom in range(body.model.ngeom):
        name = body.model.body(body.model.geom_bodyid[geom]).name
        chosen = bound[:, 0] == names.index(name)
        local = vertices[chosen] + inverse_bind[names.index(name)][:3, 3]
        placed = ours(world[name][0] + world[name][1].apply(local))
        in_geom = (placed - data.geom_xpos[geom]) @ data.geom_xmat[geom].reshape(3, 3)
        radius, half = body.model.geom_size[geom, :2]
        half = half if body.model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE else 0.0
        in_geom[:, 2] -= np.clip(in_geom[:, 2], -half, half)
        np.testing.assert_allclose(np.linalg.norm(in_geom, axis=1), radius, atol=1e-4)


def hop(frames: int = 12) -> SkeletonMotion:
    """A captured body of five joints whose spine also moves along."""
    offsets = np.array([[0, 0, 0], [0, 0.1, -0.9], [0.1, 0, 0], [0, 0, 0.5], [0, 0, 2.0]], float)
    skeleton = Skeleton(("Hips", "LeftFoot", "LeftToe_end", "Spine", "Far_end"), (-1, 0, 1, 0, 3), offsets,
                        ("LeftToe_end", "Far_end"))  # fmt: skip
    rng = np.random.default_rng(0)
    quat = rng.normal(size=(frames, 5, 4))
    quat[:, [2, 4]] = [1, 0, 0, 0]
    quat /= np.linalg.norm(quat, axis=-1, keepdims=True)
    translations = np.tile(offsets, (frames, 1, 1))
    translations[:, 3] += 0.1 * rng.normal(size=(frames, 3))
    return SkeletonMotion("hop", skeleton, 60.0, rng.normal(size=(frames, 3)), quat, licence="mine", translations=translations)


def test_a_captured_skeleton_keeps_names_rest_pose_and_moving_offsets(tmp_path):
    motion = hop()
    (note,) = write_glb(motion, tmp_path / "hop.glb")
    assert "Far_end" in note
    parsed = Parsed(tmp_path / "hop.glb")
    pos, quat = motion.forward_kinematics()
    for frame in (0, 5, 11):
        world = parsed.world(frame)
        for j, name in enumerate(motion.skeleton.joint_names):
            np.testing.assert_allclose(ours(world[name][0]), pos[frame, j], atol=1e-5)
            turn = ours(world[name][1].as_rotvec())
            np.testing.assert_allclose(
                (Rotation.from_rotvec(turn).inv() * Rotation.from_quat(quat[frame, j], scalar_first=True)).magnitude(),
                0.0,
                atol=1e-5,
            )
    rest = parsed.world(None)
    np.testing.assert_allclose(ours(rest["LeftFoot"][0]), [0, 0.1, 0.0], atol=1e-6)  # stands on the ground
    assert parsed.json["asset"]["copyright"] == "mine"


def test_other_readers_take_it(walk_glb):
    pygltflib = pytest.importorskip("pygltflib")
    read = pygltflib.GLTF2().load(str(walk_glb))
    assert [node.name for node in read.nodes][1:3] == ["pelvis", "left_thigh"]
    assert len(read.animations[0].channels) > 5


@pytest.mark.parametrize(
    ("surface", "volume"),
    [
        (solids.ellipsoid(np.array([0.1, 0.2, 0.3])), 4 / 3 * np.pi * 0.006),
        (solids.capsule(0.1, 0.3), np.pi * 0.01 * 0.6 + 4 / 3 * np.pi * 0.001),
        (solids.cylinder(0.1, 0.3), np.pi * 0.01 * 0.6),
        (solids.box(np.array([0.1, 0.2, 0.3]), np.ones(3)), 0.048),
        (solids.bone(np.array([0.0, 0.3, 0.0])), 2 * 0.03**2 * 0.3 / 3),
        (solids.hull(np.random.default_rng(0).normal(size=(500, 3))), None),
        (solids.hull(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])), None),
    ],
)
def test_solids_are_closed_and_face_outwards(surface, volume):
    a, b, c = (surface.vertices[surface.triangles[:, k]] for k in range(3))
    enclosed = np.sum(np.cross(a, b) * c) / 6.0  # by the divergence theorem; negative if the triangles faced inwards
    assert enclosed > 0
    if volume is not None:
        assert enclosed == pytest.approx(volume, rel=0.08)  # corners lie on the round ones, so they lose a little
    places = np.unique(surface.vertices.round(9), axis=0, return_inverse=True)[1].reshape(-1)
    edges = places[surface.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)]
    assert {tuple(edge) for edge in edges.tolist()} == {tuple(edge[::-1]) for edge in edges.tolist()}
    face = np.cross(b - a, c - a)
    assert (np.sum(face * surface.normals[surface.triangles[:, 0]], axis=1) > 0).all()


def test_a_robots_motion_needs_its_robot(tmp_path):
    walk = stick_walk()
    with pytest.raises(InputError, match=r"of robot 'stick'.*give the robot"):
        write_glb(walk, tmp_path / "walk.glb")
    other = Motion("walk", "stick", 30.0, walk.qpos, tuple("abcdefg"))
    with pytest.raises(InputError, match="other joints than robot 'stick'"):
        write_glb(other, tmp_path / "walk.glb", stick_body())
