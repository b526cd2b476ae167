"""`mimic report`: what runs achieved, in one page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mimic.arguments import POSITIONAL, say, write_json
from motions.errors import InputError


@dataclass(frozen=True)
class Report:
    """Write one HTML page of a run, or of several side by side, to open from disk.

    Results, a replay, margins and costs. A run that is in training, or was evaluated by an older version, is measured first, by
    its newest checkpoint: it takes longer.
    """

    runs: Annotated[tuple[Path, ...], POSITIONAL]
    """Run folders."""
    out: Path | None = None
    """The .html to write; default: report.html in the run's folder, of several runs in this one."""
    json: Path | None = None
    """Write the numbers to this file too (docs/report.md has the layout)."""

    def run(self) -> int:
        from mimic.report.gather import gather, report_to_json
        from mimic.report.page import write_page
        from mimic.runs import REPORT, open_run, require_writable_file

        if not self.runs:
            raise InputError("mimic report wants at least one run folder: mimic report RUN")
        if len({folder.resolve() for folder in self.runs}) < len(self.runs):
            raise InputError(f"the same run twice: {', '.join(map(str, self.runs))}; expected different ones")
        out = self.out or (self.runs[0] if len(self.runs) == 1 else Path()) / REPORT
        if out.suffix not in (".html", ".htm"):
            raise InputError(f"--out {out}: expected a file that ends in .html")
        for folder in self.runs:
            open_run(folder)  # all are looked at before any is measured
        require_writable_file(out)
        require_writable_file(self.json)
        reports = gather(self.runs, say)
        write_json(self.json, report_to_json(reports))
        write_page(out, reports)
        say(f"wrote {out}")
        return 0
