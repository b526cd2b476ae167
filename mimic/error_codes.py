"""The short code in brackets behind every error: what it is about, what usually causes it, and what to do.

An error's code is that of the module which raises it, so that no message has to carry one; the table is error_codes.toml.
"""

import tomllib
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from motions.errors import unknown_name

ROOMS = ("motions", "retarget", "mimic")
SPOKEN = ("InputError", "BundleError")  # written for a user to read


class Code(NamedTuple):
    """One kind of error. modules: those that raise it, each with all that is inside it and has no code of its own."""

    code: str
    title: str
    modules: tuple[str, ...]
    causes: str
    advice: str


def _read_codes() -> tuple[Code, ...]:
    tables = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return tuple(Code(code, **(entry | {"modules": tuple(entry["modules"])})) for code, entry in tables.items())


CODES = _read_codes()


def code_of_module(module: str) -> Code | None:
    """The code of what a module of ours raises: that of the longest name that it is, or is inside. None: it has none."""
    found = _claim(module)
    return found[1] if found else None


def _claim(module: str) -> tuple[str, Code] | None:
    """The longest name in `CODES` that a module is, or is inside, and the entry it belongs to."""
    fitting = [(name, entry) for entry in CODES for name in entry.modules if module == name or module.startswith(f"{name}.")]
    return max(fitting, key=lambda pair: len(pair[0])) if fitting else None


def code_of(error: BaseException) -> Code | None:
    """The code of an error that was raised; of one that was raised from another of `SPOKEN`, the other's: it knows best.

    A module that has only its package's code may be a helper of one that has its own: then that is the error's.
    """
    while type(error.__cause__).__name__ in SPOKEN:
        error = error.__cause__  # type: ignore[assignment]
    modules = _modules(error.__traceback__)
    found = _claim(modules[0]) if modules else None
    if found is None:
        return None
    package, entry = found
    for module in modules:
        claim = _claim(module)
        if claim is None or not module.startswith(package):
            break
        if claim[0] == module:
            return claim[1]
    return entry


def _modules(traceback: TracebackType | None) -> list[str]:
    """The modules of ours that an error went through, the one that raised it first."""
    names = []
    while traceback is not None:
        names.append(traceback.tb_frame.f_globals.get("__name__", ""))
        traceback = traceback.tb_next
    return [name for name in reversed(names) if name.partition(".")[0] in ROOMS]


def find_code(word: str) -> Code:
    """The entry of a code as a user types it: E-BVH, e-bvh or bvh. Raises `InputError` with the known ones."""
    wanted = f"E-{word.upper().removeprefix('E-')}"
    for entry in CODES:
        if entry.code == wanted:
            return entry
    raise unknown_name("error code", word, [entry.code for entry in CODES])
