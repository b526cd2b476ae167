"""Robots side by side in plain C MuJoCo, on all cores: what an exported policy is run and judged in. No JAX, no policy."""

import copy
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch

from mimic.robots.actuators import force_ranges
from motions.errors import InputError
from motions.kinematics import KinematicState, origin_velocities

_BROKEN = [
    int(kind) for kind in (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)
]
OTHER_SIMULATOR = "half timestep, CG, elliptic, harder contacts"  # in short, for tables
_DERIVED = ("xpos", "xquat", "cvel", "subtree_com")


class Simulation:
    """B robots of one model, each with its own state, beginning at `qpos` (B, nq), `qvel` (B, nv). What else moves in the model
    comes after the robot, begins where the model has it, and is no part of the states.

    curve: no-load and corner speeds (J,) [rad/s] of motors whose effort falls with speed. Results equal a loop of mj_step over
    one MjData each, to the last bit. Those that `stop` names stand still from then on.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        tracked_ids: np.ndarray,
        qpos: np.ndarray,
        qvel: np.ndarray,
        curve: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self.curve, self.effort = curve, model.actuator_forcerange[:, 1].copy()
        self.tracked_ids = tracked_ids
        self.nq, self.nv = qpos.shape[1], qvel.shape[1]
        self.batch = Batch(model, len(qpos))
        self.running = np.ones(len(qpos), bool)
        for name in _DERIVED:  # what `state` reads is bound before the first call, which fills it
            self.batch.bind(name)
        self.place(qpos, qvel)

    @property
    def count(self) -> int:
        return len(self.running)

    def place(self, qpos: np.ndarray, qvel: np.ndarray) -> None:
        """Put the robots at another state."""
        self.batch.qpos[:, : self.nq], self.batch.qvel[:, : self.nv] = qpos, qvel
        self.batch.forward(stage=int(mujoco.mjtStage.mjSTAGE_VEL))

    def step(self, ctrl: np.ndarray, steps: int) -> None:
        """`steps` physics steps with joint position targets `ctrl` (B, J) [rad] held."""
        if not self.running.any():
            return
        self.batch.ctrl[:] = ctrl
        stage = int(mujoco.mjtStage.mjSTAGE_VEL)
        if self.curve is None:
            self.batch.step(self.running, nstep=steps, stage=stage)
            return
        limits = self.batch.expand("actuator_forcerange")
        for _ in range(steps):
            limits[:] = force_ranges(self.batch.qvel[:, 6 : self.nv], self.effort, *self.curve)
            self.batch.step(self.running, nstep=1, stage=stage)

    def stop(self, which: np.ndarray) -> None:
        """Take the robots `which` (B,), bool, out for good."""
        self.running &= ~which

    def state(self) -> KinematicState:
        """(B, ...) float32; NaN where the physics broke: MuJoCo has then put that robot back to its rest pose."""
        state = state_of(self.batch, self.batch.model, self.tracked_ids)
        state = state._replace(qpos=state.qpos[:, : self.nq], qvel=state.qvel[:, : self.nv])
        broken = self.batch.warning[:, _BROKEN, 1].any(axis=1)  # (robots, kinds, (last info, number))
        if broken.any():
            for part in state:
                part[broken] = np.nan
        return state


def substeps(model: mujoco.MjModel, ctrl_dt: float) -> int:
    """Physics steps of `model` in a control step of `ctrl_dt` [s]. Raises `InputError` unless it is a whole number."""
    steps = ctrl_dt / model.opt.timestep
    if round(steps) < 1 or abs(steps - round(steps)) > 1e-6:
        raise InputError(f"a control step of {ctrl_dt:g} s is no whole number of physics steps of {model.opt.timestep:g} s")
    return round(steps)


def other_simulator(model: mujoco.MjModel) -> mujoco.MjModel:
    """`model` in a simulator that was not trained in, and is nowhere less exact.

    Half the timestep; the `implicit` integrator, which keeps the Coriolis derivatives that `implicitfast` drops and like it holds
    any gains; elliptic friction cones, of which the trained pyramids are an approximation; the CG solver run to convergence, so
    another algorithm than Newton's few iterations; contacts of half the time constant, a harder ground.
    """
    other = copy.copy(model)
    option = other.opt
    option.timestep = model.opt.timestep / 2
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICIT
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.solver = mujoco.mjtSolver.mjSOL_CG
    option.iterations, option.ls_iterations, option.tolerance = 100, 50, 1e-10
    for solref in (other.geom_solref, other.pair_solref):
        has_time_constant = solref[:, 0] > 0  # else it holds stiffness and damping
        solref[has_time_constant, 0] = np.maximum(solref[has_time_constant, 0] / 2, 2 * option.timestep)
    return other


def read_state(model: mujoco.MjModel, data: mujoco.MjData, tracked_ids: np.ndarray) -> KinematicState:
    """The state of `data` as float32, with the tracked bodies' poses and velocities brought up to date.

    After mj_step they lag one physics step behind qpos and qvel.
    """
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_comVel(model, data)
    return state_of(data, model, tracked_ids)


def state_of(data: Any, model: mujoco.MjModel, tracked_ids: np.ndarray) -> KinematicState:
    """float32 copies of what an MjData, or with a leading axis a Batch, holds now."""
    xpos, cvel = data.xpos[..., tracked_ids, :], data.cvel[..., tracked_ids, :]
    velocities = origin_velocities(cvel, xpos, data.subtree_com[..., model.body_rootid[tracked_ids], :])
    parts = (data.qpos, data.qvel, xpos, data.xquat[..., tracked_ids, :], *velocities)
    return KinematicState(*(part.astype(np.float32) for part in parts))
