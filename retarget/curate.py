"""A folder of motion files to a catalogue of clips on one robot: retargeted or measured, judged, weighted, split.

A few clips are held at a time: those being solved, and the next. What is done is on disk, under a key of the source's
content, the robot, the version and the options: so a run that was killed goes on, and a file that changed is done again.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from motions.errors import InputError
from motions.files import whole, write_json
from motions.formats import FORMATS, ReadResult
from motions.kinematics import Body
from motions.motion import Motion, file_stem, save_motion
from retarget.batch import Outcome, Source, retarget_many
from retarget.catalogue import (
    CATALOGUE,
    CLIPS,
    RESULTS,
    Row,
    body_digest,
    catalogue_of_another,
    clip_row,
    known_row,
    licence_beside,
    motion_files,
    source_key,
    totals,
)
from retarget.quality import QualityReport

SHOWN_COMPILE_S = 0.1  # shorter is no compilation, but the look-up of what is compiled
Say = Callable[[str], None]
Read = Callable[[Path], ReadResult]
Watch = Callable[[str, Motion, QualityReport, ReadResult], None]


@dataclass
class Tally:
    """What a run did, in clips; for those it retargeted: frames, what the calls took without compilation [s], how long they
    waited for that [s]; and the time from start to end [s]."""

    done: int = 0
    kept: int = 0  # found on disk, from an earlier run
    broken: int = 0
    passed: int = 0
    frames: int = 0
    solve_s: float = 0.0
    compile_s: float = 0.0
    wall_s: float = 0.0

    def count(self, report: QualityReport | None) -> None:
        """One more clip is done; `report` where it is a clip now, and not broken."""
        self.done += 1
        if report is not None and isfinite(report.solve_s):
            self.frames += report.frames
            self.solve_s += report.solve_s
            self.compile_s += report.compile_s


class _Taken(NamedTuple):
    """A file on its way: its place among the files, digests of its content and of all its result depends on, what was read."""

    place: int
    file: Path
    source: str
    key: str
    found: ReadResult | Exception


def curate(
    folder: Path,
    body: Body,
    out: Path,
    read: Read,
    say: Say,
    *,
    version: str,
    options: str = "",
    mapping: Path | None = None,
    watch: Watch | None = None,
) -> Tally:
    """Write `out`/catalogue.json, and each clip on `body` under `out`/clips; results appear one by one, in order of the files.

    read: reads one file, for this robot. version, options: whatever else a result depends on. mapping: as `retarget` takes it.
    watch: is shown every new result under its clip's stem, for pictures. A file that cannot be read or retargeted is
    reported and skipped. Raises `InputError` for a folder without motion files, a robot without a mapping, `out` with
    another robot's catalogue, or where nothing can be written.
    """
    began = time.perf_counter()
    files = motion_files(folder, out)
    if not files:
        raise InputError(f"{folder}: no motion files in it. Known: {', '.join(FORMATS)}")
    older = catalogue_of_another(out, body.name, version)
    if older:
        say(older)
    with _writing(out):
        for name in (CLIPS, RESULTS):
            (out / name).mkdir(parents=True, exist_ok=True)
    salt = f"{body_digest(body)} {version} {options}"
    tally, rows, taken = Tally(), dict[int, Row](), deque[_Taken]()

    def sources() -> Iterator[Source]:
        for place, file in enumerate(files):
            one = _take(place, file, salt, read, lambda key, file=file: known_row(out, key, _shown(file, folder)))
            if isinstance(one, dict):
                rows[place] = one
                tally.kept += 1
                continue
            taken.append(one)
            yield one.found.motion if isinstance(one.found, ReadResult) else one.found

    with closing(retarget_many(sources(), body, mapping=mapping)) as outcomes:
        try:
            for outcome in outcomes:
                one = taken.popleft()
                rows[one.place], report = _stored(one, outcome, folder, out, watch)
                tally.count(report)
                say(f"{one.place + 1}/{len(files)} {_words(rows[one.place], report)}")
        except KeyboardInterrupt:
            say(f"stopping as soon as the clips under way are solved; the same command goes on from what is in {out}")
            raise
    ordered = [rows[place] for place in range(len(files))]
    with _writing(out):
        content = {"robot": body.name, "version": version, "clips": ordered, "totals": totals(ordered)}
        write_json(out / CATALOGUE, content)
    tally.broken = sum("error" in row for row in ordered)
    tally.passed = sum(row.get("passed", False) for row in ordered)
    tally.wall_s = time.perf_counter() - began
    return tally


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """What the system says against writing becomes an `InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write in {out}: {error.strerror or error}") from error


def _words(row: Row, report: QualityReport | None) -> str:
    """What became of a file, for the user: why it is broken, or the verdict and how fast it was solved."""
    said = f"{row['file']}: {row.get('error') or row['verdict']}"
    if report is None or not isfinite(report.solve_s):
        return said
    compiled = f" after {report.compile_s:.1f} s of compilation" if report.compile_s >= SHOWN_COMPILE_S else ""
    return f"{said}; {report.frames} frames, {report.solve_fps:.0f} frames/s{compiled}"


def _shown(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _take(place: int, file: Path, salt: str, read: Read, known: Callable[[str], Row | None]) -> _Taken | Row:
    """What an earlier run made of the file, or else the file read, or why it cannot be."""
    source = key = ""
    try:
        source, key = source_key(file, salt)
        row = known(key)
        return row if row is not None else _Taken(place, file, source, key, read(file))
    except Exception as error:  # also a fault of ours: it comes back as this clip's outcome
        return _Taken(place, file, source, key, error)


def _stored(one: _Taken, outcome: Outcome, folder: Path, out: Path, watch: Watch | None) -> tuple[Row, QualityReport | None]:
    """Write what became of one file; its row, and its report where it is a clip now."""
    row: Row = {"name": one.file.stem, "file": _shown(one.file, folder)}
    if isinstance(outcome, tuple) and isinstance(one.found, ReadResult):
        motion, report = outcome
        stem = f"{file_stem(motion.name)}-{one.key[:8]}"
        try:
            if watch is not None:
                watch(stem, motion, report, one.found)
        except Exception as error:
            outcome = error
        else:
            clip = f"{CLIPS}/{stem}.npz"
            row = clip_row(row["file"], clip, one.source, motion, report, one.found, licence_beside(one.file, folder))
            with _writing(out):
                with whole(out / clip) as partial:
                    save_motion(motion, partial)
                write_json(out / RESULTS / f"{one.key}.json", row)  # last: its presence says that all is done
            return row, report
    row["error"] = str(outcome)
    if not isinstance(outcome, InputError):  # a fault in one clip must not end a night's work; it is tried again next time
        row["error"] = f"our fault, please report it: {type(outcome).__name__}: {outcome}"
    elif one.key:
        with _writing(out):
            write_json(out / RESULTS / f"{one.key}.json", row)
    return row, None
