"""Edits of an `MjSpec` that turn a robot's MJCF into a simulation model: own actuators, one floor, chosen contacts."""

import re
from pathlib import Path

import mujoco

from mimic.config import SimConfig
from mimic.robots.traits import Traits
from motions.errors import InputError

FLOOR = "floor"
_MESH = mujoco.mjtGeom.mjGEOM_MESH


def parse(path: Path) -> mujoco.MjSpec:
    """The MJCF at `path`. Raises `InputError` for what MuJoCo cannot read."""
    try:
        return mujoco.MjSpec.from_file(str(path))
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a readable MJCF file ({_one_line(error)})") from error


def compile_spec(spec: mujoco.MjSpec, path: Path) -> mujoco.MjModel:
    """Compile, with MuJoCo's complaint as an `InputError`."""
    try:
        return spec.compile()
    except (ValueError, mujoco.FatalError) as error:
        raise InputError(f"{path}: MuJoCo cannot compile it ({_one_line(error)})") from error


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()


def strip(spec: mujoco.MjSpec, path: Path, *, visuals: bool) -> tuple[str, ...]:
    """Remove what the simulation replaces or does not need; returns what to tell the user.

    Actuators, sensors and keyframes always; without `visuals` every mesh, texture and skin too: visual mesh geoms
    go, colliding ones become the box MuJoCo fits to them, and inertias that came from geoms are written out first.
    """
    for element in [*spec.actuators, *spec.sensors, *spec.keys]:
        spec.delete(element)
    said = () if visuals else _strip_meshes(spec, path)
    _name_geoms(spec)
    return said


def _strip_meshes(spec: mujoco.MjSpec, path: Path) -> tuple[str, ...]:
    meshes = [g for g in spec.geoms if g.meshname]
    inferred = any(not g.parent.explicitinertial and g.parent.name != "world" for g in meshes)
    if inferred or any(_touches(g) for g in meshes):
        said = _resolve_meshes(spec, path)
    else:
        said = ()
    for geom in meshes:
        if not _touches(geom):
            spec.delete(geom)
    for geom in spec.geoms:
        geom.material = ""
    for element in [*spec.skins, *spec.materials, *spec.textures, *spec.meshes]:
        spec.delete(element)
    return said


def _touches(geom: mujoco.MjsGeom) -> bool:
    return bool(geom.contype or geom.conaffinity)


def _resolve_meshes(spec: mujoco.MjSpec, path: Path) -> tuple[str, ...]:
    """Write out what only the mesh files know: body inertias, and boxes in place of colliding meshes."""
    fitted = [g for g in spec.geoms if g.meshname and _touches(g)]
    inertias = spec.copy()
    model = compile_spec(inertias, path)
    for body, source in zip(spec.bodies, inertias.bodies):
        if body.name == "world" or body.explicitinertial:
            continue
        body.mass, body.ipos = model.body_mass[source.id], model.body_ipos[source.id]
        body.iquat, body.inertia = model.body_iquat[source.id], model.body_inertia[source.id]
        body.explicitinertial = True
    for geom in fitted:
        geom.type = mujoco.mjtGeom.mjGEOM_BOX  # with a mesh attached, the compiler fits the box to it
    boxes = spec.copy()
    model = compile_spec(boxes, path)
    for geom, source in zip(spec.geoms, boxes.geoms):
        if geom.meshname and _touches(geom):
            geom.size, geom.pos = model.geom_size[source.id], model.geom_pos[source.id]
            geom.quat, geom.meshname = model.geom_quat[source.id], ""
    return (f"{len(fitted)} colliding meshes replaced by boxes fitted to them",) if fitted else ()


def _name_geoms(spec: mujoco.MjSpec) -> None:
    """Give nameless geoms a name, so that contacts and sensors can speak of them."""
    taken = {g.name for g in spec.geoms}
    for body in spec.bodies:
        for i, geom in enumerate(body.geoms):
            if not geom.name and f"{body.name}_geom{i}" not in taken:
                geom.name = f"{body.name}_geom{i}"


def finish(spec: mujoco.MjSpec, traits: Traits, sim: SimConfig) -> None:
    """Position actuators in joint order, armatures, floor, contacts and solver options."""
    _set_options(spec, sim)
    _add_actuators(spec, traits)
    floor = _find_floor(spec)
    floor.name = FLOOR
    # Priority makes the floor's friction, not the larger of two, the one that counts: one number to randomize.
    floor.priority, floor.condim, floor.friction = 1, 3, [sim.friction, 0.005, 0.0001]
    _set_contacts(spec, floor, traits, sim)


def _set_options(spec: mujoco.MjSpec, sim: SimConfig) -> None:
    option = spec.option
    option.timestep, option.iterations, option.ls_iterations = sim.sim_dt, sim.iterations, sim.ls_iterations
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE  # MuJoCo 4.0.0: the sparse Newton Hessian is wrong
    option.disableflags = 0  # a file's own flags would silently change the physics asked for here
    option.enableflags = 0


def _add_actuators(spec: mujoco.MjSpec, traits: Traits) -> None:
    """torque = clip(kp (ctrl - q) - kd qdot, +-effort); ctrl is a joint position [rad], unlimited."""
    hinges = [j for j in spec.joints if j.type == mujoco.mjtJoint.mjJNT_HINGE]
    for joint, kp, kd, effort, armature in zip(hinges, traits.kp, traits.kd, traits.effort, traits.armature):
        joint.armature = armature
        joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_FALSE
        actuator = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.gaintype, actuator.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
        actuator.gainprm[0] = kp
        actuator.biasprm[1], actuator.biasprm[2] = -kp, -kd
        actuator.forcelimited, actuator.forcerange = mujoco.mjtLimited.mjLIMITED_TRUE, [-effort, effort]
        actuator.ctrllimited = mujoco.mjtLimited.mjLIMITED_FALSE


def _find_floor(spec: mujoco.MjSpec) -> mujoco.MjsGeom:
    """The file's own ground plane, or a new one."""
    for geom in spec.worldbody.geoms:
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            return geom
    return spec.worldbody.add_geom(name=FLOOR, type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.05], rgba=[0.5, 0.5, 0.5, 1])


def _set_contacts(spec: mujoco.MjSpec, floor: mujoco.MjsGeom, traits: Traits, sim: SimConfig) -> None:
    """feet: only foot geoms touch, and only the floor. all: what the file lets collide, and all of that the floor."""
    if sim.collisions == "feet":
        for pair in list(spec.pairs):
            spec.delete(pair)
        for geom in spec.geoms:
            geom.contype, geom.conaffinity = 0, int(geom.name in traits.foot_geoms)
        floor.contype, floor.conaffinity = 1, 0
        return
    bits = 1
    for geom in spec.geoms:
        bits |= geom.contype | geom.conaffinity
    floor.contype, floor.conaffinity = bits, bits
