"""What a training with a discriminator can come to that no reward shows, told to whoever watches: once each."""

from collections import deque

import numpy as np

LOOKED_AT = 100  # iterations whose means are judged
UPRIGHT = 0.3  # falls per second below which a robot that does little has settled for it
LITTLE = 0.3  # coverage below which it does little of what the clips show
WON_ACCURACY, WON_REWARD = 0.97, 0.1  # a discriminator that tells all apart, and pays next to nothing

COLLAPSED = (
    "the robot does little of what the clips show (coverage {coverage:.0%}), and does not fall: it has settled for a few poses, "
    "standing perhaps. What helps: begin tracker, more reward.goal, starts all over the clips (sampling.uniform 1)"
)
WON = (
    "the discriminator tells robot and clips apart in {accuracy:.0%} of the cases and pays {reward:.2f}: there is little to "
    "learn from it. What helps: a larger style.grad_penalty, a smaller style.learning_rate or fewer style.updates, begin tracker"
)


class Watch:
    """Takes the metrics of each iteration; `look` gives what is to be said."""

    def __init__(self) -> None:
        self.seen: deque[tuple[float, ...]] = deque(maxlen=LOOKED_AT)
        self.said: set[str] = set()

    def look(self, values: dict[str, float]) -> list[str]:
        """One line for each thing that has come to pass and was not said before."""
        names = ("style/coverage", "rollout/falls_per_s", "style/accuracy", "style/reward")
        if any(name not in values for name in names):
            return []
        self.seen.append(tuple(values[name] for name in names))
        if len(self.seen) < LOOKED_AT:
            return []
        coverage, falls, accuracy, reward = np.mean(self.seen, axis=0)
        found = [
            (COLLAPSED, coverage < LITTLE and falls < UPRIGHT),
            (WON, accuracy > WON_ACCURACY and reward < WON_REWARD),
        ]
        lines = [text for text, holds in found if holds and text not in self.said]
        self.said.update(lines)
        return [line.format(coverage=coverage, accuracy=accuracy, reward=reward) for line in lines]
