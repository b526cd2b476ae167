"""Of several runs: which settings differ."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mimic.report.gather import RunReport
from mimic.report.html import Cell, plain, table, text


def settings_that_differ(reports: Sequence[RunReport]) -> str:
    """A row for each setting that is not the same in all runs, a column for each run; nothing where all are."""
    all_of = [leaves(report.record["config"]) for report in reports]
    names = dict.fromkeys(name for settings in all_of for name in settings)
    rows = [
        [Cell(text(name)), *(Cell(f'<span class="words">{text(_shown(settings, name))}</span>') for settings in all_of)]
        for name in names
        if len({json.dumps(settings.get(name), sort_keys=True) for settings in all_of}) > 1
    ]
    return table("Settings that are not the same in all", ["setting", *(report.name for report in reports)], rows) if rows else ""


def leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every setting by its name as an option, SECTION.NAME."""
    found = {}
    for key, value in config.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _shown(settings: Mapping[str, Any], name: str) -> str:
    """For people; a setting that an older version did not have is not there, and None says that nothing was set."""
    if name not in settings:
        return "(not known to its version)"
    value = settings[name]
    return "none" if value is None or value == [] else plain(value)
