"""Which kinds of differences are practised: by hand, and by a task whose robots fall with one of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot

from mimic.config import Config, RandomizeConfig
from mimic.mdp.variety import DECAY, MOST, Tally, init_tally, shares, update_tally
from mimic.sim.native import NativePhysics
from mimic.sim.randomize import KINDS, SPREAD, used_kinds
from mimic.tasks.curriculum import Notes
from mimic.tasks.tracking import Tracking
from motions.library import pack

VARIED = RandomizeConfig(
    nominal_share=0.0, varied_share=0.25, varied_by_falls=0.8, start_level=1.0,
    friction=(0.5, 2.0), mass=(0.8, 1.2), kp=(0.7, 1.3), encoder_bias=0.02, action_delay=(0, 8),
)  # fmt: skip


def test_steps_and_falls_are_counted_with_and_without():
    varied = np.zeros((2, 3, 2), bool)
    varied[:, 0, 0], varied[0, :, 1] = True, True
    failed = np.array([[True, False, False], [False, False, True]])
    tally = update_tally(Tally(jnp.full((2, 2), 10.0), jnp.full((2, 2), 1.0)), jnp.asarray(varied), jnp.asarray(failed))
    np.testing.assert_allclose(tally.steps, 10 * DECAY + np.array([[4, 3], [2, 3]]), rtol=1e-6)
    np.testing.assert_allclose(tally.falls, 1 * DECAY + np.array([[1, 1], [1, 1]]), rtol=1e-6)


def test_shares_by_hand():
    used, steps = np.array([True, True, False, True, True]), jnp.full((2, 5), 100.0)
    np.testing.assert_allclose(shares(init_tally(5), used, 0.2, 0.5), 0.2 * used, rtol=1e-6)
    falls = jnp.asarray([[2.0, 2.0, 0.0, 2.0, 5.0], [3.0, 5.0, 9.0, 2.0, 1.0]])  # .01 and .03 more with the first two
    found = shares(Tally(steps, falls), used, 0.2, 0.5)
    np.testing.assert_allclose(found, [0.1 + 0.1, 0.1 + 0.3, 0.0, 0.1, 0.1], rtol=1e-5)
    assert float(shares(Tally(steps, falls), used, 0.3, 1.0)[1]) == MOST
    np.testing.assert_allclose(shares(Tally(steps, falls), used, 0.9, 0.0), 0.9 * used, rtol=1e-6)


def test_what_is_asked_for_is_used():
    assert [name for name, used in zip(KINDS[:-1], used_kinds(VARIED), strict=True) if used] == [
        "friction",
        "mass",
        "kp",
        "encoder_bias",
        "action_delay",
    ]
    push = dataclasses.replace(VARIED.push, interval_s=9.0)
    assert not used_kinds(RandomizeConfig(push=push)).any()
    spread = used_kinds(RandomizeConfig(spread=0.1))
    assert tuple(name for name, used in zip(KINDS[:-1], spread, strict=True) if used) == SPREAD


@pytest.mark.slow
def test_what_robots_fall_with_becomes_more_frequent():
    """Of five kinds that begin alike; the others remain, and all of it is in the log."""
    robot = tiny_robot()
    config = Config(robot="tiny", randomize=VARIED)
    library = pack([tiny_motion()], robot.body, robot.tracked_bodies, 0.02)
    task = Tracking(config, robot, NativePhysics(robot, 4), library)
    curriculum, guilty = task.init_curriculum(), KINDS.index("action_delay")
    reset = jax.jit(jax.vmap(task.reset, (0, None)))

    def varied(curriculum) -> np.ndarray:
        return np.asarray(reset(jax.random.split(jax.random.key(1), 512), curriculum).wire.episode.levels > 0)

    first = varied(curriculum)
    used = used_kinds(VARIED)
    np.testing.assert_allclose(first.mean(axis=0), np.where(used, 0.25, first.mean(axis=0)), atol=0.07)
    notes = Notes(jnp.zeros((1, 512, 2), int), jnp.zeros((1, 512, 6)), jnp.asarray(first[None]))
    curriculum = task.update_curriculum(curriculum, notes, jnp.asarray(first[None, :, guilty]))
    then = varied(curriculum).mean(axis=0)
    assert then[guilty] == MOST or abs(then[guilty] - MOST) < 0.07
    assert (then[used] > 0.02).all()
    assert then[KINDS.index("mass")] < 0.12
    log = task.curriculum_log(curriculum)
    assert {name for name in log if "share" in name} == {f"curriculum/share_{name}" for name in np.array(KINDS[:-1])[used]}
    assert float(log["curriculum/share_action_delay"]) == MOST
