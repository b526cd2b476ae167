"""The record tree of a binary FBX file: names, properties, children. Knows nothing of what they mean."""

import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from motions.errors import InputError
from motions.formats.text import check_file

MAGIC = b"Kaydara FBX Binary  \x00"
_SCALARS = {"Y": "<h", "C": "<?", "I": "<i", "F": "<f", "D": "<d", "L": "<q"}
_ARRAYS = {"f": "<f4", "d": "<f8", "l": "<i8", "i": "<i4", "b": "<i1"}
MAX_DEPTH = 64
WIDE_FROM = 7500  # version from which record headers count in 64 bits


class Record(NamedTuple):
    """One record: `values` are numbers, bytes, or arrays."""

    name: str
    values: list[Any]
    children: list["Record"]

    def all(self, name: str) -> list["Record"]:
        """The children called `name`."""
        return [child for child in self.children if child.name == name]


def read_records(path: Path) -> Record:
    """The whole file as one record. Raises `InputError` for text FBX, other files, and bytes that are cut or damaged."""
    raw = check_file(path).read_bytes()
    if not raw.startswith(MAGIC):
        if raw.lstrip()[:5] in (b"; FBX", b";FBX "):
            raise InputError(f"{path}: an FBX file written as text, which is not read; export it as binary FBX")
        raise InputError(f"{path}: starts with {raw[:8]!r}: not a binary FBX file")
    try:
        version = struct.unpack_from("<I", raw, 23)[0]
        children, at = [], 27
        while True:
            record, at = _record(raw, at, version >= WIDE_FROM, 0)
            if record is None:
                break
            children.append(record)
    except (struct.error, zlib.error, UnicodeDecodeError, IndexError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: not a whole binary FBX file: damaged or truncated ({error})") from error
    return Record("", [version], children)


def _record(raw: bytes, at: int, wide: bool, depth: int) -> tuple[Record | None, int]:
    """The record at byte `at` and where the next begins; None for the empty one that ends a list."""
    if depth > MAX_DEPTH:
        raise ValueError("records nested too deeply")
    end, count, _, length = struct.unpack_from("<QQQB" if wide else "<IIIB", raw, at)
    head = at
    at += 25 if wide else 13
    if end == 0:
        return None, at
    if end <= head or end > len(raw):
        raise ValueError(f"a record that ends at byte {end} of {len(raw)}")
    name = raw[at : at + length].decode("ascii", "replace")
    at += length
    values = []
    for _ in range(count):
        if at >= end:
            raise ValueError(f"record {name!r} has fewer values than it says")
        value, at = _value(raw, at)
        values.append(value)
    children = []
    while at < end:
        child, at = _record(raw, at, wide, depth + 1)
        if child is None:
            break
        children.append(child)
    return Record(name, values, children), end


def _value(raw: bytes, at: int) -> tuple[Any, int]:
    kind = chr(raw[at])
    at += 1
    if kind in _SCALARS:
        return struct.unpack_from(_SCALARS[kind], raw, at)[0], at + struct.calcsize(_SCALARS[kind])
    if kind in "SR":
        size = struct.unpack_from("<I", raw, at)[0]
        if at + 4 + size > len(raw):
            raise ValueError("text beyond the end of the file")
        return raw[at + 4 : at + 4 + size], at + 4 + size
    if kind not in _ARRAYS:
        raise ValueError(f"a value of unknown kind {kind!r}")
    count, packed, size = struct.unpack_from("<III", raw, at)
    dtype, at = np.dtype(_ARRAYS[kind]), at + 12
    data = raw[at : at + size]
    if packed:
        data = zlib.decompressobj().decompress(data, max(count * dtype.itemsize, 1))  # never more than it announces
    if len(data) < count * dtype.itemsize:
        raise ValueError(f"an array of {count} values in {len(data)} bytes")
    return np.frombuffer(data, dtype, count), at + size
