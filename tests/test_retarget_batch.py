"""Many clips at once give what each alone gives, in order, and a broken one does not stop the others."""

import dataclasses

import numpy as np
import pytest
from test_retarget import FIRST_S, cut

from mimic.robots import load_robot
from motions.clips import demo_bvh, shipped_clips
from motions.errors import InputError
from motions.formats import read_bvh
from motions.motion import load_motion
from retarget import assess, retarget, retarget_many
from retarget.batch import solve_together
from retarget.pipeline import DEFAULT_WEIGHTS

FPS = 50.0


@pytest.fixture(scope="module")
def sources():
    """The beginning of the demo clip, one without hips and feet to be found, and the first again, mislabelled."""
    whole = read_bvh(demo_bvh())
    good = cut(whole, round(FIRST_S * whole.fps) + 1)
    names = tuple(f"joint{i}" for i in range(len(good.skeleton.joint_names)))
    odd = dataclasses.replace(good.skeleton, joint_names=names[:3], parents=(-1, 0, 1), offsets=good.skeleton.offsets[:3])
    stump = dataclasses.replace(good, skeleton=odd, local_quat=good.local_quat[:, :3])
    return [good, stump, dataclasses.replace(good, name="again")]


def test_outcomes_come_in_order_and_equal_those_of_single_calls(sources):
    body = load_robot("humanoid").body
    unread, walk = InputError("x.bvh: the file is empty"), load_motion(shipped_clips()["walk"])
    given = [unread, sources[0], sources[1], walk, sources[2]]
    same, first, broken, measured, last = retarget_many(iter(given), body, fps=FPS, iterations=2)
    assert same is unread
    assert isinstance(broken, InputError)
    assert measured[0] is walk  # it is on the robot: nothing is solved
    assert measured[1].checks == assess(walk, body).checks
    alone, _ = retarget(sources[0], body, fps=FPS, iterations=2)
    for outcome, name in ((first, sources[0].name), (last, "again")):
        motion, report = outcome
        assert motion.name == report.name == name
        np.testing.assert_array_equal(motion.qpos, alone.qpos)


@pytest.mark.slow
def test_clips_solved_together_equal_those_solved_alone(sources):
    body = load_robot("humanoid").body
    shorter = cut(sources[0], sources[0].num_frames - 7)
    unread = InputError("x.bvh: the file is empty")
    given = [sources[0], sources[1], shorter, unread, sources[2]]  # three of one length, filled up to four
    together = solve_together(given, body, None, FPS, DEFAULT_WEIGHTS, 6)
    assert isinstance(together[1], InputError)
    assert together[3] is unread
    for outcome, source in ((together[0], sources[0]), (together[2], shorter), (together[4], sources[2])):
        alone, _ = retarget(source, body, fps=FPS, iterations=6)
        np.testing.assert_allclose(outcome[0].qpos, alone.qpos, atol=2e-3)
