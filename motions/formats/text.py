"""Reading text files so that every failure names the file, the line and what was expected there."""

import json
import stat
from pathlib import Path

import numpy as np

from motions.errors import InputError


def check_file(path: str | Path) -> Path:
    """`path` as a Path to a non-empty regular file; raises `InputError` otherwise."""
    path = Path(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: {'a link to a file that is not there' if path.is_symlink() else 'no such file'}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is a {'folder' if stat.S_ISDIR(status.st_mode) else 'device'}, expected a motion file")
    if status.st_size == 0:
        raise InputError(f"{path}: the file is empty")
    return path


MAX_TEXT_BYTES = 1 << 30  # lines take several times their text in memory; an hour of a whole body at 120 Hz is a third of this


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file. Raises `InputError` if it is missing, empty, a folder, binary, or larger than 1 GiB."""
    path = check_file(path)
    size = path.stat().st_size
    if size > MAX_TEXT_BYTES:
        raise InputError(
            f"{path}: {size / 2**30:.1f} GiB, text is read up to {MAX_TEXT_BYTES / 2**30:g} GiB. Split it into clips"
        )
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if b"\0" in raw[:4096]:
        raise InputError(f"{path}: a binary file, expected text")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # only joint names and comments can hold such bytes
    lines = text.splitlines()
    if not any(line.strip() for line in lines):
        raise InputError(f"{path}: the file holds only blank lines")
    return lines


def read_json(path: Path) -> dict:
    """The object of a JSON file. Raises `InputError` with line and column of what is wrong."""
    try:
        clip = json.loads("\n".join(read_lines(path)))
    except json.JSONDecodeError as error:
        if error.doc.lstrip().startswith("HIERARCHY"):
            raise InputError(f"{path}: its suffix says JSON, it begins as a BVH does: name it .bvh") from None
        raise InputError(f"{path}, line {error.lineno}, column {error.colno}: {error.msg}: not JSON") from None
    except (RecursionError, ValueError) as error:  # lists in lists without end; numbers of thousands of digits
        raise InputError(f"{path}: not JSON of a motion ({error})") from None
    if not isinstance(clip, dict):
        raise InputError(f"{path}: a JSON {type(clip).__name__}, expected an object")
    return clip


def parse_floats(tokens: list[str], path: str | Path, line_number: int) -> list[float]:
    """Finite floats from `tokens`; raises `InputError` naming file, line and the offending token."""
    values = []
    for column, token in enumerate(tokens, start=1):
        try:
            value = float(token)
        except ValueError:
            raise InputError(f"{path}, line {line_number}: value {column} is {token!r}, expected a number") from None
        if not np.isfinite(value):
            raise InputError(f"{path}, line {line_number}: value {column} is {token}, expected a finite number")
        values.append(value)
    return values


def parse_table(rows: list[tuple[int, list[str]]], columns: int, path: str | Path, expected: str) -> np.ndarray:
    """(rows, columns) finite floats from (line number, tokens) pairs; `expected` explains the column count.

    The whole table is converted at once; only when that fails is it walked through to name the place.
    """
    for line_number, tokens in rows:
        if len(tokens) != columns:
            last = " The file may be truncated." if line_number == rows[-1][0] and len(tokens) < columns else ""
            raise InputError(f"{path}, line {line_number}: {len(tokens)} values, expected {columns} ({expected}).{last}")
    try:
        table = np.array([tokens for _, tokens in rows], dtype=np.float64)
        finite = bool(np.isfinite(table).all())
    except ValueError:
        finite = False
    if not finite:
        for line_number, tokens in rows:
            parse_floats(tokens, path, line_number)
    return table
