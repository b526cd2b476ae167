"""MJX physics: MuJoCo in JAX (impl jax, any XLA device) or on Warp (impl warp, NVIDIA GPUs; a CPU for tests)."""

from copy import copy

import jax
import jax.numpy as jnp
import numpy as np
from mujoco import mjx

from mimic.devices import on_each_device
from mimic.robots import Robot
from mimic.robots.actuators import force_ranges
from mimic.robots.contacts import net_forces, sensed_bodies
from mimic.sim.physics import Drive, PhysicsState, initial_state
from mimic.sim.variation import Variation, varied_fields
from motions.errors import InputError
from motions.kinematics import KinematicState, kinematic_state
from motions.rotations import Array

CONTACTS_PER_ENV = 48  # room for contacts of one environment; warp sizes its buffers by it
CONSTRAINTS_PER_ENV = 256
SOME_FRICTION = 1e-6  # [N m] MJX makes room for a joint's dry friction only where the model has some, and takes 0 for a lock


class MjxPhysics:
    """Physics by MJX. Between control steps only `PhysicsState` is kept; the rest of `mjx.Data` is recomputed.

    motors: whether torques are limited by the robot's torque-speed curves. dry_friction: whether a drive's variation may give
    the joints some.
    """

    engine_bytes = 0

    def __init__(
        self, robot: Robot, n_substeps: int, impl: str, num_envs: int, *, motors: bool = False, dry_friction: bool = False
    ) -> None:
        self.robot = robot
        self.impl = impl
        self.n_substeps = n_substeps
        self.motors = motors
        self.tracked_ids = robot.body.body_ids(robot.tracked_bodies)
        self.anchor_id = robot.model.body(robot.anchor_body).id
        self.sensed = len(sensed_bodies(robot.model))
        if self.sensed and impl == "jax":
            raise InputError(
                "backend mjx-jax has no sensor for contact forces by body: use native or mjx-warp, or train without "
                "(--sim.no-contact-forces --reward.undesired-contacts 0)"
            )
        plain = robot.model
        if dry_friction:
            plain = copy(plain)
            plain.dof_frictionloss[6:] = plain.dof_frictionloss[6:].clip(min=SOME_FRICTION)
        self.least_friction = np.where(plain.dof_frictionloss > 0, SOME_FRICTION, 0.0).astype(np.float32)
        try:
            self.model = mjx.put_model(plain, impl=impl)
            if impl == "warp":
                self.data = mjx.make_data(plain, impl=impl, naconmax=CONTACTS_PER_ENV * num_envs, njmax=CONSTRAINTS_PER_ENV)
            else:
                self.data = mjx.make_data(self.model)
        except NotImplementedError as error:
            raise InputError(
                f"backend mjx-{impl} cannot simulate robot {robot.name!r}: {error}; fewer geoms touch with --sim.collisions feet"
            ) from error
        except (ImportError, RuntimeError) as error:
            raise InputError(f"backend mjx-{impl} cannot start: {error}. Is the extra `cuda` installed?") from error

    def init(self, kinematics: KinematicState) -> PhysicsState:
        return initial_state(self.robot.model, kinematics)

    def place(self, qpos: Array, qvel: Array) -> PhysicsState:
        return self.init(kinematic_state(self.robot.body, qpos, qvel, self.tracked_ids))

    def step(self, state: PhysicsState, drive: Drive) -> PhysicsState:
        # what is plain JAX the compiler splits itself; inside a `shard_map` it crashes on it (XLA of jax 0.11.2, Shardy)
        step = self._step if self.impl == "jax" else on_each_device(self._step)
        return step(state, drive)

    def _step(self, state: PhysicsState, drive: Drive) -> PhysicsState:
        data = self.advance(state.kinematics.qpos, state.kinematics.qvel, state.qacc_warmstart, drive)
        kinematics = kinematic_state(self.robot.body, data.qpos, data.qvel, self.tracked_ids)
        forces = net_forces(self.robot.model, data.sensordata) if self.sensed else None
        return PhysicsState(kinematics, data.qacc_warmstart, forces)

    def advance(self, qpos: Array, qvel: Array, qacc_warmstart: Array, drive: Drive) -> mjx.Data:
        """The physics alone: `n_substeps` steps."""
        data = self.data.replace(qpos=qpos, qvel=qvel, qacc_warmstart=qacc_warmstart)
        if drive.torque is not None:
            data = data.replace(qfrc_applied=jnp.concatenate([jnp.zeros(6), drive.torque]))
        if drive.push is not None:
            data = data.replace(xfrc_applied=data.xfrc_applied.at[drive.push.body.astype(int), :3].set(drive.push.force))
        model = self.model if drive.variation is None else self._varied(drive.variation)
        held = drive.ctrl.ndim == 1
        effort = self.robot.effort if drive.variation is None else self.robot.effort * drive.variation.effort

        def substep(index: jax.Array, data: mjx.Data) -> mjx.Data:
            limited = model
            if self.motors:
                curve = self.robot.velocity_limit, self.robot.corner_velocity
                limited = model.replace(actuator_forcerange=force_ranges(data.qvel[6:], effort, *curve).astype(jnp.float32))
            return mjx.step(limited, data.replace(ctrl=drive.ctrl if held else drive.ctrl[index]))

        # "highest": TF32 on newer GPUs silently degrades the solver
        with jax.default_matmul_precision("highest"):
            return jax.lax.fori_loop(0, self.n_substeps, substep, data)

    def _varied(self, variation: Variation) -> mjx.Model:
        fields = {n: jnp.asarray(v, jnp.float32) for n, v in varied_fields(self.robot.model, variation, self.anchor_id).items()}
        fields["dof_frictionloss"] = jnp.maximum(fields["dof_frictionloss"], self.least_friction)
        option = self.model.opt.replace(gravity=fields.pop("opt.gravity"))
        return self.model.replace(opt=option, **fields)
