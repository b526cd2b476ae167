"""Where a robot's files are: a path, this package, the folders of MIMIC_ROBOTS, the package robot_descriptions."""

import contextlib
import importlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic.robots.traits import read_toml
from motions.errors import InputError, unknown_name

HERE = Path(__file__).parent
ENV_VAR = "MIMIC_ROBOTS"


@dataclass(frozen=True)
class Source:
    """An MJCF and, if there is one, the TOML table that describes it (`spec_path` says which)."""

    mjcf: Path
    table: dict[str, Any] | None = None
    spec_path: Path | None = None


def builtin_specs() -> dict[str, Path]:
    """Robots known by name: the TOML specs of this package."""
    return {path.stem: path for path in sorted(HERE.glob("*.toml"))}


def search_folders() -> tuple[Path, ...]:
    """The folders of the environment variable MIMIC_ROBOTS."""
    return tuple(Path(part).expanduser() for part in os.environ.get(ENV_VAR, "").split(os.pathsep) if part)


def find_robot(name_or_path: str, folders: tuple[Path, ...]) -> Source:
    """Resolve a robot's name, an .xml or a .toml. Raises `InputError` in one line, saying what was tried."""
    path = Path(name_or_path).expanduser()
    if path.suffix in (".xml", ".mjcf") or path.suffix == ".toml":
        if not path.is_file():
            raise InputError(f"robot file {name_or_path!r} does not exist")
        return Source(path) if path.suffix != ".toml" else _from_spec(path, folders)
    specs = builtin_specs()
    if name_or_path not in specs:
        if path.exists():
            raise InputError(f"robot {name_or_path!r}: expected a name, an .xml or a .toml file")
        known = unknown_name("robot", name_or_path, specs)
        raise InputError(f"{known}. One of your own is given by its file: --robot FILE.toml or FILE.xml")
    return _from_spec(specs[name_or_path], folders)


def _from_spec(spec_path: Path, folders: tuple[Path, ...]) -> Source:
    table = read_toml(spec_path)
    for file in table["files"]:
        if (spec_path.parent / file).is_file():
            return Source(spec_path.parent / file, table, spec_path)
    for file in table["files"]:
        for folder in folders if not Path(file).is_absolute() else ():
            for found in sorted(folder.rglob(file)):
                return Source(found, table, spec_path)
    first, *others = table["files"]
    files = first + (f" (or {len(others)} other names)" if others else "")
    where = ", ".join(str(f) if f.is_dir() else f"{f}, which does not exist" for f in folders)
    tried = [f"{files} beside {spec_path.name}", f"the folders of {ENV_VAR} ({where or 'not set'})"]
    if module := table.get("robot_descriptions"):
        found, why = _from_robot_descriptions(module)
        if found:
            return Source(found, table, spec_path)
        tried.append(why)
    advice = f"give --robot path.xml or set {ENV_VAR}"
    raise InputError(f"no model of robot {table['name']!r} found; tried {'; '.join(tried)}; {advice}")


def _from_robot_descriptions(module: str) -> tuple[Path | None, str]:
    """The MJCF the package `robot_descriptions` downloads, or why it could not."""
    try:
        importlib.import_module("robot_descriptions")
    except ImportError:
        return None, "the package robot_descriptions (not installed)"
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return Path(importlib.import_module(f"robot_descriptions.{module}").MJCF_PATH), ""
    except Exception as error:  # it shells out to git: any kind of failure means that there is no file
        return None, f"the package robot_descriptions (download failed: {type(error).__name__}; offline?)"
