"""The steps of a pickle, walked through without calling anything the file names.

`load` makes numbers, text, bytes, lists, tuples, dicts, sets, NumPy arrays and scalars. What a file makes is bounded by
its size: an array needs its bytes in the file, and all arrays together may use each byte a few times only.
"""

import math
import pickletools
import re
from collections import OrderedDict
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from motions.errors import InputError, unreadable

TORCH_HINT = "tensors are not read. Save the values as NumPy arrays: tensor.numpy()"
_REUSE = 4  # how many times the bytes of the file may end up in arrays; saved copies of one array are rare
_SPARE = 1 << 20  # [bytes] which even the smallest file may make
_MARK = object()
_DTYPE = re.compile(r"[<>=|]?(?:[biufcOSU]\d*|\?)")
_KEYS = (str, int, float, bytes, type(None))  # hashing deep tuples can overflow the stack

# What a file may name. Both spellings of NumPy's private module are in use (before and since 2.0).
_ALLOWED = {
    "collections.OrderedDict": "dict",
    "_codecs.encode": "encode",
    "numpy.ndarray": "ndarray",
    "numpy.memmap": "ndarray",
    "numpy.dtype": "dtype",
    "joblib.numpy_pickle.NumpyArrayWrapper": "wrapper",
    **{f"numpy.{core}.multiarray._reconstruct": "reconstruct" for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": "scalar" for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": "frombuffer" for core in ("core", "_core")},
    **{f"{m}.{n}": n for m in ("builtins", "__builtin__") for n in ("list", "dict", "set", "bytes", "bytearray", "complex")},
}


@dataclass
class _Name:
    """A name the file asked for, and which of the known makings it stands for."""

    name: str
    makes: str


@dataclass
class _Dtype:
    """A dtype in the making: its byte order arrives in a later step."""

    dtype: np.dtype


@dataclass
class _Wrapper:
    """joblib's stand-in for an array whose bytes follow in the file."""


def load(stream: BytesIO, path: Path) -> Any:
    """What the pickle that starts at the stream's place holds. Raises `InputError` naming `path` and what was refused."""
    try:
        result = _Reader(stream, path, [_REUSE * len(stream.getbuffer()) + _SPARE]).run()
        _check_plain(result, path)
    except InputError:
        raise
    except (ValueError, TypeError, LookupError, OverflowError, AttributeError, MemoryError, RecursionError) as error:
        raise unreadable(path, "pickle", error) from error
    return result


def _check_plain(result: Any, path: Path) -> None:
    """No step of a making may be left over as data."""
    waiting, seen = [result], set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        elif isinstance(item, np.ndarray) and item.dtype == object:
            waiting.extend(item.reshape(-1).tolist())
        elif isinstance(item, _Name):
            raise InputError(f"{path}: holds {item.name} itself where data is expected; refused")
        elif isinstance(item, _Dtype | _Wrapper) or item is _MARK:
            raise InputError(f"{path}: holds an unfinished array where data is expected; damaged")


class _Reader:
    """One walk through a pickle's steps. `run` returns what the pickle holds."""

    def __init__(self, stream: BytesIO, path: Path, budget: list[int], depth: int = 0) -> None:
        self.stream, self.path, self.budget, self.depth = stream, path, budget, depth
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        # The stream stands just behind each step when it is handled: joblib's arrays lie between steps.
        for opcode, argument, _ in pickletools.genops(self.stream):
            if opcode.name == "STOP":
                return self.stack.pop()
            self._step(opcode.name, argument)
        raise ValueError("no end")

    def _step(self, name: str, argument: Any) -> None:
        if name in _PUSH:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in ("PROTO", "FRAME"):
            pass
        elif name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in _TUPLES:
            self.stack[len(self.stack) - _TUPLES[name] :] = [tuple(self._last(_TUPLES[name]))]
        elif name in ("POP", "POP_MARK"):
            self._marked() if name == "POP_MARK" or self.stack[-1] is _MARK else self.stack.pop()
        elif name == "DUP":
            self.stack.append(self.stack[-1])
        elif name in ("TUPLE", "LIST", "DICT", "FROZENSET"):
            self.stack.append(self._collected(name))
        elif name in ("APPEND", "APPENDS"):
            items = self._marked() if name == "APPENDS" else [self.stack.pop()]
            self._top(list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._marked() if name == "SETITEMS" else [self.stack.pop(-2), self.stack.pop()]
            self._top(dict).update(_pairs(items))
        elif name == "ADDITEMS":
            items = self._marked()
            self._top(set).update(_key(item) for item in items)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self.stack.append(self._named(argument))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, maker = self.stack.pop(), self.stack.pop()
            self.stack.append(self._make(maker, arguments))
        elif name == "BUILD":
            self._build()
        elif name in ("INST", "OBJ", "NEWOBJ_EX"):
            asked = argument if name == "INST" else ""
            raise InputError(f"{self.path}: asks for an object {asked.replace(' ', '.')}".rstrip() + f" ({name}): refused")
        else:
            raise InputError(f"{self.path}: uses the pickle step {name}, which plain data does not need: refused")

    def _spend(self, count: int) -> None:
        """Account for `count` bytes made from bytes that may be used again."""
        self.budget[0] -= count
        if self.budget[0] < 0:
            raise InputError(f"{self.path}: makes arrays of many times the file's size; refused")

    def _last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError("stack too short")
        return self.stack[len(self.stack) - count :]

    def _marked(self) -> list[Any]:
        """The items above the last mark; they and the mark leave the stack."""
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is _MARK:
                items = self.stack[start + 1 :]
                del self.stack[start:]
                return items
        raise ValueError("no mark on the stack")

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"a {type(self.stack[-1]).__name__} where a {kind.__name__} is filled")
        return self.stack[-1]

    def _collected(self, name: str) -> Any:
        items = self._marked()
        if name == "DICT":
            return dict(_pairs(items))
        return tuple(items) if name == "TUPLE" else items if name == "LIST" else frozenset(_key(item) for item in items)

    def _named(self, argument: str | None) -> _Name:
        if argument is None:  # STACK_GLOBAL
            name, module = self.stack.pop(), self.stack.pop()
            if not isinstance(name, str) or not isinstance(module, str):
                raise ValueError("a name that is no text")
            asked = f"{module}.{name}"
        else:
            asked = argument.replace(" ", ".")
        if asked in _ALLOWED:
            return _Name(asked, _ALLOWED[asked])
        hint = f" ({TORCH_HINT})" if asked.startswith("torch.") else ""
        raise InputError(
            f"{self.path}: asks for {asked[:200]!r}: refused{hint}. Read are numbers, text, containers, NumPy arrays"
        )

    def _make(self, maker: Any, arguments: Any) -> Any:
        """What calling `maker` would give, for the few makings known."""
        if not isinstance(maker, _Name) or not isinstance(arguments, tuple):
            raise ValueError(f"a {type(maker).__name__} is called")
        if not arguments and maker.makes in _EMPTY:
            return _EMPTY[maker.makes]()
        match maker.makes, arguments:
            case "dtype", (str() as code, *_) if _DTYPE.fullmatch(code):
                return _Dtype(np.dtype(code))
            case "reconstruct", (_Name(makes="ndarray"), _, _):
                return np.ndarray((0,), np.int8)
            case "scalar", (_Dtype(dtype), raw):
                return self._array(raw, dtype, (), False)[()]
            case "frombuffer", (raw, _Dtype(dtype), shape, order):
                return self._array(bytes(raw) if isinstance(raw, bytearray) else raw, dtype, shape, order == "F")
            case "encode", (str() as text, "latin1" | "latin-1"):
                self._spend(len(text))
                return text.encode("latin-1")
            case "bytes" | "bytearray", (bytes() as raw,):
                self._spend(len(raw))
                return bytearray(raw) if maker.makes == "bytearray" else raw
            case "complex", (int() | float() as real, int() | float() as imaginary):
                return complex(real, imaginary)
            case "list" | "dict" | "set", (list() as items,):
                self._spend(8 * len(items))
                return items if maker.makes == "list" else self._from_list(maker.makes, items)
        raise InputError(f"{self.path}: makes {maker.name} in a way that is not known here: refused")

    def _from_list(self, makes: str, items: list[Any]) -> Any:
        if makes == "set":
            return {_key(item) for item in items}
        if not all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
            raise ValueError("a dict of other than pairs")
        return OrderedDict((_key(key), value) for key, value in items)

    def _build(self) -> None:
        """Give the object below the top its state."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Dtype):
            if not isinstance(state, tuple) or len(state) < 5 or state[1] not in "<>=|" or any(state[2:5]):
                raise ValueError("a dtype with fields, or of unknown byte order")
            if state[1] != "|":
                target.dtype = target.dtype.newbyteorder(state[1])
        elif isinstance(target, np.ndarray) and isinstance(state, tuple) and len(state) in (4, 5):
            shape, dtype, fortran, raw = state[-4:]
            if not isinstance(dtype, _Dtype):
                raise ValueError("an array without a dtype")
            array = self._array(raw, dtype.dtype, shape, bool(fortran))
            content = array.reshape(-1, order="F" if fortran else "C")
            data = content.tolist() if array.dtype.hasobject else content.tobytes()
            # In place: the memo may hold this array already.
            target.__setstate__((1, array.shape, array.dtype, bool(fortran), data))  # pyright: ignore[reportArgumentType]
        elif isinstance(target, _Wrapper) and isinstance(state, dict):
            self.stack[-1] = self._following(state)
        else:
            raise InputError(f"{self.path}: sets the state of a {type(target).__name__}: refused")

    def _array(self, raw: Any, dtype: np.dtype, shape: Any, fortran: bool) -> np.ndarray:
        """An array over exactly the bytes (or, of objects, the list) given."""
        count = _count(shape)
        self._spend(count * dtype.itemsize)
        if dtype.hasobject:
            if not isinstance(raw, list) or len(raw) != count:
                raise ValueError(f"an array of {count} objects without as many")
            flat = np.empty(count, dtype=object)
            for i, item in enumerate(raw):
                flat[i] = item
        else:
            if isinstance(raw, str):  # written by Python 2
                raw = raw.encode("latin-1")
            if not isinstance(raw, bytes) or len(raw) != count * dtype.itemsize or (count and not dtype.itemsize):
                raise ValueError(f"an array of {count} {dtype} that are not there")
            flat = np.frombuffer(raw, dtype).copy() if raw else np.empty(count, dtype)
        return flat.reshape(shape, order="F" if fortran else "C")

    def _following(self, state: dict[str, Any]) -> np.ndarray:
        """joblib's array, whose bytes (or pickle, of objects) follow in the stream."""
        dtype, shape, order = state.get("dtype"), state.get("shape"), state.get("order")
        if not isinstance(dtype, _Dtype) or order not in ("C", "F"):
            raise ValueError("a joblib array without dtype and order")
        count = _count(shape)
        if dtype.dtype.hasobject:
            if self.depth > 20:
                raise ValueError("arrays nested too deep")
            array = _Reader(self.stream, self.path, self.budget, self.depth + 1).run()
            if not isinstance(array, np.ndarray):
                raise ValueError("an object array that is none")
            return array
        if state.get("numpy_array_alignment_bytes") is not None:
            padding = self.stream.read(1)
            self.stream.read(padding[0])
        length, left = count * dtype.dtype.itemsize, len(self.stream.getbuffer()) - self.stream.tell()
        if length > left:
            raise ValueError(f"an array of {length} bytes where {left} are left")
        return self._array(self.stream.read(length), dtype.dtype, shape, order == "F")


def _count(shape: Any) -> int:
    if not isinstance(shape, tuple) or len(shape) > 32 or not all(type(n) is int and 0 <= n < 2**40 for n in shape):
        raise ValueError("an array without a shape")
    return math.prod(shape)


def _key(item: Any) -> Any:
    if not isinstance(item, _KEYS):
        raise ValueError(f"a {type(item).__name__} as a key")
    return item


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    if len(items) % 2:
        raise ValueError("a key without a value")
    return [(_key(key), value) for key, value in zip(items[::2], items[1::2])]


_NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
_PUSH = {*_NUMBERS, *_TEXTS, "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_CONSTANTS = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "MARK": lambda: _MARK,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_EMPTY = {"dict": OrderedDict, "list": list, "set": set, "bytes": bytes, "bytearray": bytearray, "wrapper": _Wrapper}
