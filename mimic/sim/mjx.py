"""MJX physics: MuJoCo in JAX (impl jax, any XLA device) or on Warp (impl warp, NVIDIA GPUs; a CPU for tests)."""

import jax
import jax.numpy as jnp
from mujoco import mjx

from mimic.robots import Robot
from mimic.sim.physics import PhysicsState
from motions.errors import InputError
from motions.kinematics import KinematicState, kinematic_state
from motions.rotations import Array

CONTACTS_PER_ENV = 48  # room for contacts of one environment; warp sizes its buffers by it
CONSTRAINTS_PER_ENV = 256


class MjxPhysics:
    """Physics by MJX. Between control steps only `PhysicsState` is kept; the rest of `mjx.Data` is recomputed."""

    def __init__(self, robot: Robot, n_substeps: int, impl: str, num_envs: int) -> None:
        self.robot = robot
        self.n_substeps = n_substeps
        self.tracked_ids = robot.body.body_ids(robot.tracked_bodies)
        try:
            self.model = mjx.put_model(robot.model, impl=impl)
            if impl == "warp":
                self.data = mjx.make_data(robot.model, impl=impl, naconmax=CONTACTS_PER_ENV * num_envs, njmax=CONSTRAINTS_PER_ENV)
            else:
                self.data = mjx.make_data(self.model)
        except NotImplementedError as error:
            raise InputError(f"backend mjx-{impl} cannot simulate robot {robot.name!r}: {error}") from error
        except (ImportError, RuntimeError) as error:
            raise InputError(f"backend mjx-{impl} cannot start: {error}. Is the extra `cuda` installed?") from error

    def init(self, kinematics: KinematicState) -> PhysicsState:
        return PhysicsState(kinematics, jnp.zeros(self.robot.model.nv, jnp.float32))

    def step(self, state: PhysicsState, ctrl: Array) -> PhysicsState:
        data = self.advance(state.kinematics.qpos, state.kinematics.qvel, state.qacc_warmstart, ctrl)
        kinematics = kinematic_state(self.robot.body, data.qpos, data.qvel, self.tracked_ids)
        return PhysicsState(kinematics, data.qacc_warmstart)

    def advance(self, qpos: Array, qvel: Array, qacc_warmstart: Array, ctrl: Array) -> mjx.Data:
        """The physics alone: `n_substeps` steps."""
        data = self.data.replace(qpos=qpos, qvel=qvel, qacc_warmstart=qacc_warmstart, ctrl=ctrl)
        # "highest": TF32 on newer GPUs silently degrades the solver
        with jax.default_matmul_precision("highest"):
            return jax.lax.fori_loop(0, self.n_substeps, lambda _, d: mjx.step(self.model, d), data)
