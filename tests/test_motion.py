"""`Motion`: its checks, its npz file, resampling against known curves."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from stick import stick_walk

from motions.errors import InputError
from motions.motion import Motion, load_motion, resample, save_motion


def motion(qpos: np.ndarray | None = None, fps: float = 30.0, joints: int = 2) -> Motion:
    if qpos is None:
        qpos = np.zeros((5, 7 + joints))
        qpos[:, 3] = 1.0
    return Motion("clip", "bot", fps, qpos, tuple(f"j{i}" for i in range(joints)))


def test_npz_round_trip(tmp_path):
    walk = stick_walk(yaw=1.0)
    save_motion(walk, tmp_path / "walk.npz")
    back = load_motion(tmp_path / "walk.npz")
    np.testing.assert_allclose(back.qpos, walk.qpos, atol=1e-6)
    for field in ("name", "robot", "fps", "joint_names", "loop", "source", "licence", "schema"):
        assert getattr(back, field) == getattr(walk, field)


@pytest.mark.parametrize("fps", [0.0, -30.0, np.nan, np.inf])
def test_fps_must_be_positive(fps):
    with pytest.raises(InputError, match="fps"):
        motion(fps=fps)


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_three_frames_are_needed(frames):
    with pytest.raises(InputError, match=f"{frames} frame"):
        motion(np.tile([0, 0, 0, 1.0, 0, 0, 0, 0, 0], (frames, 1)))


def test_width_must_match_the_joints():
    with pytest.raises(InputError, match=r"\(5, 9\), expected \(frames, 10\)"):
        motion(motion().qpos, joints=3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_values_are_named(bad):
    qpos = motion().qpos.copy()
    qpos[3, 8] = bad
    with pytest.raises(InputError, match="frame 3, column 8"):
        motion(qpos)


def test_quaternions_near_unit_are_repaired_and_others_refused(recwarn):
    qpos = motion().qpos.copy()
    qpos[2, 3] = 1.0 + 5e-6
    assert np.linalg.norm(motion(qpos).qpos[2, 3:7]) == pytest.approx(1.0, abs=1e-15)
    assert not recwarn.list
    qpos[2, 3] = 1.0005
    with pytest.warns(UserWarning, match="renormalized"):
        repaired = motion(qpos)
    np.testing.assert_allclose(np.linalg.norm(repaired.qpos[:, 3:7], axis=1), 1.0)
    for wrong in (1.002, 0.0, 0.5):
        qpos[2, 3] = wrong
        with pytest.raises(InputError, match="frame 2"):
            motion(qpos)


def test_sign_flips_of_the_root_are_unrolled():
    qpos = motion().qpos.copy()
    qpos[3:, 3:7] *= -1
    np.testing.assert_array_equal(motion(qpos).qpos[:, 3], 1.0)


def smooth(times: np.ndarray) -> np.ndarray:
    """A known motion (F, 9) at `times` [s]: sines in all columns, a root that turns about a tilted axis at 2 rad/s."""
    axis = np.array([1.0, 2.0, 2.0]) / 3.0
    qpos = np.stack([np.sin((1 + 0.3 * k) * times + k) for k in range(9)], axis=1)
    qpos[:, 3:7] = Rotation.from_rotvec(2.0 * times[:, None] * axis).as_quat(scalar_first=True)
    return qpos


@pytest.mark.parametrize("fps", [50.0, 15.0, 29.97, 120.0])
def test_resampling_follows_a_known_motion(fps):
    known = np.arange(60) / 30.0
    result = resample(motion(smooth(known)), fps)
    times = np.arange(result.num_frames) / fps
    assert times[-1] <= known[-1] + 1e-9 < times[-1] + 1.0 / fps + 1e-6
    expected = smooth(np.minimum(times, known[-1]))
    columns = [0, 1, 2, 7, 8]
    # Straight lines between frames would be wrong by up to (3.4 / 30)^2 / 8 = 1.6e-3.
    np.testing.assert_allclose(result.qpos[:, columns], expected[:, columns], atol=1e-4)
    got = Rotation.from_quat(result.qpos[:, 3:7], scalar_first=True)
    assert (Rotation.from_quat(expected[:, 3:7], scalar_first=True).inv() * got).magnitude().max() < 1e-4
    np.testing.assert_allclose(np.linalg.norm(result.qpos[:, 3:7], axis=1), 1.0)


def test_resampling_keeps_the_frames_it_shares():
    source = motion(smooth(np.arange(21) / 30.0))
    np.testing.assert_allclose(resample(source, 60.0).qpos[::2], source.qpos, atol=1e-12)
    np.testing.assert_allclose(resample(source, 15.0).qpos, source.qpos[::2], atol=1e-12)


def test_resampling_to_the_same_rate_and_of_too_short_a_clip():
    source = motion()
    assert resample(source, 30.0) is source
    with pytest.raises(InputError, match="fewer than 3 frames"):
        resample(source, 5.0)


def test_trimming_includes_both_ends():
    walk = stick_walk(frames=61, fps=30.0)
    part = walk.trimmed(0.5, 1.0)
    assert part.num_frames == 16
    np.testing.assert_array_equal(part.qpos, walk.qpos[15:31])


def _saved(path, **changes):
    save_motion(motion(), path)
    with np.load(path) as data:
        fields = {key: data[key] for key in data.files} | changes
    np.savez(path, **{key: value for key, value in fields.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": None}, "lacks fps"),
        ({"schema": np.array(99)}, "schema 99"),
        ({"fps": np.array([1.0, 2.0])}, "expected one number"),
        ({"fps": np.array("fast")}, "expected one number"),
        ({"qpos": np.array([["a"]])}, "expected numbers"),
        ({"joint_names": np.array(["only"])}, "expected"),
        ({"qpos": np.array([object()], dtype=object)}, "not a readable npz"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path, changes, message):
    path = _saved(tmp_path / "m.npz", **changes)
    with pytest.raises(InputError, match=message) as caught:
        load_motion(path)
    assert "m.npz" in str(caught.value)


def test_any_cut_of_a_file_is_refused(tmp_path):
    path = _saved(tmp_path / "m.npz")
    whole = path.read_bytes()
    for length in (1, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"m\.npz"):
            load_motion(path)
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(InputError, match="not a readable npz"):
        load_motion(tmp_path / "plain.npy")
