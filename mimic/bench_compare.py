"""Two measurements of speed beside each other: what has become slower, whatever the machine was busy with."""

import json
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from motions.errors import InputError

SAME = ("backend", "num_envs")  # what only like may be compared by
JUDGED = {"ratio": -1, "peak_memory_mb": +1}  # and in which direction it is worse; bare rates are the machine's, too


def compare_speeds(before: Path, after: Path, tolerance: float) -> bool:
    """Print both and their quotients; whether what is `JUDGED` is no worse than by the share `tolerance`.

    Raises `InputError` for files that are not `mimic bench speed --json`'s, or of unlike measurements.
    """
    old, new = _read(before), _read(after)
    for name in SAME:
        if old[name] != new[name]:
            raise InputError(f"{after} is of {name} {new[name]}, {before} of {old[name]}: not to be compared")
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for header in ("quantity", "before", "after", "after / before", ""):
        table.add_column(header, justify="left" if header in ("quantity", "") else "right")
    good = True
    for name in (name for name in old if name not in SAME and name in new):
        quotient = new[name] / old[name] if old[name] else float("nan")
        worse = name in JUDGED and JUDGED[name] * (quotient - 1.0) > tolerance
        good &= not worse
        table.add_row(name, f"{old[name]:,.4g}", f"{new[name]:,.4g}", f"{quotient:.3f}", "worse" if worse else "")
    Console().print(table)
    return good


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    missing = [name for name in (*SAME, *JUDGED) if not isinstance(record, dict) or name not in record]
    if missing:
        raise InputError(f"{path}: not written by `mimic bench speed --json`: it has no {', '.join(missing)}")
    return record
