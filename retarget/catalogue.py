"""What a curated library is on disk: the motion files found, the keys their results are kept under, rows and totals."""

import hashlib
import json
import os
from math import isfinite
from pathlib import Path
from typing import Any

from motions.errors import InputError
from motions.formats import FORMATS, ReadResult
from motions.formats.text import check_file
from motions.kinematics import Body
from motions.motion import Motion
from retarget.quality import QualityReport

CATALOGUE, CLIPS, RESULTS = "catalogue.json", "clips", "results"
HELD_OUT_SHARE = 0.1
PERCENTAGES = ("fidelity", "joint_feasibility", "non_floating", "non_penetration", "non_skating")
OPENINGS = {".txt": b"{", ".json": b"{", ".xml": b"<"}
LICENCE_NAMES = ("licence", "license", "notice", "copying")  # the first kind that lies there counts
Row = dict[str, Any]


def motion_files(folder: Path, out: Path) -> list[Path]:
    """The motion files below `folder`, in order of their names; not those below `out`. Links to folders are followed.

    Whatever bears the suffix of one is listed, so that a broken link or a folder of such a name is reported, not passed over.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: {'a file, expected a folder of motion files' if folder.exists() else 'no such folder'}")
    found, seen, own = [], set(), out.resolve()
    for place, folders, names in os.walk(folder, followlinks=True):
        here = Path(place).resolve()
        if here in seen or here == own:
            folders.clear()  # a link leads back
            continue
        seen.add(here)
        found += [path for name in (*names, *folders) if _may_be_motion(path := Path(place) / name)]
    return sorted(found)


def _may_be_motion(path: Path) -> bool:
    """Not the text beside the clips: of suffixes that anything may have, only files that begin as such motions do."""
    suffix = path.suffix.lower()
    if suffix not in OPENINGS:
        return suffix in FORMATS
    try:
        check_file(path)
        with path.open("rb") as file:
            return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(OPENINGS[suffix])
    except (InputError, OSError):
        return False


def body_digest(body: Body) -> str:
    """The robot as far as its motions depend on it: names, tree, joints, limits, shapes."""
    model, digest = (
        body.model,
        hashlib.sha256(" ".join((body.name, *body.body_names, *body.joint_names, *body.foot_bodies)).encode()),
    )
    for field in (model.body_parentid, model.body_pos, model.body_quat, model.body_mass, model.jnt_axis, model.jnt_pos,
                  model.jnt_range, model.qpos0, model.geom_size, model.geom_pos, model.geom_type):  # fmt: skip
        digest.update(field.tobytes())
    return digest.hexdigest()[:12]


def source_key(file: Path, salt: str) -> tuple[str, str]:
    """(digest of the file's content, digest of all that its result depends on). Read in pieces: files may be large.

    Raises `InputError` for what cannot be read.
    """
    content = hashlib.sha256()
    beside = sorted(file.parent.glob("*.asf")) if file.suffix.lower() == ".amc" else []  # one of them is its skeleton
    try:
        for path in (check_file(file), *beside):
            with path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    content.update(block)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error
    source = content.hexdigest()
    return source, hashlib.sha256(f"{source} {file.name} {salt}".encode()).hexdigest()[:16]


def known_row(out: Path, key: str, shown: str) -> Row | None:
    """The row of an earlier run, if it is whole, with its clip, and about the very file that is shown as `shown`."""
    try:
        row = json.loads((out / RESULTS / f"{key}.json").read_text())
    except (OSError, ValueError):
        return None
    whole = isinstance(row, dict) and row.get("file") == shown and ("error" in row or (out / str(row.get("clip"))).is_file())
    return row if whole else None


def clip_row(
    shown: str, clip: str, source: str, motion: Motion, report: QualityReport, found: ReadResult, licence_file: str | None
) -> Row:
    """What the catalogue says of a clip. `source`: digest of the file's content; what is random depends on it alone."""
    return {
        "name": motion.name,
        "file": shown,
        "clip": clip,
        "source_sha256": source,
        "duration_s": round(motion.duration_s, 3),
        "frames": motion.num_frames,
        "fps": motion.fps,
        "passed": report.passed,
        "verdict": report.verdict,
        "checks": report.to_dict()["checks"],
        **{name: getattr(report, name) for name in PERCENTAGES},
        "solve_fps": report.solve_fps if isfinite(report.solve_fps) else None,  # none was solved: it came on the robot
        "compile_s": report.compile_s,
        "licence": motion.licence,
        "licence_file": licence_file,
        "weight": 1.0 if report.passed else 0.0,
        "split": "held_out" if int(source[:8], 16) < HELD_OUT_SHARE * 2**32 else "train",
        "notes": [*found.notes, *report.notes],
    }


def listed_clips(path: Path, robot: str, split: str) -> list[tuple[Path, float]]:
    """The clips of a catalogue in `split` ("train" or "held_out") that weigh something, each with its weight.

    Raises `InputError` for what is no catalogue, one of another robot, and where there is no such clip.
    """
    try:
        found = json.loads(path.read_text())
        theirs = str(found["robot"])
        rows = [row for row in found["clips"] if "error" not in row and row["split"] == split and row["weight"] > 0]
        clips = [(path.parent / str(row["clip"]), float(row["weight"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a catalogue of `mimic motions curate` ({error!r})") from error
    if theirs != robot:
        raise InputError(f"{path}: a catalogue of clips on robot {theirs!r}, expected {robot!r}")
    if not clips:
        raise InputError(f"{path}: no clip in it has split {split!r} and a weight above 0")
    return clips


def licence_beside(file: Path, top: Path) -> str | None:
    """The licence file nearest to `file`, in its folder or one above it up to `top`; relative to `top`, None without one."""
    for folder in (file.parent, *file.parent.parents):
        names = sorted(path for path in folder.iterdir() if path.is_file())
        for kind in LICENCE_NAMES:
            for path in names:
                if path.name.lower().startswith(kind):
                    return path.relative_to(top).as_posix()
        if folder == top:
            break
    return None


def totals(rows: list[Row]) -> Row:
    """Sums and means over the rows of a catalogue; `solve_fps` = frames / call seconds of all clips that were solved."""
    good = [row for row in rows if "error" not in row]
    train = [row for row in good if row["passed"] and row["split"] == "train"]
    solved = [row for row in good if row["solve_fps"] is not None]
    calls_s = sum(row["frames"] / row["solve_fps"] for row in solved)
    return {
        "files": len(rows),
        "broken": len(rows) - len(good),
        "passed": sum(row["passed"] for row in good),
        "frames": sum(row["frames"] for row in good),
        "duration_s": round(sum(row["duration_s"] for row in good), 3),
        "train_s": round(sum(row["duration_s"] for row in train), 3),
        "solve_fps": sum(row["frames"] for row in solved) / calls_s if solved else None,
        **{name: sum(row[name] for row in good) / len(good) for name in PERCENTAGES if good},
    }


def catalogue_of_another(out: Path, robot: str, version: str) -> str | None:
    """What is to be said of the catalogue in `out`, where another version wrote it. Raises `InputError` for another robot's."""
    path = out / CATALOGUE
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text())
        theirs, written_by = str(found["robot"]), str(found["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a catalogue of ours ({error!r}): move it away, or give another --out") from error
    if theirs != robot:
        raise InputError(f"{path}: the catalogue of robot {theirs!r}, and this is {robot!r}: give each its own --out")
    if written_by == version:
        return None
    return f"{path} was written by version {written_by}, this is {version}: every clip is done again"
