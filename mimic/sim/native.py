"""C MuJoCo on CPU threads (`mujoco.batch`), joined to JAX by one callback per control step for the whole batch."""

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco.batch import Batch

from mimic.devices import on_each_device
from mimic.robots import Robot
from mimic.robots.actuators import force_ranges
from mimic.robots.contacts import net_forces, sensed_bodies
from mimic.sim.physics import Drive, PhysicsState, initial_state
from mimic.sim.variation import Variation, variable_model, varied_fields
from motions.kinematics import KinematicState, origin_velocities
from motions.rotations import Array

PLACED = 64  # simulations by which starts are computed
MEASURED_BYTES = 225_000  # of a simulation in a batch beyond its data's own buffer: humanoid 217 000, G1 236 000


class _Row(NamedTuple):
    """What crosses the callback for one environment, packed into one row of float32."""

    qpos: Array
    qvel: Array
    qacc_warmstart: Array
    drive: Drive


class NativePhysics:
    """Physics by C MuJoCo. The engine keeps nothing between calls: the state crosses the callback both ways,
    packed into one float32 row per environment each way, so that a run can be resumed exactly.

    motors: whether torques are limited by the robot's torque-speed curves.
    """

    def __init__(self, robot: Robot, n_substeps: int, nthread: int = 0, *, motors: bool = False) -> None:
        self.robot = robot
        self.n_substeps = n_substeps
        self.motors = motors
        self.nthread = nthread
        self.tracked_ids = robot.body.body_ids(robot.tracked_bodies)
        self.sensed = len(sensed_bodies(robot.model))
        self.engine_bytes = mujoco.MjData(robot.model).nbuffer + MEASURED_BYTES
        self._engines: dict[Any, _Engine] = {}
        self._turn = Lock()

    def init(self, kinematics: KinematicState) -> PhysicsState:
        return initial_state(self.robot.model, kinematics)

    def place(self, qpos: Array, qvel: Array) -> PhysicsState:
        row = jnp.concatenate([qpos, qvel]).astype(jnp.float32)
        return self.init(self._unpack(self._on_host(self._place, row)).kinematics)

    def step(self, state: PhysicsState, drive: Drive) -> PhysicsState:
        row = _Row(state.kinematics.qpos, state.kinematics.qvel, state.qacc_warmstart, drive)
        leaves, structure = jax.tree.flatten(row)
        layout = tuple(leaf.shape for leaf in leaves)
        packed = jnp.concatenate([leaf.reshape(-1).astype(jnp.float32) for leaf in leaves])
        return self._unpack(self._on_host(partial(self._call, structure, layout), packed))

    def _on_host(self, call: Callable[[Array], np.ndarray], row: Array) -> Array:
        """`call` of the rows of all environments at once, or of those of one device; devices of one process take turns."""

        def locked(rows: Array) -> np.ndarray:
            with self._turn:
                return call(rows)

        def crossing(row: Array) -> Array:
            return jax.pure_callback(locked, self._out_type, row, vmap_method="broadcast_all")

        return on_each_device(crossing)(row)

    @property
    def _sizes(self) -> list[int]:
        model, bodies = self.robot.model, len(self.tracked_ids)
        return [model.nq, model.nv, model.nv, 3 * bodies, 4 * bodies, 3 * bodies, 3 * bodies, self.sensed]

    @property
    def _out_type(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((sum(self._sizes),), jnp.float32)

    def _unpack(self, out: Array) -> PhysicsState:
        qpos, qvel, warmstart, xpos, xquat, xlinvel, xangvel, forces = jnp.split(out, np.cumsum(self._sizes)[:-1])
        bodies = len(self.tracked_ids)
        kinematics = KinematicState(
            qpos, qvel, xpos.reshape(bodies, 3), xquat.reshape(bodies, 4), xlinvel.reshape(bodies, 3), xangvel.reshape(bodies, 3)
        )
        return PhysicsState(kinematics, warmstart, forces if self.sensed else None)

    def _place(self, rows: Array) -> np.ndarray:
        """A few at a time: starts are many, and a simulation holds much memory."""
        flat = np.asarray(rows).reshape(-1, np.shape(rows)[-1])
        if "place" not in self._engines:
            self._engines["place"] = _Engine(self.robot, PLACED, self.nthread, self.tracked_ids)
        engine = self._engines["place"]
        out = np.concatenate([engine.place(flat[i : i + PLACED]) for i in range(0, len(flat), PLACED)])
        return out.reshape(*np.shape(rows)[:-1], -1)

    def _call(self, structure: Any, layout: tuple[tuple[int, ...], ...], rows: Array) -> np.ndarray:
        rows = np.asarray(rows)
        flat = rows.reshape(-1, rows.shape[-1])
        key = len(flat), structure, layout  # what one kind of drive sets must not linger in another
        engine = self._engines.get(key)
        if engine is None:
            varies = jax.tree.unflatten(structure, layout).drive.variation is not None
            engine = self._engines[key] = _Engine(
                self.robot, len(flat), self.nthread, self.tracked_ids, motors=self.motors, varies=varies
            )
        columns = np.cumsum([int(np.prod(shape)) for shape in layout])[:-1]
        parts = [part.reshape(len(flat), *shape) for part, shape in zip(np.split(flat, columns, axis=1), layout, strict=True)]
        return engine.step(jax.tree.unflatten(structure, parts), self.n_substeps).reshape(*rows.shape[:-1], -1)


class _Engine:
    """A batch of one size with its bound arrays. varies: whether drives hold variations."""

    def __init__(
        self, robot: Robot, nsim: int, nthread: int, tracked_ids: np.ndarray, *, motors: bool = False, varies: bool = False
    ) -> None:
        self.robot, self.model, self.nsim, self.motors = robot, robot.model, nsim, motors
        self.anchor_id = robot.model.body(robot.anchor_body).id
        model = variable_model(robot.model, self.anchor_id) if varies else robot.model
        self.batch = Batch(model, nsim, nthread, persistent=True)
        self.qpos, self.qvel, self.warmstart, self.ctrl = map(self.batch.bind, ("qpos", "qvel", "qacc_warmstart", "ctrl"))
        self.time, self.torque, self.push = map(self.batch.bind, ("time", "qfrc_applied", "xfrc_applied"))
        self.xpos, self.xquat = self.batch.bind("xpos"), self.batch.bind("xquat")
        self.cvel, self.subtree_com = self.batch.bind("cvel"), self.batch.bind("subtree_com")
        self.sensordata = self.batch.bind("sensordata") if sensed_bodies(robot.model) else None
        self.tracked_ids = tracked_ids
        self.root_ids = robot.model.body_rootid[tracked_ids]
        self.fields: dict[str, np.ndarray] = {}
        self.varied: np.ndarray | None = None  # the variations now in `fields`, a row per simulation

    def step(self, row: _Row, n_substeps: int) -> np.ndarray:
        """One control step of the batch: (B, nq + 2 nv + 13 K + C) float32, NaN where the physics broke."""
        self.qpos[:], self.qvel[:], self.warmstart[:] = row.qpos, row.qvel, row.qacc_warmstart
        self.time[:] = 1.0
        drive = row.drive
        if drive.variation is not None:
            self._vary(drive.variation)
        if drive.torque is not None:
            self.torque[:, 6:] = drive.torque
        if drive.pushes:
            self.push[:] = 0.0
        for push in drive.pushes:
            which = np.arange(self.nsim), push.body.astype(int)
            self.push[(*which, slice(0, 3))] += push.force
            if push.torque is not None:
                self.push[(*which, slice(3, 6))] += push.torque
        if drive.ctrl.ndim == 2 and not self.motors:
            self.ctrl[:] = drive.ctrl
            self._advance(n_substeps)
            return self._read()
        effort = self.robot.effort if drive.variation is None else self.robot.effort * drive.variation.effort
        for substep in range(n_substeps):
            self.ctrl[:] = drive.ctrl if drive.ctrl.ndim == 2 else drive.ctrl[:, substep]
            if self.motors:
                curve = self.robot.velocity_limit, self.robot.corner_velocity
                self._field("actuator_forcerange")[:] = force_ranges(self.qvel[:, 6:], effort, *curve)
            self._advance(1)
        return self._read()

    def place(self, rows: np.ndarray) -> np.ndarray:
        """Up to nsim rows (qpos, qvel) with their bodies; nothing moves."""
        count = len(rows)
        self.qpos[:count], self.qvel[:count] = np.split(rows, [self.model.nq], axis=1)
        self.time[:] = 1.0
        self.batch.forward(stage=int(mujoco.mjtStage.mjSTAGE_VEL))
        return self._read()[:count]

    def _advance(self, nstep: int) -> None:
        self.batch.step(nstep=nstep, stage=int(mujoco.mjtStage.mjSTAGE_VEL))

    def _vary(self, variation: Variation) -> None:
        """Write the model fields of those simulations whose variation has changed: at the beginnings of episodes."""
        rows = np.concatenate([part.reshape(self.nsim, -1) for part in variation], axis=1)
        if self.varied is None:
            changed = np.ones(self.nsim, dtype=bool)
        else:
            changed = (rows != self.varied).any(axis=1)
        if not changed.any():
            return
        self.varied = rows
        for name, values in varied_fields(self.model, Variation(*(part[changed] for part in variation)), self.anchor_id).items():
            self._field(name)[changed] = values

    def _field(self, name: str) -> np.ndarray:
        if name not in self.fields:
            self.fields[name] = self.batch.expand(name)
        return self.fields[name]

    def _read(self) -> np.ndarray:
        ids = self.tracked_ids
        xpos, cvel = self.xpos[:, ids], self.cvel[:, ids]
        velocities = origin_velocities(cvel, xpos, self.subtree_com[:, self.root_ids])
        parts = [self.qpos, self.qvel, self.warmstart, xpos, self.xquat[:, ids], *velocities]
        if self.sensordata is not None:
            parts.append(net_forces(self.model, self.sensordata))
        out = np.concatenate([part.reshape(self.nsim, -1) for part in parts], axis=1, dtype=np.float32, casting="unsafe")
        # MuJoCo puts a simulation that has exploded back to its rest pose, and its clock to 0: that must not pass for a state
        out[self.time.reshape(-1) < 1.0] = np.nan
        return out
