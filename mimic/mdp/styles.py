"""Named styles: which of them each clip shows, by its name. Told to a robot as one number for each: 1 for the one it is to have.

A style is written LABEL, for the clips whose names contain it, or LABEL=PART for those whose names contain PART; several that are
written with one label are one style. Where a name contains several parts, the longest says which.
"""

import re
from collections.abc import Sequence

import numpy as np

from motions.errors import InputError, unknown_name

PLAIN = re.compile(r"[A-Za-z0-9_-]+")  # a label: it becomes part of the names of metrics, and a word to type


def style_names(styles: Sequence[str]) -> tuple[str, ...]:
    """The labels of `styles`, each once, in order. Raises `InputError` for one with other than letters, digits, - and _."""
    labels = tuple(dict.fromkeys(label for label, _ in map(_split, styles)))
    for label in labels:
        if not PLAIN.fullmatch(label):
            raise InputError(
                f"goal.styles has {label!r}: expected a label of letters, digits, - and _, or LABEL=PART of a clip's name"
            )
    return labels


def style_of(styles: Sequence[str], clips: Sequence[str]) -> np.ndarray:
    """The number of the style that each of the named clips shows; (C,). Raises `InputError` for a clip that shows none."""
    labels, found = style_names(styles), _labels_of(styles, clips)
    for clip, label in zip(clips, found, strict=True):
        if label is None:
            raise InputError(
                f"the clip {clip!r} shows none of goal.styles ({', '.join(styles)}): expected one whose label, or PART of "
                "LABEL=PART, is in its name"
            )
    return np.array([labels.index(label) for label in found if label is not None], np.int32)


def require_all_shown(styles: Sequence[str], clips: Sequence[str]) -> None:
    """Raise `InputError` for a style that no clip shows, with the names there are, and a clip that shows none of any."""
    if not styles:
        return
    shown = _labels_of(styles, clips)
    for label in style_names(styles):
        if label not in shown:
            raise InputError(f"goal.styles has {label!r}, which no clip shows; the clips are {', '.join(dict.fromkeys(clips))}")
    style_of(styles, clips)


def _labels_of(styles: Sequence[str], clips: Sequence[str]) -> list[str | None]:
    longest_first = sorted(map(_split, styles), key=lambda style: -len(style[1]))
    return [next((label for label, part in longest_first if part in clip), None) for clip in clips]


def told_style(styles: Sequence[str], label: str) -> np.ndarray:
    """What a robot is told that is to have the style `label`; (S,). Raises `InputError` for an unknown one."""
    names = style_names(styles)
    if label not in names:
        raise unknown_name("style", label, names)
    return np.eye(len(names), dtype=np.float32)[names.index(label)]


def _split(style: str) -> tuple[str, str]:
    """(label, what the clip's name contains)."""
    label, _, part = style.partition("=")
    return label, part or label
