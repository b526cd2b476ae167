"""What an evaluation's robots did, kept beside its numbers, so that a report shows just that and simulates nothing."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mimic.deploy.sim2sim import Rollout
from mimic.evaluation.roam import Roaming
from motions.errors import InputError
from motions.files import whole

ROLLOUTS = "rollouts.npz"
LYING = 25  # control steps
MOST = 12  # clips: of a large library those that went worst
ARRAYS = ("qpos", "qvel", "targets", "goals")


class Kept(NamedTuple):
    """One robot, S control steps along the `clip`-th motion of its run.

    qpos (S + 1, nq), qvel (S + 1, nv), targets (S, J) [rad], float32; goals (S, G): what it was told, G = 0 where nothing.
    """

    clip: int
    qpos: np.ndarray
    qvel: np.ndarray
    targets: np.ndarray
    goals: np.ndarray


def worst_first(rows: Sequence[dict[str, Any]]) -> list[int]:
    """Indices of an evaluation's rows: those that ended earliest before all, then those of the largest error."""
    done = [row["completed_frames"] / row["frames"] for row in rows]
    return sorted(range(len(rows)), key=lambda i: (done[i], -rows[i]["e_mpbpe_mm"]))


def of_rollouts(rows: Sequence[dict[str, Any]], rollouts: Sequence[Rollout]) -> list[Kept]:
    """The `MOST` worst of an evaluation's rollouts, in the clips' order."""
    kept = []
    for index in sorted(worst_first(rows)[:MOST]):
        run = rollouts[index]
        goals = np.zeros((len(run.targets), 0)) if run.goals is None else run.goals
        kept.append(_kept(index, run.states.qpos, run.states.qvel, run.targets, goals))
    return kept


def of_roaming(roaming: Roaming) -> list[Kept]:
    """The first of the robots that were let loose, until `LYING` control steps after its fall, if it fell."""
    frames = len(roaming.states.qpos)
    end = min(frames, int(roaming.upright[0]) + LYING)
    states, targets = (part[:end, 0] for part in roaming.states), roaming.targets[: end - 1, 0]
    qpos, qvel, *_ = states
    goals = np.zeros((len(targets), 0)) if roaming.goals is None else roaming.goals[: end - 1, 0]
    return [_kept(0, qpos, qvel, targets, goals)]


def _kept(clip: int, *arrays: np.ndarray) -> Kept:
    """Up to where the physics broke, if it did."""
    fine = int(np.argmin([*np.isfinite(arrays[0]).all(axis=1), False]))
    ends = (fine, fine, fine - 1, fine - 1)
    return Kept(clip, *(part[:end].astype(np.float32) for part, end in zip(arrays, ends, strict=True)))


def write_kept(folder: Path, kept: Sequence[Kept]) -> None:
    """Write `ROLLOUTS` into a run's folder."""
    arrays = {f"{i}/{name}": getattr(one, name) for i, one in enumerate(kept) for name in ARRAYS}
    with whole(folder / ROLLOUTS) as partial:
        np.savez_compressed(partial, clips=[one.clip for one in kept], **arrays)


def read_kept(folder: Path) -> list[Kept]:
    """What `write_kept` wrote. Raises `InputError` for a damaged file."""
    path = folder / ROLLOUTS
    try:
        with np.load(path, allow_pickle=False) as file:
            return [Kept(clip, *(file[f"{i}/{name}"] for name in ARRAYS)) for i, clip in enumerate(file["clips"].tolist())]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}); expected what `mimic evaluate {folder}` writes there") from error
