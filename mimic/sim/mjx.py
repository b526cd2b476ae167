"""MJX physics: MuJoCo in JAX (impl jax, any XLA device) or on Warp (impl warp, NVIDIA GPUs; a CPU for tests)."""

from copy import copy

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx

from mimic.devices import on_each_device
from mimic.robots import Robot
from mimic.robots.actuators import force_ranges
from mimic.robots.contacts import net_forces, sensed_bodies
from mimic.sim.buffers import Room
from mimic.sim.physics import Demand, Drive, PhysicsState, initial_state
from mimic.sim.variation import Variation, varied_fields
from motions.errors import InputError
from motions.kinematics import KinematicState, kinematic_state
from motions.rotations import Array

SOME_FRICTION = 1e-6  # [N m] MJX makes room for a joint's dry friction only where the model has some, and takes 0 for a lock


class MjxPhysics:
    """Physics by MJX. Between control steps only `PhysicsState` is kept; the rest of `mjx.Data` is recomputed.

    num_envs: on each device. room: of each environment, for impl warp. motors: whether torques are limited by the robot's
    torque-speed curves. dry_friction: whether a drive's variation may give the joints some.
    """

    engine_bytes = 0

    def __init__(
        self, robot: Robot, n_substeps: int, impl: str, num_envs: int, *,
        room: Room | None = None, motors: bool = False, dry_friction: bool = False,
    ) -> None:  # fmt: skip
        self.robot = robot
        self.impl = impl
        self.n_substeps = n_substeps
        self.num_envs = num_envs
        self.room = room
        self.motors = motors
        self.tracked_ids = robot.body.body_ids(robot.tracked_bodies)
        self.anchor_id = robot.model.body(robot.anchor_body).id
        self.sensed = len(sensed_bodies(robot.model))
        if self.sensed and impl == "jax":
            raise InputError(
                "backend mjx-jax has no sensor for contact forces by body: use native or mjx-warp, or train without "
                "(--sim.no-contact-forces --reward.undesired-contacts 0)"
            )
        plain = copy(loosened(robot.model) if dry_friction else robot.model)
        self.least_friction = np.where(plain.dof_frictionloss > 0, SOME_FRICTION, 0.0).astype(np.float32)
        try:
            if impl == "warp":
                # The graph mode stays MJX's own. On a GPU, Warp captures a step as a CUDA graph, and replays it where all of
                # its arguments lie where they lay before: the step is within loops, whose buffers XLA places once for a program.
                # The staged modes bear any addresses, but copy all of Data twice a step.
                self.model = silenced(mjx.put_model(plain, impl=impl))
                assert room is not None, "impl warp needs to be told how much room there is"
                self.data = mjx.make_data(plain, impl=impl, naconmax=room.contacts * num_envs, njmax=room.constraints)
            else:
                # MJX's own choice by the device: sparse inertias on a TPU, dense ones elsewhere. It is no other formulation, and
                # the error of MuJoCo 4.0.0's sparse Hessian is not in it.
                plain.opt.jacobian = mujoco.mjtJacobian.mjJAC_AUTO
                self.model = mjx.put_model(plain, impl=impl)
                self.data = mjx.make_data(self.model)
        except NotImplementedError as error:
            raise InputError(
                f"backend mjx-{impl} cannot simulate robot {robot.name!r}: {error}; fewer geoms touch with --sim.collisions feet"
            ) from error
        except (ImportError, RuntimeError) as error:
            raise InputError(f"backend mjx-{impl} cannot start: {error}. Is the extra `cuda` installed?") from error

    def init(self, kinematics: KinematicState) -> PhysicsState:
        state = initial_state(self.robot.model, kinematics)
        return state if self.room is None else state._replace(demand=Demand(*jnp.zeros(len(Demand._fields), jnp.float32)))

    def place(self, qpos: Array, qvel: Array) -> PhysicsState:
        return self.init(kinematic_state(self.robot.body, qpos, qvel, self.tracked_ids))

    def step(self, state: PhysicsState, drive: Drive) -> PhysicsState:
        # what is plain JAX the compiler splits itself; inside a `shard_map` it crashes on it (XLA of jax 0.11.2, Shardy)
        step = self._step if self.impl == "jax" else on_each_device(self._step)
        return step(state, drive)

    def _step(self, state: PhysicsState, drive: Drive) -> PhysicsState:
        data, demand = self.advance(state.kinematics.qpos, state.kinematics.qvel, state.qacc_warmstart, drive)
        kinematics = kinematic_state(self.robot.body, data.qpos, data.qvel, self.tracked_ids)
        forces = net_forces(self.robot.model, data.sensordata) if self.sensed else None
        return PhysicsState(kinematics, data.qacc_warmstart, forces, demand)

    def advance(self, qpos: Array, qvel: Array, qacc_warmstart: Array, drive: Drive) -> tuple[mjx.Data, Demand | None]:
        """The physics alone: `n_substeps` steps."""
        data = self.data.replace(qpos=qpos, qvel=qvel, qacc_warmstart=qacc_warmstart)
        if drive.torque is not None:
            data = data.replace(qfrc_applied=jnp.concatenate([jnp.zeros(6), drive.torque]))
        for push in drive.pushes:
            torque = jnp.zeros(3) if push.torque is None else push.torque
            wrench = jnp.concatenate([push.force, torque])
            data = data.replace(xfrc_applied=data.xfrc_applied.at[push.body.astype(int)].add(wrench))
        model = self.model if drive.variation is None else self._varied(drive.variation)
        held = drive.ctrl.ndim == 1
        effort = self.robot.effort if drive.variation is None else self.robot.effort * drive.variation.effort

        def substep(index: jax.Array, carry: tuple[mjx.Data, Demand | None]) -> tuple[mjx.Data, Demand | None]:
            data, demand = carry
            limited = model
            if self.motors:
                curve = self.robot.velocity_limit, self.robot.corner_velocity
                limited = model.replace(actuator_forcerange=force_ranges(data.qvel[6:], effort, *curve).astype(jnp.float32))
            data = mjx.step(limited, data.replace(ctrl=drive.ctrl if held else drive.ctrl[index]))
            return data, jax.tree.map(jnp.maximum, demand, self._demand(data))

        # "highest": TF32 on newer GPUs silently degrades the solver
        with jax.default_matmul_precision("highest"):
            return jax.lax.fori_loop(0, self.n_substeps, substep, (data, jax.tree.map(jnp.zeros_like, self._demand(data))))

    def _demand(self, data: mjx.Data) -> Demand | None:
        """Of the last physics step. Warp counts on where a buffer ends, contacts over all environments of the device."""
        if self.room is None:
            return None
        counts = data._impl
        contacts = jnp.maximum(counts.nacon, counts.ncollision).reshape(()).astype(jnp.float32) / self.num_envs
        constraints = counts.nefc.reshape(()).astype(jnp.float32)
        return Demand(contacts, constraints, contacts / self.room.contacts, constraints / self.room.constraints)

    def _varied(self, variation: Variation) -> mjx.Model:
        fields = {n: jnp.asarray(v, jnp.float32) for n, v in varied_fields(self.robot.model, variation, self.anchor_id).items()}
        fields["dof_frictionloss"] = jnp.maximum(fields["dof_frictionloss"], self.least_friction)
        option = self.model.opt.replace(gravity=fields.pop("opt.gravity"))
        return self.model.replace(opt=option, **fields)


def loosened(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy of `model` in which each joint has at least the dry friction that makes MJX make room for more."""
    loose = copy(model)
    loose.dof_frictionloss[6:] = loose.dof_frictionloss[6:].clip(min=SOME_FRICTION)
    return loose


def silenced(model: mjx.Model) -> mjx.Model:
    """`model` without Warp's own warnings, a line for each environment in each step in which the solver used all its iterations.
    What does not fit is found by `Demand`."""
    option = model.opt
    return model.replace(opt=option.replace(_impl=option._impl.replace(warn_overflow=0)))
