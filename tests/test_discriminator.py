"""The discriminator: its numbers from the papers, what it learns of two distributions, and what tells of a collapse."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mimic.config import StyleConfig
from mimic.learning.discriminator import SURE, StyleState, make_judge, style_reward, told_apart
from mimic.mdp.style import SPEED_QUANTILES, Clusters

SIZE = 9  # of features, of which 7 and 8 are a velocity
STILL = jnp.zeros((4, 16), bool)


class Toy:
    """Clips whose features are around 1, in one cluster, the robot's wherever a test has them."""

    style_size = SIZE
    clusters = Clusters(
        centres=np.stack([np.ones(SIZE), -np.ones(SIZE)]).astype(np.float32),
        origin=np.zeros(SIZE, np.float32),
        scale=np.ones(SIZE, np.float32),
        reach=np.ones(2, np.float32),
        share=np.full(2, 0.5, np.float32),
        speeds=np.full(SPEED_QUANTILES, 2.0**0.5, np.float32),
    )
    styles: tuple[str, ...] = ()
    shares = clusters.share[None]

    def demo(self, key: jax.Array) -> jax.Array:
        return 1.0 + 0.1 * jax.random.normal(key, (SIZE,))


CONFIG = StyleConfig(hidden=(16,), batch=32, updates=4, learning_rate=3e-3, replay=100)


def windows(key: int, around: float) -> jax.Array:
    return around + 0.1 * jax.random.normal(jax.random.key(key), (4, 16, SIZE))


def taught(config: StyleConfig, around: float, rounds: int = 100) -> tuple[StyleState, dict[str, jax.Array]]:
    judge = make_judge(config, Toy())
    state, learn, log = judge.init(jax.random.key(0)), jax.jit(judge.learn), {}
    for i in range(rounds):
        state, log = learn(state, windows(i, around), STILL, jax.random.key(i))
    return state, log


def test_rewards_are_the_papers():
    scores = jnp.asarray([-2.0, -1.0, 0.0, 1.0, 3.0])
    np.testing.assert_allclose(style_reward(scores, "least_squares"), [0.0, 0.0, 0.75, 1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(
        style_reward(jnp.asarray([0.0, 3.0, 50.0]), "cross_entropy"), [np.log(2), np.log(1 + np.exp(3)), -np.log(SURE)], rtol=1e-4
    )


def test_losses_are_least_where_clips_and_robot_are_told_apart():
    assert told_apart(jnp.ones(3), -jnp.ones(3), "least_squares") == 0.0
    assert told_apart(jnp.zeros(3), jnp.zeros(3), "least_squares") == 2.0
    assert told_apart(jnp.zeros(3), jnp.zeros(3), "cross_entropy") == pytest.approx(2 * np.log(2))
    assert told_apart(jnp.full(3, 9.0), jnp.full(3, -9.0), "cross_entropy") < 1e-3


@pytest.mark.parametrize("loss", ["least_squares", "cross_entropy"])
def test_it_tells_two_distributions_apart_and_pays_for_the_clips(loss):
    config = replace(CONFIG, loss=loss)
    state, log = taught(config, around=-1.0)
    judge = make_judge(config, Toy())
    assert log["style/accuracy"] > 0.95
    assert log["style/score_gap"] > 0.5
    assert judge.reward(state, windows(7, 1.0)).mean() > 2.0 * judge.reward(state, windows(7, -1.0)).mean()


def test_what_moves_as_the_clips_do_cannot_be_told_apart():
    _, log = taught(CONFIG, around=1.0)
    assert abs(log["style/accuracy"] - 0.5) < 0.15
    assert abs(log["style/score_gap"]) < 0.3


def test_the_gradient_penalty_flattens_it():
    steep, flat = (taught(replace(CONFIG, grad_penalty=weight), -1.0)[1] for weight in (0.0, 20.0))
    assert flat["loss/grad_penalty"] < 0.1 * steep["loss/grad_penalty"]


def test_of_differences_none_is_the_best():
    """Zero is what is true, and the normalizer keeps it."""
    config = replace(CONFIG, judges="difference", grad_penalty=0.1)
    task = type("Differences", (Toy,), {"clusters": None, "shares": None})()
    judge = make_judge(config, task)
    state, learn = judge.init(jax.random.key(0)), jax.jit(judge.learn)
    for i in range(200):
        state, log = learn(state, windows(i, 0.5), STILL, jax.random.key(i))
    assert "style/coverage" not in log
    rewards = [float(judge.reward(state, jnp.full(SIZE, off))) for off in (0.0, 0.25, 0.5)]
    assert rewards[0] > rewards[1] > rewards[2]


def test_the_replay_is_a_ring():
    judge = make_judge(CONFIG, Toy())
    state, learn = judge.init(jax.random.key(0)), jax.jit(judge.learn)
    for i, (filled, next_row) in enumerate([(32, 32), (64, 64), (96, 96), (100, 28)]):
        state, _ = learn(state, windows(i, float(i)), STILL, jax.random.key(i))
        assert (int(state.filled), int(state.next_row)) == (filled, next_row)
    means = np.asarray(state.replay).mean(axis=1).round()
    np.testing.assert_array_equal(means, [3] * 28 + [0] * 4 + [1] * 32 + [2] * 32 + [3] * 4)


def test_coverage_shows_who_does_one_thing_only():
    """The clips are half here, half there; what a robot does in its episodes' first moments does not count."""
    judge = make_judge(CONFIG, Toy())
    learn = jax.jit(judge.learn)
    here, there = jnp.ones((4, 16, SIZE)), -jnp.ones((4, 16, SIZE))
    settled, key = jnp.ones((4, 16), bool), jax.random.key(0)
    begun = judge.init(key)
    assert learn(begun, here, settled, key)[1]["style/coverage"] == 0.5
    assert learn(begun, jnp.concatenate([here[:2], there[:2]]), settled, key)[1]["style/coverage"] == 1.0
    assert learn(begun, here, STILL, key)[1]["style/coverage"] == 0.0
    state, log = learn(begun, here, settled, key)
    assert log["style/speed_distance_m_s"] == pytest.approx(0.0, abs=1e-6)
    assert learn(state, 2 * here, settled, key)[1]["style/speed_distance_m_s"] == pytest.approx(2**0.5, rel=1e-5)


def test_coverage_is_counted_for_each_style_that_is_told():
    """One style is here, the other there; what the robot does told one of them counts for that one only."""

    class Told(Toy):
        style_size = SIZE + 2
        styles = ("here", "there")
        shares = np.eye(2, dtype=np.float32)

        def demo(self, key: jax.Array) -> jax.Array:
            return jnp.concatenate([super().demo(key), jnp.array([1.0, 0.0])])

    judge = make_judge(CONFIG, Told())
    learn, key, settled = jax.jit(judge.learn), jax.random.key(0), jnp.ones((4, 16), bool)
    here, there = jnp.ones((4, 16, SIZE)), -jnp.ones((4, 16, SIZE))

    def log_of(done: jax.Array, told: list[float]) -> list[float]:
        shown = jnp.concatenate([done, jnp.broadcast_to(jnp.array(told), (4, 16, 2))], axis=-1)
        _, log = learn(judge.init(key), shown, settled, key)
        return [float(log[f"style/coverage{name}"]) for name in ("_here", "_there", "")]

    assert log_of(here, [1.0, 0.0]) == [1.0, 0.0, 0.5]
    assert log_of(there, [0.0, 1.0]) == [0.0, 1.0, 0.5]
    assert log_of(here, [0.0, 1.0]) == [0.0, 0.0, 0.0], "not what it was told"
