"""The normal equations of some frames against the derivative of what these frames cost, by JAX."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mimic.robots import load_robot
from motions.clips import shipped_clips
from motions.motion import load_motion
from motions.rotations import quat_exp, quat_mul
from retarget.banded import backward, factorize, forward, nothing
from retarget.contacts import detect_contacts
from retarget.descent import mended
from retarget.equations import HALO, MAX_JOINT_SPEED, Jacobian, frame_costs, linearize, normal_rows, times
from retarget.pipeline import capture_of_robot, rig_of
from retarget.scaling import build_targets
from retarget.terms import Pose, Weights

FRAMES = slice(20, 32)
FPS = jnp.float32(50.0)
WEIGHTS = Weights(pressure=np.inf)  # balance is robust: its rows majorize its cost, and do not derive from it


@pytest.fixture(scope="module")
def problem():
    """Rig, targets and a pose well off them: frames of a walk, the first and last two of them not valid."""
    motion = load_motion(shipped_clips()["walk"])
    rig = rig_of(load_robot("humanoid").body)
    own = capture_of_robot(rig, motion)
    targets, _ = build_targets(own, detect_contacts(own), rig, reach=1.0)
    targets = jax.tree.map(lambda x: jnp.asarray(x[FRAMES], jnp.float32), targets)
    targets = targets._replace(valid=targets.valid.at[:HALO].set(0.0).at[-HALO:].set(0.0))
    qpos = motion.qpos[FRAMES] + 0.3 * np.random.default_rng(0).normal(size=motion.qpos[FRAMES].shape) * (
        np.arange(motion.qpos.shape[1]) > 6
    )
    return rig, targets, Pose(*(jnp.asarray(qpos[:, part], jnp.float32) for part in (slice(0, 3), slice(3, 7), slice(7, None))))


@pytest.mark.slow
def test_the_right_side_is_minus_half_the_derivative_of_the_cost(problem):
    rig, targets, pose = problem
    assert (np.abs(np.diff(pose.joints, axis=0)) * float(FPS) > MAX_JOINT_SPEED).any()  # the limit of speed takes part

    def cost(step):
        quat = quat_mul(quat_exp(step[:, 3:6]), pose.quat)
        moved = Pose(pose.pos + step[:, :3], quat, pose.joints + step[:, 6:])
        return jnp.sum(frame_costs(rig, WEIGHTS, targets, moved, FPS))

    one, undamped = jnp.float32(1.0), jnp.float32(0.0)
    with jax.default_matmul_precision("highest"):
        _, rhs = jax.jit(lambda: linearize(rig, WEIGHTS, targets, pose, FPS, one, jnp.bool(False), undamped))()
        slope = jax.jit(jax.grad(cost))(jnp.full((len(pose.pos), 6 + rig.chain.num_joints), 1e-6))
    expected = -0.5 * np.asarray(slope)[HALO:-HALO]
    np.testing.assert_allclose(rhs[HALO:-HALO], expected, atol=2e-3 * np.abs(expected).max())


def dense(jacobian: Jacobian) -> np.ndarray:
    """J^T J (F nv, F nv) in float64, row of J by row of J."""
    acc, speed = np.asarray(jacobian.acc, float), np.asarray(jacobian.speed, float)
    frames, nv = len(acc) + 2, acc.shape[1]
    total = np.zeros((frames, nv, frames, nv))
    for f in range(frames):
        total[f, :, f] += np.diag(np.asarray(jacobian.own[f], float))
    differences = [(np.sqrt(acc), (1.0, -2.0, 1.0)), (np.sqrt(speed), (-1.0, 1.0))]
    couplings = [tuple(k * w[..., None] * np.eye(nv) for k in signs) for w, signs in differences]
    for parts in (*jacobian.dense, *couplings):
        parts = [np.asarray(part, float) for part in parts]
        for f in range(len(parts[0])):
            row = np.zeros((parts[0].shape[1], frames, nv))
            for by, part in enumerate(parts):
                row[:, f + by] = part[f]
            total += np.einsum("mfi,mgj->figj", row, row)
    return total.reshape(frames * nv, frames * nv)


@pytest.mark.slow
def test_conjugate_gradients_mend_what_single_precision_elimination_misses(problem):
    """Against numpy in double precision, with standing feet and balance, which make the equations stiff."""
    rig, targets, pose = problem
    weights, one = Weights(), jnp.float32(1.0)

    @jax.jit
    def solved() -> tuple[Jacobian, jax.Array, list[jax.Array]]:
        jacobian, rhs = linearize(rig, weights, targets, pose, FPS, one, jnp.bool(True), jnp.float32(weights.damping))
        before_factors, before, behind = nothing(rhs.shape[1], rhs.dtype)
        _, factors = factorize(before_factors, normal_rows(jacobian))

        def nearly_solved(rest: jax.Array) -> jax.Array:
            return backward(behind, factors, forward(before, factors, rest)[1])[1]

        def multiplied(x: jax.Array) -> jax.Array:
            return times(jacobian, jnp.pad(x, [(HALO, HALO), (0, 0)]))[HALO:-HALO]

        rhs = rhs[HALO:-HALO]
        plain = nearly_solved(rhs)
        return jacobian, rhs, [plain, mended(rhs, plain, nearly_solved, multiplied)]

    with jax.default_matmul_precision("highest"):
        jacobian, rhs, found = solved()
    inner = slice(HALO * rhs.shape[1], -HALO * rhs.shape[1])
    expected = np.linalg.solve(dense(jacobian)[inner, inner], np.asarray(rhs, float).ravel())
    plain, better = (np.abs(np.asarray(x).ravel() - expected).max() for x in found)
    assert plain > 0.05  # [rad] of 2
    assert better < 0.8 * plain


def test_a_joint_may_turn_as_fast_as_it_is_allowed_and_no_faster(problem):
    rig, targets, pose = problem
    valid = targets._replace(valid=jnp.ones_like(targets.valid))
    soft = dataclasses.replace(WEIGHTS, joint_acc=np.inf)

    @jax.jit
    def spent(speed: jax.Array) -> jax.Array:
        """The cost of one joint that turns at `speed` [rad/s], beyond that of a thousand times softer a limit."""
        turn = jnp.zeros(rig.chain.num_joints).at[0].set(speed / FPS)
        still = pose._replace(joints=jnp.arange(len(pose.pos))[:, None] * turn)
        hard, loose = (frame_costs(rig, dataclasses.replace(soft, speed=s), valid, still, FPS).sum() for s in (0.5, 500.0))
        return hard - loose

    assert float(spent(0.99 * MAX_JOINT_SPEED)) == pytest.approx(0.0, abs=1e-2)
    steps = len(pose.pos) - HALO
    assert float(spent(MAX_JOINT_SPEED + 1.0)) == pytest.approx(4.0 * steps, rel=0.05)
