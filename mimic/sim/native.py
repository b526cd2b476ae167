"""C MuJoCo on CPU threads (`mujoco.batch`), joined to JAX by one callback per control step for the whole batch."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco.batch import Batch

from mimic.robots import Robot
from mimic.sim.physics import PhysicsState
from motions.kinematics import KinematicState
from motions.rotations import Array


class NativePhysics:
    """Physics by C MuJoCo. The engine keeps nothing between calls: the state crosses the callback both ways,
    packed into one float32 row per environment each way, so that a run can be resumed exactly."""

    def __init__(self, robot: Robot, n_substeps: int, nthread: int = 0) -> None:
        self.robot = robot
        self.n_substeps = n_substeps
        self.nthread = nthread
        self.tracked_ids = robot.body.body_ids(robot.tracked_bodies)
        self._engines: dict[int, _Engine] = {}

    def init(self, kinematics: KinematicState) -> PhysicsState:
        return PhysicsState(kinematics, jnp.zeros(self.robot.model.nv, jnp.float32))

    def step(self, state: PhysicsState, ctrl: Array) -> PhysicsState:
        model, bodies = self.robot.model, len(self.tracked_ids)
        row = jnp.concatenate([state.kinematics.qpos, state.kinematics.qvel, state.qacc_warmstart, ctrl])
        sizes = [model.nq, model.nv, model.nv, 3 * bodies, 4 * bodies, 3 * bodies, 3 * bodies]
        out_type = jax.ShapeDtypeStruct((sum(sizes),), jnp.float32)
        out = jax.pure_callback(self._call, out_type, row, vmap_method="broadcast_all")
        qpos, qvel, warmstart, xpos, xquat, xlinvel, xangvel = jnp.split(out, np.cumsum(sizes)[:-1])
        kinematics = KinematicState(
            qpos, qvel, xpos.reshape(bodies, 3), xquat.reshape(bodies, 4), xlinvel.reshape(bodies, 3), xangvel.reshape(bodies, 3)
        )
        return PhysicsState(kinematics, warmstart)

    def _call(self, rows: Array) -> np.ndarray:
        rows = np.asarray(rows)
        flat = rows.reshape(-1, rows.shape[-1])
        engine = self._engines.get(len(flat))
        if engine is None:
            engine = self._engines[len(flat)] = _Engine(self.robot.model, len(flat), self.nthread, self.tracked_ids)
        return engine.step(flat, self.n_substeps).reshape(*rows.shape[:-1], -1)


class _Engine:
    """A batch of one size with its bound arrays."""

    def __init__(self, model: mujoco.MjModel, nsim: int, nthread: int, tracked_ids: np.ndarray) -> None:
        self.batch = Batch(model, nsim, nthread, persistent=True)
        self.state = [self.batch.bind(name) for name in ("qpos", "qvel", "qacc_warmstart", "ctrl")]
        self.time = self.batch.bind("time")
        self.columns = np.cumsum([model.nq, model.nv, model.nv])
        self.xpos, self.xquat = self.batch.bind("xpos"), self.batch.bind("xquat")
        self.cvel, self.subtree_com = self.batch.bind("cvel"), self.batch.bind("subtree_com")
        self.tracked_ids = tracked_ids
        self.root_ids = model.body_rootid[tracked_ids]

    def step(self, rows: np.ndarray, n_substeps: int) -> np.ndarray:
        """rows (B, nq + 2 nv + nu) float32 to (B, nq + 2 nv + 13 K) float32, NaN where the physics broke."""
        for view, part in zip(self.state, np.split(rows, self.columns, axis=1), strict=True):
            view[:] = part
        self.time[:] = 1.0
        self.batch.step(nstep=n_substeps, stage=int(mujoco.mjtStage.mjSTAGE_VEL))
        count, ids = len(rows), self.tracked_ids
        xpos, cvel = self.xpos[:, ids], self.cvel[:, ids]
        angular = cvel[:, :, :3]
        # cvel's linear part is the velocity at the tree's centre of mass; move it to the body's origin
        linear = cvel[:, :, 3:] + np.cross(angular, xpos - self.subtree_com[:, self.root_ids])
        parts = (*self.state[:3], xpos, self.xquat[:, ids], linear, angular)
        out = np.concatenate([part.reshape(count, -1) for part in parts], axis=1, dtype=np.float32, casting="unsafe")
        # MuJoCo puts a simulation that has exploded back to its rest pose, and its clock to 0: that must not pass for a state
        out[self.time.reshape(-1) < 1.0] = np.nan
        return out
