"""Rollouts of a task known completely: what is recorded, where episodes end and begin, and whose physics broke."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from toy import Clock

from mimic.config import ROUND, NetworkConfig
from mimic.learning.networks import make_networks
from mimic.learning.normalizer import init_normalizer, normalize, update_normalizer
from mimic.learning.rollout import collect, correlated, reduced

STEPS, ENVS = 40, 6
BOUND = 0.5  # an action above it breaks the clock
NETWORKS = make_networks(NetworkConfig(hidden=(5,), init_std=0.7), 2, actor_size=2)
NORMALIZER = update_normalizer(init_normalizer(4), jnp.asarray(np.random.default_rng(0).normal(size=(50, 4), scale=2)))


def roll(task: Clock, paired: bool = False, noise_correlation: float = 0.0):
    """(params, first states, final states, rollout), with weights far from their first values."""
    shapes = jax.eval_shape(lambda key: NETWORKS.init(key, 4), jax.random.key(0))
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape, scale=0.5), jnp.float32), shapes)
    first = jax.vmap(task.reset, (0, None))(jax.random.split(jax.random.key(5), ENVS), jnp.zeros(()))

    def run(params, first, key):
        return collect(
            task, NETWORKS, params, NORMALIZER, first, jnp.zeros(()), key, length=STEPS, obs_clip=2.0, paired=paired,
            noise_correlation=noise_correlation,
        )  # fmt: skip

    final, rollout = jax.jit(run)(params, first, jax.random.key(2))
    return params, first, final, jax.tree.map(np.asarray, rollout)


@pytest.fixture(scope="module")
def plain():
    return roll(Clock())


def test_shapes_lead_with_time_then_environment(plain):
    t = plain[3].transitions
    assert t.obs.shape == t.next_obs.shape == (STEPS, ENVS, 4)
    assert t.action.shape == t.mean.shape == (STEPS, ENVS, 2)
    for part in (t.log_prob, t.reward, t.terminated, t.truncated, t.notes):
        assert part.shape == (STEPS, ENVS)


def test_episodes_one_by_one(plain):
    """A loop over each environment's record: counts go up by one, ends come at the limit and are of the drawn kind."""
    _, first, final, rollout = plain
    t, ends = rollout.transitions, {"terminated": 0, "truncated": 0}
    for b in range(ENVS):
        assert t.obs[0, b].tolist() == [0, first.name[b], first.limit[b], first.dies[b]]
        for s in range(STEPS):
            count, name, limit, dies = t.obs[s, b]
            assert t.next_obs[s, b].tolist() == [count + 1, name, limit, dies]  # before any reset
            over = count + 1 >= limit
            assert t.terminated[s, b] == (over and bool(dies))
            assert t.truncated[s, b] == (over and not dies)
            assert t.reward[s, b] == 10 * (count + 1)
            assert t.notes[s, b] == count + 1
            ends["terminated"] += int(t.terminated[s, b])
            ends["truncated"] += int(t.truncated[s, b])
            after = t.obs[s + 1, b] if s + 1 < STEPS else np.array([final.count[b], final.name[b], final.limit[b], final.dies[b]])
            if over:
                assert after[0] == 0
            else:
                np.testing.assert_array_equal(after, t.next_obs[s, b])
    assert min(ends.values()) > 20
    _starts_are_their_own(t)


def _starts_are_their_own(t) -> None:
    """No two environments share a start, nor two rounds of `ROUND` steps; within a round an environment has but one."""
    starts: dict[tuple[int, int], set[float]] = {}
    for s in range(1, STEPS):
        for b in range(ENVS):
            if t.obs[s, b, 0] == 0:
                starts.setdefault(((s - 1) // ROUND, b), set()).add(float(t.obs[s, b, 1]))
    assert len(starts) > 20
    assert all(len(names) == 1 for names in starts.values())
    assert len(set.union(*starts.values())) == len(starts)


def test_actions_are_the_policys(plain):
    """Means recomputed one by one from the clipped, normalized actor part; the noise standard normal and independent."""
    params, _, _, rollout = plain
    t = rollout.transitions
    obs = normalize(NORMALIZER, jnp.asarray(t.obs), 2.0)
    assert float(jnp.abs(obs).max()) == 2.0  # the bound is met
    mean, log_std = NETWORKS.policy(params, obs)
    np.testing.assert_allclose(t.mean, mean, atol=1e-5)
    std = np.exp(np.asarray(log_std))
    np.testing.assert_allclose(t.log_prob, norm.logpdf(t.action, t.mean, std).sum(axis=-1), rtol=1e-4, atol=1e-4)
    noise = (t.action - t.mean) / std
    assert abs(noise.mean()) < 0.2
    assert abs(noise.std() - 1) < 0.15
    flat = noise.reshape(STEPS, -1)
    assert np.abs(np.corrcoef(flat.T) - np.eye(2 * ENVS)).max() < 0.6
    assert abs(np.corrcoef(flat[1:].ravel(), flat[:-1].ravel())[0, 1]) < 0.2


def test_logs_are_means(plain):
    rollout = plain[3]
    assert rollout.log["error/count"] == pytest.approx(rollout.transitions.notes.mean(), rel=1e-5)
    assert rollout.log["rollout/invalid"] == 0


def test_the_largest_of_what_is_named_so_is_kept():
    steps = jnp.array([[1.0, 5.0], [2.0, 4.0]])
    assert reduced({"max/contacts": steps, "error/count": steps}) == {"max/contacts": 5.0, "error/count": 3.0}


def test_correlated_noise_is_as_large_as_the_white_one_and_lasts():
    noise = np.asarray(correlated(jax.random.normal(jax.random.key(0), (24, 4000, 3)), 0.5))
    np.testing.assert_allclose(noise.std(axis=(1, 2)), 1.0, atol=0.03)
    for lag in (1, 2, 4):
        np.testing.assert_allclose(np.mean(noise[lag:] * noise[:-lag]), 0.5**lag, atol=0.02)


def test_the_noise_of_a_rollout_lasts_as_asked():
    _, _, _, rollout = roll(Clock(), noise_correlation=0.9)
    t = rollout.transitions
    noise = (t.action - t.mean) / 0.5
    assert np.mean(noise[1:] * noise[:-1]) / np.mean(np.square(noise)) > 0.7


def test_paired_environments_explore_with_opposite_noise():
    """Each second one begins where the one before it does, and goes its own way."""
    _, first, _, rollout = roll(Clock(), paired=True)
    t = rollout.transitions
    np.testing.assert_array_equal(t.obs[0, ::2], t.obs[0, 1::2])
    np.testing.assert_array_equal(t.obs[0, ::2, 1], first.name[::2])
    noise = t.action - t.mean
    np.testing.assert_allclose(noise[:, ::2], -noise[:, 1::2], atol=1e-5)
    _starts_are_their_own(t)


def test_whose_physics_broke_is_kept_as_it_was_before():
    _, _, _, rollout = roll(Clock(breaks_above=BOUND))
    t = rollout.transitions
    broken = t.action[..., 0] > BOUND
    assert 0 < broken.mean() < 0.5
    assert t.terminated[broken].all()
    assert not t.truncated[broken].any()
    assert rollout.log["rollout/invalid"] == pytest.approx(broken.mean())
    step = np.nonzero(broken.any(axis=1))[0][-1]
    env = np.nonzero(broken[step])[0][0]
    state = rollout.offender.env_state
    assert [state.count, state.name, state.limit, state.dies] == t.obs[step, env].tolist()
    np.testing.assert_array_equal(rollout.offender.action, t.action[step, env])
