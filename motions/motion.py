"""`Motion`: what one robot does over time, as generalized positions; its checks and its npz file."""

import warnings
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from motions.errors import InputError, unreadable
from motions.rotations import quat_normalize, quat_unroll

SCHEMA = 1
MIN_FRAMES = 3
QUAT_WARN, QUAT_REFUSE = 1e-5, 1e-3  # deviation of |quat| from 1: silent below, repaired below, refused above


@dataclass(frozen=True)
class Motion:
    """Generalized positions of one robot over time.

    qpos (F, 7 + J): root xyz [m], root wxyz, then one value per hinge [rad] in the order of `joint_names`.
    z is up; `fps` [Hz]; `loop` says that the last frame leads back to the first. Building one checks it:
    raises `InputError` for fewer than 3 frames, fps <= 0, wrong width, non-finite values, or root quaternions
    further than 1e-3 from unit length (closer ones are renormalized, with a warning above 1e-5).
    """

    name: str
    robot: str
    fps: float
    qpos: np.ndarray
    joint_names: tuple[str, ...]
    loop: bool = False
    source: str = ""
    licence: str = ""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        object.__setattr__(self, "joint_names", tuple(str(n) for n in self.joint_names))
        object.__setattr__(self, "fps", float(self.fps))
        object.__setattr__(self, "qpos", _checked_qpos(self.name, self.qpos, self.joint_names, self.fps))

    @property
    def num_frames(self) -> int:
        return len(self.qpos)

    @property
    def duration_s(self) -> float:
        return (self.num_frames - 1) / self.fps

    def trimmed(self, start_s: float, end_s: float) -> "Motion":
        """The part between two times [s]; both ends included."""
        first, last = round(start_s * self.fps), round(end_s * self.fps)
        return replace(self, qpos=self.qpos[max(first, 0) : last + 1], loop=False)


def _checked_qpos(name: str, qpos: np.ndarray, joint_names: tuple[str, ...], fps: float) -> np.ndarray:
    qpos = np.array(qpos, dtype=np.float64)
    if qpos.ndim != 2 or qpos.shape[1] != 7 + len(joint_names):
        raise InputError(
            f"motion {name!r}: qpos has shape {qpos.shape}, expected (frames, {7 + len(joint_names)}): "
            f"7 root values and {len(joint_names)} joints"
        )
    if len(qpos) < MIN_FRAMES:
        raise InputError(f"motion {name!r}: {len(qpos)} frame(s), at least {MIN_FRAMES} are needed")
    if not np.isfinite(fps) or fps <= 0:
        raise InputError(f"motion {name!r}: fps is {fps}, expected a number above 0")
    if not np.isfinite(qpos).all():
        frame, column = np.argwhere(~np.isfinite(qpos))[0]
        raise InputError(f"motion {name!r}: non-finite value in frame {frame}, column {column}")
    deviation = np.abs(np.linalg.norm(qpos[:, 3:7], axis=1) - 1.0)
    worst = int(np.argmax(deviation))
    if deviation[worst] > QUAT_REFUSE:
        raise InputError(
            f"motion {name!r}: the root quaternion of frame {worst} is off unit length by {deviation[worst]:.2g}, expected "
            f"1 within {QUAT_REFUSE:g}. Are columns 4 to 7 the quaternion?"
        )
    if deviation[worst] > QUAT_WARN:
        warnings.warn(f"motion {name!r}: root quaternions off unit length by {deviation[worst]:.1e}, renormalized", stacklevel=4)
    qpos[:, 3:7] = quat_unroll(quat_normalize(qpos[:, 3:7]))
    return qpos


def save_motion(motion: Motion, path: str | Path) -> None:
    """Write the npz: every field of `Motion` under its own name."""
    np.savez_compressed(
        path,
        schema=motion.schema,
        name=motion.name,
        robot=motion.robot,
        fps=motion.fps,
        qpos=motion.qpos.astype(np.float32),
        joint_names=np.array(motion.joint_names),
        loop=motion.loop,
        source=motion.source,
        licence=motion.licence,
    )


def file_stem(name: str) -> str:
    """A clip's name as the stem of a file."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:80]


def read_npz(path: str | Path, only: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an npz file (of the keys in `only`, where given); no pickles.

    Raises `InputError` on anything that is not a whole npz.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            return {key: data[key] for key in data.files if only is None or key in only}
    except Exception as error:  # damaged bytes reach the zip, zlib, header and token parsers, each with errors of its own
        raise unreadable(path, "npz file", error) from error


def npz_keys(path: str | Path) -> set[str]:
    """The names of the arrays in an npz file, read without them: others of its arrays may be pickles."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return set(data.files)
    except Exception as error:  # as in `read_npz`; a lone array has no `files`
        raise unreadable(path, "npz file", error) from error


def load_motion(path: str | Path) -> Motion:
    """Read the npz `save_motion` writes. Raises `InputError` on anything else."""
    fields = read_npz(path)
    missing = {"schema", "name", "robot", "fps", "qpos", "joint_names"} - fields.keys()
    if missing:
        raise InputError(f"{path}: not a motion of ours, lacks {', '.join(sorted(missing))}; it holds {', '.join(fields)}")
    for key, kinds in (("schema", "iu"), ("fps", "fiu")):
        if fields[key].size != 1 or fields[key].dtype.kind not in kinds:
            raise InputError(f"{path}: {key} is {fields[key].dtype} of shape {fields[key].shape}, expected one number")
    if fields["qpos"].dtype.kind not in "fiu":
        raise InputError(f"{path}: qpos is {fields['qpos'].dtype}, expected numbers")
    if fields["schema"].item() > SCHEMA:
        raise InputError(f"{path}: schema {fields['schema'].item()}, this version reads up to {SCHEMA}")
    try:
        return Motion(
            name=str(fields["name"]),
            robot=str(fields["robot"]),
            fps=fields["fps"].item(),
            qpos=fields["qpos"],
            joint_names=tuple(fields["joint_names"].reshape(-1).tolist()),
            loop=bool(fields.get("loop", np.False_).all()),
            source=str(fields.get("source", "")),
            licence=str(fields.get("licence", "")),
            schema=fields["schema"].item(),
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def frames_at(motion: Motion, fps: float) -> int:
    """How many frames `resample` gives. Raises `InputError` when these are fewer than 3."""
    if fps == motion.fps:
        return motion.num_frames
    steps = motion.duration_s * fps
    count = (round(steps) if motion.loop else int(np.floor(steps + 1e-6))) + 1
    if count < MIN_FRAMES:
        raise InputError(f"motion {motion.name!r} lasts {motion.duration_s:.3f} s: fewer than {MIN_FRAMES} frames at {fps:g} Hz")
    return count


def resample(motion: Motion, fps: float) -> Motion:
    """The same motion at another rate, through cubic splines, so that velocities stay continuous.

    The root quaternion's components are interpolated and renormalized. A loop is stretched by at most half a frame, so
    that it still ends where it begins. Raises `InputError` when fewer than 3 frames remain.
    """
    from scipy.interpolate import CubicSpline

    count = frames_at(motion, fps)
    if fps == motion.fps:
        return motion
    source_s = np.arange(motion.num_frames) / motion.fps
    time_s = np.linspace(0.0, source_s[-1], count) if motion.loop else np.minimum(np.arange(count) / fps, source_s[-1])
    qpos = CubicSpline(source_s, motion.qpos, axis=0)(time_s)
    qpos[:, 3:7] = quat_normalize(qpos[:, 3:7])
    return replace(motion, qpos=qpos, fps=fps)
