"""Contact forces by body: the sensors that measure them, and how they are read. Only models that were asked to have any."""

import mujoco
import numpy as np

from motions.rotations import Array, namespace

NET_FORCE = 3  # the contact sensor's reduction that sums all contacts of a body, in the world's axes


def add_contact_sensors(spec: mujoco.MjSpec) -> None:
    """One sensor for each body that can touch anything, the world's aside."""
    paired = {name for pair in spec.pairs for name in (pair.geomname1, pair.geomname2)}
    for body in spec.bodies[1:]:
        if any(geom.contype or geom.conaffinity or geom.name in paired for geom in body.geoms):
            spec.add_sensor(
                name=f"{body.name}_contact", type=mujoco.mjtSensor.mjSENS_CONTACT,
                objtype=mujoco.mjtObj.mjOBJ_BODY, objname=body.name,
                intprm=[1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE), NET_FORCE, 1],
            )  # fmt: skip


def sensed_bodies(model: mujoco.MjModel) -> tuple[str, ...]:
    """Names of the bodies whose contact forces `model` measures, in the order of `net_forces`."""
    return tuple(model.body(model.sensor_objid[i]).name for i in _sensors(model))


def net_forces(model: mujoco.MjModel, sensordata: Array) -> Array:
    """Size of the net contact force on each of `sensed_bodies` [N]; (..., nsensordata) to (..., C).

    The forces of the last physics step: those that led to the present state.
    """
    xp = namespace(sensordata)
    places = model.sensor_adr[_sensors(model)][:, None] + np.arange(3)
    return xp.sqrt(xp.sum(xp.square(sensordata[..., places]), axis=-1))


def _sensors(model: mujoco.MjModel) -> np.ndarray:
    return np.flatnonzero(model.sensor_type == mujoco.mjtSensor.mjSENS_CONTACT)
