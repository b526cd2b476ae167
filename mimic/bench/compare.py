"""Two measurements of speed beside each other: what has become slower, whatever the machine was busy with."""

import json
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from mimic.arguments import paper
from motions.errors import InputError

SAME = ("backend", "num_envs", "devices")  # what only like may be compared by
JUDGED = {"ratio": -1, "peak_memory_mb": +1}  # and in which direction it is worse; bare rates are the machine's, too


def compare_speeds(before: Path, after: Path, tolerance: float) -> list[dict[str, Any]]:
    """Print both, row by row, and their quotients. Returns of each row each quantity's `before`, `after`, and whether it is
    `worse`: one of `JUDGED`, and worse by more than the share `tolerance`.

    Raises `InputError` for files that are not `mimic bench speed --json`'s, or of unlike measurements.
    """
    old_rows, new_rows = _read(before), _read(after)
    if len(old_rows) != len(new_rows):
        raise InputError(f"{after} holds {len(new_rows)} measurements, {before} {len(old_rows)}: not to be compared")
    pairs = list(zip(old_rows, new_rows, strict=True))
    for old, new in pairs:
        for name in SAME:
            if old[name] != new[name]:
                raise InputError(f"{after} is of {name} {new[name]}, {before} of {old[name]}: not to be compared")
    return [_compare(old, new, tolerance) for old, new in pairs]


def _compare(old: dict[str, Any], new: dict[str, Any], tolerance: float) -> dict[str, Any]:
    title = f"{old['backend']}, {old['num_envs']} environments, devices: {old['devices']}"
    table = Table(box=SIMPLE_HEAD, show_edge=False, title=title, title_justify="left")
    for header in ("quantity", "before", "after", "after / before", ""):
        table.add_column(header, justify="left" if header in ("quantity", "") else "right")
    compared = {}
    for name in (name for name in old if name not in SAME and None not in (old[name], new.get(name))):
        quotient = new[name] / old[name] if old[name] else float("nan")
        worse = name in JUDGED and JUDGED[name] * (quotient - 1.0) > tolerance
        compared[name] = {"before": old[name], "after": new[name], "worse": worse}
        table.add_row(name, f"{old[name]:,.4g}", f"{new[name]:,.4g}", f"{quotient:.3f}", "worse" if worse else "")
    paper().print(table)
    return compared


def _read(path: Path) -> list[dict[str, Any]]:
    """The measurements in a file: one, or its rows. Files from before there were devices to choose are of one."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    rows = record["rows"] if isinstance(record, dict) and isinstance(record.get("rows"), list) else [record]
    rows = [{"devices": 1} | row if isinstance(row, dict) and row else {} for row in rows]
    missing = [name for name in ("backend", "num_envs", *JUDGED) if any(name not in row for row in rows)]
    if missing or not rows:
        raise InputError(f"{path}: not written by `mimic bench speed --json`: it has no {', '.join(missing) or 'rows'}")
    return rows
