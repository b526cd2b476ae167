"""The whole-clip solve: Gauss-Newton on all frames at once, in JAX.

Minimises, over base pose and joints of every frame, the sum of squared weighted residuals: bone directions, frame
orientations, hip centre, ankles, standing points on the ground and not sliding, nothing below the ground,
a centre of pressure under the feet, free fall in flight, accelerations, and a pull to the rest pose. The approach, from
far away, is done on every third frame or so; from there the whole clip descends. Joint limits are steep in the solve
and then hard by a clip of a few mrad.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.spatial.transform import Rotation

from motions.rotations import quat_normalize, quat_to_matrix, quat_unroll
from retarget.descent import APPROACH, WINDOW, descend
from retarget.equations import HALO
from retarget.rig import Rig
from retarget.scaling import Targets
from retarget.terms import Pose, Weights

APPROACH_HZ = 20.0  # rate of the approach
LEAST_FRAMES = 8  # that the approach has
_COMPILING = threading.Lock()
_SMALLEST, _LARGE = 8, 128  # windows; programs grow fourfold, so that few are compiled, and large ones twofold, for memory's sake


@dataclass(frozen=True)
class Solution:
    """qpos (F, 7 + J), the final cost, Gauss-Newton steps on all frames, whether the cost had settled, and what it took [s]."""

    qpos: np.ndarray
    cost: float
    iterations: int
    converged: bool
    compile_s: float
    solve_s: float


def solve(rig: Rig, targets: Targets, fps: float, weights: Weights, iterations: int = 20) -> Solution:
    """Solve one clip. Compiles once per robot, for clips of up to 512 frames, 2048, 8192, then twice as many each."""
    return solve_batch(rig, [targets], [fps], weights, iterations)[0]


def solve_batch(
    rig: Rig, clips: Sequence[Targets], rates: Sequence[float], weights: Weights, iterations: int = 20
) -> list[Solution]:
    """Solve clips together, each at its rate [Hz]: vmapped over as many as there are, padded to the longest.

    Compiles once per robot, size and number of clips. `solve_s` of each is its share of frames of the whole time.
    """
    lengths = [len(clip.valid) for clip in clips]
    size = program_size(max(lengths))
    began = time.perf_counter()
    program = _program(rig, weights, size, len(clips))
    compile_s = time.perf_counter() - began
    began = time.perf_counter()
    strides = [_stride(length, fps) for length, fps in zip(lengths, rates, strict=True)]
    coarse = [jax.tree.map(lambda x, by=by: x[::by], clip) for clip, by in zip(clips, strides, strict=True)]
    starts = [_initial_pose(rig, clip) for clip in coarse]
    slow = [fps / by for fps, by in zip(rates, strides, strict=True)]
    near = _run(program, coarse, starts, slow, size, 0, len(APPROACH))
    starts = [_between(pose, by, length) for (pose, *_), by, length in zip(near, strides, lengths, strict=True)]
    found = _run(program, clips, starts, rates, size, len(APPROACH), len(APPROACH) + iterations)
    solve_s = time.perf_counter() - began
    solutions = []
    for length, (pose, cost, count, settled) in zip(lengths, found, strict=True):
        qpos = np.concatenate([pose.pos, pose.quat, np.clip(pose.joints, rig.low, rig.high)], axis=1)
        share = solve_s * length / sum(lengths)
        solutions.append(Solution(qpos, cost, count - len(APPROACH), settled, compile_s, share))
    return solutions


def program_size(frames: int) -> int:
    """Windows of the smallest program that holds `frames`."""
    size = _SMALLEST
    while size * WINDOW < frames:
        size *= 4 if size < _LARGE else 2
    return size


def _stride(frames: int, fps: float) -> int:
    """Of which frames the approach takes one."""
    return max(1, min(round(fps / APPROACH_HZ), (frames - 1) // (LEAST_FRAMES - 1)))


def _run(
    program: jax.stages.Compiled, clips: Sequence[Targets], poses: Sequence[Pose], rates: Sequence[float],
    size: int, first: int, limit: int,
) -> list[tuple[Pose, float, int, bool]]:  # fmt: skip
    """Each clip's pose (in float64, without padding), cost, step count and whether it settled."""
    given = [(_padded_clip(clip, size), _padded(pose, size)) for clip, pose in zip(clips, poses, strict=True)]
    fps, alone = np.asarray(rates, np.float32), len(clips) == 1
    batch = (*given[0], fps[0]) if alone else (*jax.tree.map(lambda *x: np.stack(x), *given), fps)
    windows = -(-max(len(clip.valid) for clip in clips) // WINDOW)
    found = jax.device_get(program(*batch, np.int32(windows), np.int32(first), np.int32(limit)))
    each = [found] if alone else [jax.tree.map(itemgetter(k), found) for k in range(len(clips))]
    return [
        (_clipped(pose, len(clip.valid)), float(cost), int(count), bool(settled))
        for clip, (pose, cost, count, settled) in zip(clips, each, strict=True)
    ]


def _padded[T](tree: T, size: int) -> T:
    """Arrays of frames, with the first and the last repeated until they fill `size` windows and a halo at both ends."""

    def pad(x: np.ndarray) -> np.ndarray:
        behind = size * WINDOW + HALO - len(x)
        return np.pad(np.asarray(x, np.float32), [(HALO, behind)] + [(0, 0)] * (np.ndim(x) - 1), mode="edge")

    return jax.tree.map(pad, tree)


def _padded_clip(targets: Targets, size: int) -> Targets:
    """The same, with none of the padding valid."""
    place = np.arange(size * WINDOW + 2 * HALO) - HALO
    padded = _padded(targets, size)
    return padded._replace(valid=np.where((place >= 0) & (place < len(targets.valid)), padded.valid, np.float32(0.0)))


def _clipped(pose: Pose, frames: int) -> Pose:
    """Without padding, in float64."""
    return jax.tree.map(lambda x: x[HALO : HALO + frames].astype(np.float64), pose)


def _initial_pose(rig: Rig, targets: Targets) -> Pose:
    rot = targets.frame_rot[:, rig.frame_roles.index("pelvis")]
    pos = targets.hip_centre - rot @ rig.hip_centre
    own = quat_to_matrix(rig.upright[3:7])  # the base's, where the model does not face +x
    quat = Rotation.from_matrix(rot @ own).as_quat(scalar_first=True)
    return Pose(pos, quat, targets.start)


def _between(pose: Pose, stride: int, frames: int) -> Pose:
    """The pose of every frame, by cubic splines through those of one in `stride`."""
    if stride == 1:
        return pose
    spline = make_interp_spline(
        stride * np.arange(len(pose.pos)), np.concatenate(pose._replace(quat=quat_unroll(pose.quat)), axis=1)
    )
    values = spline(np.arange(frames))
    return Pose(values[:, :3], quat_normalize(values[:, 3:7]), values[:, 7:])


def _program(rig: Rig, weights: Weights, size: int, clips: int) -> jax.stages.Compiled:
    """The compiled descent of up to `size` windows, of one clip or vmapped over several.

    One thread compiles a program; others that want the same one wait, and those with another go on.
    """
    with _COMPILING:
        this_one = _lock_of(rig, weights, size, clips)
    with this_one:
        return _compiled(rig, weights, size, clips)


@lru_cache(maxsize=32)
def _lock_of(rig: Rig, weights: Weights, size: int, clips: int) -> threading.Lock:
    return threading.Lock()


@lru_cache(maxsize=32)
def _compiled(rig: Rig, weights: Weights, size: int, clips: int) -> jax.stages.Compiled:
    lead = () if clips == 1 else (clips,)
    frames = size * WINDOW + 2 * HALO

    def real(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*lead, frames, *shape), jnp.float32)

    joints = real(rig.chain.num_joints)
    targets = Targets(
        bone_dir=real(len(rig.bones), 3),
        bone_weight=real(len(rig.bones)),
        hip_centre=real(3),
        frame_rot=real(len(rig.frame_roles), 3, 3),
        ankle=real(len(rig.legs), 3),
        stand=real(len(rig.heel_toe)),
        support=real(len(rig.heel_toe)),
        flight=real(),
        rest=joints,
        stiffness=joints,
        start=joints,
        valid=real(),
    )
    run = partial(descend, rig, weights)
    program = jax.jit(run if clips == 1 else jax.vmap(run, (0, 0, 0, None, None, None)))
    count = jax.ShapeDtypeStruct((), jnp.int32)
    fps = jax.ShapeDtypeStruct(lead, jnp.float32)
    return program.lower(targets, Pose(real(3), real(4), joints), fps, count, count, count).compile()
