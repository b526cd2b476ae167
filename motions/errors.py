"""The one exception type a user is meant to read, and the hint that goes with a wrong name."""

import difflib
from collections.abc import Iterable
from pathlib import Path


class InputError(ValueError):
    """Something the user gave is wrong. Its text says what, where and what was expected.

    The command line prints it without a traceback and exits with code 2.
    """


def unreadable(path: str | Path, kind: str, error: Exception) -> InputError:
    """An `InputError` for a file that its `kind`'s parser gave up on, with what that said.

    But not numpy's advice: what it cannot tell it takes for a pickle, to be loaded without care.
    """
    detail = "" if "allow_pickle" in str(error) else f" ({str(error)[:200]})"
    return InputError(f"{path}: not a readable {kind}: damaged, truncated or another format{detail}")


def unknown_name(kind: str, name: str, options: Iterable[str]) -> InputError:
    """An `InputError` for a wrong `name`, with the closest option and the whole list."""
    options = sorted(options)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return InputError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(options) or 'none'}")
