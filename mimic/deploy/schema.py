"""The JSON schema of policy.json, made from the dataclasses of the spec, and the check of a file against it."""

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal

from mimic.deploy.spec import KIND, SCHEMA, PolicySpec
from motions.fields import as_written

_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_KINDS = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}
_DERIVED: dict[str, dict[str, Any]] = {
    "kind": {"const": KIND},
    "schema": {"const": SCHEMA},
    "control_rate_hz": {"type": "number", "description": "1 / (sim.sim_dt sim.n_substeps)"},
    "physics_rate_hz": {"type": "number", "description": "1 / sim.sim_dt: how often the torque follows the joint"},
    "action_formula": {"type": "string", "description": "From the network's action to the joint target"},
    "observation_size": {"type": "integer"},
    "conventions": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "Units, frames and orders, in words",
    },
}


def policy_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of what `write_spec` writes: every key is there, and no other."""
    schema = _of_class(PolicySpec)
    properties = _DERIVED | schema["properties"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": KIND,
        **schema,
        "properties": properties,
        "required": list(properties),
    }


def faults(value: Any, schema: dict[str, Any], where: str = "") -> Iterator[str]:
    """What is wrong with `value`, one line each. Knows the part of JSON Schema that `policy_schema` uses."""
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if allowed is not None and value not in allowed:
        yield f"{where}: {value!r}, expected {' or '.join(repr(option) for option in allowed)}"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(isinstance(value, _KINDS[k]) and (k == "boolean" or not isinstance(value, bool)) for k in kinds):
        yield f"{where}: {str(value)[:40]!r} is not of type {' or '.join(kinds)}"
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{where}: {len(value)} values, expected {schema['minItems']}"
        for i, item in enumerate(value):
            yield from faults(item, schema.get("items", {}), f"{where}[{i}]")
    elif isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        place = f"{where}: " if where else ""
        yield from (f"{place}lacks {key}" for key in schema.get("required", ()) if key not in value)
        for key, item in value.items():
            if key not in properties and others is False:
                yield f"{place}unknown key {key!r}"
            else:
                yield from faults(item, properties.get(key) or others or {}, f"{where}.{key}".lstrip("."))


def _of_class(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    said = {name: field.doc for name, field in as_written(cls).items() if field.doc}
    properties = {
        field.name: _of_type(hints[field.name]) | ({"description": said[field.name]} if field.name in said else {})
        for field in dataclasses.fields(cls)
    }
    return {
        "type": "object",
        "description": inspect.cleandoc(cls.__doc__ or ""),
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _of_type(kind: Any) -> dict[str, Any]:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _of_class(typing.cast(type, kind))
    if origin is Literal:
        return {"enum": list(parts)}
    if origin is tuple:
        of_any_length = parts[1:] == (Ellipsis,)
        if not of_any_length and len(set(parts)) > 1:
            raise TypeError(f"no schema for {kind}: only tuples of one type")
        length = {} if of_any_length else {"minItems": len(parts), "maxItems": len(parts)}
        return {"type": "array", "items": _of_type(parts[0]), **length}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of_type(parts[1])}
    if origin is types.UnionType:
        inner = [part for part in parts if dataclasses.is_dataclass(part)]
        if inner:
            return _of_class(typing.cast(type, inner[0])) | {"type": ["object", "null"]}
        return {"type": [_NAMES[part] for part in parts]}
    return {"type": _NAMES[kind]}
