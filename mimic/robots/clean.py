"""From a user's MJCF to a plain one: everything named, no mesh files, nothing that the simulation does not support."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import mujoco
import numpy as np

from motions.errors import InputError

FLOOR = "floor"


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
    return re.sub(r"\s+", " ", str(error)).strip().removeprefix("Error: ")


def clean(spec: mujoco.MjSpec, path: Path, *, visuals: bool) -> tuple[str, ...]:
    """Edit `spec` in place; returns what to tell the user. Actuators, keyframes and contact pairs stay.

    Names every body, joint and geom, makes sure of a ground plane called "floor", removes sensors, and without
    `visuals` every mesh and texture file. Raises `InputError` for constraints that we do not simulate.
    """
    if not any(j.type == mujoco.mjtJoint.mjJNT_HINGE for j in spec.joints):
        raise InputError(f"{path}: no hinge joint in it; a robot's MJCF was expected, not a fragment or a scene without one")
    _name_all(spec)
    _refuse_constraints(spec, path)
    for sensor in list(spec.sensors):
        spec.delete(sensor)
    _ensure_floor(spec)
    return () if visuals else _strip_meshes(spec, path)


def _name_all(spec: mujoco.MjSpec) -> None:
    """Contacts, actuators and observations speak of elements by name, so the nameless get one."""
    for b, body in enumerate(spec.bodies):
        body.name = body.name or f"body{b}"
        for kind, elements in (("joint", body.joints), ("geom", body.geoms)):
            for i, element in enumerate(elements):
                element.name = element.name or f"{body.name}_{kind}{i}"


def _refuse_constraints(spec: mujoco.MjSpec, path: Path) -> None:
    for equality in spec.equalities:
        if equality.active:
            raise InputError(f"{path}: has the equality constraint {equality.name or equality.name1!r}; these are not supported")
    for tendon in spec.tendons:
        acts = any(np.any(v) for v in (tendon.stiffness, tendon.damping, tendon.frictionloss, tendon.armature))
        if acts or np.any(tendon.range):
            raise InputError(f"{path}: tendon {tendon.name!r} acts on the joints; such tendons are not supported")


def _ensure_floor(spec: mujoco.MjSpec) -> None:
    """Call the file's own ground plane "floor", or add one. Before compiling, since contact pairs may speak of it."""
    planes = [g for g in spec.worldbody.geoms if g.type == mujoco.mjtGeom.mjGEOM_PLANE]
    if not planes:
        spec.worldbody.add_geom(name=FLOOR, type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.05], rgba=[0.5, 0.5, 0.5, 1])
        return
    for pair in spec.pairs:
        pair.geomname1 = FLOOR if pair.geomname1 == planes[0].name else pair.geomname1
        pair.geomname2 = FLOOR if pair.geomname2 == planes[0].name else pair.geomname2
    planes[0].name = FLOOR


def _strip_meshes(spec: mujoco.MjSpec, path: Path) -> tuple[str, ...]:
    """No geom needs a file any more: visual meshes go, colliding ones become the box MuJoCo fits to them."""
    paired = {name for pair in spec.pairs for name in (pair.geomname1, pair.geomname2)}
    meshes = [g for g in spec.geoms if g.meshname]
    colliding = [g for g in meshes if g.contype or g.conaffinity or g.name in paired]
    if colliding or any(not g.parent.explicitinertial for g in meshes):
        _write_inertias(spec, path)
        _fit_boxes(spec, colliding, path)
    kept = {g.name for g in colliding}
    for geom in meshes:
        if geom.name not in kept:
            spec.delete(geom)
    images = {t.name for t in spec.textures if t.file or any(t.cubefiles)}
    for material in spec.materials:  # materials stay for their colours, since default classes may speak of them
        material.textures = ["" if name in images else name for name in material.textures]
    for element in [*spec.skins, *(t for t in spec.textures if t.name in images), *spec.meshes]:
        spec.delete(element)
    return (f"{len(colliding)} colliding meshes replaced by boxes fitted to them",) if colliding else ()


def _write_inertias(spec: mujoco.MjSpec, path: Path) -> None:
    """Fix the inertias that the compiler infers from geoms, before some of those geoms go."""
    copy = spec.copy()
    model = compile_spec(copy, path)
    spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_AUTO
    for body in spec.bodies[1:]:
        i = model.body(body.name).id
        if body.explicitinertial or model.body_mass[i] == 0:
            continue
        body.mass, body.ipos = model.body_mass[i], model.body_ipos[i]
        body.iquat, body.inertia = model.body_iquat[i], model.body_inertia[i]
        body.explicitinertial = True


def _fit_boxes(spec: mujoco.MjSpec, geoms: list[mujoco.MjsGeom], path: Path) -> None:
    for geom in geoms:
        geom.type = mujoco.mjtGeom.mjGEOM_BOX  # with a mesh attached, the compiler fits the box to it
    copy = spec.copy()
    model = compile_spec(copy, path)
    for geom in geoms:
        i = model.geom(geom.name).id
        geom.size, geom.pos, geom.quat, geom.meshname = model.geom_size[i], model.geom_pos[i], model.geom_quat[i], ""


def to_xml(spec: mujoco.MjSpec) -> str:
    """The spec as MJCF. Default classes may name materials that no file defines, which only fails on reading back:
    a class cannot undo its parent's material, so the writer loses a `material=""`. Those names are dropped."""
    root = ElementTree.fromstring(spec.to_xml())
    known = {m.name for m in spec.materials}
    for element in root.iter():
        if element.get("material", "") not in known:
            element.attrib.pop("material", None)
    return ElementTree.tostring(root, encoding="unicode")
