"""What is said of a discriminator's training, and when."""

import pytest

from mimic.training.health import LOOKED_AT, Watch


def iteration(coverage: float = 0.9, falls: float = 0.0, accuracy: float = 0.8, reward: float = 0.4) -> dict[str, float]:
    return {"style/coverage": coverage, "rollout/falls_per_s": falls, "style/accuracy": accuracy, "style/reward": reward}


def said(watch: Watch, values: dict[str, float], count: int) -> list[str]:
    return [line for _ in range(count) for line in watch.look(values)]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (iteration(coverage=0.1), "coverage 29%"),
        (iteration(accuracy=0.99, reward=0.05), "style.grad_penalty"),
    ],
)
def test_each_is_said_once_and_only_when_it_lasts(values, named):
    watch = Watch()
    assert not said(watch, iteration(), LOOKED_AT)
    assert not said(watch, values, LOOKED_AT // 4), "it may pass"
    lines = said(watch, values, 3 * LOOKED_AT)
    assert len(lines) == 1
    assert named in lines[0]


@pytest.mark.parametrize(
    "values",
    [
        iteration(),
        iteration(coverage=0.1, falls=1.0),  # who falls has not settled for anything
        iteration(accuracy=0.99, reward=0.3),  # told apart, but paid
        {"rollout/falls_per_s": 0.0},  # no discriminator
        {"style/accuracy": 0.99, "style/reward": 0.0, "rollout/falls_per_s": 0.0},  # of differences there is no coverage
    ],
)
def test_nothing_is_said_of_what_is_well(values):
    assert not said(Watch(), values, 3 * LOOKED_AT)
