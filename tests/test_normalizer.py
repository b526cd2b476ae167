"""Running statistics against numpy's of everything seen."""

import jax.numpy as jnp
import numpy as np

from mimic.learning.normalizer import init_normalizer, normalize, scale, update_normalizer

RNG = np.random.default_rng(0)
SEEN = [RNG.normal(size=(4, 6, 3)) * [1, 10, 0.1] + [0, 100, -3] for _ in range(5)]


def taught():
    state = init_normalizer(3)
    for obs in SEEN:
        state = update_normalizer(state, jnp.asarray(obs, jnp.float32))
    return state


def test_mean_and_deviation_are_numpys():
    everything = np.concatenate([obs.reshape(-1, 3) for obs in SEEN])
    np.testing.assert_allclose(taught().mean, everything.mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(taught().std, everything.std(axis=0), rtol=1e-3)


def test_normalized_is_standard_and_bounded():
    state = taught()
    everything = jnp.asarray(np.concatenate([obs.reshape(-1, 3) for obs in SEEN]), jnp.float32)
    normal = np.asarray(normalize(state, everything, 10.0))
    np.testing.assert_allclose(normal.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(normal.std(axis=0), 1, atol=1e-3)
    far = normalize(state, jnp.array([1e6, -1e6, -3.0]), 10.0)
    assert far[:2].tolist() == [10.0, -10.0]
    assert float(jnp.abs(normalize(state, everything, 0.5)).max()) == 0.5


def test_a_fresh_one_changes_nothing():
    np.testing.assert_array_equal(normalize(init_normalizer(3), jnp.array([1.0, -2.0, 3.0]), 10.0), [1, -2, 3])


def test_a_constant_stays_finite():
    state = update_normalizer(init_normalizer(2), jnp.ones((10, 2)) * jnp.array([5.0, 0.0]))
    assert np.isfinite(normalize(state, jnp.array([5.0, 1.0]), 10.0)).all()


def test_what_hardly_moves_far_from_zero_has_its_own_deviation():
    obs = jnp.asarray(3.0 + 0.004 * RNG.normal(size=(20, 30, 1)), jnp.float32)
    state = update_normalizer(init_normalizer(1), obs)
    np.testing.assert_allclose(state.std, np.asarray(obs, np.float64).std(), rtol=1e-4)


def test_scaled_by_their_size_zeros_stay_zeros():
    rng = np.random.default_rng(3)
    obs = rng.normal(2.0, 0.5, (500, 3)).astype(np.float32)
    state = update_normalizer(init_normalizer(3), jnp.asarray(obs))
    expected = np.clip(obs / np.sqrt(np.mean(obs**2, axis=0)), -1.2, 1.2)
    np.testing.assert_allclose(scale(state, jnp.asarray(obs), 1.2), expected, rtol=2e-3)
    np.testing.assert_array_equal(scale(state, jnp.zeros(3), 1.2), 0.0)
