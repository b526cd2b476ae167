"""Binary FBX: two CMU clips against the ASF skeleton and the published retargeted motion, tiny files made here against scipy."""

import contextlib
import struct
import zlib

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motions.errors import InputError
from motions.formats import read_motion_file
from motions.formats.asf_amc import read_amc
from motions.formats.fbx import ORDERS, TICKS_PER_S, euler, read_fbx
from motions.formats.fbx_records import MAGIC
from motions.formats.units import CMU_UNIT_M
from retarget.capture import capture
from retarget.mapping import ROBOT_ROLES, map_source

CLIPS = {"07_01": (317, None), "49_08": (576, "cartwheel")}  # frames, the published clip retargeted from it


@pytest.mark.parametrize("name", CLIPS)
def test_real_clips_are_the_motion_they_were_published_as(shared_data, name):
    frames, other = CLIPS[name]
    motion = read_motion_file(shared_data / f"motions/isaacgym_amp/fbx/{name}_cmu.fbx").motion
    assert (motion.fps, motion.num_frames) == (120.0, frames)
    assert motion.skeleton.joint_names[0] == "Hips"
    assert motion.translations is None
    roles = map_source(motion.skeleton)
    assert all(role in roles for role in (*ROBOT_ROLES, "l_toe", "r_toe"))
    pos, _ = motion.forward_kinematics()
    assert abs(np.median(pos[..., 2].min(axis=1))) < 0.05
    taken = capture(motion, roles, 60.0)
    np.testing.assert_allclose(taken.upright["pelvis"], np.eye(3), atol=1e-3)
    if other is None:
        return
    # The same capture on another body, cut and scaled: the pelvis went the same way at the same pace.
    theirs = read_motion_file(shared_data / f"motions/isaacgym_amp/amp_humanoid_{other}.npy").motion
    ours = motion.root_pos[::2]
    best = min(
        float(np.linalg.norm((ours[k : k + 150] - ours[k]) - (theirs.root_pos[:150] - theirs.root_pos[0]), axis=1).mean())
        for k in range(len(ours) - 150 + 1)
    )
    assert best < 0.05


def test_real_bones_are_those_of_the_asf(shared_data):
    """Subject 07 in two formats: the same lengths, of every limb."""
    ours = read_fbx(shared_data / "motions/isaacgym_amp/fbx/07_01_cmu.fbx").skeleton
    theirs = read_amc(shared_data / "motions/cmu_asfamc/07_05-walk.amc", scale=CMU_UNIT_M).skeleton
    for name in ("LeftLeg", "LeftFoot", "RightLeg", "RightFoot", "LeftForeArm", "RightForeArm", "LeftToeBase", "Spine1", "Neck1"):
        a, b = (np.linalg.norm(s.offsets[s.index(name)]) for s in (ours, theirs))
        assert a == pytest.approx(b, rel=2e-3), name


def record(name: str, values: list, children: list[bytes] | None = None) -> bytes:
    """One record with its end still relative to its start; `place` makes it absolute."""
    body = b""
    for value in values:
        if isinstance(value, np.ndarray):
            code, dtype = ("l", "<i8") if value.dtype.kind == "i" else ("f", "<f4")
            packed = zlib.compress(value.astype(dtype).tobytes())
            body += code.encode() + struct.pack("<III", len(value), 1, len(packed)) + packed
        elif isinstance(value, bytes):
            body += b"S" + struct.pack("<I", len(value)) + value
        elif isinstance(value, float):
            body += b"D" + struct.pack("<d", value)
        else:
            body += b"L" + struct.pack("<q", value)
    return struct.pack("<IIB", len(values), len(body), len(name)) + name.encode() + body, children or []


def place(item, at: int) -> bytes:
    head, children = item
    body = head
    for child in children:
        body += place(child, at + 4 + len(body))
    if children:
        body += bytes(13)
    return struct.pack("<I", at + 4 + len(body)) + body


def write_fbx(path, items) -> None:
    raw = MAGIC + b"\x1a\x00" + struct.pack("<I", 7400)
    for item in items:
        raw += place(item, len(raw))
    path.write_bytes(raw + bytes(13))


def properties(**rows) -> tuple:
    return record(
        "Properties70",
        [],
        [record("P", [key.replace("_", " ").encode(), b"", b"", b"", *value]) for key, value in rows.items()],
    )


BODY = {  # joint: parent, place [cm], as a z-up body that faces -y stands
    "Hips": (None, (0.0, 0.0, 95.0)),
    "Head": ("Hips", (0.0, 0.0, 60.0)),
    "LeftUpLeg": ("Hips", (10.0, 0.0, -5.0)),
    "LeftLeg": ("LeftUpLeg", (0.0, 0.0, -42.0)),
    "LeftFoot": ("LeftLeg", (0.0, 0.0, -42.0)),
    "RightUpLeg": ("Hips", (-10.0, 0.0, -5.0)),
    "RightLeg": ("RightUpLeg", (0.0, 0.0, -42.0)),
    "RightFoot": ("RightLeg", (0.0, 0.0, -42.0)),
}
NAMES = list(BODY)
Z_UP = {"UpAxis": [2], "UpAxisSign": [1], "FrontAxis": [1], "FrontAxisSign": [-1], "CoordAxis": [0], "CoordAxisSign": [1]}


def made(path, order: int, frames: int = 6, fps: float = 24.0, seed: int = 0, settings=None, cut=()) -> np.ndarray:
    """Write a clip with pre- and post-rotations and pivots; its joint positions (F, J, 3) [cm] by scipy."""
    rng = np.random.default_rng(seed)
    times = np.round(np.arange(frames) / fps * TICKS_PER_S).astype(np.int64)
    models, links, curves = [], [], []
    pos, world = np.zeros((frames, len(NAMES), 3)), []
    letters = ORDERS[order].lower()
    for j, (name, (parent, offset)) in enumerate(BODY.items()):
        pre, post, pivot = rng.uniform(-40, 40, 3), rng.uniform(-40, 40, 3), rng.uniform(-2, 2, 3)
        turn = Rotation.from_euler("xyz", pre, degrees=True)
        unturn = Rotation.from_euler("xyz", post, degrees=True).inv()
        rest = (turn.inv() * unturn.inv()).as_euler(letters, degrees=True)  # stands at rest
        angles = rest + rng.uniform(-20, 20, (frames, 3))
        rest_xyz, angles_xyz = np.zeros(3), np.zeros((frames, 3))
        for k, letter in enumerate(letters):
            rest_xyz["xyz".index(letter)], angles_xyz[:, "xyz".index(letter)] = rest[k], angles[:, k]
        fields = {
            "Lcl_Translation": list(map(float, offset)),
            "Lcl_Rotation": rest_xyz.tolist(),
            "PreRotation": pre.tolist(),
            "PostRotation": post.tolist(),
            "RotationPivot": pivot.tolist(),
            "RotationOrder": [order],
        }
        models.append(record("Model", [100 + j, name.encode() + b"\0\x01Model", b"LimbNode"], [properties(**fields)]))
        links.append(record("C", [b"OO", 100 + j, 100 + NAMES.index(parent) if parent else 0]))
        links.append(record("C", [b"OP", 200 + j, 100 + j, b"Lcl Rotation"]))
        curves.append(record("AnimationCurveNode", [200 + j, b"R", b""]))
        for axis in range(3):
            key = 1000 + 3 * j + axis
            keys = [record("KeyTime", [times]), record("KeyValueFloat", [angles_xyz[:, axis]])]
            curves.append(record("AnimationCurve", [key, b"", b""], keys))
            links.append(record("C", [b"OP", key, 200 + j, b"d|" + b"XYZ"[axis : axis + 1]]))
        local = [turn * Rotation.from_euler(letters, row, degrees=True) * unturn for row in angles]
        p = NAMES.index(parent) if parent else -1
        world.append([local[f] if p < 0 else world[p][f] * local[f] for f in range(frames)])
        for f in range(frames):
            at = np.array(offset) + pivot - local[f].apply(pivot)
            pos[f, j] = at if p < 0 else pos[f, p] + world[p][f].apply(at)
    items = [
        record("GlobalSettings", [], [properties(**(settings or Z_UP | {"UnitScaleFactor": [1.0]}))]),
        record("Objects", [], models + curves),
        record("Connections", [], links),
    ]
    write_fbx(path, [item for item, name in zip(items, ("settings", "objects", "links")) if name not in cut])
    return pos


@pytest.mark.parametrize("order", range(6))
def test_transforms_against_scipy(tmp_path, order):
    expected = made(tmp_path / "a.fbx", order)
    motion = read_motion_file(tmp_path / "a.fbx").motion
    assert motion.fps == 24.0
    assert any("z is up, as the file says" in note for note in motion.notes)
    assert any("unit 0.01 m as the file says" in note for note in motion.notes)
    pos = motion.forward_kinematics()[0][:, [motion.skeleton.index(name) for name in NAMES]]
    x, y, z = np.moveaxis(expected, -1, 0)
    np.testing.assert_allclose(pos, 0.01 * np.stack([-y, x, z], axis=-1), atol=2e-4)
    assert motion.skeleton.offsets[motion.skeleton.index("LeftUpLeg")][1] > 0.05  # its left is ours


@pytest.mark.parametrize("order", ORDERS)
def test_euler_angles_against_scipy(order):
    degrees = np.random.default_rng(0).uniform(-180, 180, (20, 3))
    expected = Rotation.from_euler(order.lower(), degrees[:, ["XYZ".index(c) for c in order]], degrees=True)
    ours = Rotation.from_quat(euler(degrees, order), scalar_first=True)
    np.testing.assert_allclose(ours.as_matrix(), expected.as_matrix(), atol=1e-12)


def test_metres_under_a_wrong_unit_are_recognised(tmp_path):
    made(tmp_path / "a.fbx", 0, settings=Z_UP | {"UnitScaleFactor": [2.54]})
    motion = read_fbx(tmp_path / "a.fbx")
    assert any("taken as centimetres (0.01 m)" in note and "in place of the file's own" in note for note in motion.notes)


def test_broken_files_say_what_is_wrong(tmp_path):
    path = tmp_path / "bad.fbx"
    made(path, 0)
    whole = path.read_bytes()
    for raw, message in (
        (whole[:-3000], "not a whole binary FBX file"),
        (whole[:30], "not a whole binary FBX file"),
        (b"; FBX 7.4.0 project file\n", "export it as binary"),
        (b"Kaydara", "not a binary FBX file"),
    ):
        path.write_bytes(raw)
        with pytest.raises(InputError, match=rf"bad.fbx.*{message}"):
            read_fbx(path)
    for cut, message in ((("objects",), "no skeleton"), (("links",), "hang below another root|not whole")):
        made(path, 0, cut=cut)
        with pytest.raises(InputError, match=rf"bad.fbx.*({message})"):
            read_fbx(path)
    made(path, 0, settings={"UpAxis": [0]})
    with pytest.raises(InputError, match="no right-handed frame"):
        read_fbx(path)
    rng = np.random.default_rng(0)
    for _ in range(40):  # any byte may be wrong: a motion or an InputError
        raw = bytearray(whole)
        for at in rng.integers(27, len(raw), 3):
            raw[at] = rng.integers(256)
        path.write_bytes(bytes(raw))
        with contextlib.suppress(InputError):
            read_fbx(path)
