"""The prior of every frame of a library. What takes long is kept on disk, clip by clip, and made by all cores."""

import hashlib
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path

import mujoco
import numpy as np

from mimic.compile_cache import cache_folder
from mimic.mdp import inverse_dynamics, priors
from mimic.mdp.priors import Prior
from motions.cores import on_all_cores
from motions.errors import InputError
from motions.files import whole
from motions.library import MotionLibrary

WORTH_KEEPING = 5_000  # frames, two seconds of work: of fewer nothing is kept on disk
WORTH_SHARING = 20_000  # frames still to do, before other processes are begun for them

type Clip = tuple[np.ndarray, np.ndarray]  # qpos, qvel


def offset_table(library: MotionLibrary, prior: Prior) -> np.ndarray:
    """What the prior's targets add to the reference's joints, of every packed frame; (N, J) [rad].

    float32; of a library that recomputes poses, to save memory, float16: for offsets below 2 rad less than .001 rad off.
    """
    parts = zip(library.clip_start, library.clip_length, strict=True)
    clips = [tuple(column[start : start + length] for column in (library.qpos, library.qvel)) for start, length in parts]
    small = len(library.qpos) < WORTH_KEEPING
    found = [_offsets(prior, clip) for clip in clips] if small else _kept(prior, clips)
    return np.concatenate(found).astype(np.float16 if library.poses is None else np.float32)


def _offsets(prior: Prior, clip: Clip) -> np.ndarray:
    return prior.targets(*clip) - clip[0][:, 7:]


def _kept(prior: Prior, clips: list[Clip]) -> list[np.ndarray]:
    """The offsets of each clip, from the cache as far as they are there; each content once, however often it comes.

    Raises `InputError` where the cache cannot be written.
    """
    folder, salt = cache_folder() / "priors", _digest(prior)
    keys = [hashlib.sha256(salt + b"".join(part.tobytes() for part in clip)).hexdigest() for clip in clips]
    found: dict[str, np.ndarray] = {}
    todo: dict[str, Clip] = {}
    for key, clip in zip(keys, clips, strict=True):
        if key not in found and key not in todo:
            offsets = _read(folder / f"{key}.npy", clip)
            if offsets is None:
                todo[key] = clip
            else:
                found[key] = offsets
    for key, offsets in zip(todo, _made(prior, list(todo.values())), strict=True):
        _keep(folder / f"{key}.npy", offsets)
        found[key] = offsets
    return [found[key] for key in keys]


def _keep(path: Path, offsets: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            np.save(partial, offsets)
    except OSError as error:
        raise InputError(
            f"cannot keep what was computed in {path.parent} ({error.strerror or error}): set MIMIC_CACHE to a folder with room "
            f"that can be written"
        ) from error


def _made(prior: Prior, clips: list[Clip]) -> Iterator[np.ndarray]:
    """Of many frames by all cores, in processes that know nothing of JAX."""
    if sum(len(qpos) for qpos, _ in clips) < WORTH_SHARING:
        yield from (_offsets(prior, clip) for clip in clips)
        return
    yield from on_all_cores(partial(_offsets, prior), clips)


def _digest(prior: Prior) -> bytes:
    """Of all that offsets depend on beside the clip, the code that makes them included."""
    model = np.empty(mujoco.mj_sizeModel(prior.model), np.uint8)
    mujoco.mj_saveModel(prior.model, None, model)
    code = (Path(str(module.__file__)).read_bytes() for module in (priors, inverse_dynamics))
    settings = (getattr(prior, field.name) for field in fields(prior) if field.name != "model")
    exact = (value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode() for value in settings)
    return hashlib.sha256(b"".join((model.tobytes(), *code, *exact))).digest()


def _read(path: Path, clip: Clip) -> np.ndarray | None:
    """None where there is nothing, or what a full disk left."""
    try:
        offsets = np.load(path)
    except (OSError, ValueError, EOFError):
        return None
    return offsets if offsets.shape == clip[0][:, 7:].shape else None
