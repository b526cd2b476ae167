"""One robot's differences from its model, and the model fields that hold them; numpy and JAX alike."""

from copy import copy
from typing import NamedTuple

import mujoco
import numpy as np

from mimic.robots.clean import FLOOR
from motions.rotations import Array, namespace


class Variation(NamedTuple):
    """What a robot and its world differ in from the model, any leading axes. Factors multiply the model's value."""

    friction: Array
    """Factor of the ground's sliding friction, ()."""
    mass: Array
    """Factor per body of the mass, and of the inertia with it, (nbody,)."""
    inertia: Array
    """Factor per body of the inertia, beyond that, (nbody,)."""
    com: Array
    """Shift of the anchor's centre of mass in its own frame [m], (3,)."""
    armature: Array
    """Factors per joint, (J,): this and the three that follow."""
    kp: Array
    kd: Array
    effort: Array
    joint_friction: Array
    """Added dry friction per joint [N m], (J,)."""
    joint_damping: Array
    """Added viscous damping per joint [N m s/rad], (J,)."""
    gravity: Array
    """[m/s^2], (3,)."""


def variable_model(model: mujoco.MjModel, anchor_id: int) -> mujoco.MjModel:
    """A copy of `model` for C MuJoCo to which `varied_fields` apply in full.

    MuJoCo notes when it compiles that a body's centre of mass lies in its origin, or a geom in its body's centre of mass, and
    then never looks at where they are; a centre of mass that shifts needs it to.
    """
    free = copy(model)
    free.body_sameframe[anchor_id] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE
    free.geom_sameframe[model.geom_bodyid == anchor_id] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE
    free.site_sameframe[model.site_bodyid == anchor_id] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE
    return free


def varied_fields(model: mujoco.MjModel, variation: Variation, anchor_id: int) -> dict[str, Array]:
    """The `MjModel` fields (name to values, the variation's leading axes first) of `model` under `variation`.

    `anchor_id`: the body whose centre of mass shifts. The constants that MuJoCo derives from these fields (mj_setConst: the
    regularization of contacts by the inertia behind them) keep their nominal values on every engine.
    """
    v, xp = variation, namespace(variation.mass)
    floor = (np.arange(model.ngeom) == model.geom(FLOOR).id)[:, None] * np.array([1.0, 0.0, 0.0])
    anchor = (np.arange(model.nbody) == anchor_id)[:, None]

    def dofs(values: Array, root: float) -> Array:
        """Per joint (..., J) to per degree of freedom (..., nv); those of the root, and of what is not the robot, have `root`."""
        beyond = model.nv - 6 - values.shape[-1]
        ends = [xp.full((*values.shape[:-1], count), root, dtype=values.dtype) for count in (6, beyond)]
        return xp.concatenate([ends[0], values, ends[1]], axis=-1)

    gain, bias = np.zeros(model.actuator_gainprm.shape[1]), np.zeros((2, model.actuator_biasprm.shape[1]))
    gain[0] = bias[0, 1] = bias[1, 2] = 1.0
    by_kp, by_kd = v.kp[..., None] - 1.0, v.kd[..., None] - 1.0
    friction = xp.asarray(v.friction)[..., None, None] - 1.0
    return {
        "geom_friction": model.geom_friction * (1.0 + floor * friction),
        "body_mass": model.body_mass * v.mass,
        "body_inertia": model.body_inertia * (v.mass * v.inertia)[..., None],
        "body_ipos": model.body_ipos + anchor * v.com[..., None, :],
        "dof_armature": model.dof_armature * dofs(v.armature, 1.0),
        "dof_frictionloss": model.dof_frictionloss + dofs(v.joint_friction, 0.0),
        "dof_damping": model.dof_damping + dofs(v.joint_damping, 0.0),
        "actuator_gainprm": model.actuator_gainprm * (1.0 + gain * by_kp),
        "actuator_biasprm": model.actuator_biasprm * (1.0 + bias[0] * by_kp + bias[1] * by_kd),
        "actuator_forcerange": model.actuator_forcerange * v.effort[..., None],
        "opt.gravity": v.gravity,
    }
