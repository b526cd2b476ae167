"""Which of four legs is which: by the words in a name, else by where they stand."""

import re

import numpy as np

from motions.errors import InputError
from retarget.roles import FOUR_LEGS, is_front, is_left

_LEG_WORDS = {"fl": "fl_", "lf": "fl_", "fr": "fr_", "rf": "fr_", "hl": "hl_", "rl": "hl_", "lh": "hl_",
              "hr": "hr_", "rr": "hr_", "rh": "hr_"}  # fmt: skip
_END_WORDS = {"front": "f", "fore": "f", "hind": "h", "rear": "h", "back": "h"}
_SIDE_WORDS = {"left": "l_", "right": "r_", "l": "l_", "r": "r_"}
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def leg_and_core(name: str) -> tuple[str, str]:
    """("fl_", "upperleg") of "FL_upper_leg", "FrontLeftUpperLeg", "upper_leg.LF"; leg "" where none of four is told."""
    words = [word.lower() for word in _WORDS.findall(name)]
    legs = [word for word in words if word in _LEG_WORDS]
    ends, sides = ([word for word in words if word in table] for table in (_END_WORDS, _SIDE_WORDS))
    if len(legs) == 1:
        return _LEG_WORDS[legs[0]], "".join(word for word in words if word not in legs)
    if len(ends) == len(sides) == 1:
        return _END_WORDS[ends[0]] + _SIDE_WORDS[sides[0]], "".join(word for word in words if word not in (*ends, *sides))
    return "", "".join(words)


def legs_by_place(points: np.ndarray, ahead: np.ndarray) -> list[str]:
    """The legs that stand at `points` (4, 2) [m] of a body that looks to `ahead` (2,). Raises `InputError` unless there is one in
    every corner."""
    from_middle = points - points.mean(axis=0)
    front, left = from_middle @ ahead > 0.0, from_middle @ [-ahead[1], ahead[0]] > 0.0
    legs = [next(g for g in FOUR_LEGS if (is_front(g), is_left(g)) == (f, s)) for f, s in zip(front, left, strict=True)]
    if len(set(legs)) < len(FOUR_LEGS):
        raise InputError(f"four limbs reach the ground, but not one in every corner: they would be {', '.join(legs)}")
    return legs
