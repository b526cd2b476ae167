"""The protocol every physics engine fulfils: one environment's state in, one control step later out."""

import importlib.util
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mimic.config import BACKENDS, DEVICES, SimConfig
from mimic.robots import Robot
from mimic.robots.contacts import sensed_bodies
from mimic.sim.buffers import find_room
from mimic.sim.variation import Variation
from motions.errors import InputError, unknown_name
from motions.kinematics import KinematicState
from motions.rotations import Array


class Demand(NamedTuple):
    """The most that a control step asked of buffers of fixed size: contacts, a mean over the environments that share a buffer,
    and constraint rows; and each as a part of the room there is, above 1 where some were lost."""

    contacts: Array
    constraints: Array
    contacts_fill: Array
    constraints_fill: Array


class PhysicsState(NamedTuple):
    """All a simulation carries from one control step to the next, on every engine.

    kinematics: the pose, its velocities and those of the tracked bodies; qacc_warmstart (nv): the solver's first guess.
    contact_forces (C,) [N]: of the last physics step on `mimic.robots.contacts.sensed_bodies`, 0 at the start; None for a model
    that measures none. demand: of the last control step; None on engines that make room as they need it.
    """

    kinematics: KinematicState
    qacc_warmstart: Array
    contact_forces: Array | None = None
    demand: Demand | None = None


class Push(NamedTuple):
    """A force [N] in the world's axes at the centre of mass of a body: force (3,), body () its MuJoCo id; torque (3,) [N m] upon
    it, None: none."""

    force: Array
    body: Array
    torque: Array | None = None


class Drive(NamedTuple):
    """What acts on one environment during one control step; None where nothing does."""

    ctrl: Array
    """Joint position targets [rad]: (nu,) held, or (n_substeps, nu), one row a physics step."""
    torque: Array | None = None
    """Added to the joints' [N m], (nu,)."""
    pushes: tuple[Push, ...] = ()
    """From without; those on the same body add up."""
    variation: Variation | None = None
    """How this environment's robot differs from the model."""


class Physics(Protocol):
    """One robot in one engine. Functions of one environment; `jax.vmap` makes the batch."""

    robot: Robot
    n_substeps: int
    engine_bytes: int
    """What the engine holds on the host for each environment, beyond the program's arrays."""

    def init(self, kinematics: KinematicState) -> PhysicsState:
        """The state that is exactly at `kinematics`."""
        ...

    def place(self, qpos: Array, qvel: Array) -> PhysicsState:
        """The state at qpos (nq,), qvel (nv,), its bodies computed."""
        ...

    def step(self, state: PhysicsState, drive: Drive) -> PhysicsState:
        """`n_substeps` physics steps under `drive`."""
        ...


def initial_state(model: mujoco.MjModel, kinematics: KinematicState) -> PhysicsState:
    """The state at `kinematics` of a body nothing has happened to yet."""
    sensed = len(sensed_bodies(model))
    forces = jnp.zeros(sensed, jnp.float32) if sensed else None
    return PhysicsState(kinematics, jnp.zeros(model.nv, jnp.float32), forces)


def make_physics(
    robot: Robot, backend: str, sim: SimConfig, num_envs: int, *, qpos: np.ndarray | None = None, dry_friction: bool = False
) -> Physics:
    """The engine called `backend` for `robot`. Raises `InputError` for an unknown or missing one.

    num_envs: on each device. qpos (N, nq): frames that the robot is to be on, by which buffers are sized; None: the default pose.
    dry_friction: whether variations may give the joints some.
    """
    if backend == "native":
        from mimic.sim.native import NativePhysics

        return NativePhysics(robot, sim.n_substeps, motors=sim.actuator == "motor")
    if backend in ("mjx-jax", "mjx-warp"):
        from mimic.sim.mjx import MjxPhysics, loosened

        model = loosened(robot.model) if dry_friction else robot.model
        frames = robot.default_qpos[None] if qpos is None else qpos
        room = find_room(model, frames, num_envs, sim) if backend == "mjx-warp" else None
        return MjxPhysics(
            robot, sim.n_substeps, impl=backend.removeprefix("mjx-"), num_envs=num_envs, room=room,
            motors=sim.actuator == "motor", dry_friction=dry_friction,
        )  # fmt: skip
    raise unknown_name("backend", backend, BACKENDS)


def choose_backend(backend: str | None, device: str) -> tuple[str, str]:
    """Resolve (backend, platform) against what this machine has.

    No backend: native on a CPU, mjx-warp on an NVIDIA GPU (mjx-jax without Warp), mjx-jax on a TPU. Raises `InputError` when
    the device or package asked for is absent, or the pair makes no sense.
    """
    if device not in DEVICES:
        raise unknown_name("device", device, DEVICES)
    if backend is not None and backend not in BACKENDS:
        raise unknown_name("backend", backend, BACKENDS)
    if device == "auto":
        platform = "cpu" if backend == "native" else jax.default_backend()
    else:
        try:
            platform = jax.devices(device)[0].platform
        except RuntimeError as error:
            present = sorted({d.platform for d in jax.devices()})
            found = ", ".join(present)
            raise InputError(f"no {device} found by JAX on this machine; present: {found} (see `mimic doctor`)") from error
    has_warp = importlib.util.find_spec("warp") is not None
    platform = "gpu" if platform in ("cuda", "rocm") else platform
    if backend is None:
        backend = {"cpu": "native", "gpu": "mjx-warp" if has_warp else "mjx-jax"}.get(platform, "mjx-jax")
    if backend == "native" and platform != "cpu":
        raise InputError(f"backend native runs on the CPU, not on {platform}: use --device cpu, or --backend mjx-warp or mjx-jax")
    if backend == "mjx-warp" and platform == "tpu":
        raise InputError("backend mjx-warp does not run on a TPU: use --backend mjx-jax")
    if backend == "mjx-warp" and platform == "cpu" and device != "cpu":
        raise InputError("backend mjx-warp on a CPU is slow and for tests: ask for it with --device cpu, or use --backend native")
    if backend == "mjx-warp" and not has_warp:
        raise InputError("backend mjx-warp needs the package warp-lang: pip install 'mimic-mjx[cuda]', or use --backend mjx-jax")
    return backend, platform


def doubt(backend: str, sim: SimConfig) -> str | None:
    """What is said of a choice that will be slow; None of any other."""
    if backend != "mjx-jax" or sim.collisions == "feet":
        return None
    return (
        f"sim.collisions is {sim.collisions}, and mjx-jax makes room for every pair of geoms that may ever touch: "
        "--sim.collisions feet is much faster there"
    )
