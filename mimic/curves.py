"""Numbers over time in a line of text."""

import math
from collections.abc import Sequence
from itertools import pairwise

BLOCKS, PLAIN = "▁▂▃▄▅▆▇█", "_.-=+*%#"
KEPT = 240  # points of a curve; then two become one: of a training of any length there is room for all


class Curve:
    """A series that is thinned as it grows, and its latest value, smoothed."""

    def __init__(self, smoothing: float) -> None:
        self.smoothing, self.latest = smoothing, math.nan
        self.points: list[float] = []
        self.each = 1  # values in a point
        self.open: list[float] = []  # those of the point to come

    def add(self, value: float) -> None:
        if not math.isfinite(value):
            return
        old = self.latest if self.points or self.open else value
        self.latest = self.smoothing * old + (1.0 - self.smoothing) * value
        self.open.append(value)
        if len(self.open) == self.each:
            self.points.append(sum(self.open) / self.each)
            self.open = []
        if len(self.points) > KEPT:
            self.points = [(a + b) / 2 for a, b in zip(self.points[::2], self.points[1::2], strict=False)]
            self.each *= 2

    def line(self, width: int, blocks: str = BLOCKS, bounds: tuple[float, float] | None = None) -> str:
        """All of it in at most `width` characters, as `sparkline` has it."""
        return sparkline(self.points or self.open, width, blocks, bounds)


def sparkline(values: Sequence[float], width: int, blocks: str = BLOCKS, bounds: tuple[float, float] | None = None) -> str:
    """`values`, means of neighbours where there are more than `width`, between `bounds`.

    None: from the least value to the largest; a constant is then a low line.
    """
    if not values or width < 1:
        return ""
    count = min(width, len(values))
    edges = [index * len(values) // count for index in range(count + 1)]
    means = [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]
    low, high = bounds or (min(means), max(means))
    top = len(blocks) - 1
    heights = (round((mean - low) / (high - low) * top) if high > low else 0 for mean in means)
    return "".join(blocks[min(max(height, 0), top)] for height in heights)
