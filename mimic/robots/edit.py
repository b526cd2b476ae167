"""From a plain MJCF and a robot's traits to its simulation model: actuators, armatures, contacts, solver options."""

import mujoco
import numpy as np

from mimic.config import SimConfig
from mimic.robots.clean import FLOOR
from mimic.robots.contacts import add_contact_sensors
from mimic.robots.traits import Traits
from motions.errors import InputError


def finish(spec: mujoco.MjSpec, traits: Traits, sim: SimConfig) -> None:
    """Edit `spec` in place. The file's own actuators, tendons and keyframes go; passive joint forces go too, so that
    kp, kd and effort of `traits` are all there is."""
    for element in [*spec.actuators, *spec.keys, *spec.tendons]:
        spec.delete(element)
    _set_options(spec, sim)
    _set_actuators(spec, traits, dry=sim.actuator == "motor")
    _set_contacts(spec, traits, sim)
    if sim.contact_forces:
        add_contact_sensors(spec)


def _set_options(spec: mujoco.MjSpec, sim: SimConfig) -> None:
    option = spec.option
    option.timestep, option.iterations, option.ls_iterations = sim.sim_dt, sim.iterations, sim.ls_iterations
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE  # MuJoCo 4.0.0: the sparse Newton Hessian is wrong
    option.disableflags = 0  # a file's own flags would silently change the physics asked for here
    option.enableflags = 0


def _set_actuators(spec: mujoco.MjSpec, traits: Traits, *, dry: bool) -> None:
    """torque = clip(kp (ctrl - q) - kd qdot, +-effort); ctrl is a joint position [rad], unlimited. dry: with the motors' friction
    and damping. Their torque-speed curves are up to whoever steps the model (`mimic.robots.actuators`)."""
    hinges = [j for j in spec.joints if j.type == mujoco.mjtJoint.mjJNT_HINGE]
    columns = (traits.kp, traits.kd, traits.effort, traits.armature, traits.motor_friction, traits.motor_damping)
    for joint, kp, kd, effort, armature, friction, damping in zip(hinges, *columns, strict=True):
        joint.armature = armature
        joint.stiffness, joint.damping = np.zeros(3), np.array([damping if dry else 0.0, 0.0, 0.0])
        joint.frictionloss = friction if dry else 0.0
        joint.actfrclimited, joint.actgravcomp = mujoco.mjtLimited.mjLIMITED_FALSE, 0
        actuator = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.gaintype, actuator.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
        actuator.gainprm[0] = kp
        actuator.biasprm[1], actuator.biasprm[2] = -kp, -kd
        actuator.forcelimited, actuator.forcerange = mujoco.mjtLimited.mjLIMITED_TRUE, [-effort, effort]
        actuator.ctrllimited = mujoco.mjtLimited.mjLIMITED_FALSE


def _set_contacts(spec: mujoco.MjSpec, traits: Traits, sim: SimConfig) -> None:
    """feet: foot geoms touch the floor, nothing else does. self: what the file lets collide of the robot, too. all:
    that, and all of it the floor."""
    floor = spec.geom(FLOOR)
    # Priority makes the floor's friction, not the larger of two, the one that counts: one number to randomize.
    floor.priority, floor.condim, floor.friction = 1, 3, [sim.friction, 0.005, 0.0001]
    if sim.collisions == "feet":
        for pair in list(spec.pairs):
            spec.delete(pair)
        for geom in spec.geoms:
            geom.contype, geom.conaffinity = 0, int(geom.name in traits.foot_geoms)
        floor.contype, floor.conaffinity = 1, 0
        return
    with_floor = [pair for pair in spec.pairs if FLOOR in (pair.geomname1, pair.geomname2)]
    if sim.collisions == "self":
        floor.contype, floor.conaffinity = _free_bit(spec), 0
        for pair in with_floor:
            spec.delete(pair)
        for name in traits.foot_geoms:
            spec.geom(name).conaffinity |= floor.contype
        return
    floor.contype = floor.conaffinity = 1
    for pair in with_floor:  # they become ordinary contacts, so that the floor's friction holds
        other = spec.geom(pair.geomname2 if pair.geomname1 == FLOOR else pair.geomname1)
        other.conaffinity |= floor.contype
        spec.delete(pair)
    for name in traits.foot_geoms:  # also where a file leaves all contacts to pairs of a scene that is not here
        foot = spec.geom(name)
        if not foot.contype | foot.conaffinity:
            foot.conaffinity = 1
    for geom in spec.geoms:
        floor.contype |= geom.conaffinity
        floor.conaffinity |= geom.contype


def _free_bit(spec: mujoco.MjSpec) -> int:
    """A bit that no geom's contype or conaffinity has but the floor's. Raises `InputError` where the file uses all 31."""
    used = 0
    for geom in spec.geoms:
        if geom.name != FLOOR:
            used |= geom.contype | geom.conaffinity
    free = next((bit for bit in range(31) if not used >> bit & 1), None)
    if free is None:
        raise InputError(
            f"{spec.modelname}: sim.collisions self needs a collision bit (contype, conaffinity) that the file leaves unused, "
            "and it uses all: choose feet or all"
        )
    return 1 << free
