"""What a spectator does to a robot by hand: pull at a body, throw a box at it. Plain MuJoCo, no drawing."""

import mujoco
import numpy as np

from mimic.deploy.simulation import Simulation
from motions.rotations import quat_rotate

ROOT = 1  # body of the model
STIFFNESS = 100.0  # of a pull [1/s^2]: times the mass it moves. Critically damped, so that what is held comes and stays
BOX, BOX_M = "thrown_box", 0.2  # its name in the model, and its side [m]
PARKED = (0.0, 0.0, 100.0)  # where it hangs before it is thrown [m]
FROM_M, LOWEST_M = 2.5, 0.3  # it is thrown from so far from the robot, and not from below this height [m]


def world_with_box(mjcf: str) -> mujoco.MjModel:
    """The robot's model with a box after it, which touches all its geoms and the ground, whatever the robot's own may touch."""
    spec = mujoco.MjSpec.from_string(mjcf)
    geoms = list(spec.geoms)
    for index, geom in enumerate(geoms):
        geom.name = geom.name or f"geom_{index}"  # a pair is of names
    body = spec.worldbody.add_body(name=BOX, pos=PARKED)
    body.add_freejoint()
    body.add_geom(
        name=BOX,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[BOX_M / 2] * 3,
        mass=1.0,
        contype=0,
        conaffinity=0,
        rgba=[0.55, 0.4, 0.2, 1],
    )
    for geom in geoms:
        spec.add_pair(geomname1=geom.name, geomname2=BOX, condim=3)
    for key in list(spec.keys):  # they are of the robot alone
        spec.delete(key)
    return spec.compile()


class Hands:
    """Upon the one robot of `simulation`, whose model has the box. To be asked to `act` before every control step.

    held: the body that is pulled at, or None. thrown: whether the box was.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation, self.batch = simulation, simulation.batch
        self.model = self.batch.model
        self.box = self.model.body(BOX).id
        self.forces = self.batch.bind("xfrc_applied")
        self.gravity = -self.model.opt.gravity
        self.held: int | None = None
        self.thrown = False
        self._at, self._to = np.zeros(3), np.zeros(3)
        self._most = float(self.model.body_subtreemass[ROOT] * np.linalg.norm(self.gravity))  # a pull lifts it, no more
        self.forces[0, self.box, :3] = self.model.body_mass[self.box] * self.gravity

    @property
    def box_pose(self) -> np.ndarray:
        """Its place and direction (7,)."""
        return self.batch.qpos[0, self.simulation.nq :]

    @property
    def string(self) -> np.ndarray:
        """From where it is held to where it is pulled (2, 3) [m]."""
        assert self.held is not None
        return np.array([self._grip(self.held), self._to])

    def hold(self, body: int, place: np.ndarray) -> None:
        """Take hold of a body at a place (3,) in the world [m]."""
        self.let_go()
        self.held, self._to = body, place
        position, quat = self.batch.xpos[0, body], self.batch.xquat[0, body]
        self._at = quat_rotate(quat * [1.0, -1.0, -1.0, -1.0], place - position)

    def pull(self, place: np.ndarray) -> None:
        """Pull what is held to (3,) [m]."""
        self._to = place

    def let_go(self) -> None:
        if self.held is not None:
            self.forces[0, self.held] = 0.0
        self.held = None

    def throw(self, side: np.ndarray, speed: float, mass: float) -> None:
        """Throw the box of `mass` [kg] with `speed` [m/s] at the robot's centre of mass, from the side of (3,) in the world."""
        aim = self.batch.subtree_com[0, ROOT].copy()
        level = (side - aim) * [1.0, 1.0, 0.0]
        away = np.linalg.norm(level)
        start = aim + FROM_M * (level / away if away > 1e-6 else np.array([1.0, 0.0, 0.0]))
        start[2] = max(start[2], LOWEST_M)
        flight_s = float(np.linalg.norm(aim - start)) / speed
        velocity = (aim - start) / flight_s + 0.5 * self.gravity * flight_s
        pose, nv = self.box_pose, self.simulation.nv
        pose[:3], pose[3:] = start, (1.0, 0.0, 0.0, 0.0)
        self.batch.qvel[0, nv:] = [*velocity, 0.0, 0.0, 0.0]
        self.forces[0, self.box] = 0.0
        masses, inertias = self.batch.expand("body_mass"), self.batch.expand("body_inertia")
        inertias[0, self.box] *= mass / masses[0, self.box]
        masses[0, self.box] = mass
        self.batch.set_const()
        self.thrown = True

    def act(self) -> None:
        """Pull for the control step to come, as a spring between the body and the hand: its force grows with their distance and
        with the mass that moves, up to the robot's weight."""
        if self.held is None:
            return
        body, grip = self.held, self._grip(self.held)
        spatial, com = self.batch.cvel[0, body], self.batch.subtree_com[0, ROOT]
        velocity = spatial[3:] + np.cross(spatial[:3], grip - com)
        moved = 1.0 / max(float(self.model.body_invweight0[body, 0]), 1e-9)
        force = moved * (STIFFNESS * (self._to - grip) - 2.0 * np.sqrt(STIFFNESS) * velocity)
        force *= min(1.0, self._most / max(float(np.linalg.norm(force)), 1e-9))
        centre = self.batch.xpos[0, body] + quat_rotate(self.batch.xquat[0, body], self.model.body_ipos[body])
        self.forces[0, body] = [*force, *np.cross(grip - centre, force)]

    def _grip(self, body: int) -> np.ndarray:
        return self.batch.xpos[0, body] + quat_rotate(self.batch.xquat[0, body], self._at)
