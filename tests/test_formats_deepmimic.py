"""DeepMimic's JSON clips: rows against a plain loop with scipy, real clips on the ground, broken files."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motions.errors import InputError
from motions.formats import read_motion_file
from motions.formats.deepmimic import TO_OURS, WIDTH, read_deepmimic
from motions.rotations import quat_rotate_inv
from retarget.capture import capture
from retarget.mapping import ROBOT_ROLES, map_source

REST_ROW = [0.1, 0, 0.9, 0] + [1, 0, 0, 0] * 3 + ([1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]) * 2


def write_clip(path, rows, **fields):
    path.write_text(json.dumps({"Loop": "none", "Frames": np.asarray(rows).tolist()} | fields))
    return path


def random_rows(frames: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = np.tile(np.array(REST_ROW, dtype=float), (frames, 1))
    for column in (4, 8, 12, 16, 21, 25, 30, 35, 39):
        rows[:, column : column + 4] = Rotation.random(frames, random_state=rng).as_quat(scalar_first=True)
    rows[:, [20, 29, 34, 43]] = rng.uniform(-1, 1, (frames, 4))
    rows[:, 1:4] = rng.uniform(-1, 1, (frames, 3))
    return rows


def test_rows_against_a_plain_chain_of_rotations(tmp_path):
    """The left wrist and the right toes, through the documented column order."""
    rows = random_rows(4)
    motion = read_deepmimic(write_clip(tmp_path / "c.txt", rows))
    assert motion.fps == 10.0
    pos, _ = motion.forward_kinematics()

    def quat(row, column):
        return Rotation.from_quat(row[column : column + 4], scalar_first=True)

    for frame, row in enumerate(rows):
        root = quat(row, 4)
        chest = root * quat(row, 8)
        shoulder = chest * quat(row, 39)
        elbow = shoulder * Rotation.from_euler("z", row[43])
        at_shoulder = row[1:4] + root.apply([0, 0.236151, 0]) + chest.apply([-0.02405, 0.2435, -0.18311])
        wrist = at_shoulder + shoulder.apply([0, -0.274788, 0]) + elbow.apply([0, -0.258947, 0])
        hip = root * quat(row, 16)
        knee = hip * Rotation.from_euler("z", row[20])
        ankle = knee * quat(row, 21)
        toe = row[1:4] + root.apply([0, 0, 0.084887]) + hip.apply([0, -0.421546, 0]) + knee.apply([0, -0.40987, 0])
        toe = toe + ankle.apply([0.1335, -0.05, 0])
        for name, point in (("left_wrist", wrist), ("right_toe_end", toe)):
            x, y, z = point
            np.testing.assert_allclose(pos[frame, motion.skeleton.index(name)], [x, -z, y], atol=1e-9)


def test_uneven_durations_are_resampled(tmp_path):
    """A body that moves and turns evenly in time keeps doing so."""
    duration = np.array([0.1, 0.1, 0.2, 0.1, 0.05, 0.05, 0.1, 0.0])
    time = np.concatenate([[0.0], np.cumsum(duration[:-1])])
    rows = np.tile(np.array(REST_ROW, dtype=float), (8, 1))
    rows[:, 0], rows[:, 1] = duration, 2.0 * time
    rows[:, 4:8] = Rotation.from_rotvec(np.outer(time, [0, 1, 0])).as_quat(scalar_first=True)
    motion = read_deepmimic(write_clip(tmp_path / "c.txt", rows))
    assert motion.fps == 10.0
    assert any("resampled to 10" in note for note in motion.notes)
    np.testing.assert_allclose(motion.root_pos[:, 0], 0.2 * np.arange(8), atol=1e-12)
    yaw = Rotation.from_quat(motion.local_quat[:, 0], scalar_first=True).as_rotvec()
    np.testing.assert_allclose(yaw, np.outer(np.arange(8) / 10.0, [0, 0, 1]), atol=1e-9)
    assert read_deepmimic(tmp_path / "c.txt", fps=50.0).num_frames == 8


REAL = {"walk": (30.0, 39, 1.24), "run": (30.0, 25, 2.85), "jog": (30.0, 26, 2.33), "stealthy_walk": (24.0, 97, 1.59)}


@pytest.mark.parametrize("name", REAL)
def test_real_clips_go_forward_on_their_feet(shared_data, name):
    result = read_motion_file(shared_data / f"motions/deepmimic/motions/humanoid3d_{name}.txt")
    motion = result.motion
    fps, frames, distance = REAL[name]
    assert (motion.fps, motion.num_frames) == (fps, frames)
    roles = map_source(motion.skeleton)
    assert all(role in roles for role in ROBOT_ROLES)
    pos, quat = motion.forward_kinematics()
    assert motion.root_pos[-1, 0] - motion.root_pos[0, 0] == pytest.approx(distance, abs=0.01)
    toes = pos[:, [motion.skeleton.index(f"{side}_toe_end") for side in ("left", "right")], 2]
    assert abs(np.median(toes.min(axis=1))) < 0.035
    taken = capture(motion, roles, 30.0)
    np.testing.assert_allclose(taken.upright["pelvis"], np.eye(3), atol=1e-9)
    assert taken.leg_length == pytest.approx(0.421546 + 0.40987, abs=1e-3)  # low-passed points
    for side in ("l_", "r_"):
        # Seen from the pelvis the ankle is behind the straight line through hip and knee: knees bend backwards.
        thigh, shank, foot = (
            quat_rotate_inv(quat[:, 0], pos[:, roles[side + part]] - pos[:, 0]) for part in ("thigh", "shank", "foot")
        )
        assert np.all((foot - shank)[:, 2] < 0.2)
        assert np.all(np.cross(shank - thigh, foot - shank)[:, 1] > -0.02)
        assert np.sign(np.median(thigh[:, 1])) == (1 if side == "l_" else -1)


def test_every_real_clip_is_read(shared_data):
    clips = sorted((shared_data / "motions/deepmimic/motions").rglob("*.txt"))
    assert len(clips) == 21
    lowest = {}
    for path in clips:
        motion = read_deepmimic(path)
        pos, _ = motion.forward_kinematics()
        lowest[path.stem] = float(pos[..., 2].min())
        np.testing.assert_allclose(np.linalg.norm(motion.local_quat, axis=-1), 1.0, atol=1e-9)
    assert min(lowest.values()) > -0.15
    assert max(lowest.values()) < 0.03
    assert any("resampled" in note for note in read_deepmimic(clips[0].parent / "humanoid3d_roll.txt").notes)


def test_the_change_of_axes_is_a_rotation():
    np.testing.assert_allclose(TO_OURS @ TO_OURS.T, np.eye(3))
    assert np.linalg.det(TO_OURS) == pytest.approx(1.0)
    assert len(REST_ROW) == WIDTH


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"Frames": [[1, 2', "line 1, column"),
        ("[1, 2]", "a JSON list, expected an object"),
        ('{"Loop": "wrap"}', "no list of 'Frames'.*it holds Loop"),
        ('{"Frames": [3]}', "frame 0 is a int"),
        ('{"Frames": [[1, 2, 3]]}', "frame 0 is 3 values, expected 44"),
        (json.dumps({"Frames": [REST_ROW, REST_ROW[:-1]]}), "frame 1 is 43 values"),
        (json.dumps({"Frames": [[*REST_ROW[:-1], "x"]]}), "other things than numbers"),
        (json.dumps({"Frames": [[*REST_ROW[:-1], 10**400]] * 4}), "Frames"),
        (json.dumps({"Frames": [REST_ROW, [*REST_ROW[:-1], float("nan")]]}), r"non-finite value at index \(1, 43\)"),
        (json.dumps({"Frames": [REST_ROW] * 2}), r"2 frame\(s\) of motion"),
        (json.dumps({"Frames": [REST_ROW]}), r"1 frame\(s\) of motion"),
        (json.dumps({"Frames": [[0, *REST_ROW[1:]]] * 4}), "frame 0 lasts 0 s"),
        (json.dumps({"Frames": [[*REST_ROW[:4], *[0] * 4, *REST_ROW[8:]]] * 4}), "has length 0, expected 1"),
        ("[" * 100000, "not JSON"),
        ("HIERARCHY\nROOT Hips\n", "its suffix says JSON, it begins as a BVH does: name it .bvh"),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path, text, message):
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(InputError, match=rf"bad.txt.*{message}"):
        read_motion_file(tmp_path / "bad.txt")
