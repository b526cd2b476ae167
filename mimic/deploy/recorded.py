"""Arrays that record what is done to them as an ONNX graph: code written for numpy or JAX arrays writes its graph by running.

`Recorded` is an array without values. `motions.rotations.namespace` finds this module for it, as it finds `jax.numpy` for JAX's
arrays, so a function of ours given `Recorded` arguments returns `Recorded` results: the nodes of ONNX operators (opset 15)
between them. What depends on no argument stays numpy and becomes a constant. Shapes are known and fixed; nothing runs.
"""

import itertools
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from onnx import GraphProto, helper, numpy_helper

from motions import rotations

_serials = itertools.count()


class Recorded:
    """One value of a graph: an operator's result, or an argument (`op` empty, then `name` is the graph's input)."""

    __array_ufunc__ = None  # numpy leaves `array * recorded` to us
    __hash__ = object.__hash__

    def __init__(
        self,
        op: str,
        inputs: Sequence["Recorded | np.ndarray"],
        shape: tuple[int, ...],
        dtype: Any,
        *,
        name: str = "",
        **attributes: Any,
    ):
        self.op, self.inputs, self.shape, self.dtype = op, tuple(inputs), shape, np.dtype(dtype)
        self.name, self.attributes, self.serial = name, attributes, next(_serials)

    def __array_namespace__(self) -> ModuleType:
        return sys.modules[__name__]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def reshape(self, *shape: int) -> "Recorded":
        full = np.broadcast_to(np.float32(0), self.shape).reshape(shape).shape
        return self if full == self.shape else Recorded("Reshape", [self, np.array(full)], full, self.dtype)

    def astype(self, dtype: Any) -> "Recorded":
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self if self.dtype == dtype else Recorded("Cast", [self], self.shape, dtype, to=kind)

    def __getitem__(self, key: Any) -> Any:
        keys = list(key) if isinstance(key, tuple) else [key]
        given = len([k for k in keys if k is not None and k is not Ellipsis])
        rest: list[Any] = [slice(None)] * (self.ndim - given)
        place = next((i for i, k in enumerate(keys) if k is Ellipsis), len(keys))
        value, axis = self, 0
        for k in keys[:place] + rest + keys[place + 1 :]:
            if k is None:
                value = _unsqueeze(value, axis)
            elif isinstance(k, slice):
                value = _slice(value, axis, range(*k.indices(value.shape[axis])))
            elif np.ndim(k):
                value = _gather(value, axis, np.asarray(k))
            else:
                value, axis = _entry(value, axis, int(k) % value.shape[axis]), axis - 1
            axis += 1
        return value

    def __add__(self, other: Any) -> Any:
        return _elementwise("Add", self, other)

    def __radd__(self, other: Any) -> Any:
        return _elementwise("Add", other, self)

    def __sub__(self, other: Any) -> Any:
        return _elementwise("Sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return _elementwise("Sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return _elementwise("Mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return _elementwise("Mul", other, self)

    def __truediv__(self, other: Any) -> Any:
        return _elementwise("Div", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _elementwise("Div", other, self)

    def __lt__(self, other: Any) -> Any:
        return _elementwise("Less", self, other, dtype=bool)

    def __eq__(self, other: object) -> Any:
        return _elementwise("Equal", self, other, dtype=bool)

    def __neg__(self) -> "Recorded":
        return Recorded("Neg", [self], self.shape, self.dtype)


def argument(name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> Recorded:
    """An input of the graph to come."""
    return Recorded("", [], shape, dtype, name=name)


# What numpy's namespace offers, as far as our code uses it. Arguments are `Recorded` or numpy arrays.


def asarray(values: Any, dtype: Any = None) -> Any:
    return values if isinstance(values, Recorded) else np.asarray(values, dtype)


def zeros(shape: Any, dtype: Any = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


def zeros_like(array: Any) -> np.ndarray:
    return np.zeros(array.shape, array.dtype)


def broadcast_to(array: Any, shape: Sequence[int]) -> Any:
    if isinstance(array, np.ndarray):
        return np.broadcast_to(array, shape)
    if tuple(shape) == array.shape:
        return array
    return Recorded("Expand", [array, np.array(shape, np.int64)], tuple(shape), array.dtype)


def concatenate(arrays: Sequence[Any], axis: int = 0) -> Any:
    arrays = [array for array in arrays if array.shape[axis]]
    if not any(isinstance(array, Recorded) for array in arrays):
        return np.concatenate(arrays, axis)
    axis %= arrays[0].ndim
    if len(arrays) == 1:
        return arrays[0]
    shape = list(arrays[0].shape)
    shape[axis] = int(np.sum([array.shape[axis] for array in arrays]))
    dtype = next(array.dtype for array in arrays if isinstance(array, Recorded))
    return Recorded("Concat", [_as(array, dtype) for array in arrays], tuple(shape), dtype, axis=axis)


def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    axis %= arrays[0].ndim + 1
    return concatenate([_unsqueeze(array, axis) for array in arrays], axis)


def take(table: np.ndarray, index: Any, axis: int = 0) -> Any:
    """Rows of a constant table, at an index (or indices) known when the graph runs."""
    if not isinstance(index, Recorded):
        return np.take(table, index, axis)
    shape = (*table.shape[:axis], *index.shape, *table.shape[axis + 1 :])
    return Recorded("Gather", [table, index], shape, table.dtype, axis=axis)


def minimum(a: Any, b: Any) -> Any:
    return _elementwise("Min", a, b)


def maximum(a: Any, b: Any) -> Any:
    return _elementwise("Max", a, b)


def where(condition: Any, a: Any, b: Any) -> Any:
    kind = next((part.dtype for part in (a, b) if isinstance(part, Recorded)), np.float32)
    parts = [condition, _as(a, kind), _as(b, kind)]
    if not any(isinstance(part, Recorded) for part in parts):
        return np.where(*parts)
    return Recorded("Where", parts, np.broadcast_shapes(*(part.shape for part in parts)), kind)


def sum(array: Any, axis: int, keepdims: bool = False) -> Any:
    if isinstance(array, np.ndarray):
        return np.sum(array, axis=axis, keepdims=keepdims)
    shape = np.broadcast_to(np.float32(0), array.shape).sum(axis=axis, keepdims=keepdims).shape
    axis %= array.ndim
    return Recorded("ReduceSum", [array, np.array([axis])], shape, array.dtype, keepdims=int(keepdims))


def sin(array: Any) -> Any:
    return _function("Sin", np.sin, array)


def cos(array: Any) -> Any:
    return _function("Cos", np.cos, array)


def sqrt(array: Any) -> Any:
    return _function("Sqrt", np.sqrt, array)


def arctan2(y: Any, x: Any) -> Any:
    """ONNX has the arctangent of one argument only: half a turn is added where x < 0, and 0/0 is an angle of 0."""
    if not isinstance(y, Recorded) and not isinstance(x, Recorded):
        return np.arctan2(y, x)
    ratio = y / where(x == 0.0, np.float32(1e-30), x)
    half_turn = where(y < 0.0, np.float32(-np.pi), np.float32(np.pi))
    return _function("Atan", np.arctan, ratio) + where(x < 0.0, half_turn, np.float32(0))


def cross(a: Any, b: Any) -> Any:
    """Of vectors (..., 3)."""
    ahead, behind = np.array([1, 2, 0]), np.array([2, 0, 1])
    return a[..., ahead] * b[..., behind] - a[..., behind] * b[..., ahead]


def quat_mul(a: Any, b: Any) -> Any:
    """As `motions.rotations` has it, in a few operators instead of forty: the products of all components, summed by a table."""
    return _matmul(_products(a, b), _TABLES[0])


def quat_to_matrix(q: Any) -> Any:
    entries = _matmul(_products(q, q), _TABLES[1])
    return entries.reshape(*entries.shape[:-1], 3, 3)


def quat_rotate(q: Any, v: Any) -> Any:
    rotated = _matmul(quat_to_matrix(q), _unsqueeze(v, v.ndim))
    return rotated.reshape(*rotated.shape[:-1])


def _products(a: Any, b: Any) -> Any:
    """Of each component of a (..., 4) and each of b (..., 4); (..., 16)."""
    found = _unsqueeze(a, a.ndim) * _unsqueeze(b, b.ndim - 1)
    return found.reshape(*found.shape[:-2], 16)


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """What sums the products to a Hamilton product (16, 4), and those of a quaternion with itself to its matrix (16, 9)."""
    pairs = [np.array(pair) for pair in itertools.product(np.eye(4), repeat=2)]
    products = np.array([rotations.quat_mul(a, b) for a, b in pairs])
    columns = [
        [rotations.quat_mul(rotations.quat_mul(a, v), rotations.quat_conj(b))[1:] for v in np.eye(4)[1:]] for a, b in pairs
    ]
    return products.astype(np.float32), np.array(columns).swapaxes(1, 2).reshape(16, 9).astype(np.float32)


_TABLES = _tables()


def _matmul(a: Any, b: Any) -> Any:
    kind = next((part.dtype for part in (a, b) if isinstance(part, Recorded)), np.float32)
    a, b = _as(a, kind), _as(b, kind)
    if not any(isinstance(part, Recorded) for part in (a, b)):
        return a @ b
    shape = (np.empty(a.shape, bool) @ np.empty(b.shape, bool)).shape
    return Recorded("MatMul", [a, b], shape, kind)


def _function(op: str, plain: Any, array: Any) -> Any:
    return Recorded(op, [array], array.shape, array.dtype) if isinstance(array, Recorded) else plain(array)


def _as(value: Any, dtype: Any) -> Any:
    return value if isinstance(value, Recorded) else np.asarray(value, dtype)


def _elementwise(op: str, a: Any, b: Any, dtype: Any = None) -> Any:
    """`a op b`, broadcast; constants take the other's type. x * 0, x * 1, x + 0 and x - 0 cost no node."""
    kind = next(part.dtype for part in (a, b) if isinstance(part, Recorded))
    a, b = _as(a, kind), _as(b, kind)
    shape = np.broadcast_shapes(a.shape, b.shape)
    for constant, other, is_right in ((b, a, True), (a, b, False)):
        if not isinstance(constant, np.ndarray):
            continue
        if op == "Mul" and not constant.any():
            return np.zeros(shape, kind)
        neutral = (op == "Mul" and (constant == 1).all()) or (not constant.any() and (op == "Add" or (op == "Sub" and is_right)))
        if neutral and other.shape == shape:
            return other
    return Recorded(op, [a, b], shape, dtype or kind)


def _unsqueeze(value: Any, axis: int) -> Any:
    if isinstance(value, np.ndarray):
        return np.expand_dims(value, axis)
    shape = (*value.shape[:axis], 1, *value.shape[axis:])
    return Recorded("Unsqueeze", [value, np.array([axis])], shape, value.dtype)


def _parts(value: Any, axis: int) -> list[tuple[int, Any]]:
    """What `value` was concatenated from along `axis`, each with its first index; itself, if it was not."""
    if isinstance(value, np.ndarray) or value.op != "Concat" or value.attributes["axis"] != axis:
        return [(0, value)]
    starts = np.cumsum([0, *(part.shape[axis] for part in value.inputs)])
    return list(zip(starts.tolist(), value.inputs))


def _entry(value: Any, axis: int, index: int) -> Any:
    """value[index] along `axis`; of a concatenation, from the part that holds it."""
    start, part = next((s, p) for s, p in reversed(_parts(value, axis)) if s <= index)
    if isinstance(part, np.ndarray):
        return np.take(part, index - start, axis)
    if part.op == "Unsqueeze" and part.inputs[1].tolist() == [axis]:
        return part.inputs[0]
    shape = (*part.shape[:axis], *part.shape[axis + 1 :])
    return Recorded("Gather", [part, np.array(index - start)], shape, part.dtype, axis=axis)


def _slice(value: Any, axis: int, span: range) -> Any:
    if span == range(value.shape[axis]):
        return value
    if isinstance(value, np.ndarray):
        return np.take(value, span, axis)
    parts = _parts(value, axis)
    if len(parts) > 1 and span.step == 1:
        cut = [(p, range(max(span.start - s, 0), min(span.stop - s, p.shape[axis]))) for s, p in parts]
        return concatenate([_slice(part, axis, inner) for part, inner in cut if len(inner)], axis)
    shape = (*value.shape[:axis], len(span), *value.shape[axis + 1 :])
    bounds = [np.array([number]) for number in (span.start, span.stop, axis, span.step)]
    return Recorded("Slice", [value, *bounds], shape, value.dtype)


def _gather(value: Any, axis: int, indices: np.ndarray) -> Any:
    parts = _parts(value, axis)
    if len(parts) == value.shape[axis]:  # a stack: what is not asked for need not be computed
        return concatenate([parts[index][1] for index in indices % value.shape[axis]], axis)
    shape = (*value.shape[:axis], len(indices), *value.shape[axis + 1 :])
    return Recorded("Gather", [value, indices], shape, value.dtype, axis=axis)


class GraphWriter:
    """Turns `Recorded` values into the nodes and constants of a graph; equal ones are written once."""

    def __init__(self) -> None:
        self.graph = GraphProto()
        self._names: dict[int, str] = {}
        self._known: dict[Any, str] = {}

    def write(self, value: Any, name: str) -> None:
        """Append what computes `value`, which the graph then calls `name`."""
        for node in _needed(value):
            self._node(node)
        self.graph.node.append(helper.make_node("Identity", [self._name(value)], [name]))

    def _node(self, value: Recorded) -> None:
        if value.serial in self._names:
            return
        inputs = [self._name(part) for part in value.inputs]
        key = (value.op, *inputs, *sorted(value.attributes.items()))
        if not value.op:
            self._names[value.serial] = value.name
        elif key in self._known:
            self._names[value.serial] = self._known[key]
        else:
            self._names[value.serial] = self._known[key] = f"r{len(self._known)}"
            self.graph.node.append(helper.make_node(value.op, inputs, [self._known[key]], **value.attributes))

    def _name(self, value: Any) -> str:
        if isinstance(value, Recorded):
            return self._names[value.serial]
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._known:
            self._known[key] = f"r{len(self._known)}"
            contiguous = np.ascontiguousarray(value).reshape(value.shape)  # the first gives a scalar an axis
            self.graph.initializer.append(numpy_helper.from_array(contiguous, self._known[key]))
        return self._known[key]


def _needed(value: Any) -> list[Recorded]:
    """All that `value` depends on and itself, each after what it depends on."""
    found: dict[int, Recorded] = {}
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Recorded) and part.serial not in found:
            found[part.serial] = part
            waiting.extend(part.inputs)
    return [found[serial] for serial in sorted(found)]
