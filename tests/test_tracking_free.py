"""The task of robots that follow no clip: what ends their episodes, what a discriminator and a goal make of their steps."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot

from mimic.checks import check_fits
from mimic.config import (
    ActionConfig,
    Config,
    GoalConfig,
    ObservationConfig,
    RewardConfig,
    SamplingConfig,
    StyleConfig,
    TerminationConfig,
)
from mimic.mdp.style import style_features
from mimic.mdp.terminations import fallen, lowest_of
from mimic.sim.native import NativePhysics
from mimic.tasks.tracking import EnvState, StepResult, Tracking
from motions.errors import InputError
from motions.library import pack

ROBOT = tiny_robot()
NOTHING = dict.fromkeys(("anchor_pos", "anchor_ori", "body_pos", "body_ori", "body_linvel", "body_angvel"), 0.0)
CONFIG = Config(
    robot="tiny", follow=False, action=ActionConfig(prior="default", feed_forward="none"),
    observation=ObservationConfig(actor=("joint_pos", "heading"), critic=()), sampling=SamplingConfig(episode_s=1.2),
    reward=RewardConfig(**NOTHING, style=1.0, goal=3.0, action_rate=0.0), style=StyleConfig(window=2),
    termination=TerminationConfig(None, None, None, None, below_clips=0.1), goal=GoalConfig(kind="heading", interval_s=1e9),
)  # fmt: skip
FOLLOWING = Config(robot="tiny", observation=ObservationConfig(actor=("joint_pos",)))
LIBRARY = pack([tiny_motion(31)], ROBOT.body, ROBOT.tracked_bodies, 0.02)  # half a second
TASK = Tracking(CONFIG, ROBOT, NativePhysics(ROBOT, 4), LIBRARY)
CURRICULUM, CHANCE = TASK.init_curriculum(), TASK.chance(jax.random.key(0))


@jax.jit
def step(state: EnvState, action: jax.Array) -> tuple[EnvState, StepResult]:
    return TASK.step(state, action, CHANCE, CURRICULUM)


def begun() -> EnvState:
    return TASK.reset_to(jnp.array(0, jnp.int32), jnp.array(0, jnp.int32))


def test_an_episode_goes_on_when_the_clip_has_ended():
    state, ends = begun(), []
    for _ in range(60):
        state, result = step(state, jnp.zeros(4))
        ends.append((bool(result.terminated), bool(result.truncated)))
    assert ends[:-1] == [(False, False)] * 59
    assert ends[-1] == (False, True)
    assert not [name for name in result.log if name.startswith("error/")]
    assert set(result.log) == {"reward/action_rate", "reward/goal"}


def test_what_the_clips_never_bring_near_the_ground_has_fallen_there():
    places = np.asarray(LIBRARY.frames.xpos[..., 2]).min(axis=0)
    np.testing.assert_array_equal(lowest_of(LIBRARY, ROBOT.tracked_bodies, CONFIG.termination), [places])
    frames, rules = LIBRARY.frames, CONFIG.termination
    assert not fallen(frames, frames, 0, [3, 4], rules, lowest=places).any()
    for body in range(5):
        for drop, expected in ((0.09, 0), (0.11, 1)):
            lower = frames._replace(xpos=frames.xpos.copy())
            lower.xpos[7, body, 2] = places[body] - drop
            down = fallen(lower, frames, 0, [3, 4], rules, lowest=places)
            assert (down.sum(), down[7]) == (expected, expected)
    assert TASK.lowest is not None
    np.testing.assert_allclose(TASK.lowest, [places])


def low_clip():
    """The clip of `LIBRARY`, 12 cm lower: it brings to the ground what that does not."""
    motion = tiny_motion(31)
    return replace(motion, name="low", qpos=motion.qpos - np.eye(11)[2] * 0.12)


@pytest.mark.parametrize(("follow", "expected"), [(True, [True, False]), (False, [False, False])])
def test_what_one_clip_brings_down_may_be_there_only_in_it_where_it_is_followed(follow: bool, expected: list[bool]):
    library = pack([tiny_motion(31), low_clip()], ROBOT.body, ROBOT.tracked_bodies, 0.02)
    rules = replace(CONFIG.termination, below_clips=0.05)
    kind = FOLLOWING if follow else CONFIG
    task = Tracking(replace(kind, termination=rules), ROBOT, NativePhysics(ROBOT, 4), library)
    low = library.at(slice(31, 32))
    for clip, ends in enumerate(expected):
        bounds = np.asarray(task.lowest)[clip]
        assert bool(fallen(low, low, 0, [], rules, lowest=bounds)[0]) == ends


def test_bodies_may_be_allowed_on_the_ground():
    rules = replace(CONFIG.termination, may_touch=(ROBOT.tracked_bodies[2],))
    lowest = lowest_of(LIBRARY, ROBOT.tracked_bodies, rules)[0]
    sunk = LIBRARY.frames._replace(xpos=LIBRARY.frames.xpos.copy())
    sunk.xpos[:, 2, 2] -= 5.0
    assert not fallen(sunk, sunk, 0, [], rules, lowest=lowest).any()
    sunk.xpos[3, 1, 2] -= 5.0
    assert fallen(sunk, sunk, 0, [], rules, lowest=lowest).tolist() == [frame == 3 for frame in range(len(sunk.xpos))]
    with pytest.raises(InputError, match=r"tracked body in termination\.may_touch"):
        check_fits(replace(CONFIG, termination=replace(rules, may_touch=("hand",))), ROBOT)


def test_the_discriminator_is_shown_the_last_steps():
    state = begun()
    before = state.physics.kinematics
    after, result = step(state, jnp.ones(4))
    shown = np.asarray(result.notes.shown).reshape(2, -1)
    np.testing.assert_allclose(shown[0], style_features(after.physics.kinematics, TASK.style.layout), atol=1e-6)
    np.testing.assert_allclose(shown[1], style_features(before, TASK.style.layout), atol=1e-6)
    assert not result.notes.settled
    for _ in range(24):
        after, result = step(after, jnp.ones(4))
    assert result.notes.settled


def test_the_goal_is_paid_for_as_it_was_told():
    state = begun()._replace(goal=jnp.array([0.5, 0.0]))
    after, result = step(state, jnp.zeros(4))
    off = np.asarray(after.physics.kinematics.qvel[:2]) - [0.5, 0.0]
    expected = CONFIG.reward.scale * 3.0 * np.exp(-2.5 * np.sum(off**2))
    assert float(result.reward) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(after.goal, state.goal)


def test_it_is_shown_to_the_actor_in_its_heading_frame():
    state = begun()
    speed = float(jnp.linalg.norm(state.goal))
    assert TASK.goals.terms.speed[0] <= speed <= TASK.goals.terms.speed[1] + 1e-6
    actor, extra = TASK.observe(state)
    assert (actor.shape, extra.shape) == ((6,), (0,))
    assert float(jnp.linalg.norm(actor[4:])) == pytest.approx(speed, rel=1e-5)
