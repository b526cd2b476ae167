"""Reference pages of what can be set: every field of the configuration, and every preset, from the dataclasses themselves."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

from tables import code, table, text

from mimic.config import Config
from mimic.presets import PRESETS
from motions.clips import FOLDER as CLIPS
from motions.fields import as_written


def _unit(doc: str) -> str:
    """The first that stands in brackets; none: a pure number, or no number."""
    found = re.search(r"\[([^\]]+)\]", doc)
    return found[1] if found else ""


def value(given: Any) -> str:
    """A setting as Python spells it, but words without quotes, and clips of the package without the place it is installed in."""
    return (given if isinstance(given, str) else repr(given)).replace(f"{CLIPS}/", "motions/clips/")


def _kind(annotation: str) -> str:
    """A type as a reader wants it: Literal['pd', 'motor'] is pd | motor."""
    return re.sub(r"Literal\[(.*?)\]", lambda match: match[1].replace("'", "").replace(", ", " | "), annotation)


def sections(config: Config) -> list[tuple[str, Any]]:
    """The tables of the configuration: ("", the run's own fields), then each (prefix, dataclass)."""
    found: list[tuple[str, Any]] = [("", config)]
    for prefix, owner in found:
        for field in dataclasses.fields(owner):
            inner = getattr(owner, field.name)
            if dataclasses.is_dataclass(inner):
                found.append((f"{prefix}{field.name}.", inner))
    return found


def configuration_page() -> str:
    """Every field: option, type, default, unit, what."""
    lines = [
        "# Configuration",
        "",
        "Every field is an option of `mimic train`, `distill`, `harden` and `sweep`, named as here with dashes for "
        "underscores: `--ppo.discount 0.97`, `--sim.collisions all`. A run folder's `config.json` holds all of them. "
        "Defaults are those of the classes; what a preset has otherwise is on the page [Presets](presets.md). `None` is written "
        "`None` on the command line, and several values by spaces.",
        "",
    ]
    for prefix, owner in sections(Config()):
        kind = type(owner)
        written = as_written(kind)
        lines += [f"## {prefix.rstrip('.') or 'The run itself'} {{ #{kind.__name__} }}", ""]
        about = kind.__doc__ or ""
        if not about.startswith(f"{kind.__name__}("):  # what dataclass writes where nobody did
            lines += [f"<p>{text(about)}</p>", ""]
        rows = []
        for field in dataclasses.fields(kind):
            inner, (spelt, doc) = getattr(owner, field.name), written[field.name]
            if not dataclasses.is_dataclass(inner):
                cells = [
                    code(f"{prefix}{field.name}"),
                    code(_kind(spelt)),
                    code(value(inner)),
                    text(_unit(doc)),
                    text(doc),
                ]
                rows.append((f"{prefix}{field.name}", cells))
        lines += [table(("field", "type", "default", "unit", "what"), rows), ""]
    return "\n".join(lines)


def differences(ours: Any, default: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, default, ours) of each field in which two trees of one class differ."""
    for field in dataclasses.fields(ours):
        here, there = getattr(ours, field.name), getattr(default, field.name)
        if dataclasses.is_dataclass(here):
            yield from differences(here, there, f"{prefix}{field.name}.")
        elif here != there:
            yield f"{prefix}{field.name}", there, here


def presets_page() -> str:
    """Every preset, and where it differs from the defaults."""
    about = {name: (make.__doc__ or "").strip() for name, make in PRESETS.items()}
    overview = [(("", (f'<a href="#{name}">{code(name)}</a>', text(words.splitlines()[0])))) for name, words in about.items()]
    lines = [
        "# Presets",
        "",
        "A preset is a whole [configuration](configuration.md) under a name: `mimic train PRESET`. Below, what each has "
        "otherwise than the defaults.",
        "",
        table(("preset", "what"), overview),
        "",
    ]
    for name, make in PRESETS.items():
        lines += [f"## {name}", "", *(f"<p>{text(part)}</p>" for part in inspect.cleandoc(about[name]).split("\n\n")), ""]
        rows = [
            ("", (f'<a href="configuration.html#{path}">{code(path)}</a>', code(value(default)), code(value(ours))))
            for path, default, ours in differences(make(), Config())
        ]
        lines += [table(("field", "default", name), rows) if rows else "As the defaults.", ""]
    return "\n".join(lines)


def setting(preset: str, path: str) -> str:
    """The value of the field `path` in a preset, or with "default" in the classes; for prose."""
    found: Any = Config() if preset == "default" else PRESETS[preset]()
    for name in path.split("."):
        found = getattr(found, name)
    return " to ".join(f"{part:g}" for part in found) if isinstance(found, tuple) else f"{found:g}"
