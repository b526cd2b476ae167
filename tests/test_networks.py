"""Networks in plain numpy; Gaussian densities against scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from mimic.config import NetworkConfig
from mimic.learning.networks import actor_layers, gaussian_kl, gaussian_log_prob, make_networks

RNG = np.random.default_rng(0)
MEAN, LOG_STD, ACTION = RNG.normal(size=(5, 3)), RNG.normal(size=3, scale=0.5), RNG.normal(size=(5, 3))


def test_log_prob_is_scipys():
    expected = norm.logpdf(ACTION, MEAN, np.exp(LOG_STD)).sum(axis=1)
    np.testing.assert_allclose(
        gaussian_log_prob(jnp.asarray(ACTION), jnp.asarray(MEAN), jnp.asarray(LOG_STD)), expected, rtol=1e-5
    )


def test_kl_is_the_integral_it_stands_for():
    mean_new, log_std_new = RNG.normal(size=3), RNG.normal(size=3, scale=0.5)
    expected = 0.0
    for i in range(3):
        old, new = norm(MEAN[0, i], np.exp(LOG_STD[i])), norm(mean_new[i], np.exp(log_std_new[i]))
        expected += quad(lambda x: old.pdf(x) * (old.logpdf(x) - new.logpdf(x)), old.mean() - 12, old.mean() + 12)[0]  # noqa: B023
    found = gaussian_kl(*(jnp.asarray(x) for x in (MEAN[0], LOG_STD, mean_new, log_std_new)))
    assert float(found) == pytest.approx(expected, rel=1e-4)
    assert float(gaussian_kl(*(jnp.asarray(x) for x in (MEAN[0], LOG_STD, MEAN[0], LOG_STD)))) == 0


@pytest.fixture(scope="module")
def many_layers():
    """Twelve of them: names of layers sort otherwise than their numbers."""
    networks = make_networks(NetworkConfig(hidden=(7,) * 11, init_std=0.3), 2, actor_size=4)
    shapes = jax.eval_shape(lambda key: networks.init(key, 6), jax.random.key(0))
    params = jax.tree.map(lambda leaf: jnp.asarray(RNG.normal(size=leaf.shape, scale=0.5), jnp.float32), shapes)
    return networks, params


def forward(layers: list[tuple[np.ndarray, np.ndarray]], x: np.ndarray) -> np.ndarray:
    for i, (kernel, bias) in enumerate(layers):
        x = x @ kernel + bias
        if i < len(layers) - 1:
            x = np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)
    return x


def test_policy_and_value_in_numpy(many_layers):
    networks, params = many_layers
    layers = actor_layers(params)
    assert [kernel.shape for kernel, _ in layers] == [(4, 7), *[(7, 7)] * 10, (7, 2)]
    obs = RNG.normal(size=(3, 5, 4)).astype(np.float32)
    mean, log_std = networks.policy(params, jnp.asarray(obs))
    np.testing.assert_allclose(mean, forward(layers, obs), rtol=2e-4, atol=1e-4)
    np.testing.assert_array_equal(log_std, params["log_std"])
    critic = actor_layers({"actor": params["critic"]})
    obs = RNG.normal(size=(3, 5, 6)).astype(np.float32)
    np.testing.assert_allclose(networks.value(params, jnp.asarray(obs)), forward(critic, obs)[..., 0], rtol=2e-4, atol=1e-4)


def test_layers_that_compute_in_bfloat16(many_layers):
    """Parameters and outputs stay float32, the outputs bfloat16's error apart from the float32 network's."""
    networks, params = many_layers
    rough = make_networks(NetworkConfig(hidden=(7,) * 11, dtype="bfloat16"), 2, actor_size=4)
    shapes = jax.eval_shape(lambda key: rough.init(key, 6), jax.random.key(0))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), shapes) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), params
    )
    obs = jnp.asarray(RNG.normal(size=(50, 6)), jnp.float32)
    for name, found, exact in (
        ("mean", rough.policy(params, obs)[0], networks.policy(params, obs)[0]),
        ("value", rough.value(params, obs), networks.value(params, obs)),
    ):
        assert found.dtype == jnp.float32, name
        assert 1e-5 < np.abs(found - exact).max() < 0.05 * np.abs(exact).max(), name


def test_a_critic_that_does_not_see_what_the_actor_sees():
    networks = make_networks(NetworkConfig(hidden=(4,)), 2, actor_size=3, critic_sees_actor=False)
    params = jax.jit(networks.init, static_argnums=1)(jax.random.key(0), 8)
    obs = RNG.normal(size=8).astype(np.float32)
    other = np.concatenate([obs[:3] + 1.0, obs[3:]])
    assert params["critic"]["params"]["Dense_0"]["kernel"].shape == (5, 4)
    assert float(networks.value(params, jnp.asarray(obs))) == float(networks.value(params, jnp.asarray(other)))


def test_first_weights():
    """Orthogonal with gain sqrt(2), the actor's last layer .01 and the critic's 1; biases 0; the asked standard deviation."""
    networks = make_networks(NetworkConfig(hidden=(8, 6), init_std=0.3), 2, actor_size=5)
    params = jax.jit(networks.init, static_argnums=1)(jax.random.key(3), 9)
    gains = {"actor": (2.0, 2.0, 1e-4), "critic": (2.0, 2.0, 1.0)}
    for name, squares in gains.items():
        for (kernel, bias), square in zip(actor_layers({"actor": params[name]}), squares):
            small = kernel if kernel.shape[0] >= kernel.shape[1] else kernel.T
            np.testing.assert_allclose(small.T @ small, square * np.eye(small.shape[1]), atol=1e-5 * square)
            assert not bias.any()
    np.testing.assert_allclose(np.exp(params["log_std"]), 0.3, rtol=1e-6)
    assert not np.array_equal(params["actor"]["params"]["Dense_1"]["kernel"], params["critic"]["params"]["Dense_1"]["kernel"])
