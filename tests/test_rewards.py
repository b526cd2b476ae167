"""Rewards against loops with scipy; one at the reference; blind to what they should be blind to."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from states import moved, random_state, rotation

from mimic.config import RewardConfig
from mimic.mdp.rewards import (
    TERMS,
    action_acceleration,
    action_rate,
    init_tolerance,
    joint_limit,
    soft_range,
    squared_errors,
    squared_widths,
    total_reward,
    touching,
    tracking_rewards,
    update_tolerance,
)
from motions.kinematics import KinematicState

BODIES, ANCHOR = 4, 1
CONFIG = RewardConfig(sigma_body_pos=0.3, sigma_body_ori=0.4)
RELATIVE = ("body_pos", "body_ori")


@jax.jit
def _rewards(state: KinematicState, reference: KinematicState) -> dict:
    return tracking_rewards(squared_errors(state, reference, anchor=ANCHOR), squared_widths(CONFIG))


def rewards(state: KinematicState, reference: KinematicState) -> dict[str, float]:
    return {name: float(value) for name, value in _rewards(state, reference).items()}


def near(state: KinematicState, seed: int = 9, size: float = 0.2) -> KinematicState:
    """A little off, so that no reward vanishes."""
    rng = np.random.default_rng(seed)
    small = Rotation.from_rotvec(size * rng.normal(size=(BODIES, 3)))
    return state._replace(
        xpos=state.xpos + size * rng.normal(size=state.xpos.shape),
        xquat=(rotation(state.xquat) * small).as_quat(scalar_first=True),
        xlinvel=state.xlinvel + size * rng.normal(size=state.xlinvel.shape),
        xangvel=state.xangvel + size * rng.normal(size=state.xangvel.shape),
    )


def by_loops(s: KinematicState, r: KinematicState) -> dict[str, float]:
    """BeyondMimic's terms as its paper writes them: sigmas .3 m, .4 rad, .3 m, .4 rad, 1 m/s, 3.14 rad/s."""
    m = (rotation(s.xquat[ANCHOR]) * rotation(r.xquat[ANCHOR]).inv()).as_matrix()
    turn = Rotation.from_euler("z", math.atan2(m[1, 0], m[0, 0]))
    origin = np.array([s.xpos[ANCHOR, 0], s.xpos[ANCHOR, 1], r.xpos[ANCHOR, 2]])
    errors: dict[str, list[float]] = {name: [] for name in TERMS}
    for b in range(BODIES):
        target = origin + turn.apply(r.xpos[b] - r.xpos[ANCHOR])
        errors["body_pos"].append(sum((s.xpos[b] - target) ** 2))
        errors["body_ori"].append((rotation(s.xquat[b]).inv() * turn * rotation(r.xquat[b])).magnitude() ** 2)
        errors["body_linvel"].append(sum((s.xlinvel[b] - r.xlinvel[b]) ** 2))
        errors["body_angvel"].append(sum((s.xangvel[b] - r.xangvel[b]) ** 2))
    errors["anchor_pos"] = [sum((s.xpos[ANCHOR] - r.xpos[ANCHOR]) ** 2)]
    errors["anchor_ori"] = [(rotation(s.xquat[ANCHOR]).inv() * rotation(r.xquat[ANCHOR])).magnitude() ** 2]
    sigmas = dict(zip(TERMS, (0.3, 0.4, 0.3, 0.4, 1.0, 3.14)))
    return {name: math.exp(-sum(e) / len(e) / sigmas[name] ** 2) for name, e in errors.items()}


def test_every_reward_is_one_at_the_reference():
    for seed in range(3):
        state = random_state(seed)
        assert rewards(state, state) == pytest.approx(dict.fromkeys(TERMS, 1.0), abs=1e-6)


def test_rewards_by_loops():
    for seed in range(5):
        reference = random_state(seed)
        state = near(reference, seed + 50)
        assert rewards(state, reference) == pytest.approx(by_loops(state, reference), rel=1e-4, abs=1e-6)


def test_one_sigma_off_is_one_over_e():
    reference = random_state(0)
    state = reference._replace(xpos=reference.xpos + np.array([0.3, 0, 0]))
    found = rewards(state, reference)
    assert found["anchor_pos"] == pytest.approx(0.36788, abs=1e-5)
    assert found["body_pos"] == pytest.approx(1, abs=1e-6)  # the whole body is displaced: nothing is wrong within it


def test_relative_terms_ignore_drift_in_the_plane_and_in_heading():
    reference = random_state(1)
    state = near(reference)
    here = rewards(state, reference)
    there = rewards(moved(state, Rotation.from_euler("z", 1.2), np.array([5.0, -2.0, 0.0])), reference)
    assert {n: there[n] for n in RELATIVE} == pytest.approx({n: here[n] for n in RELATIVE}, abs=1e-5)
    assert there["anchor_pos"] < 1e-6


def test_relative_terms_see_height_and_tilt():
    reference = random_state(1)
    lifted = rewards(moved(reference, Rotation.identity(), np.array([0.0, 0.0, 0.3])), reference)
    assert lifted["body_pos"] == pytest.approx(0.36788, abs=1e-5)
    anchored = reference.xpos[ANCHOR]
    tilt = Rotation.from_euler("x", 0.4)
    tilted = rewards(moved(reference, tilt, anchored - tilt.apply(anchored)), reference)
    assert tilted["body_ori"] < 0.5


def test_no_reward_knows_where_in_the_world_it_is():
    """The world turned about the vertical and shifted, body and reference alike.

    The anchor is off in heading only: BeyondMimic's yaw is that of the x axis, which depends on the world's where there is
    tilt between the two as well.
    """
    reference = random_state(2)
    state, turn, shift = near(reference), Rotation.from_euler("z", -0.7), np.array([1.0, 2.0, 3.0])
    yawed = Rotation.from_euler("z", 0.3) * rotation(reference.xquat[ANCHOR])
    state.xquat[ANCHOR] = yawed.as_quat(scalar_first=True)
    assert rewards(moved(state, turn, shift), moved(reference, turn, shift)) == pytest.approx(rewards(state, reference), abs=1e-5)


def test_action_rate_is_the_squared_change():
    assert float(action_rate(jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0]))) == 5.0


def test_action_acceleration_is_the_squared_second_difference():
    """As numpy takes it; steady change costs nothing."""
    before, last, now = actions = np.random.default_rng(0).normal(size=(3, 5))
    expected = np.sum(np.diff(actions, n=2, axis=0) ** 2)
    assert float(action_acceleration(*map(jnp.asarray, (now, last, before)))) == pytest.approx(expected, rel=1e-5)
    assert float(action_acceleration(jnp.array([1.0, 3.0]), jnp.array([0.5, 2.0]), jnp.array([0.0, 1.0]))) == 0.0


def test_widths_shrink_to_the_running_error_and_never_grow():
    """KungfuBot's two lines in a loop. One error falls below its width, one never does, one falls and rises again."""
    rng, config = np.random.default_rng(0), RewardConfig()
    errors = np.abs(rng.normal(size=(300, 6))) * 0.1
    errors[:, 3] = 50.0
    errors[150:, 2] = 5.0
    width = [getattr(config, f"sigma_{name}") ** 2 for name in TERMS]
    mean = list(width)
    for row in errors:
        for i in range(6):
            mean[i] = 0.99 * mean[i] + 0.01 * row[i]
            width[i] = min(width[i], mean[i])
    halves = [jnp.asarray(part, jnp.float32) for part in (errors[:150], errors[150:])]
    found = init_tolerance(config)
    for half in halves:
        found = update_tolerance(found, half, jnp.zeros(150), 0.99, None)
    np.testing.assert_allclose(found.width_sq, width, rtol=1e-4)
    np.testing.assert_allclose(found.mean_sq, mean, rtol=1e-4)
    assert float(found.width_sq[3]) == pytest.approx(config.sigma_body_ori**2)
    assert float(found.mean_sq[2]) > 10 * float(found.width_sq[2])
    assert float(found.width_sq[5]) < 0.1 * config.sigma_body_angvel**2


def test_a_narrower_width_asks_for_more():
    """Half the sigma: the reward of an error is that of twice the error."""
    reference = random_state(0)
    state = reference._replace(xpos=reference.xpos + np.array([0.15, 0, 0]))
    errors = squared_errors(state, reference, anchor=ANCHOR)
    assert float(tracking_rewards(errors, squared_widths(CONFIG) / 4)["anchor_pos"]) == pytest.approx(0.36788, abs=1e-5)


def test_soft_limits_by_hand():
    """-1 .. 3: nine tenths about 1 are -.8 .. 2.8. A joint without limits has none."""
    soft = soft_range(np.array([[-1.0, 3.0], [-np.inf, np.inf], [0.0, 0.5]]), 0.9)
    np.testing.assert_allclose(soft, [[-0.8, 2.8], [-np.inf, np.inf], [0.025, 0.475]])
    assert float(joint_limit(jnp.array([2.8, 9.0, 0.1]), soft)) == pytest.approx(0, abs=1e-6)
    assert float(joint_limit(jnp.array([-1.0, -9.0, 0.6]), soft)) == pytest.approx(0.2 + 0.125, abs=1e-6)


def test_what_touches_is_counted():
    assert float(touching(jnp.array([0.0, 0.99, 1.0, 1.01, 300.0]), 1.0)) == 2


def test_total_is_the_scaled_weighted_sum():
    config = RewardConfig(anchor_pos=0.5, body_pos=2.0, action_rate=-0.1, scale=10.0)
    terms = {"anchor_pos": jnp.array(0.5), "body_pos": jnp.array(0.25), "action_rate": jnp.array(3.0)}
    assert float(total_reward(terms, config)) == pytest.approx(10 * (0.25 + 0.5 - 0.3))


def test_every_term_has_a_weight_and_a_width():
    names = {field.name for field in dataclasses.fields(RewardConfig)}
    assert set(rewards(random_state(0), random_state(1))) == set(TERMS)
    assert names >= {
        *TERMS,
        *(f"sigma_{name}" for name in TERMS),
        "action_rate",
        "action_acceleration",
        "joint_limit",
        "undesired_contacts",
        "scale",
    }
