"""`bake`: a robot's motion back onto the skeleton it was captured on or that a person animates: names, rest pose, offsets, rate.

The way back of `retarget`. The world grows by the ratio of leg lengths; limbs take the robot's directions, trunk, head
and feet its orientations; legs then reach for the robot's scaled ankles, so that standing feet stand. Joints without
a role rest. Every rotation is that of a robot's part away from the robot's zero pose, applied to the source's joint as
it is when the person stands like that zero pose.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
from scipy.spatial.transform import Rotation

from motions.errors import InputError, unknown_name
from motions.kinematics import Body
from motions.motion import Motion, resample
from motions.rotations import quat_conj, quat_mul, quat_normalize, quat_rotate, quat_rotate_inv, quat_unroll, slerp, yaw_quat
from motions.skeleton import Skeleton, SkeletonMotion
from retarget.capture import Capture, capture, joint_upright, rest_stands
from retarget.contacts import detect_contacts
from retarget.limbs import BONES, reach, robot_limbs, swing, turns
from retarget.mapping import RobotMap, SourceMap, map_source
from retarget.pipeline import capture_of_robot, rig_of
from retarget.rig import Rig
from retarget.roles import TWO_LEGS
from retarget.scaling import LEG_REACH, held_in_stances, level_axes

RootMotion = Literal["hips", "root", "in_place"]
ROOT_NAME = "root"
NARROWING = 0.65  # measured on walks: share of the hip-width difference by which retargeted feet stand wider than the person's
_IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])
_REST_FRAMES = 30  # of a skeleton without motion, to be measured as if it stood there


class _Person(NamedTuple):
    """The source: roles; upright (J, 4) and soles (L, 4), none of point feet: orientation of (forward, left, up) in the joint
    frames when standing straight; rest (J, 4): local rotations of joints without a role; leg length, ankle heights (L,) when
    standing flat, half the distance between the hips, where these are, ahead and to the left of their middle (L, 2) [m]."""

    skeleton: Skeleton
    roles: SourceMap
    upright: np.ndarray
    soles: np.ndarray
    rest: np.ndarray
    leg_length: float
    ankle_height: np.ndarray
    hip_half_width: float
    hips_xy: np.ndarray

    def below(self, joint: int, lower: int) -> np.ndarray:
        """Where `lower` is in the frame of `joint` (3,) [m], the joints between them at rest."""
        at = np.zeros(3)
        while lower != joint:
            at = self.skeleton.offsets[lower] + quat_rotate(self.rest[lower], at)
            lower = self.skeleton.parents[lower]
        return at


def bake(
    motion: Motion,
    body: Body,
    source: SkeletonMotion | Skeleton,
    *,
    root_motion: RootMotion = "hips",
    fps: float | None = None,
    mapping: RobotMap | None = None,
) -> SkeletonMotion:
    """A robot's motion on the skeleton of `source`; joint names, hierarchy and offsets are kept.

    source: a capture on that skeleton (it tells how the person stands), or the skeleton alone, whose rest pose must then
    stand upright. fps [Hz]: by default the source's, else the motion's. root_motion: what carries the way through the world.
    "hips": the hips joint. "root": the first joint, above the hips, takes position on the ground and heading (a joint
    "root" is added where the hips are first), the hips the rest. "in_place": as "hips", without horizontal travel.
    Raises `InputError` for a skeleton without legs or with another number of them, or a robot without a mapping.
    """
    if root_motion not in get_args(RootMotion):
        raise unknown_name("root motion", root_motion, get_args(RootMotion))
    if motion.joint_names != body.joint_names:
        raise InputError(f"motion {motion.name!r} has other joints than robot {body.name!r}")
    if fps is None:
        fps = source.fps if isinstance(source, SkeletonMotion) else motion.fps
    person, rig = _measure(source), rig_of(body, mapping)
    if person.roles.legs != rig.legs:
        count = len(rig.legs)
        raise InputError(
            f"robot {body.name!r} walks on {count} legs, the skeleton on {len(person.roles.legs)}: give one with {count}"
        )
    motion = resample(motion, fps)
    robot = capture_of_robot(rig, motion)
    growth = person.leg_length / (LEG_REACH * rig.leg_length)
    hips, world = _pose(person, rig, robot, motion, growth)
    if root_motion == "in_place":
        hips = np.concatenate([np.broadcast_to(hips[:1, :2], hips[:, :2].shape), hips[:, 2:]], axis=1)
    baked, notes = _assemble(person, hips, world, robot.rot["pelvis"] if root_motion == "root" else None, motion)
    notes = (f"the robot's motion grows by {growth:.3f}, the ratio of leg lengths", *notes)
    return replace(baked, notes=notes, unit_m=source.unit_m if isinstance(source, SkeletonMotion) else baked.unit_m)


def _measure(source: SkeletonMotion | Skeleton) -> _Person:
    if isinstance(source, Skeleton):
        source = _standing_still(source)
    skeleton, roles = source.skeleton, map_source(source.skeleton)
    human = capture(source, roles, min(source.fps, 60.0))
    contacts = detect_contacts(human)
    quat = source.forward_kinematics()[1]
    joints = len(skeleton.parents)
    rest = np.tile(_IDENTITY, (joints, 1))
    if not rest_stands(skeleton, roles):  # a rest pose of bones laid along one axis is no pose: take the mean one
        rest = np.stack([_mean_quat(source.local_quat[:, j]) for j in range(joints)])
    return _Person(
        skeleton=skeleton,
        roles=roles,
        upright=_quat(np.stack([joint_upright(skeleton, roles, quat[:, j]) for j in range(joints)])),
        soles=_quat(contacts.sole_rot),
        rest=rest,
        leg_length=human.leg_length,
        ankle_height=np.median(contacts.floor, axis=0),
        hip_half_width=human.hip_half_width,
        hips_xy=human.hips_xy,
    )


def _standing_still(skeleton: Skeleton) -> SkeletonMotion:
    """A skeleton in its rest pose, feet on the ground. Raises `InputError` if that pose does not stand."""
    if not rest_stands(skeleton, map_source(skeleton)):
        raise InputError("the skeleton's rest pose does not stand upright: give a motion on it, which shows how it stands")
    quat = np.tile(_IDENTITY, (_REST_FRAMES, len(skeleton.parents), 1))
    motion = SkeletonMotion("rest pose", skeleton, 30.0, np.zeros((_REST_FRAMES, 3)), quat)
    lowest = motion.forward_kinematics()[0][0, :, 2].min()
    return replace(motion, root_pos=motion.root_pos - [0.0, 0.0, lowest])


def _pose(person: _Person, rig: Rig, robot: Capture, motion: Motion, growth: float) -> tuple[np.ndarray, np.ndarray]:
    """World positions of the hips joint (F, 3) [m] and world rotations of all joints (F, J, 4)."""
    skeleton, roles, frames = person.skeleton, person.roles, motion.num_frames
    pelvis = roles["pelvis"]
    turned = _turns_of_joints(person, robot)
    limbs, bodies = robot_limbs(rig, motion, robot.xyz), turns(rig, motion)
    hips = _hips(person, rig, robot, turned[pelvis], growth)
    directions = {near: limb.direction for near, limb in limbs.items()}
    directions |= _leg_directions(person, rig, robot, hips, turned[pelvis], directions, growth)
    role_of = {joint: role for role, joint in roles.joints.items()}
    world = np.tile(_IDENTITY, (frames, len(skeleton.parents), 1))
    zero = np.tile(_IDENTITY, (len(skeleton.parents), 1))  # as the person stands like the robot in its zero pose
    for j in range(pelvis, len(skeleton.parents)):
        parent, role = skeleton.parents[j], role_of.get(j, "")
        if j != pelvis and not _hangs_below(skeleton, j, pelvis):
            continue
        if j in turned:
            foot = role.endswith("foot")
            calibration = person.soles[rig.legs.index(role.removesuffix("foot"))] if foot else person.upright[j]
            zero[j] = quat_conj(calibration)
            world[:, j] = quat_mul(turned[j], _each(zero[j], frames))
            continue
        zero[j] = quat_mul(zero[parent], person.rest[j])
        world[:, j] = quat_mul(world[:, parent], _each(person.rest[j], frames))
        if role in limbs and BONES[role] in roles:
            bone = person.below(j, roles[BONES[role]])
            zero[j] = quat_mul(swing(quat_rotate(zero[j], bone), limbs[role].zero_dir), zero[j])
            free = quat_mul(limbs[role].quat, _each(zero[j], frames))
            along = quat_rotate(free, np.broadcast_to(bone, (frames, 3)))
            world[:, j] = quat_mul(swing(along, directions[role]), free)
        elif role.endswith("hand") and role in rig.mapping.bodies and role[:2] + "forearm" in limbs:
            forearm = limbs[role[:2] + "forearm"]
            hand = bodies[:, int(rig.body.body_ids((rig.mapping.bodies[role],))[0])]
            at_wrist = quat_mul(quat_mul(quat_conj(forearm.quat), hand), _each(zero[j], frames))  # seen from the forearm
            world[:, j] = quat_mul(world[:, parent], quat_mul(_each(quat_conj(zero[parent]), frames), at_wrist))
    return hips, world


def _turns_of_joints(person: _Person, robot: Capture) -> dict[int, np.ndarray]:
    """Joint -> (F, 4): how trunk, head and feet are turned away from standing; spine and neck share evenly."""
    roles, parents = person.roles, person.skeleton.parents
    turn = {role: _quat(rot) for role, rot in robot.rot.items()}
    pelvis = roles["pelvis"]
    found = {pelvis: turn["pelvis"]}
    chain = [("pelvis", pelvis)]
    chain += [(role, roles[role]) for role in ("chest", "head") if role in roles and role in turn and roles[role] != pelvis]
    for (lower_role, lower), (upper_role, upper) in pairwise(chain):
        between = [upper]
        while parents[between[-1]] != lower and parents[between[-1]] >= 0:
            between.append(parents[between[-1]])
        for k, joint in enumerate(reversed(between), start=1):
            share = np.full(len(turn[upper_role]), k / len(between))
            found[joint] = slerp(turn[lower_role], turn[upper_role], share)
    found |= {roles[s + "foot"]: turn[s + "foot"] for s in roles.legs if s + "foot" in turn}
    return found


def _hips(person: _Person, rig: Rig, robot: Capture, turn: np.ndarray, growth: float) -> np.ndarray:
    """World positions (F, 3) [m] of the hips joint, by the middle between the thighs."""
    pelvis, frames = person.roles["pelvis"], robot.num_frames
    middle = robot.hip_centre
    offset = np.mean([person.below(pelvis, person.roles[s + "thigh"]) for s in person.roles.legs], axis=0)
    orientation = quat_mul(turn, _each(quat_conj(person.upright[pelvis]), frames))
    return _grown(middle, rig, growth, person.ankle_height.mean()) - quat_rotate(
        orientation, np.broadcast_to(offset, (frames, 3))
    )


def _leg_directions(
    person: _Person,
    rig: Rig,
    robot: Capture,
    hips: np.ndarray,
    turn: np.ndarray,
    directions: dict[str, np.ndarray],
    growth: float,
) -> dict[str, np.ndarray]:
    """Directions (F, 3) of thighs and shanks with which the ankles are where the robot has them, in the person's size."""
    roles, frames = person.roles, robot.num_frames
    orientation = quat_mul(turn, _each(quat_conj(person.upright[roles["pelvis"]]), frames))
    contacts = detect_contacts(robot)
    stands = contacts.toe | contacts.heel
    axes = level_axes(robot.rot["pelvis"])
    if rig.legs == TWO_LEGS:
        widening = NARROWING * (growth * rig.hip_half_width - person.hip_half_width)
        shift = np.array([[0.0, widening], [0.0, -widening]])
    else:
        shift = growth * rig.hips_xy - person.hips_xy
    found = {}
    for i, side in enumerate(rig.legs):
        thigh, shank, foot = (roles[side + part] for part in ("thigh", "shank", "foot"))
        hip = hips + quat_rotate(orientation, np.broadcast_to(person.below(roles["pelvis"], thigh), (frames, 3)))
        ankle = _grown(robot.xyz[side + "foot"], rig, growth, person.ankle_height[i])
        ankle = ankle - held_in_stances(shift[i] @ axes, stands[:, i])
        upper, lower = (float(np.linalg.norm(person.below(a, b))) for a, b in ((thigh, shank), (shank, foot)))
        found[side + "thigh"], found[side + "shank"] = reach(hip, ankle, (upper, lower), directions[side + "thigh"])
    return found


def _grown(xyz: np.ndarray, rig: Rig, growth: float, ankle_height: float) -> np.ndarray:
    """Points (F, 3) of the robot's world in the person's: as far from the standing ankle's height, times `growth`."""
    return (xyz - [0.0, 0.0, rig.ankle_height]) * growth + [0.0, 0.0, ankle_height]


def _assemble(
    person: _Person, hips: np.ndarray, world: np.ndarray, heading_of: np.ndarray | None, motion: Motion
) -> tuple[SkeletonMotion, tuple[str, ...]]:
    """The animation, its world rotations (F, J, 4) made local; `heading_of` (F, 3, 3) asks for root motion."""
    skeleton, pelvis, frames, notes = person.skeleton, person.roles["pelvis"], len(hips), ()
    root_pos = np.zeros((frames, 3))
    if heading_of is not None and pelvis == 0:
        if ROOT_NAME in skeleton.joint_names:
            raise InputError(f"the skeleton has a joint named {ROOT_NAME!r} that is not above the hips: no root can be added")
        notes = (f"joint {ROOT_NAME!r} added above {skeleton.joint_names[0]!r}, for the root motion",)
        offsets = np.concatenate([np.zeros((1, 3)), skeleton.offsets])
        offsets[1] = [0.0, 0.0, np.median(hips[:, 2])]
        skeleton = Skeleton(
            (ROOT_NAME, *skeleton.joint_names), (-1, *(p + 1 for p in skeleton.parents)), offsets, skeleton.end_sites
        )
        world, pelvis = np.concatenate([np.tile(_IDENTITY, (frames, 1, 1)), world], axis=1), 1
    if heading_of is not None:
        yaw = quat_unroll(yaw_quat(_quat(heading_of)))
        root_pos[:, :2] = hips[:, :2]
        above = [j for j in range(pelvis) if j == 0 or _hangs_below(skeleton, pelvis, j)]
        world[:, above] = yaw[:, None]
    local = world.copy()
    for j, parent in enumerate(skeleton.parents[1:], start=1):
        local[:, j] = quat_mul(quat_conj(world[:, parent]), world[:, j])
    translations = None
    if pelvis == 0:
        root_pos = hips
    else:
        translations = np.tile(skeleton.offsets, (frames, 1, 1))
        still = SkeletonMotion("", skeleton, motion.fps, root_pos, local, translations=translations)
        parent = skeleton.parents[pelvis]
        translations[:, pelvis] = quat_rotate_inv(world[:, parent], hips - still.forward_kinematics()[0][:, parent])
        translations[:, 0] = root_pos
    return SkeletonMotion(
        motion.name, skeleton, motion.fps, root_pos, quat_unroll(local), motion.source, motion.licence, translations
    ), notes


def _hangs_below(skeleton: Skeleton, joint: int, above: int) -> bool:
    while joint > above:
        joint = skeleton.parents[joint]
    return joint == above


def _each(quat: np.ndarray, frames: int) -> np.ndarray:
    return np.broadcast_to(quat, (frames, 4))


def _quat(matrices: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) to quaternions (..., 4)."""
    flat = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_quat(scalar_first=True)
    return flat.reshape(*matrices.shape[:-2], 4)


def _mean_quat(quat: np.ndarray) -> np.ndarray:
    """The mean rotation (4,) of (F, 4): the main axis of their products (Markley 2007)."""
    return quat_normalize(np.linalg.eigh(quat.T @ quat)[1][:, -1])
