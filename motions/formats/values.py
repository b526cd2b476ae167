"""Numbers from files, checked: arrays and frame rates."""

from pathlib import Path

import numpy as np

from motions.errors import InputError

MAX_VALUES = 1 << 27  # of a nested list; one that shares its rows can stand for far more than the file holds


def finite_numbers(values: object, shape: tuple[int | None, ...], path: Path, what: str) -> np.ndarray:
    """`values`, an array, a number or a list, as float64 of `shape`, in which None takes any length.

    Raises `InputError` for anything else, and for values that are not finite, naming the first.
    """
    if isinstance(values, list | tuple):
        rows = [len(row) if isinstance(row, list | tuple | np.ndarray) else 1 for row in values]
        nested = any(isinstance(v, list | tuple) for row in values if isinstance(row, list | tuple) for v in row)
        if nested or len(set(rows)) > 1 or sum(rows) > MAX_VALUES:
            raise InputError(f"{path}: {what} is a list of uneven or nested rows, expected a table of numbers")
        try:
            values = np.array(values, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{path}: {what} is a list of other things than numbers ({str(error)[:100]})") from error
    if not isinstance(values, np.ndarray | np.number | int | float):
        raise InputError(f"{path}: {what} is a {type(values).__name__}, expected numbers")
    array = np.asarray(values)
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape))
    if array.dtype.kind not in "fiu" or not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise InputError(f"{path}: {what} is {array.dtype} of shape {array.shape}, expected numbers of shape ({wanted})")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise InputError(f"{path}: {what} has a non-finite value at index {tuple(np.argwhere(~np.isfinite(array))[0].tolist())}")
    return array


def whole_rate(fps: float) -> float:
    """A rate printed with few digits (.033332 s) is the whole number it stands for."""
    return float(round(fps)) if fps > 1.0 and abs(fps - round(fps)) < 5e-4 * fps else float(fps)


def choose_fps(path: Path, given: float | None, said: float | None, notes: list[str], assumed: float | None = None) -> float:
    """The frame rate [Hz]: the one `given`, else the one the file `said`, else the one `assumed`; what overrules or is assumed
    joins `notes`. Raises `InputError` where there is none, or the file's is no number above 0."""
    if given is not None:
        if said is not None and given != said:
            notes.append(f"{given:g} frames per second as given (the file says {said:g})")
        return float(given)
    if said is None and assumed is not None:
        notes.append(f"{assumed:g} frames per second assumed, the file does not say")
        return assumed
    if said is None:
        raise InputError(f"{path}: the file holds no frame rate; give it: --fps")
    if not (np.isfinite(said) and said > 0):
        raise InputError(f"{path}: the frame rate is {said:g}, expected a number above 0")
    return whole_rate(said)
