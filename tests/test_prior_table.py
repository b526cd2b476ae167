"""The prior of a whole library: each clip's own, half as precise where memory is short, made once and then read."""

import dataclasses

import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot

from mimic.config import ActionConfig
from mimic.mdp import prior_table
from mimic.mdp.prior_table import offset_table
from mimic.mdp.priors import Prior
from motions.errors import InputError
from motions.library import MotionLibrary, Poses, pack

ROBOT, DT = tiny_robot(), 0.02
PRIOR = Prior(ROBOT.model, ROBOT.default_qpos[7:], ROBOT.kp, ROBOT.kd, ROBOT.effort, DT, 0.6, ActionConfig())
CLIPS = (tiny_motion(), tiny_motion(50, 50.0), tiny_motion())


def library(poses: Poses = "kept") -> MotionLibrary:
    return pack(CLIPS, ROBOT.body, ROBOT.tracked_bodies, DT, poses=poses)


def expected(prior: Prior = PRIOR) -> np.ndarray:
    """Clip by clip: no frame of one knows another's."""
    parts = []
    for clip in CLIPS:
        alone = pack([clip], ROBOT.body, ROBOT.tracked_bodies, DT)
        parts.append(prior.targets(alone.qpos, alone.qvel) - alone.qpos[:, 7:])
    return np.concatenate(parts)


def test_of_each_clip_by_itself():
    found = offset_table(library(), PRIOR)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected())


@pytest.mark.parametrize("config", [ActionConfig(), ActionConfig(prior="default")])
def test_half_precision_where_poses_are_recomputed(config: ActionConfig):
    prior = dataclasses.replace(PRIOR, config=config)
    found = offset_table(library("recomputed"), prior)
    assert found.dtype == np.float16
    assert np.abs(expected(prior)).max() < 2.0
    np.testing.assert_allclose(found, expected(prior), atol=1e-3)


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A library large enough to be kept; how many clips were made."""
    monkeypatch.setenv("MIMIC_CACHE", str(tmp_path))
    monkeypatch.setattr(prior_table, "WORTH_KEEPING", 0)
    made: list[int] = []
    real = prior_table._offsets

    def counted(prior: Prior, clip: prior_table.Clip) -> np.ndarray:
        made.append(len(clip[0]))
        return real(prior, clip)

    monkeypatch.setattr(prior_table, "_offsets", counted)
    return made


def test_each_content_is_made_once_and_kept(cached, tmp_path):
    """The third clip is the first one again."""
    np.testing.assert_array_equal(offset_table(library(), PRIOR), expected())
    assert cached == [101, 50]
    np.testing.assert_array_equal(offset_table(library(), PRIOR), expected())
    assert cached == [101, 50]
    stronger = dataclasses.replace(PRIOR, kp=2 * ROBOT.kp)
    np.testing.assert_array_equal(offset_table(library(), stronger), expected(stronger))
    assert cached == [101, 50, 101, 50]
    assert not list(tmp_path.rglob(".partial*"))


def test_a_cache_that_cannot_be_written_is_named(cached, tmp_path):
    (tmp_path / "priors").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="MIMIC_CACHE"):
        offset_table(library(), PRIOR)


def test_what_a_full_disk_left_is_made_anew(cached, tmp_path):
    offset_table(library(), PRIOR)
    files = sorted((tmp_path / "priors").iterdir())
    files[0].write_bytes(files[0].read_bytes()[:50])
    files[1].write_bytes(b"")
    np.testing.assert_array_equal(offset_table(library(), PRIOR), expected())
    assert sorted(cached) == [50, 50, 101, 101]


@pytest.mark.slow  # other processes import MuJoCo first
def test_by_all_cores(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMIC_CACHE", str(tmp_path))
    for name in ("WORTH_KEEPING", "WORTH_SHARING"):
        monkeypatch.setattr(prior_table, name, 0)
    np.testing.assert_array_equal(offset_table(library(), PRIOR), expected())
