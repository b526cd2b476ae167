"""What a clip passes and fails, check by check, with the frames that fail.

Only three checks are gates: floating, sliding and hard limits spoil a training, while fast or self-touching clips are
worth having (the sensitivity study of LIMMT/GQS: filtering by speed or self-contact costs 3 points of success).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Check:
    """One rule and how the clip fares: `value` must not be below `bound` where `at_least`, else not above it.

    `frames` are the first and last frames (both included) of every stretch that breaks the rule; a clip may have some and pass.
    """

    name: str
    gate: bool
    value: float
    bound: float
    at_least: bool
    unit: str
    frames: tuple[tuple[int, int], ...]

    @property
    def passed(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return {
            "name": self.name,
            "gate": self.gate,
            "passed": self.passed,
            "value": self.value,
            "bound": f"{'>=' if self.at_least else '<='} {self.bound:g} {self.unit}".strip(),
            "frames": [list(run) for run in self.frames],
        }

    def __str__(self) -> str:
        value = f"{self.name} {self.value:.3g} {self.unit}".strip()
        place = f", frames {spell_runs(self.frames)}" if self.frames else ""
        return f"{value} ({'at least' if self.at_least else 'at most'} {self.bound:g} wanted){place}"


def runs_of(bad: np.ndarray) -> tuple[tuple[int, int], ...]:
    """First and last frame of every stretch of True in (F,)."""
    edge = np.diff(np.concatenate([[False], bad, [False]]).astype(int))
    return tuple((int(a), int(b) - 1) for a, b in zip(np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)))


def longest_run(bad: np.ndarray) -> int:
    """Frames in the longest stretch of True in (F,)."""
    return max((b - a + 1 for a, b in runs_of(bad)), default=0)


def spell_runs(runs: Sequence[tuple[int, int]], most: int = 4) -> str:
    """The stretches in words: "3-7, 12, and 5 more stretches"."""
    words = [f"{a}" if a == b else f"{a}-{b}" for a, b in runs[:most]]
    rest = len(runs) - most
    return ", ".join(words) + (f" and {rest} more stretch{'es' if rest > 1 else ''}" if rest > 0 else "")


def passed(checks: Sequence[Check]) -> bool:
    """Whether every gate is passed."""
    return all(check.passed for check in checks if check.gate)


def spell_verdict(name: str, checks: Sequence[Check]) -> str:
    """One line for the user: passed, or which gates failed and where."""
    failed = [check for check in checks if check.gate and not check.passed]
    if failed:
        return f"{name}: FAILED {'; '.join(map(str, failed))}"
    beside = [check.name for check in checks if not check.passed]
    return f"{name}: passed" + (f" (not perfect, which no gate asks for: {', '.join(beside)})" if beside else "")
