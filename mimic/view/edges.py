"""Smoother edges for renderers that take one sample per pixel."""

from collections.abc import Callable

import numpy as np


def smooth_edges(image: np.ndarray, differs: Callable[[int], np.ndarray]) -> None:
    """Average 3 x 3 pixels of `image` (H, W, 3) float, in place, along edges and nowhere else.

    `differs(axis)` says which neighbours along an axis lie on two sides of an edge: (H - 1, W) or (H, W - 1).
    """
    edge = np.zeros(image.shape[:2], bool)
    for axis in (0, 1):
        between = differs(axis)
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        edge[tuple(before)] |= between
        edge[tuple(after)] |= between
    edge[[0, -1]] = edge[:, [0, -1]] = False
    rows, columns = np.nonzero(edge)
    total = np.zeros((len(rows), 3), np.float32)
    for dy, weight_y in ((-1, 1), (0, 2), (1, 1)):
        for dx, weight_x in ((-1, 1), (0, 2), (1, 1)):
            total += weight_y * weight_x * image[rows + dy, columns + dx]
    image[rows, columns] = total / 16
