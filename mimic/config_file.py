"""A training's settings as a TOML file (`mimic train --config FILE`): the command line's names, of which it overrides any.

Top-level keys are fields of `mimic.config.Config`, tables its sections; `run_dir` is the run's folder. TOML has no null: "none"
stands for it. Paths are as on the command line: from where the command is run.
"""

import dataclasses
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, Literal

from mimic.config import Config
from motions.errors import InputError, unknown_name
from motions.files import toml_text

NONE = "none"
RUN_DIR = "run_dir"
OF_OTHERS = {"teacher": "mimic distill", "learner": "mimic harden"}  # fields that these commands set


def read_config_file(path: Path) -> dict[str, Any]:
    """The tables of the file, "-" in names as "_". Raises `InputError` where it cannot be read, is no TOML, or names one
    setting both ways."""
    try:
        return _underscored(tomllib.loads(path.read_text(encoding="utf-8-sig")), path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; expected a TOML file, as `mimic init` writes") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from error


def configured(path: Path, defaults: Config) -> Config:
    """`defaults` with what the file says. Raises `InputError` for what no setting is called, or could not be its value."""
    values = {name: value for name, value in read_config_file(path).items() if name != RUN_DIR}
    for name, command in OF_OTHERS.items():
        if name in values:
            raise InputError(f"{path}: {name} is not for a file to say: `{command}` sets it")
    return _with(defaults, values, str(path))


def run_dir_in(path: Path) -> Path | None:
    """The run's folder that the file names, if it does."""
    found = read_config_file(path).get(RUN_DIR)
    return None if found is None else Path(_checked(found, str, f"{path}: {RUN_DIR}"))


def _underscored(table: dict[str, Any], path: Path) -> dict[str, Any]:
    found = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name in found:
            raise InputError(f"{path}: {name} is given twice, with - and with _")
        found[name] = _underscored(value, path) if isinstance(value, dict) else value
    return found


def _with(section: Any, values: dict[str, Any], where: str, table: str = "") -> Any:
    """The dataclass `section`, which `table` of the file is about, with `values` in it."""
    hints = typing.get_type_hints(type(section))
    changed = {}
    for name, value in values.items():
        full = f"{table}.{name}" if table else name
        if name not in hints:
            raise (
                unknown_name(f"setting in {where} [{table}]", name, hints)
                if table
                else unknown_name(f"setting in {where}", name, [*hints, RUN_DIR])
            )
        inner = getattr(section, name)
        if dataclasses.is_dataclass(inner):
            if not isinstance(value, dict):
                raise InputError(f"{where}: {full} is {value!r}, expected a table: [{full}]")
            changed[name] = _with(inner, value, where, full)
        else:
            changed[name] = _checked(value, hints[name], f"{where}: {full}")
    return dataclasses.replace(section, **changed)


def _checked(value: Any, kind: Any, what: str) -> Any:
    """`value` of TOML as a value of type `kind`. Raises `InputError`, which speaks of `what`, where it is none."""
    found, fits = _converted(value, kind)
    if not fits:
        raise InputError(f"{what} is {value!r}, expected {_spelt(kind)}")
    return found


def _converted(value: Any, kind: Any) -> tuple[Any, bool]:
    """`value` as one of type `kind`, and whether it can be."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value == NONE and type(None) in inner:
            return None, True
        outcomes = (_converted(value, one) for one in inner if one is not type(None))
        return next((outcome for outcome in outcomes if outcome[1]), (value, False))
    if origin is Literal:
        return value, value in inner
    if origin is tuple:
        kinds = [inner[0]] * len(value) if isinstance(value, list) and inner[-1] is Ellipsis else list(inner)
        if not isinstance(value, list) or len(value) != len(kinds):
            return value, False
        items = [_converted(item, one) for item, one in zip(value, kinds, strict=True)]
        return tuple(item for item, _ in items), all(fits for _, fits in items)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value), True
    return value, type(value) is kind


def _spelt(kind: Any) -> str:
    """A type as people say it."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(f'"{NONE}"' if one is type(None) else _spelt(one) for one in inner)
    if origin is Literal:
        return " or ".join(f'"{one}"' for one in inner)
    if origin is tuple:
        of = _spelt(inner[0])
        return f"[{of}, ...]" if inner[-1] is Ellipsis else f"[{', '.join(map(_spelt, inner))}]"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text in quotes"}[kind]


def as_toml(value: Any) -> str:
    """One value, as TOML writes it."""
    if value is None:
        return f'"{NONE}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, (int, float)):
        return f"{value:_}" if isinstance(value, int) else repr(value)
    return toml_text(value)
