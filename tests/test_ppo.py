"""PPO: advantages against loops, the loss in numpy, exact values of a small chain, and a task solved in seconds."""

import dataclasses
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from toy import Chain, Reach, toy_config

from mimic.config import NetworkConfig, PPOConfig
from mimic.learning.networks import actor_layers, make_networks
from mimic.learning.normalizer import normalize
from mimic.learning.ppo import (
    LAST_KL,
    Batch,
    annealed,
    gae,
    group_count,
    grouped,
    make_learner,
    next_values,
    pair_centred,
    ppo_loss,
)

STEPS, ENVS = 12, 5


def random_record(seed: int):
    rng = np.random.default_rng(seed)
    reward, value, next_value = rng.normal(size=(3, STEPS, ENVS))
    terminated = rng.random((STEPS, ENVS)) < 0.2
    truncated = (rng.random((STEPS, ENVS)) < 0.2) & ~terminated
    return reward, value, next_value, terminated, truncated


@pytest.mark.parametrize("truncations", [0, 1, 4, 5, 40])
def test_values_of_the_states_led_to(truncations: int):
    """As if the critic were asked everywhere, but after terminations; 64 / 16 = 4 truncations are few."""
    rng = np.random.default_rng(truncations)
    obs, next_obs = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
    ended = np.zeros(64, bool)
    ended[rng.choice(64, truncations + 3, replace=False)] = True
    terminated = np.zeros(64, bool)
    terminated[np.flatnonzero(ended)[:3]] = True
    ended, terminated = ended.reshape(8, 8), terminated.reshape(8, 8)
    obs[1:][~ended[:-1]] = next_obs[:-1][~ended[:-1]]  # without a reset the next row is the state led to

    def critic(x):
        return jnp.sin(x).sum(axis=-1)

    found = next_values(critic, critic(jnp.asarray(obs)), jnp.asarray(next_obs), jnp.asarray(ended & ~terminated))
    np.testing.assert_allclose(found[~terminated], np.sin(next_obs).sum(axis=-1)[~terminated], rtol=1e-5, atol=1e-6)


def test_samples_are_drawn_in_groups_of_whole_environments():
    """As many groups as there can be, up to 64, of which each minibatch has equally many samples."""
    assert [group_count(envs, 24, 4) for envs in (8192, 128, 96, 6, 5)] == [64, 64, 32, 2, 1]
    assert group_count(64, 3, 4) == 16  # of four environments: twelve samples
    record = np.arange(4 * 6).reshape(4, 6)  # [T, B]
    groups = np.asarray(grouped(3, jnp.asarray(record)))
    assert groups.shape == (3, 8)
    for index in range(3):
        assert set(groups[index]) == set(record[:, 2 * index : 2 * index + 2].reshape(-1))


def test_updates_become_small_at_the_end():
    """Whole up to the last half, then a line to a twentieth; a share of zero changes nothing before the end."""
    found = [float(annealed(jnp.float32(progress), 0.5)) for progress in (0.0, 0.5, 0.75, 0.9, 1.0)]
    np.testing.assert_allclose(found, [1.0, 1.0, 0.5, 0.2, LAST_KL], rtol=1e-5)
    assert float(annealed(jnp.float32(0.999), 0.0)) == 1.0


def test_gae_by_loops():
    """Each advantage as the sum it stands for: of discounted errors until its episode ends, one way or the other."""
    discount, lam = 0.9, 0.8
    reward, value, next_value, terminated, truncated = record = random_record(0)
    assert terminated.any()
    assert truncated.any()
    expected = np.zeros((STEPS, ENVS))
    for b in range(ENVS):
        for t in range(STEPS):
            weight = 1.0
            for s in range(t, STEPS):
                bootstrap = 0.0 if terminated[s, b] else next_value[s, b]
                expected[t, b] += weight * (reward[s, b] + discount * bootstrap - value[s, b])
                if terminated[s, b] or truncated[s, b]:
                    break
                weight *= discount * lam
    advantage, target = gae(*(jnp.asarray(x) for x in record), discount, lam)
    np.testing.assert_allclose(advantage, expected, atol=1e-5)
    np.testing.assert_allclose(target, expected + value, atol=1e-5)


def test_only_truncation_bootstraps():
    """One step, reward 1, value 2, next value 5, discount .5: 1 + 2.5 - 2 = 1.5 against 1 - 2 = -1."""
    one = jnp.ones((1, 1))
    for terminated, truncated, expected in ((False, True, 1.5), (False, False, 1.5), (True, False, -1.0)):
        found, _ = gae(one, 2 * one, 5 * one, jnp.array([[terminated]]), jnp.array([[truncated]]), 0.5, 0.95)
        assert float(found[0, 0]) == expected


def test_pairs_lose_their_mean_until_one_of_them_is_reset():
    rng = np.random.default_rng(0)
    advantage, ended = rng.normal(size=(6, 8)), rng.random((6, 8)) < 0.15
    assert ended.any()
    expected = advantage.copy()
    for b in range(0, 8, 2):
        for t in range(6):
            if not ended[:t, b : b + 2].any():
                expected[t, b : b + 2] -= advantage[t, b : b + 2].mean()
    np.testing.assert_allclose(pair_centred(jnp.asarray(advantage), jnp.asarray(ended)), expected, atol=1e-6)


@pytest.mark.parametrize("value_clip", [None, 0.4])
def test_loss_in_numpy(value_clip: float | None):
    rng = np.random.default_rng(0)
    config = PPOConfig(clip_ratio=0.2, entropy_coef=0.3, value_clip=value_clip)
    networks = make_networks(NetworkConfig(hidden=(6,)), 2, actor_size=3)
    shapes = jax.eval_shape(lambda key: networks.init(key, 5), jax.random.key(0))
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape, scale=0.5), jnp.float32), shapes)
    obs, action, old_mean = rng.normal(size=(50, 5)), rng.normal(size=(50, 2)), rng.normal(size=(50, 2), scale=0.3)
    value, advantage, target = rng.normal(size=(3, 50))
    old_log_std = rng.normal(size=2, scale=0.2)
    old_log_prob = norm.logpdf(action, old_mean, np.exp(old_log_std)).sum(axis=1)

    def network(layers: list, x: np.ndarray) -> np.ndarray:
        hidden = x @ layers[0][0] + layers[0][1]
        return np.where(hidden > 0, hidden, np.exp(np.minimum(hidden, 0)) - 1) @ layers[1][0] + layers[1][1]

    mean, std = network(actor_layers(params), obs[:, :3]), np.exp(np.asarray(params["log_std"], float))
    ratio = np.exp(norm.logpdf(action, mean, std).sum(axis=1) - old_log_prob)
    assert (ratio > 1.2).any()
    assert (ratio < 0.8).any()
    policy_loss = -np.mean([min(r * a, min(max(r, 0.8), 1.2) * a) for r, a in zip(ratio, advantage)])
    new_value = network(actor_layers({"actor": params["critic"]}), obs)[:, 0]
    errors = [[(v - t) ** 2] for v, t in zip(new_value, target)]
    if value_clip is not None:
        for i, (v, old, t) in enumerate(zip(new_value, value, target)):
            errors[i].append((min(max(v, old - value_clip), old + value_clip) - t) ** 2)
        assert {np.argmax(pair) for pair in errors} == {0, 1}
    value_loss = np.mean([max(pair) for pair in errors])
    entropy = sum(norm(0, s).entropy() for s in std)
    variances = np.exp(2 * old_log_std), std**2
    kl = np.log(std) - old_log_std + (variances[0] + (old_mean - mean) ** 2) / (2 * variances[1]) - 0.5

    batch = Batch(*(jnp.asarray(x, jnp.float32) for x in (obs, action, old_mean, old_log_prob, value, advantage, target)))
    loss, log = ppo_loss(params, batch, jnp.asarray(old_log_std), networks, config)
    assert float(log["loss/policy"]) == pytest.approx(policy_loss, rel=1e-3, abs=1e-4)
    assert float(log["loss/value"]) == pytest.approx(value_loss, rel=1e-4)
    assert float(log["loss/kl"]) == pytest.approx(kl.sum(axis=1).mean(), rel=1e-4)
    assert float(loss) == pytest.approx(policy_loss + value_loss - 0.3 * entropy, rel=1e-3)


CHAIN = toy_config(64, rollout_length=4, num_epochs=1, num_minibatches=1, discount=Chain.discount, critic_learning_rate=0.02)


@pytest.fixture(scope="module")
def chain():
    """Learner, compiled iteration, and the states along 120 iterations, from after the first on, which only looks."""
    learner = make_learner(CHAIN, Chain())
    iterate = jax.jit(learner.iterate)
    states = [iterate(jax.jit(learner.init)(jax.random.key(0)))[0]]
    for _ in range(120):
        state, log, _ = iterate(states[-1])
        states.append(state)
    return learner, iterate, states, log


def test_values_of_a_chain(chain):
    """Wrong bootstrapping would give other values: V(1) = 0 without it, and about .57 from the state after the reset;
    V(0) = .81 if terminated episodes bootstrapped."""
    learner, _, states, log = chain
    places = jnp.concatenate([jnp.zeros((3, 1)), jnp.eye(3, 4)], axis=1)
    values = learner.networks.value(states[-1].params, normalize(states[-1].normalizer, places, 10.0))
    np.testing.assert_allclose(values, Chain.values, atol=0.03)
    assert float(log["loss/value_explained"]) > 0.99


def test_what_an_iteration_counts(chain):
    _, _, states, log = chain
    assert [int(state.iteration) for state in states[:3]] == [1, 2, 3]
    assert int(states[-1].normalizer.count) == 121 * 64 * 4  # the first rollout is in it, though nothing was learnt from it
    assert float(log["rollout/terminated"]) == pytest.approx(2 / 3, abs=0.15)
    assert float(log["rollout/reward"]) == pytest.approx(1 / 3, abs=0.15)
    failed = float(states[-1].curriculum)
    assert failed == pytest.approx(121 * 64 * 4 * 2 / 3, rel=0.02)


def test_the_first_iteration_learns_nothing(chain):
    """It only looks: what it saw is in the normalizer, and a row of its log says that nothing was lost or gained."""
    learner, iterate, *_ = chain
    fresh = jax.jit(learner.init)(jax.random.key(0))
    state, log, _ = iterate(fresh)
    for name in ("params", "average", "opt_state", "learning_rate"):
        for before, after in zip(jax.tree.leaves(getattr(fresh, name)), jax.tree.leaves(getattr(state, name))):
            np.testing.assert_array_equal(before, after)
    assert (int(fresh.normalizer.count), int(state.normalizer.count)) == (0, 64 * 4)
    assert (float(log["loss/kl"]), float(log["loss/policy"])) == (0, 0)


def test_weight_average_by_hand(chain):
    """One minibatch an iteration: a' = .99 a + .01 p'."""
    states = chain[2]
    for before, after in pairwise(states[:4]):
        for a, p, found in zip(*(jax.tree.leaves(x) for x in (before.average, after.params, after.average))):
            np.testing.assert_allclose(found, 0.99 * a + 0.01 * p, atol=1e-6)
    first = states[0]
    for a, p in zip(jax.tree.leaves(first.average), jax.tree.leaves(first.params)):
        np.testing.assert_array_equal(a, p)


def test_the_step_size_stays_in_its_bounds_and_follows_the_divergence(chain):
    """One minibatch an iteration sees no divergence from itself: the step grows by 1.2 each time up to its bound."""
    rates = [float(state.learning_rate) for state in chain[2]]
    expected = [min(5e-4 * 1.2**i, 3e-3) for i in range(len(rates))]
    np.testing.assert_allclose(rates, expected, rtol=1e-4)


def test_the_same_seed_gives_the_same_run(chain):
    learner, iterate, states, _ = chain
    again = jax.jit(learner.init)(jax.random.key(0))
    for _ in range(4):
        again, *_ = iterate(again)
    for a, b in zip(jax.tree.leaves(again._replace(key=0)), jax.tree.leaves(states[3]._replace(key=0))):
        np.testing.assert_array_equal(a, b)
    other = jax.jit(learner.init)(jax.random.key(1))
    assert not np.array_equal(
        other.params["actor"]["params"]["Dense_0"]["kernel"], states[0].params["actor"]["params"]["Dense_0"]["kernel"]
    )


@pytest.mark.slow
def test_jit_is_no_jit(chain):
    learner, iterate, states, _ = chain
    with jax.disable_jit():
        plain, plain_log, _ = learner.iterate(states[0])
    jitted, log, _ = iterate(states[0])
    for name, value in log.items():
        assert float(plain_log[name]) == pytest.approx(float(value), rel=1e-3, abs=1e-5), name
    for a, b in zip(jax.tree.leaves(plain.params), jax.tree.leaves(jitted.params)):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_without_a_step_size_of_its_own_the_critic_takes_the_actors():
    """Adam's first step is the step size in every weight that has a gradient."""
    config = toy_config(64, rollout_length=4, num_epochs=1, num_minibatches=1, learning_rate=3e-4, critic_learning_rate=None)
    learner = make_learner(config, Chain())
    iterate = jax.jit(learner.iterate)
    state, *_ = iterate(jax.jit(learner.init)(jax.random.key(0)))  # which only looks
    after, *_ = iterate(state)
    steps = [
        max(float(jnp.abs(a - b).max()) for a, b in zip(jax.tree.leaves(after.params[name]), jax.tree.leaves(state.params[name])))
        for name in ("actor", "critic")
    ]
    np.testing.assert_allclose(steps, float(after.learning_rate), rtol=1e-2)


def test_networks_that_compute_in_bfloat16_learn_from_what_they_did():
    """The mean that an action was drawn about is the one that its update begins from; all that is kept stays float32."""
    config = toy_config(64, rollout_length=4, num_epochs=1, num_minibatches=1)
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, dtype="bfloat16"))
    learner = make_learner(config, Reach())
    iterate = jax.jit(learner.iterate)
    state, *_ = iterate(jax.jit(learner.init)(jax.random.key(0)))  # which only looks
    after, log, _ = iterate(state)
    assert abs(float(log["loss/kl"])) < 1e-6
    assert {leaf.dtype for leaf in jax.tree.leaves((after.params, after.average))} == {jnp.dtype("float32")}
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), after.params, state.params)
    assert all(jax.tree.leaves(moved))


def test_exploration_does_not_end_below_its_least_noise():
    """Standing on a goal wants no noise: it shrinks, and stops at the bound."""
    stds = {}
    for least in (0.0, 0.25):
        config = toy_config(
            64, rollout_length=4, num_epochs=4, num_minibatches=1, entropy_coef=0.0, std_rate=100.0, min_std=least
        )
        learner = make_learner(config, Reach())
        state, iterate = jax.jit(learner.init)(jax.random.key(0)), jax.jit(learner.iterate)
        for _ in range(30):
            state, *_ = iterate(state)
        stds[least] = np.exp(np.asarray(state.params["log_std"]))
    assert stds[0.0].min() < 0.2
    assert stds[0.25].min() == pytest.approx(0.25, rel=1e-6)


@pytest.mark.parametrize("paired", [False, True])
def test_a_small_task_is_solved_in_seconds(paired: bool):
    """From reward .05 a step, a policy that hardly moves, to nearly the .2 of standing on the goal; judged without noise."""
    config = toy_config(64, (32, 32), rollout_length=16, num_epochs=4, num_minibatches=4, discount=0.9, paired=paired)
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, init_std=0.5))
    task = Reach()
    learner = make_learner(config, task)
    state, iterate = jax.jit(learner.init)(jax.random.key(1)), jax.jit(learner.iterate)
    for _ in range(60):
        state, log, _ = iterate(state)

    def episode(key):
        def step(env_state, _):
            obs = normalize(state.normalizer, jnp.concatenate(task.observe(env_state)), 10.0)
            action = learner.networks.policy(state.params, obs)[0]
            env_state, result = task.step(env_state, action, jnp.zeros(0), jnp.zeros(()))
            return env_state, result.log["error/distance"]

        return jax.lax.scan(step, task.reset(key, jnp.zeros(())), None, length=12)[1]

    distance = jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(9), 50))
    assert float(distance[:, 6:].mean()) < 0.15
    assert float(log["rollout/action_std"]) < 0.5
