"""`mimic retarget | convert`: motion files in, motion files out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from mimic.arguments import EXIT_FAILED, POSITIONAL, FileOptions, QuatOrder, say, write_json
from motions.errors import InputError


@dataclass(frozen=True)
class Retarget(FileOptions):
    """Mocap to a robot, with a report on its quality."""

    files: Annotated[tuple[str, ...], POSITIONAL]
    """Motion files of any kind."""
    robot: str
    """A robot's name, or a path to an MJCF or spec file."""
    out: Path
    """The npz to write, or a folder for several."""
    start_s: float = 0.0
    """Of each motion, the part from here [s] ..."""
    end_s: float | None = None
    """... to here [s] is kept; default: to its end."""
    strict: bool = False
    """End with exit code 1 where the verdict of a clip is FAILED; all are written all the same."""
    sheets: Path | None = None
    """Folder for a picture of every clip that is retargeted: a dozen poses, captured and robot side by side."""
    json: Path | None = None
    """Write the quality numbers to this file too."""

    def run(self) -> int:
        from mimic.runs import require_writable, require_writable_file
        from mimic.sources import named_robot, quality_json, read_motions
        from motions.motion import save_motion

        if not self.files:
            raise InputError("mimic retarget wants at least one motion file")
        single = self.out.suffix == ".npz"
        if single and len(self.files) > 1:
            raise InputError(f"--out {self.out} is one file but {len(self.files)} motions are given: name a folder")
        targets = [self.out if single else self.out / f"{Path(path).stem}.npz" for path in self.files]
        if len(set(targets)) < len(targets):
            raise InputError("two of the motion files have the same name: retarget them into different folders")
        if not single:
            require_writable(self.out)
        for file in (*targets, self.json):
            require_writable_file(file)
        robot = named_robot(self.robot, say)
        motions, reports = read_motions(
            self.files, robot, say, start_s=self.start_s, end_s=self.end_s, sheets=self.sheets, **self.of_files
        )
        rows = {}
        for target, motion, report in zip(targets, motions, reports, strict=True):
            save_motion(motion, target)
            say(f"wrote {target}: {motion.num_frames} frames at {motion.fps:g} Hz")
            rows[str(target)] = None if report is None else report.to_dict()
        solved = [report for report in reports if report is not None]
        write_json(self.json, {"motions": rows, **quality_json(solved)})
        failed = [report.name for report in solved if not report.passed]
        if self.strict and failed:
            say(f"--strict: FAILED are {len(failed)} of {len(self.files)}: {', '.join(failed)}")
            return EXIT_FAILED
        return 0


@dataclass(frozen=True)
class Convert:
    """Write a motion in another format, or back onto its source skeleton."""

    source: Annotated[str, POSITIONAL]
    """A motion file of any kind: captured, retargeted or simulated."""
    out: Annotated[Path, POSITIONAL]
    """Its suffix says the format: .npz, .csv, .bvh, .glb, .usda, .usdc, .fbx."""
    robot: str | None = None
    """Whose motion it is, where the file does not say."""
    quat_order: QuatOrder | None = None
    """Quaternion order of a CSV that is read."""
    fps: float | None = None
    """Frame rate [Hz] of files that do not say."""
    scale: float | None = None
    """Metres per unit of the file, with --onto of that one, where it cannot be recognised."""
    format: Literal["whole_body_tracking"] | None = None
    """A format that shares its suffix with another."""
    out_quat_order: QuatOrder = "wxyz"
    """Quaternion order of a CSV that is written."""
    onto: Path | None = None
    """Bake a robot's motion onto the skeleton of this file, with its joint names, offsets, unit and rate."""
    root_motion: Literal["hips", "root", "in_place"] | None = None
    """Of --onto: what carries the way through the world; default: hips."""

    def run(self) -> int:
        from mimic.convert import convert

        convert(say=say, **vars(self))
        return 0
