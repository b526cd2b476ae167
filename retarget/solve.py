"""The whole-clip solve: Gauss-Newton on all frames at once, in JAX.

Minimises, over base pose and joints of every frame, the sum of squared weighted residuals: bone directions, frame
orientations, hip centre, ankles, standing points on the ground and not sliding, nothing below the ground,
a centre of pressure under the feet, free fall in flight, accelerations, and a pull to the rest pose. Each
Gauss-Newton system is block-pentadiagonal in time (accelerations couple three frames) and is solved exactly by a
block Cholesky factorization along time. Joint limits are steep in the solve and then hard by a clip of a few mrad.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from motions.rotations import Array, quat_conj, quat_exp, quat_log, quat_mul, quat_normalize, quat_to_matrix
from retarget.balance import balance_terms
from retarget.banded import solve_block_pentadiagonal
from retarget.rig import Rig
from retarget.scaling import Targets
from retarget.terms import Pose, Weights, frame_terms, kinematics

APPROACH = (0.02, 0.05, 0.1, 0.3, 1.0)  # firmness of ground, slide and limits in the first iterations
MAX_STEP = 0.7  # of any coordinate in those iterations [rad], [m]
TOLERANCE = 3e-3  # relative change of the cost below which an iteration counts as settled
PATIENCE = 4  # a settled iteration spends two, a rejected one spends one
_COMPILING = threading.Lock()
_PAD_STEP = 1.25  # clip lengths are padded to a geometric series, so that few programs are compiled


@dataclass(frozen=True)
class Solution:
    """qpos (F, 7 + J), the final cost, Gauss-Newton iterations used, whether the cost had settled, and what it took [s]."""

    qpos: np.ndarray
    cost: float
    iterations: int
    converged: bool
    compile_s: float
    solve_s: float


def solve(rig: Rig, targets: Targets, fps: float, weights: Weights, iterations: int = 20) -> Solution:
    """Solve one clip. Compiles once per robot and padded length."""
    return solve_batch(rig, [targets], [fps], weights, iterations)[0]


def solve_batch(
    rig: Rig, clips: Sequence[Targets], rates: Sequence[float], weights: Weights, iterations: int = 20
) -> list[Solution]:
    """Solve clips together, each at its rate [Hz]: vmapped over as many as there are, padded to the longest.

    Compiles once per robot, padded length and number of clips. `solve_s` of each is its share of frames of the whole time.
    """
    lengths = [len(clip.valid) for clip in clips]
    padded = padded_length(max(lengths))
    began = time.perf_counter()
    program = _program(rig, weights, padded, len(clips))
    compile_s = time.perf_counter() - began
    batch = [_padded(clip, padded) for clip in clips]
    fps = np.asarray(rates, np.float32)
    given = (batch[0], fps[0]) if len(clips) == 1 else (jax.tree.map(lambda *x: np.stack(x), *batch), fps)
    began = time.perf_counter()
    found = jax.tree.map(np.asarray, program(*given, np.int32(iterations)))
    solve_s = time.perf_counter() - began
    if len(clips) == 1:
        found = jax.tree.map(lambda x: x[None], found)
    return [
        Solution(
            qpos[:length].astype(np.float64), float(cost), int(count), bool(converged),
            compile_s, solve_s * length / sum(lengths),
        )
        for length, qpos, cost, count, converged in zip(lengths, *found, strict=True)
    ]  # fmt: skip


def _padded(targets: Targets, length: int) -> Targets:
    """Targets of `length` frames, those beyond the end invalid. In numpy: JAX would compile a copy for every clip length."""
    batch = jax.tree.map(lambda x: _pad(np.asarray(x, np.float32), length), targets)
    return batch._replace(valid=np.where(np.arange(length) < len(targets.valid), batch.valid, np.float32(0.0)))


def padded_length(frames: int) -> int:
    """The smallest member of 64 x 1.25^k that holds `frames`."""
    length = 64.0
    while int(length) < frames:
        length *= _PAD_STEP
    return int(length)


def _pad(x: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([x, np.repeat(x[-1:], length - len(x), axis=0)])


def _program(rig: Rig, weights: Weights, frames: int, clips: int) -> jax.stages.Compiled:
    """The compiled solve of `frames` padded frames, of one clip or vmapped over several.

    One thread compiles a program; others that want the same one wait, and those with another go on.
    """
    with _COMPILING:
        this_one = _lock_of(rig, weights, frames, clips)
    with this_one:
        return _compiled(rig, weights, frames, clips)


@lru_cache(maxsize=32)
def _lock_of(rig: Rig, weights: Weights, frames: int, clips: int) -> threading.Lock:
    return threading.Lock()


@lru_cache(maxsize=32)
def _compiled(rig: Rig, weights: Weights, frames: int, clips: int) -> jax.stages.Compiled:
    lead = () if clips == 1 else (clips,)

    def real(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*lead, frames, *shape), jnp.float32)

    joints = real(rig.chain.num_joints)
    shapes = Targets(
        bone_dir=real(len(rig.bones), 3),
        bone_weight=real(len(rig.bones)),
        hip_centre=real(3),
        frame_rot=real(len(rig.frame_roles), 3, 3),
        ankle=real(2, 3),
        stand=real(4),
        support=real(4),
        flight=real(),
        rest=joints,
        stiffness=joints,
        start=joints,
        valid=real(),
    )
    run = partial(_solve_clip, rig, weights)
    program = jax.jit(run if clips == 1 else jax.vmap(run, (0, 0, None)))
    return program.lower(shapes, jax.ShapeDtypeStruct(lead, jnp.float32), jax.ShapeDtypeStruct((), jnp.int32)).compile()


class _Progress(NamedTuple):
    """State of the iteration: pose, its cost, the damping, iterations done, and how quiet it has become."""

    pose: Pose
    cost: Array
    damping: Array
    count: Array
    quiet: Array


def _solve_clip(rig: Rig, weights: Weights, targets: Targets, fps: Array, iterations: Array) -> tuple:
    """Approach with soft ground and without balance, every step taken; then Levenberg-Marquardt until it is quiet.

    Both are one loop with one body, which halves the compilation.
    """
    schedule = jnp.asarray((*APPROACH, 1.0), jnp.float32)
    limit = iterations + len(APPROACH)

    def unfinished(now: _Progress) -> Array:
        return (now.count < limit) & (now.quiet < PATIENCE)

    def step(now: _Progress) -> _Progress:
        near = now.count >= len(APPROACH)
        firmness = schedule[jnp.minimum(now.count, len(APPROACH))]
        damping = jnp.where(near, now.damping, 1.0)
        move = _newton_step(rig, weights, targets, fps, now.pose, damping, firmness, near.astype(jnp.float32))
        move = jnp.where(near, move, jnp.clip(move, -MAX_STEP, MAX_STEP))
        trial = _moved(now.pose, move)
        cost = _cost(rig, weights, targets, fps, trial)
        better = (cost < now.cost) | ~near
        settled = jnp.where(cost > now.cost * (1.0 - TOLERANCE), now.quiet + 2, 0)
        quiet = jnp.where(near, jnp.where(better, settled, now.quiet + 1), 0)
        pose = jax.tree.map(lambda new, old: jnp.where(better, new, old), trial, now.pose)
        damping = jnp.where(near, jnp.where(better, now.damping * 0.2, now.damping * 10.0), now.damping)
        return _Progress(pose, jnp.where(better, cost, now.cost), jnp.clip(damping, 1e-3, 1e6), now.count + 1, quiet)

    with jax.default_matmul_precision("highest"):
        start = _Progress(
            _initial_pose(rig, targets), jnp.float32(jnp.inf), jnp.float32(weights.damping), jnp.int32(0), jnp.int32(0)
        )
        end = jax.lax.while_loop(unfinished, step, start)
    joints = jnp.clip(end.pose.joints, jnp.asarray(rig.low, jnp.float32), jnp.asarray(rig.high, jnp.float32))
    return jnp.concatenate([end.pose.pos, end.pose.quat, joints], axis=-1), end.cost, end.count, end.quiet >= PATIENCE


def _initial_pose(rig: Rig, targets: Targets) -> Pose:
    rot = targets.frame_rot[:, rig.frame_roles.index("pelvis")]
    own = quat_to_matrix(rig.upright[3:7])  # the base's, where the model does not face +x
    quat = _matrix_to_quat(rot @ jnp.asarray(own, rot.dtype) if (own != np.eye(3)).any() else rot)
    pos = targets.hip_centre - rot @ jnp.asarray(rig.hip_centre, rot.dtype)
    return Pose(pos, quat, targets.start)


def _matrix_to_quat(m: Array) -> Array:
    """Quaternions (F, 4) of rotation matrices (F, 3, 3): the best conditioned of four formulas."""
    d = [m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]]
    w2 = jnp.stack([1 + d[0] + d[1] + d[2], 1 + d[0] - d[1] - d[2], 1 - d[0] + d[1] - d[2], 1 - d[0] - d[1] + d[2]], -1)
    a = [m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]]
    s = [m[:, 1, 0] + m[:, 0, 1], m[:, 0, 2] + m[:, 2, 0], m[:, 2, 1] + m[:, 1, 2]]
    options = jnp.stack(
        [
            jnp.stack([w2[:, 0], a[0], a[1], a[2]], -1),
            jnp.stack([a[0], w2[:, 1], s[0], s[1]], -1),
            jnp.stack([a[1], s[0], w2[:, 2], s[2]], -1),
            jnp.stack([a[2], s[1], s[2], w2[:, 3]], -1),
        ],
        axis=1,
    )
    best = jnp.argmax(w2, axis=-1)
    return quat_normalize(jnp.take_along_axis(options, best[:, None, None], axis=1)[:, 0])


def _moved(pose: Pose, step: Array) -> Pose:
    quat = quat_normalize(quat_mul(quat_exp(step[:, 3:6]), pose.quat))
    return Pose(pose.pos + step[:, :3], quat, pose.joints + step[:, 6:])


def _coupling_weights(rig: Rig, weights: Weights, targets: Targets, fps: Array) -> tuple[Array, Array]:
    """Weights (F-2, nv) of x[f] - 2 x[f+1] + x[f+2] and (F-1, 4) of the steps of standing points."""
    sigma = np.concatenate([[weights.root_acc] * 3, [weights.root_angular_acc] * 3, [weights.joint_acc] * rig.chain.num_joints])
    valid = targets.valid
    acc = (fps**2 / jnp.asarray(sigma, valid.dtype)) * (valid[2:] * valid[:-2])[:, None]
    slide = (fps / weights.slide) * targets.stand[1:] * targets.stand[:-1] * (valid[1:] * valid[:-1])[:, None]
    return acc, slide


def _differences(pose: Pose) -> Array:
    """First differences (F-1, nv) of the pose; the base rotation as world rotation vectors."""
    turn = quat_log(quat_mul(pose.quat[1:], quat_conj(pose.quat[:-1])))
    return jnp.concatenate([pose.pos[1:] - pose.pos[:-1], turn, pose.joints[1:] - pose.joints[:-1]], axis=1)


def _cost(rig: Rig, weights: Weights, targets: Targets, fps: Array, pose: Pose) -> Array:
    kin = kinematics(rig, pose)
    terms = frame_terms(rig, weights, targets, pose, kin, jnp.float32(1.0), jacobian=False)
    acc_weight, slide_weight = _coupling_weights(rig, weights, targets, fps)
    step = _differences(pose)
    acc = acc_weight * (step[1:] - step[:-1])
    slide = slide_weight[..., None] * (terms.ends[1:] - terms.ends[:-1])
    total = jnp.sum(terms.residual**2) + terms.spring_cost + jnp.sum(acc**2) + jnp.sum(slide**2)
    if np.isfinite(weights.pressure):
        total += balance_terms(rig, weights, targets, kin, terms.ends, terms.ends_jac, fps, jacobian=False).cost
    return total


def _newton_step(
    rig: Rig, weights: Weights, targets: Targets, fps: Array, pose: Pose, damping: Array, firmness: Array, balance_on: Array
) -> Array:
    """The damped Gauss-Newton step (F, nv); `balance_on` 0 or 1."""
    kin = kinematics(rig, pose)
    terms = frame_terms(rig, weights, targets, pose, kin, firmness, jacobian=True)
    acc_weight, slide_weight = _coupling_weights(rig, weights, targets, fps)
    frames, _, nv = terms.jacobian.shape
    # rows that couple frames: their derivatives by frame f, f + 1 (and f + 2), and their residual
    slide_weight = firmness * slide_weight[..., None]
    before, after = ((slide_weight[..., None] * j).reshape(-1, 8, nv) for j in (terms.ends_jac[:-1], terms.ends_jac[1:]))
    moved = (slide_weight * (terms.ends[1:] - terms.ends[:-1])).reshape(-1, 8)
    couplings: list[tuple[tuple[Array, ...], Array]] = [((-before, after), moved)]
    if np.isfinite(weights.pressure):
        balance = balance_terms(rig, weights, targets, kin, terms.ends, terms.ends_jac, fps, jacobian=True)
        balance = jax.tree.map(lambda x: balance_on * x, balance)
        couplings.append(((balance.before, balance.now, balance.after), balance.residual))
    # XLA multiplies small matrices one pair at a time: what can be stacked is
    stack, residuals, upper, lower = [terms.jacobian], [terms.residual], [], []
    second = jnp.zeros((frames - 2, nv, nv), terms.jacobian.dtype)  # H[f + 2, f]
    for parts, residual in couplings:
        stack += [_shifted(part, by, frames) for by, part in enumerate(parts)]
        residuals += [_shifted(residual, by, frames) for by in range(len(parts))]
        upper += [_shifted(part, by, frames - 1) for by, part in enumerate(parts[:-1])]
        lower += [_shifted(part, by, frames - 1) for by, part in enumerate(parts[1:])]
        if len(parts) == 3:
            second += _gram(parts[2], parts[0])
    jacobian = jnp.concatenate(stack, axis=1)
    diagonal = _gram(jacobian, jacobian)  # H[f, f]
    gradient = jnp.einsum("fmi,fm->fi", jacobian, jnp.concatenate(residuals, axis=1))
    first = _gram(jnp.concatenate(lower, axis=1), jnp.concatenate(upper, axis=1))  # H[f + 1, f]
    # accelerations couple three frames, coordinate by coordinate
    w2 = acc_weight**2
    step = _differences(pose)
    acc = w2 * (step[1:] - step[:-1])
    gradient = gradient.at[:, 6:].add(terms.spring_pull)
    gradient = gradient.at[:-2].add(acc).at[1:-1].add(-2.0 * acc).at[2:].add(acc)
    own = jnp.zeros_like(gradient).at[:, 6:].add(terms.spring_stiffness).at[:-2].add(w2).at[1:-1].add(4.0 * w2).at[2:].add(w2)
    next_one = jnp.zeros((frames - 1, nv), gradient.dtype).at[:-1].add(-2.0 * w2).at[1:].add(-2.0 * w2)
    eye = jnp.eye(nv, dtype=gradient.dtype)
    diagonal += (own + damping)[..., None] * eye
    return -solve_block_pentadiagonal(diagonal, first + next_one[..., None] * eye, second + w2[..., None] * eye, gradient)


def _shifted(rows: Array, by: int, count: int) -> Array:
    """`rows` (R, ...) as rows by, by + 1, ... of `count`; the others are zero."""
    return jnp.pad(rows, [(by, count - by - len(rows))] + [(0, 0)] * (rows.ndim - 1))


def _gram(a: Array, b: Array) -> Array:
    """a^T b for every frame: (F, M, n), (F, M, k) -> (F, n, k)."""
    return jnp.einsum("fmi,fmj->fij", a, b)
