"""Hardening: which falls are taken, how a way out is found and kept, and that a policy which falls learns not to."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import call, refusal
from tiny import tiny_motion, tiny_robot
from toy import Result, Toy, toy_config

from mimic.config import Config, NetworkConfig, PPOConfig, PushConfig, RandomizeConfig, SearchConfig
from mimic.learning.harden import SHORTEST, Examples, Practice, falls_of, make_hardener, remember, stands_on
from mimic.learning.search import Falls, advance, empty_library, empty_search, hats, refill
from mimic.runs import create_run, open_run, read_metrics
from mimic.training.train import train

# A walker on a ridge, in a wind of its own, which it sees: it falls off one step in forty, unless it leans against the wind.


class RidgeState(NamedTuple):
    place: jax.Array
    wind: jax.Array
    steps: jax.Array


class Ridge(Toy):
    action_size = 2

    def reset(self, key: jax.Array, curriculum: jax.Array) -> RidgeState:
        wind = jax.random.uniform(key, (2,), minval=0.3, maxval=0.6) * jnp.array([1.0, 0.0])
        return RidgeState(jnp.zeros(2), wind, jnp.zeros((), int))

    def step(self, state: RidgeState, action: jax.Array, chance: jax.Array, curriculum: jax.Array) -> tuple[RidgeState, Result]:
        place, steps = state.place + 0.1 * (state.wind + action), state.steps + 1
        fell = jnp.abs(place).max() > 1.0
        reward = 1.0 - jnp.abs(place).max()
        log = {"error/place": jnp.abs(place).max(), "max/action": jnp.abs(action).max()}
        return RidgeState(place, state.wind, steps), Result(reward, fell, ~fell & (steps >= 60), fell & False, jnp.zeros(()), log)

    def observe(self, state: RidgeState) -> tuple[jax.Array, jax.Array]:
        return jnp.concatenate([state.place, state.wind]), jnp.zeros(0)


SEARCH = SearchConfig(
    practice=60, generations_per_practice=6, before=24, horizon=30, spacing=6, samples=16, generations=8, library=32, kept=20000,
    trusted=200, updates=40, learning_rate=3e-3, otherwise=0.05, enough=0.5,
)  # fmt: skip
RIDGE = dataclasses.replace(
    toy_config(num_envs=32, rollout_length=8), learner="search", env_steps=32 * 240 * 12, search=SEARCH, init_from="x"
)


def test_hats_add_up_to_one_between_the_knots():
    weights = np.asarray(hats(20, 4, 5))
    np.testing.assert_allclose(weights[:16].sum(axis=1), 1.0)
    np.testing.assert_array_equal(weights[[0, 5, 10, 15]], np.eye(4))
    np.testing.assert_array_equal(weights[20:], 0.0)
    assert weights[17, 3] == pytest.approx(0.6)


def test_the_first_fall_of_each_environment_is_taken_from_some_time_before():
    """By loops, over random episodes; what follows by chance is what had followed."""
    rng = np.random.default_rng(0)
    steps, envs, before, horizon = 60, 40, 30, 12
    ended = rng.uniform(size=(steps, envs)) < 0.05
    terminated = ended & (rng.uniform(size=ended.shape) < 0.7)
    snapshots = np.arange(10)[:, None] * 1000 + np.arange(envs)
    chances = np.arange(steps + horizon)[:, None] * 1000 + np.arange(envs)
    practice = Practice(*(jnp.zeros(0),) * 2, *map(jnp.asarray, (terminated, ended, snapshots, chances)))
    falls = falls_of(practice, before, horizon)
    found = 0
    for b in range(envs):
        expected = None
        for t in range(steps):
            began = max((s + 1 for s in range(t) if ended[s, b]), default=0)
            start = max(-(-began // 6), (t - before) // 6, 0)
            if terminated[t, b] and t - 6 * start >= SHORTEST and (began or t >= before):
                expected = start
                break
        assert bool(falls.real[b]) == (expected is not None)
        if expected is not None:
            found += 1
            assert int(falls.start[b]) == 1000 * expected + b
            np.testing.assert_array_equal(falls.chances[b], (6 * expected + np.arange(horizon)) * 1000 + b)
    assert 5 < found < envs


def test_what_stands_has_no_fall_ahead_and_is_known_to_have_none():
    terminated = np.zeros((10, 2), bool)
    terminated[6, 0] = True
    stands = np.asarray(stands_on(jnp.asarray(terminated), 3))
    assert stands[:, 0].tolist() == [True] * 4 + [False] * 3 + [True] + [False] * 2
    assert stands[:, 1].tolist() == [True] * 8 + [False] * 2


def test_the_newest_examples_are_kept():
    memory = Examples(jnp.zeros((5, 1), jnp.float16), jnp.zeros((5, 1)), jnp.zeros((), int))
    for begin in (0, 4, 8, 12):
        values = jnp.arange(begin, begin + 4.0)[:, None]
        memory = remember(memory, values, -values, jnp.asarray([True, False, True, True]))
    assert int(memory.count) == 12
    assert sorted(memory.obs[:, 0].tolist()) == [10, 11, 12, 14, 15]
    np.testing.assert_array_equal(memory.obs, -memory.action)
    many = jnp.arange(100, 112.0)[:, None]
    memory = remember(memory, many, -many, jnp.ones(12, bool))
    assert sorted(memory.obs[:, 0].tolist()) == [107, 108, 109, 110, 111]


def windy_falls(winds: list[float]) -> Falls:
    wind = jnp.asarray([[w, 0.0] for w in winds])
    start = RidgeState(jnp.zeros_like(wind), wind, jnp.zeros(len(winds), int))
    return Falls(start, jnp.zeros((len(winds), SEARCH.horizon, 0)), jnp.ones(len(winds), bool))


def still(states: RidgeState) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(Ridge().observe)(states)[0], jnp.zeros((len(states.place), 2))


def test_a_way_out_is_found_shown_and_remembered():
    """From a policy that does nothing; the second fall, like the first, is avoided at once by what was found for that."""
    task, knots = Ridge(), 5
    search, library = empty_search(windy_falls([0.5, 0.5]), 16, knots, 2), empty_library(8, 4, knots, 2)
    queue, taken = windy_falls([0.5]), jnp.zeros((), int)
    solved_at = []
    for generation in range(2 * SEARCH.generations):
        search, taken = refill(search, queue, taken, SEARCH.spread)
        if not search.falls.real.any():
            if len(solved_at) == 2:
                break
            queue, taken = windy_falls([0.52]), jnp.zeros((), int)
            search, taken = refill(search, queue, taken, SEARCH.spread)
        key = jax.random.key(generation)
        search, library, found = jax.jit(advance, static_argnums=(0, 1, 6))(
            task, still, search, library, jnp.zeros(()), key, SEARCH
        )
        if found.solved.any():
            solved_at.append(int(search.generation[0]))
            obs, action, valid = (np.asarray(part[0]) for part in (found.obs, found.action, found.valid))
            assert valid.any()
            assert found.most["max/action"] > 2 * np.abs(action).max()  # of all samples, not their mean
            place = library.offsets[int(library.count) - 1]
            way = np.asarray(hats(SEARCH.horizon, knots, SEARCH.spacing)) @ np.asarray(place)
            for o, a in zip(obs[valid.all(axis=1)], action[valid.all(axis=1)], strict=True):
                assert np.abs(o[:, :2]).max() <= 1.0  # what is shown did not fall
                np.testing.assert_allclose(a, way, atol=1e-6)
    assert int(library.count) == 2
    assert solved_at[1] == 1
    assert np.asarray(library.offsets)[:2, :, 0].mean() < -0.1  # against the wind


def test_an_idle_slot_takes_the_next_and_no_fall_is_taken_twice():
    queue = windy_falls([0.1, 0.2, 0.3])
    queue = queue._replace(real=jnp.asarray([True, True, False]))
    search, taken = refill(empty_search(windy_falls([9.0, 9.0]), 16, 5, 2), queue, jnp.zeros((), int), 0.5)
    np.testing.assert_allclose(search.falls.start.wind[:, 0], [0.1, 0.2])
    search = search._replace(falls=search.falls._replace(real=jnp.asarray([False, True])))
    search, taken = refill(search, queue, taken, 0.5)
    assert (int(taken), search.falls.real.tolist()) == (3, [False, True])
    search, taken = refill(search, queue, taken, 0.5)
    assert search.falls.real.tolist() == [False, True]


@pytest.mark.slow
def test_a_policy_that_falls_learns_not_to():
    learner = make_hardener(RIDGE, Ridge())
    state, logs = jax.jit(learner.init)(jax.random.key(0)), []
    iterate = jax.jit(learner.iterate)
    for _ in range(RIDGE.num_iterations):
        state, log, _ = iterate(state)
        logs.append(jax.device_get(log))
    falls = np.array([log["rollout/terminated"] for log in logs])
    assert falls[0] > 0.03
    assert logs[0]["max/action"] > 4 * RIDGE.search.spread > 10 * RIDGE.search.noise  # the samples', whose offsets are the larger
    assert falls[-1] < 0.2 * falls[0]
    assert sum(log["search/avoided"] for log in logs) == logs[-1]["search/known"] > 5
    assert logs[-1]["loss/found"] < logs[1]["loss/found"]


def test_a_policy_that_mirrors_itself_is_hardened_as_one():
    class TwoSided(Ridge):
        def mirror(self) -> str:
            return "the task's"

    mirrored = dataclasses.replace(RIDGE, ppo=dataclasses.replace(RIDGE.ppo, symmetry="network"))
    assert make_hardener(mirrored, TwoSided()).networks.mirror == "the task's"


TINY = Config(
    preset="tiny",
    robot="tiny",
    num_envs=16,
    env_steps=16 * 8 * 4,
    backend="native",
    device="cpu",
    network=NetworkConfig(hidden=(16,)),
    ppo=PPOConfig(rollout_length=8, num_epochs=2, num_minibatches=2),
    randomize=RandomizeConfig(push=PushConfig(interval_s=0.2, linvel=(2.0, 2.0, 1.0))),
)
SHORT = [
    "--search.practice", "30", "--search.generations-per-practice", "2", "--search.before", "24", "--search.horizon", "25",
    "--search.samples", "8", "--search.kept", "200", "--search.updates", "2", "--search.library", "16",
]  # fmt: skip


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The folder of a run that has not been trained."""
    return create_run(tmp_path / "policy", TINY, tiny_robot(), (tiny_motion(),)).folder


@pytest.mark.slow
def test_harden_from_the_command_line_and_on(policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import mimic.reporting

    monkeypatch.setattr(mimic.reporting, "report_run", lambda *_: [])
    train(open_run(policy), lambda _: None)
    steps = 16 * (30 + 2 * 25)
    hard = tmp_path / "hard"
    assert call("harden", policy, "--run-dir", hard, "--env-steps", 2 * steps, *SHORT) == 0
    run = open_run(hard)
    assert (run.config.learner, run.config.init_from, run.config.randomize.start_level) == ("search", str(policy), 1.0)
    assert (hard / "policy.onnx").exists()
    assert call("harden", policy, "--run-dir", hard, "--resume", "--env-steps", 3 * steps) == 0
    rows = read_metrics(hard / "metrics.jsonl")
    assert [row["env_steps"] for row in rows] == [steps, 2 * steps, 3 * steps]
    assert sum(row["search/falls"] for row in rows) > 0


def test_what_cannot_be_hardened(policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    there = ["--run-dir", tmp_path / "hard", "--device", "cpu"]
    for asked, says in (
        (["--search.samples", "12"], "num_envs is 16, expected a multiple of search.samples (12)"),
        (["--search.practice", "50"], "search.practice is 50, expected a multiple of 6"),
        (["--search.horizon", "20"], "search.horizon is 20, expected at least search.before"),
        (["--ppo.symmetry", "loss"], "ways out are learnt as they were found"),
        (["--run-dir", policy], "is the policy's own folder"),
        (["--resume", "--run-dir", policy], "is no hardening"),
    ):
        assert says in refusal(capsys, "harden", policy, *there, "--search.samples", "8", *asked)
    assert "is not a run folder" in refusal(capsys, "harden", tmp_path)
    assert "the policy's run folder first" in refusal(capsys, "harden", "--resume")
    assert "mimic harden RUN" in refusal(capsys, "train", "g1", "--learner", "search", "--device", "cpu")
    assert not (tmp_path / "hard").exists()
