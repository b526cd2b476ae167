"""What is to be drawn: which of a model's geoms, in which colours, on what floor, in what light. No drawing here."""

import copy
from dataclasses import dataclass

import mujoco
import numpy as np

BACKGROUND = np.array([0.87, 0.89, 0.92])  # the floor fades into it
FLOOR = np.array([0.70, 0.73, 0.77])
GRID_LINE = np.array([0.60, 0.63, 0.68])
GRID_M, GRID_LINE_M = 0.5, 0.005  # distance of the floor's lines and half their width [m]
FADE_M = (5.0, 16.0)  # the floor fades between these distances from the camera [m]

ROBOT = np.array([0.80, 0.46, 0.24])  # where a model brings no colours of its own
ROBOT_DARK = np.array([0.27, 0.29, 0.33])
GHOST = np.array([0.20, 0.52, 0.90])
GHOST_ALPHA = 0.42
GHOST_BEHIND_M = 0.12  # the ghost shows before the robot only where it is nearer by this: so it can be seen

_PLAIN_GREY = np.array([0.5, 0.5, 0.5])  # MuJoCo's colour of a geom that has none


@dataclass(frozen=True)
class Stage:
    """A model prepared for pictures. `geoms` (G,) are the ids drawn; `rgb` (ngeom, 3) their colours in [0, 1].

    `floor_z` is the height of the model's own plane (0 without one); planes are replaced by our floor.
    """

    model: mujoco.MjModel
    geoms: np.ndarray
    rgb: np.ndarray
    floor_z: float

    @property
    def moving(self) -> np.ndarray:
        """The ids (P,) of those drawn geoms that are the robot's, not scenery."""
        return self.geoms[self.model.geom_bodyid[self.geoms] > 0]

    @property
    def drawn(self) -> np.ndarray:
        """Which geoms are drawn, as a mask (ngeom,)."""
        mask = np.zeros(self.model.ngeom, dtype=bool)
        mask[self.geoms] = True
        return mask


def make_stage(model: mujoco.MjModel) -> Stage:
    """Choose geoms and colours: the visual geoms (groups 0 to 2) where the robot has any, else all it has."""
    model = copy.copy(model)
    plane = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
    own = (model.geom_bodyid > 0) & ~plane
    visual = own & (model.geom_group <= 2) & (model.geom_rgba[:, 3] > 0)
    shown = visual if visual.any() else own
    model.geom_rgba[shown, 3] = 1.0  # a file whose meshes are gone may have made the rest invisible, and MuJoCo skips those
    scenery = (model.geom_bodyid == 0) & ~plane & (model.geom_rgba[:, 3] > 0)
    floor = np.flatnonzero(plane & (model.geom_bodyid == 0))
    return Stage(
        model=model,
        geoms=np.flatnonzero(shown | scenery),
        rgb=_colours(model, keep=bool(visual.any())),
        floor_z=float(model.geom_pos[floor[0], 2]) if len(floor) else 0.0,
    )


def _colours(model: mujoco.MjModel, *, keep: bool) -> np.ndarray:
    """(ngeom, 3): a geom's own or its material's colour if `keep`, else warm bodies with dark feet and hands."""
    rgb = model.geom_rgba[:, :3].astype(float)
    material = model.geom_matid >= 0
    rgb[material] = model.mat_rgba[model.geom_matid[material], :3]
    plain = np.all(np.abs(rgb - _PLAIN_GREY) < 1e-3, axis=1)
    leaf = np.isin(np.arange(model.nbody), model.body_parentid[1:], invert=True)[model.geom_bodyid]
    ours = np.where(leaf[:, None], ROBOT_DARK, ROBOT)
    return np.where((plain | (not keep))[:, None], ours, rgb)


def geom_positions(stage: Stage, qpos: np.ndarray) -> np.ndarray:
    """World positions of the robot's drawn geoms for some poses (S, nq): (S, P, 3) [m]; see `Stage.moving`."""
    data, found = mujoco.MjData(stage.model), []
    for pose in qpos:
        data.qpos[:] = pose
        mujoco.mj_kinematics(stage.model, data)
        found.append(data.geom_xpos[stage.moving].copy())
    return np.array(found)


def light_direction(azimuth: float) -> np.ndarray:
    """Unit vector towards the light (3,): from above, left of and behind a camera of this azimuth [deg]."""
    forward, left = np.radians(azimuth), np.radians(azimuth + 90.0)
    level = -0.35 * np.array([np.cos(forward), np.sin(forward)]) + 0.45 * np.array([np.cos(left), np.sin(left)])
    return np.array([*level, 1.0]) / np.linalg.norm([*level, 1.0])
