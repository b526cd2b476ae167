"""Points fixed in the links of a robot."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Points:
    """P points fixed in links; `radius` (P,) [m] makes each a ball, whose lowest height is z - radius."""

    link: np.ndarray
    offset: np.ndarray
    radius: np.ndarray

    def __len__(self) -> int:
        return len(self.link)
