"""C3D points: files made here in both number formats, ezc3d's where it is installed; gaps, damage."""

import contextlib
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_formats_gltf import JOINTS, NAMES, Scene

from motions.errors import InputError
from motions.formats import read_motion_file
from motions.formats.c3d import read_c3d, read_points
from retarget.mapping import ROBOT_ROLES, map_source


def parameter(group: int, name: str, kind: int, shape: list[int], data: bytes, last: bool = False) -> bytes:
    body = struct.pack("<bB", kind, len(shape)) + bytes(shape) + data + b"\0"
    return struct.pack("<bb", len(name), group) + name.encode() + struct.pack("<h", 0 if last else 2 + len(body)) + body


def write_c3d(
    path, pos: np.ndarray, labels: list[str], fps: float = 100.0, scale: float = -1.0, unit: str = "mm", processor: int = 84
):
    """pos (F, P, 3), NaN where unseen; `scale` below 0 writes floats, above 0 integers of that many units."""
    frames, points = pos.shape[:2]
    size = max(map(len, labels))
    groups = struct.pack("<bb", 5, -1) + b"POINT" + struct.pack("<h", 3) + b"\0"
    groups += parameter(1, "UNITS", -1, [len(unit)], unit.encode())
    groups += parameter(1, "LABELS", -1, [size, points], b"".join(label.ljust(size).encode() for label in labels), last=True)
    blocks = -(-(4 + len(groups)) // 512)
    groups = (bytes([1, 0x50, blocks, processor]) + groups).ljust(512 * blocks, b"\0")
    data_block = 2 + blocks
    header = struct.pack("<BBHHHHHfHHf", 2, 0x50, points, 0, 1, frames, 0, scale, data_block, 0, fps)
    unseen = np.isnan(pos).any(axis=-1)
    values = np.concatenate([np.nan_to_num(pos) / abs(scale), np.where(unseen, -1.0, 0.0)[..., None]], axis=-1)
    kind = "<f4" if scale < 0 else "<i2"
    path.write_bytes(header.ljust(512, b"\0") + groups + np.round(values, 0 if scale > 0 else 9).astype(kind).tobytes())
    return path


def walk(frames: int = 30) -> np.ndarray:
    """Joint positions (F, J, 3) of a moving body in mm, z up."""
    return 1000.0 * Scene(frames, fps=100.0).positions()[:, 1:][..., [2, 0, 1]]


@pytest.mark.parametrize("scale", [-1.0, 0.1])
def test_points_labels_and_rate(tmp_path, scale):
    pos = walk()
    motion = read_motion_file(write_c3d(tmp_path / "a.c3d", pos, ["S:" + name for name in JOINTS], scale=scale)).motion
    assert motion.fps == 100.0
    assert any("unit mm as the file says" in note for note in motion.notes)
    ours = motion.forward_kinematics()[0][:, [motion.skeleton.index(name) for name in JOINTS]]
    np.testing.assert_allclose(ours, pos / 1000.0, atol=5e-3)
    assert {"pelvis", "l_thigh", "r_foot", "r_hand", "head"} <= set(map_source(motion.skeleton).joints)


def test_gaps_are_bridged_and_lost_points_left_out(tmp_path):
    pos = np.tile(walk(1), (120, 1, 1)) + np.linspace(0, 500, 120)[:, None, None]
    holes = pos.copy()
    holes[10:40, 5] = np.nan
    holes[:60, JOINTS.index("HeadEnd")] = np.nan
    motion = read_c3d(write_c3d(tmp_path / "a.c3d", holes, JOINTS))
    assert "HeadEnd" not in motion.skeleton.joint_names
    assert any("left out: HeadEnd" in note for note in motion.notes)
    assert any("30 unseen points" in note for note in motion.notes)
    ours = motion.forward_kinematics()[0][:, motion.skeleton.index(JOINTS[5])]
    np.testing.assert_allclose(ours, pos[:, 5] / 1000.0, atol=1e-4)


def test_a_file_of_names_replaces_the_labels(tmp_path):
    path = write_c3d(tmp_path / "a.c3d", walk(), [f"m{k}" for k in range(len(JOINTS))])
    (tmp_path / "names.txt").write_text("\n".join(JOINTS))
    assert set(read_motion_file(path, skeleton=tmp_path / "names.txt").motion.skeleton.joint_names) == set(NAMES[1:])


def test_plug_in_gait_markers_become_joint_centres(tmp_path):
    """Markers put where the set has them on a standing, turning body whose joints are known [mm, facing +x, left +y]."""
    width = 250.0
    joints = {"LeftUpLeg": (0, 90, 900), "LeftLeg": (0, 90, 480), "LeftFoot": (-20, 90, 70), "LeftToeBase": (140, 90, 30)}
    marks = {"ASI": (0.19 * width, 125, 900 + 0.3 * width), "PSI": (-120, 50, 975), "KNE": (0, 140, 480), "ANK": (-20, 127.5, 70)}
    marks |= {"TOE": (140, 90, 30), "SHO": (0, 180, 1450), "ELB": (0, 232, 1120), "WRA": (30, 210, 880), "WRB": (-30, 210, 880)}
    marks |= {"FHD": (80, 70, 1620), "BHD": (-80, 70, 1620)}
    middle = {"C7": (-80, 0, 1450), "CLAV": (80, 0, 1400), "T10": (-110, 0, 1250), "STRN": (100, 0, 1200)}
    labels = [side + name for side in "LR" for name in marks] + list(middle)
    body = np.array([*marks.values(), *(np.multiply(p, (1, -1, 1)) for p in marks.values()), *middle.values()], dtype=float)
    turn = Rotation.from_rotvec(np.outer(np.linspace(0, 1.5, 20), [0, 0, 1]))
    pos = np.stack([r.apply(body) for r in turn])
    motion = read_c3d(write_c3d(tmp_path / "a.c3d", pos, labels))
    assert any("Plug-in Gait" in note for note in motion.notes)
    roles = map_source(motion.skeleton)
    assert all(role in roles for role in (*ROBOT_ROLES, "l_toe", "r_toe"))
    ours = motion.forward_kinematics()[0]
    for name, (x, y, z) in joints.items():
        for side, sign in (("Left", 1), ("Right", -1)):
            expected = np.stack([r.apply((x, sign * y, z)) for r in turn]) / 1000.0
            joint = motion.skeleton.index(name.replace("Left", side))
            np.testing.assert_allclose(ours[:, joint], expected, atol=1e-3)
    offset = motion.skeleton.offsets[motion.skeleton.index("LeftUpLeg")]
    assert offset[1] > 0.08  # the rest pose faces +x


@pytest.mark.parametrize("points", [3, 19])
def test_ezc3d_writes_what_is_read_here(tmp_path, points):
    ezc3d = pytest.importorskip("ezc3d")
    pos = walk()[:, :points]
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [100.0]
    file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    labels = JOINTS[: pos.shape[1]]
    file["parameters"]["POINT"]["LABELS"]["value"] = labels
    file["data"]["points"] = np.concatenate([pos, np.ones((*pos.shape[:2], 1))], axis=-1).transpose(2, 1, 0)
    file.write(str(tmp_path / "theirs.c3d"))
    ours, names, fps, unit = read_points(tmp_path / "theirs.c3d")
    np.testing.assert_allclose(ours, pos, atol=1e-3)
    assert (names, fps, unit) == (labels, 100.0, "mm")


def test_broken_files_say_what_is_wrong(tmp_path):
    path = write_c3d(tmp_path / "bad.c3d", walk(), JOINTS)
    whole = path.read_bytes()
    for raw, message in (
        (whole[:-9], "truncated"),
        (whole[:700], "truncated"),
        (b"\x02\x50", "not a C3D file"),
        (b"\x02\x51" + whole[2:], "not a C3D file"),
        (b"\xff" + whole[1:], "not a whole C3D file"),
    ):
        path.write_bytes(raw)
        with pytest.raises(InputError, match=rf"bad.c3d.*{message}"):
            read_c3d(path)
    write_c3d(path, walk(), JOINTS, processor=86)
    with pytest.raises(InputError, match=r"processor type 86 \(MIPS\), expected 84"):
        read_c3d(path)
    write_c3d(path, np.full((100, 3, 3), np.nan), ["a", "b", "c"])
    with pytest.raises(InputError, match="no two points are seen"):
        read_c3d(path)
    rng = np.random.default_rng(0)
    for _ in range(25):  # any byte may be wrong: a motion or an InputError
        raw = bytearray(whole)
        for at in rng.integers(0, 1100, 3):
            raw[at] = rng.integers(256)
        path.write_bytes(bytes(raw))
        with contextlib.suppress(InputError):
            read_c3d(path)
