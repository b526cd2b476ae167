"""`Scene`: a moving skeleton with simple geometry on its joints, which the GLB and USD writers (and so FBX) write.

Ours: z up, metres, wxyz. A robot becomes a skeleton whose joints are its bodies, with every joint frame parallel to
the world in the zero pose, so that robots and captured bodies are written in one way.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from motions.errors import InputError
from motions.formats import solids
from motions.formats.solids import Surface
from motions.formats.units import rest_positions
from motions.motion import Motion
from motions.rotations import quat_conj, quat_mul, quat_rotate_inv, quat_to_matrix, quat_unroll
from motions.skeleton import Skeleton, SkeletonMotion

if TYPE_CHECKING:
    from motions.kinematics import Body

SHORTEST_BONE_M = 1e-3  # shorter ones are not drawn
LONGEST_END_M = 0.5  # nor longer ones to an end site: some rigs put those metres away, no fingertip or crown is
FIXED_M = 1e-6  # an offset that varies by less does not move
BONE_RGBA = (0.55, 0.62, 0.70, 1.0)
_PLAIN_GREY, _ROBOT_RGBA = (0.5, 0.5, 0.5, 1.0), (0.80, 0.46, 0.24, 1.0)


class Part(NamedTuple):
    """A surface fixed to a joint, in the joint's frame, with its colour."""

    joint: int
    surface: Surface
    rgba: tuple[float, ...]


@dataclass(frozen=True)
class Scene:
    """An animation, where its root rests in the identity pose (3,) [m], and what its joints carry."""

    motion: SkeletonMotion
    rest_root: np.ndarray
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()


def make_scene(motion: Motion | SkeletonMotion, body: "Body | None" = None) -> Scene:
    """The scene of a captured skeleton, or of a robot's motion with its `body`. Raises `InputError` without that."""
    if isinstance(motion, SkeletonMotion):
        lowest = min(0.0, float(rest_positions(motion.skeleton)[:, 2].min()))
        parts, notes = _bones(motion.skeleton)
        return Scene(motion, np.array([0.0, 0.0, -lowest]), parts, notes)
    body = require_body(motion, body, "a skeleton with geometry")
    skeleton_motion, notes = robot_skeleton(motion, body)
    zero = np.array(body.model.qpos0)
    return Scene(skeleton_motion, zero[:3], _solids_of(body), notes)


def require_body(motion: Motion, body: "Body | None", what: str) -> "Body":
    """`body`, which must have the motion's joints. Raises `InputError` otherwise."""
    if body is None:
        raise InputError(f"motion {motion.name!r} is of robot {motion.robot!r}: to write it as {what}, give the robot")
    if motion.joint_names != body.joint_names:
        raise InputError(f"motion {motion.name!r} has other joints than robot {body.name!r}")
    return body


def robot_skeleton(motion: Motion, body: "Body") -> tuple[SkeletonMotion, tuple[str, ...]]:
    """The robot's bodies as the joints of a skeleton, and what was left out.

    In the zero pose (joints at the model's reference, base upright) all joint frames are parallel to the world; a
    body's frame is turned against its joint's by its own orientation there. A body that is moved by a hinge off its
    origin has a varying offset: then `translations` are given.
    """
    from motions.kinematics import forward_kinematics

    bodies, notes = _bodies_of_robot(body)
    model, frames = body.model, motion.num_frames
    zero_pos, zero_quat = _zero_pose(body)
    xpos, xquat = forward_kinematics(body, motion.qpos)
    pos = xpos[:, bodies]
    quat = quat_mul(xquat[:, bodies], np.broadcast_to(quat_conj(zero_quat[bodies]), (frames, len(bodies), 4)))
    parents = tuple(bodies.index(int(model.body_parentid[b])) if i else -1 for i, b in enumerate(bodies))
    local_quat, local_pos = quat.copy(), pos.copy()
    for j, parent in enumerate(parents[1:], start=1):
        local_quat[:, j] = quat_mul(quat_conj(quat[:, parent]), quat[:, j])
        local_pos[:, j] = quat_rotate_inv(quat[:, parent], pos[:, j] - pos[:, parent])
    offsets = zero_pos[bodies] - zero_pos[[bodies[max(p, 0)] for p in parents]]
    moving = np.abs(local_pos[:, 1:] - offsets[1:]).max(initial=0.0) > FIXED_M
    skeleton = Skeleton(tuple(body.body_names[b] or f"body_{b}" for b in bodies), parents, offsets)
    return SkeletonMotion(
        name=motion.name,
        skeleton=skeleton,
        fps=motion.fps,
        root_pos=pos[:, 0].copy(),
        local_quat=quat_unroll(local_quat),
        source=motion.source,
        licence=motion.licence,
        translations=local_pos if moving else None,
    ), notes


def _bodies_of_robot(body: "Body") -> tuple[list[int], tuple[str, ...]]:
    """Ids of the bodies that hang on the floating base, it first, and a note on those that do not."""
    model = body.model
    root = int(model.jnt_bodyid[0])
    bodies = [b for b in range(1, model.nbody) if model.body_rootid[b] == root]
    other = [body.body_names[b] for b in range(1, model.nbody) if model.body_rootid[b] != root]
    return bodies, (f"left out what is no part of the robot: {', '.join(other)}",) if other else ()


def _zero_pose(body: "Body") -> tuple[np.ndarray, np.ndarray]:
    """Positions (nbody, 3) and orientations (nbody, 4) with joints at the model's reference and the base unturned."""
    from motions.kinematics import forward_kinematics

    zero = np.array(body.model.qpos0)
    zero[:7] = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    return forward_kinematics(body, zero)


def _solids_of(body: "Body") -> tuple[Part, ...]:
    """The robot's geoms: the visual ones (groups 0 to 2, not transparent) where it has any, else all but planes."""
    import mujoco

    model = body.model
    bodies, _ = _bodies_of_robot(body)
    turn = quat_to_matrix(_zero_pose(body)[1])
    own = np.isin(model.geom_bodyid, bodies) & (model.geom_type != mujoco.mjtGeom.mjGEOM_PLANE)
    visual = own & (model.geom_group <= 2) & (model.geom_rgba[:, 3] > 0)
    parts = []
    for geom in np.flatnonzero(visual if visual.any() else own):
        b = int(model.geom_bodyid[geom])
        rot = turn[b] @ quat_to_matrix(model.geom_quat[geom])
        surface = _geom_surface(model, int(geom)).moved(turn[b] @ model.geom_pos[geom], rot)
        parts.append(Part(bodies.index(b), surface, _colour(model, int(geom))))
    return tuple(parts)


def _geom_surface(model, geom: int) -> Surface:
    """A geom in its own frame; of a mesh the convex hull, of what is unknown the bounding box."""
    import mujoco

    size, kinds = model.geom_size[geom], mujoco.mjtGeom
    match int(model.geom_type[geom]):
        case kinds.mjGEOM_SPHERE:
            return solids.ellipsoid(np.full(3, size[0]))
        case kinds.mjGEOM_ELLIPSOID:
            return solids.ellipsoid(size)
        case kinds.mjGEOM_CAPSULE:
            return solids.capsule(size[0], size[1])
        case kinds.mjGEOM_CYLINDER:
            return solids.cylinder(size[0], size[1])
        case kinds.mjGEOM_BOX:
            return solids.box(size)
        case kinds.mjGEOM_MESH:
            mesh = model.geom_dataid[geom]
            first = model.mesh_vertadr[mesh]
            return solids.hull(model.mesh_vert[first : first + model.mesh_vertnum[mesh]].astype(float))
        case _:
            return solids.box(model.geom_aabb[geom, 3:], model.geom_aabb[geom, :3])


def _colour(model, geom: int) -> tuple[float, ...]:
    material = int(model.geom_matid[geom])
    rgba = tuple(round(float(c), 4) for c in (model.mat_rgba[material] if material >= 0 else model.geom_rgba[geom]))
    return _ROBOT_RGBA if rgba == _PLAIN_GREY else (*rgba[:3], 1.0)  # MuJoCo's grey means that no colour was given


def _bones(skeleton: Skeleton) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """A thin octahedron from every joint to each of its children, and a note on ends that are too far away to be any."""
    parts, far = [], []
    for j, parent in enumerate(skeleton.parents[1:], start=1):
        length, name = np.linalg.norm(skeleton.offsets[j]), skeleton.joint_names[j]
        if name in skeleton.end_sites and length > LONGEST_END_M:
            far.append(name)
        elif length > SHORTEST_BONE_M:
            parts.append(Part(parent, solids.bone(skeleton.offsets[j]), BONE_RGBA))
    return tuple(parts), (f"not drawn, more than {LONGEST_END_M:g} m from their joints: {', '.join(far)}",) if far else ()
