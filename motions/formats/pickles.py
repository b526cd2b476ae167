"""Pickles read as data: plain ones, joblib's (compressed too) and NumPy's object arrays in `.npy`, without running anything.

A pickle is a program. Python's own unpickler runs it; `motions.formats.pickle_steps` walks through its steps and knows
how to make numbers, text, containers and arrays, and nothing else. A file that asks for any other class or function
is refused by that name, and one that swells in memory out of proportion to its size is refused too.
"""

import bz2
import io
import lzma
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from motions.errors import InputError, unreadable
from motions.formats.pickle_steps import TORCH_HINT, load
from motions.formats.text import check_file

MAX_BYTES = 1 << 30  # of a file, and of what a compressed one unpacks to
MAX_RATIO = 200  # unpacked to packed size; real motions stay below 10


def read_pickle(path: str | Path) -> Any:
    """What a plain or joblib pickle holds: numbers, text, bytes, lists, tuples, dicts, sets, NumPy arrays and scalars.

    Raises `InputError` naming the file and what it asks for beyond these, or where it is damaged or too large.
    """
    path = check_file(path)
    raw = _read_bytes(path)
    if raw[:4] == b"PK\x03\x04":
        raise InputError(f"{path}: a zip archive, as torch.save writes; {TORCH_HINT}")
    return load(io.BytesIO(_unpacked(raw, path)), path)


def read_object_npy(path: str | Path) -> Any:
    """The object in an `.npy` of dtype object: of a zero-dimensional array the one element, else the object array.

    Raises `InputError` as `read_pickle`, and for an `.npy` of another dtype.
    """
    path = check_file(path)
    stream = io.BytesIO(_read_bytes(path))
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        dtype = header(stream)[2]
    except Exception as error:  # the header is a Python literal; parsing a damaged one raises many kinds
        raise unreadable(path, "npy file", error) from error
    if dtype != np.dtype(object):
        raise InputError(f"{path}: an npy of {dtype}, expected one of objects (a pickle)")
    array = load(stream, path)
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: its pickle holds a {type(array).__name__}, expected an array of objects")
    return array.item() if array.ndim == 0 else array


def _read_bytes(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputError(f"{path}: {size / 2**30:.1f} GiB, pickles are read up to {MAX_BYTES / 2**30:g} GiB. Split it into clips")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _unpacked(raw: bytes, path: Path) -> bytes:
    """`raw` with joblib's compression undone; a file that swells without measure is refused."""
    if raw[:2] == b"\x1f\x8b" or raw[:1] == b"\x78":
        unpacker: Any = zlib.decompressobj(wbits=47)  # zlib or gzip by its header
    elif raw[:3] == b"BZh":
        unpacker = bz2.BZ2Decompressor()
    elif raw[:6] == b"\xfd7zXZ\x00" or raw[:3] == b"\x5d\x00\x00":
        unpacker = lzma.LZMADecompressor(memlimit=1 << 28)
    elif raw[:4] == b"\x04\x22\x4d\x18":
        raise InputError(f"{path}: compressed with LZ4, which is not read. Save it with joblib.dump(..., compress='zlib')")
    else:
        return raw
    limit = min(MAX_BYTES, MAX_RATIO * len(raw))
    try:
        content = unpacker.decompress(raw, limit)
    except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
        raise InputError(f"{path}: damaged compressed data ({error})") from error
    if unpacker.eof:
        return content
    if len(content) >= limit:
        raise InputError(f"{path}: unpacks to more than {limit / 2**20:.0f} MiB, {MAX_RATIO} times its size; refused")
    raise InputError(f"{path}: the compressed data end too early: truncated")
