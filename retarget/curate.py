"""A folder of motion files to a catalogue of clips on one robot: retargeted or measured, judged, weighted, split.

One clip is held at a time. What is done is on disk, under a key of the source's content, the robot, the version and
the options: so a run that was killed goes on, and a file that changed is done again.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motions.errors import InputError
from motions.formats import FORMATS, ReadResult
from motions.kinematics import Body
from motions.motion import Motion, save_motion
from retarget.pipeline import assess, retarget
from retarget.quality import QualityReport

CATALOGUE, CLIPS, RESULTS = "catalogue.json", "clips", "results"
HELD_OUT_SHARE = 0.1
PERCENTAGES = ("fidelity", "joint_feasibility", "non_floating", "non_penetration", "non_skating")
OPENINGS = {".txt": b"{", ".json": b"{", ".xml": b"<"}
LICENCE_NAMES = ("licence", "license", "notice", "copying")  # the first kind that lies there counts
Say = Callable[[str], None]
Read = Callable[[Path], ReadResult]
Watch = Callable[[str, Motion, QualityReport, ReadResult], None]


@dataclass(frozen=True)
class Tally:
    """What a run did, in clips."""

    done: int
    kept: int  # found on disk, from an earlier run
    broken: int
    passed: int


def curate(
    folder: Path, body: Body, out: Path, read: Read, say: Say, *, version: str, options: str = "", watch: Watch | None = None
) -> Tally:
    """Write `out`/catalogue.json, and each clip on `body` under `out`/clips.

    read: reads one file, for this robot. version, options: whatever else a result depends on. watch: is shown every new
    result under its clip's stem, for pictures. A file that cannot be read or retargeted is reported and skipped. Raises
    `InputError` for a folder without motion files, or where nothing can be written.
    """
    files = motion_files(folder, out)
    if not files:
        raise InputError(f"{folder}: no motion files in it. Known: {', '.join(FORMATS)}")
    try:
        for name in (CLIPS, RESULTS):
            (out / name).mkdir(parents=True, exist_ok=True)
        salt = f"{body_digest(body)} {version} {options}"
        rows, done, kept = [], 0, 0
        for number, file in enumerate(files, start=1):
            row = _known(file, folder, out, salt)
            kept += row is not None
            if row is None:
                row = _new_row(file, folder, body, out, salt, read, watch)
                done += 1
                say(f"{number}/{len(files)} {row['file']}: {row.get('error') or row['verdict']}")
            rows.append(row)
        _write_json(out / CATALOGUE, {"robot": body.name, "version": version, "clips": rows, "totals": _totals(rows)})
    except OSError as error:
        raise InputError(f"cannot write in {out}: {error.strerror or error}") from error
    broken = sum("error" in row for row in rows)
    return Tally(done, kept, broken, sum(row.get("passed", False) for row in rows))


def motion_files(folder: Path, out: Path) -> list[Path]:
    """The motion files below `folder`, in order of their names; not those below `out`."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in FORMATS and path.is_file())
    return [path for path in found if out.resolve() not in path.resolve().parents and _may_be_motion(path)]


def _may_be_motion(path: Path) -> bool:
    """Not the text beside the clips: of suffixes that anything may have, only files that begin as such motions do."""
    opening = OPENINGS.get(path.suffix.lower())
    if opening is None:
        return True
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(opening)


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
    """(digest of the file's content, digest of all that its result depends on). Read in pieces: files may be large."""
    content = hashlib.sha256()
    beside = sorted(file.parent.glob("*.asf")) if file.suffix.lower() == ".amc" else []  # one of them is its skeleton
    for path in (file, *beside):
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                content.update(block)
    source = content.hexdigest()
    return source, hashlib.sha256(f"{source} {file.name} {salt}".encode()).hexdigest()[:16]


def _known(file: Path, folder: Path, out: Path, salt: str) -> dict[str, Any] | None:
    """The row of an earlier run, if it is whole, with its clip, and about this very file."""
    try:
        row = json.loads((out / RESULTS / f"{source_key(file, salt)[1]}.json").read_text())
    except (OSError, ValueError):
        return None
    same = row.get("file") == file.relative_to(folder).as_posix()
    return row if same and ("error" in row or (out / row["clip"]).is_file()) else None


def _new_row(file: Path, folder: Path, body: Body, out: Path, salt: str, read: Read, watch: Watch | None) -> dict[str, Any]:
    """Read, retarget or measure, judge and store one file."""
    shown = file.relative_to(folder).as_posix()
    source, key = source_key(file, salt)
    try:
        found = read(file)
        if isinstance(found.motion, Motion):
            motion, report = found.motion, assess(found.motion, body)
        else:
            motion, report = retarget(found.motion, body)
        stem = f"{motion.name}-{key[:8]}"
        if watch is not None:
            watch(stem, motion, report, found)
    except InputError as error:
        row: dict[str, Any] = {"name": file.stem, "file": shown, "error": str(error)}
        _write_json(out / RESULTS / f"{key}.json", row)
        return row
    except Exception as error:  # a fault of ours in one clip must not end a night's work; it is said, and tried again next time
        return {"name": file.stem, "file": shown, "error": f"our fault, please report it: {type(error).__name__}: {error}"}
    licence_file = licence_beside(file, folder)
    clip = f"{CLIPS}/{stem}.npz"
    partial = out / f"{clip}.partial.npz"
    save_motion(motion, partial)
    os.replace(partial, out / clip)
    row = {
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
        "licence": motion.licence,
        "licence_file": licence_file,
        "weight": 1.0 if report.passed else 0.0,
        "split": "held_out" if int(source[:8], 16) < HELD_OUT_SHARE * 2**32 else "train",
        "notes": list(found.notes),
    }
    _write_json(out / RESULTS / f"{key}.json", row)  # last: its presence says that all is done
    return row


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


def _totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    good = [row for row in rows if "error" not in row]
    train = [row for row in good if row["passed"] and row["split"] == "train"]
    return {
        "files": len(rows),
        "broken": len(rows) - len(good),
        "passed": sum(row["passed"] for row in good),
        "duration_s": round(sum(row["duration_s"] for row in good), 3),
        "train_s": round(sum(row["duration_s"] for row in train), 3),
        **{name: sum(row[name] for row in good) / len(good) for name in PERCENTAGES if good},
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(partial, path)
