"""Actor and critic: two MLPs and a state-independent standard deviation."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mimic.config import NetworkConfig
from mimic.mdp.symmetry import Mirror
from motions.rotations import Array

Params = dict[str, Any]
Layers = list[tuple[np.ndarray, np.ndarray]]  # (kernel (in, out), bias (out,)) from input to output


class MLP(nn.Module):
    """Dense layers with ELU between them; orthogonal kernels, the last one scaled by `last_scale`.

    The layers compute in `dtype`; parameters and output are float32.
    """

    sizes: tuple[int, ...]
    last_scale: float
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        def dense(size: int, scale: float) -> nn.Dense:
            return nn.Dense(size, dtype=self.dtype, kernel_init=nn.initializers.orthogonal(scale))

        for size in self.sizes[:-1]:
            x = nn.elu(dense(size, np.sqrt(2.0))(x))
        return dense(self.sizes[-1], self.last_scale)(x).astype(jnp.float32)


class Networks(NamedTuple):
    """Both take the whole observation (..., N): the actor sees its first `actor_size` numbers, the critic all from
    `critic_from` on."""

    actor: MLP
    critic: MLP
    init_std: float
    actor_size: int
    critic_from: int
    mirror: Mirror | None = None
    """With one, the mean is (f(o) + M f(M o)) / 2 of the actor f: the policy is its own mirror image."""

    def init(self, key: Array, obs_size: int) -> Params:
        key_actor, key_critic = jax.random.split(key)
        return {
            "actor": self.actor.init(key_actor, jnp.zeros(self.actor_size)),
            "critic": self.critic.init(key_critic, jnp.zeros(obs_size - self.critic_from)),
            "log_std": jnp.full(self.actor.sizes[-1], np.log(self.init_std), jnp.float32),
        }

    def policy(self, params: Params, obs: Array) -> tuple[Array, Array]:
        """Mean (..., J) and log standard deviation (J,) of the action."""
        seen = obs[..., : self.actor_size]
        mean: Array = self.actor.apply(params["actor"], seen)  # type: ignore[assignment]
        if self.mirror is not None:
            image: Array = self.actor.apply(params["actor"], self.mirror.observation.of(seen))  # type: ignore[assignment]
            mean = 0.5 * (mean + self.mirror.action.of(image))
        return mean, params["log_std"]

    def value(self, params: Params, obs: Array) -> Array:
        return self.critic.apply(params["critic"], obs[..., self.critic_from :])[..., 0]  # type: ignore[index]


def make_networks(config: NetworkConfig, action_size: int, actor_size: int, critic_sees_actor: bool = True) -> Networks:
    actor, critic = MLP((*config.hidden, action_size), 0.01, config.dtype), MLP((*config.hidden, 1), 1.0, config.dtype)
    return Networks(actor, critic, config.init_std, actor_size, 0 if critic_sees_actor else actor_size)


def actor_layers(params: Params) -> Layers:
    """The actor as plain numpy."""
    return layers_of(params["actor"])


def layers_of(network: Params) -> Layers:
    """The parameters of an `MLP` as plain numpy."""
    layers = network["params"]
    return [
        (np.asarray(layers[name]["kernel"]), np.asarray(layers[name]["bias"]))
        for name in sorted(layers, key=lambda name: int(name.rsplit("_", 1)[1]))
    ]


def symmetric_layers(layers: Layers, mirror: Mirror) -> Layers:
    """One network, twice as wide, that gives (f(o) + M f(M o)) / 2 for the network f of `layers`."""
    (first, first_bias), *middle, (last, last_bias) = layers
    image = np.empty_like(first)
    image[mirror.observation.index] = mirror.observation.sign[:, None] * first
    wide: Layers = [(np.concatenate([first, image], axis=1), np.tile(first_bias, 2))]
    for kernel, bias in middle:
        wide.append((np.kron(np.eye(2, dtype=kernel.dtype), kernel), np.tile(bias, 2)))
    kernel, bias = (0.5 * np.stack([part, mirror.action.of(part)]) for part in (last, last_bias))
    return [*wide, (kernel.reshape(-1, kernel.shape[-1]), bias.sum(axis=0))]


def actor_params(layers: Layers) -> Params:
    """What `MLP.apply` takes, of the layers that `actor_layers` gave."""
    return {"params": {f"Dense_{i}": {"kernel": kernel, "bias": bias} for i, (kernel, bias) in enumerate(layers)}}


def gaussian_log_prob(action: Array, mean: Array, log_std: Array) -> Array:
    """log N(action; mean, exp(log_std)^2), summed over the last axis; (...)."""
    z = (action - mean) / jnp.exp(log_std)
    return jnp.sum(-0.5 * jnp.square(z) - log_std - 0.5 * jnp.log(2.0 * jnp.pi), axis=-1)


def gaussian_kl(mean_old: Array, log_std_old: Array, mean_new: Array, log_std_new: Array) -> Array:
    """KL(old || new) of diagonal Gaussians, summed over the last axis; (...)."""
    ratio = jnp.exp(2.0 * (log_std_old - log_std_new))
    distance = jnp.square((mean_old - mean_new) / jnp.exp(log_std_new))
    return jnp.sum(log_std_new - log_std_old + 0.5 * (ratio + distance - 1.0), axis=-1)
