"""`Rig`: everything the solver must know of one robot, measured once from its model in the upright pose.

In the upright pose (all joints at the model's reference or where the mapping's `upright` says, turned so that the left
legs are to the left of +x) a robot stands on flat soles; orientations of roles are rotations away from that pose.

A foot that turns against its shank stands on two points, heel and toe. One that does not, and every foot of four legs, is a
point: it stands on one and has no orientation.
"""

from dataclasses import dataclass
from itertools import pairwise

import mujoco
import numpy as np

from motions.kinematics import Body, forward_kinematics
from motions.rotations import quat_to_matrix
from retarget.balls import geom_balls, hull8, sole_balls
from retarget.chain import Chain, build_chain
from retarget.collide import SelfTouch, find_self_touch
from retarget.lumps import lump_masses
from retarget.mapping import RobotMap
from retarget.points import Points
from retarget.roles import ARM_PARTS, LEG_PARTS, SIDES, TWO_LEGS, is_left, legs_of

_SOLE_BAND_M = 0.015  # geom points this close to the lowest belong to the sole
JOINT_SPEED_RAD_S = 20.0  # taken as every joint's limit: MJCF has none
_LIMIT_SHARE = 0.98  # of a joint's range may be used (PHUMA's feasibility rule)


@dataclass(frozen=True, eq=False)
class Rig:
    """One robot as the solver sees it.

    Bones: `bone_from`, `bone_to` index `joints` (points at the role origins), `bone_roles` names them by their
    near end. `legs`: prefixes of its L legs, whose order arrays have. `sole`: balls of all feet with `sole_foot` (P,), the
    number of the leg; `heel_toe` (E L points): what every foot stands on, in the order of legs: of two heels and toes left heel,
    left toe, right heel, right toe; of point feet (E = 1) one each. `low`, `high` (J,) hard limits [rad].
    """

    body: Body
    mapping: RobotMap
    chain: Chain
    roles: tuple[str, ...]
    joints: Points
    upright: np.ndarray  # (nq,) the upright pose, base at the origin
    joint_xyz: np.ndarray  # (R, 3) role origins in the upright pose
    bones: tuple[tuple[str, str], ...]
    bone_length: np.ndarray
    frame_roles: tuple[str, ...]
    frame_link: np.ndarray
    frame_rot: np.ndarray  # (K, 3, 3) link-frame orientation of the role frame
    hip_centre: np.ndarray  # (3,) in the upright pose
    hips: Points  # the same one point, fixed in the link of the pelvis
    ankle_height: float
    ankle_effort: float  # [N m], of the weakest ankle hinge; infinite if the model limits none
    sole: Points
    sole_foot: np.ndarray
    heel_toe: Points
    guard: Points
    touch: SelfTouch
    masses: Points
    mass: np.ndarray
    sole_half_width: float
    low: np.ndarray
    high: np.ndarray
    rest: np.ndarray
    stiffness: np.ndarray

    def role(self, name: str) -> int:
        return self.roles.index(name)

    @property
    def legs(self) -> tuple[str, ...]:
        return legs_of(self.roles)

    @property
    def ends_per_foot(self) -> int:
        """2 (heel and toe), or 1 for point feet."""
        return len(self.heel_toe) // len(self.legs)

    @property
    def hips_xy(self) -> np.ndarray:
        """Where the thighs of all legs begin, ahead and to the left of their middle (L, 2) [m]."""
        return np.stack([self.joint_xyz[self.role(leg + "thigh")] - self.hip_centre for leg in self.legs])[:, :2]

    @property
    def leg_length(self) -> float:
        """Hip to ankle, mean of all legs [m]."""
        at = {role: self.joint_xyz[i] for i, role in enumerate(self.roles)}
        return float(
            np.mean(
                [
                    np.linalg.norm(at[s + "thigh"] - at[s + "shank"]) + np.linalg.norm(at[s + "shank"] - at[s + "foot"])
                    for s in self.legs
                ]
            )
        )

    @property
    def hip_half_width(self) -> float:
        """Of the first pair of legs [m]."""
        left, right = (self.joint_xyz[self.role(leg + "thigh")] for leg in self.legs[:2])
        return 0.5 * float(np.linalg.norm((left - right)[:2]))


def build_rig(body: Body, mapping: RobotMap) -> Rig:
    """Measure a body with its mapping."""
    chain = build_chain(body)
    roles, legs = tuple(mapping.bodies), legs_of(mapping.bodies)
    ids = body.body_ids(tuple(mapping.bodies.values()))
    upright = upright_qpos(body, mapping)
    xpos, xquat = forward_kinematics(body, upright)
    xmat = quat_to_matrix(xquat)

    def in_link(body_id: int, world: np.ndarray) -> np.ndarray:
        """Points (P, 3) given in the upright pose, as offsets in the link that carries `body_id`."""
        local = (np.atleast_2d(world) - xpos[body_id]) @ xmat[body_id]
        return chain.body_pos[body_id] + local @ chain.body_rot[body_id].T

    shift = np.array([mapping.offsets.get(role, (0.0, 0.0, 0.0)) for role in roles])
    at = {role: xpos[i] + xmat[i] @ offset for role, i, offset in zip(roles, ids, shift)}
    bones = [(s + a, s + b) for s in legs for a, b in pairwise(LEG_PARTS)]
    arms = [(s + a, s + b) for s in SIDES for a, b in pairwise(ARM_PARTS)]
    bones += [bone for bone in arms if bone[1] in roles]
    shanks, feet = ([int(ids[roles.index(leg + part)]) for leg in legs] for part in ("shank", "foot"))
    pointed = legs != TWO_LEGS or (chain.body_link[feet] == chain.body_link[shanks]).all()
    turning = () if pointed else tuple(leg + "foot" for leg in legs)
    frame_roles = tuple(r for r in ("pelvis", "chest", "head", *turning) if r in roles)
    frame_ids = [ids[roles.index(r)] for r in frame_roles]

    sole_link, sole_offset, sole_radius, sole_foot, ends, heights, widths = [], [], [], [], [], [], []
    for side, (leg, foot_id) in enumerate(zip(legs, feet)):
        balls, radius = sole_balls(body.model, foot_id, xpos, xmat)
        low = balls[:, 2] - radius
        keep = low < low.min() + _SOLE_BAND_M
        balls, radius = hull8(balls[keep], radius[keep])
        sole_offset.append(in_link(foot_id, balls))
        sole_radius.append(radius)
        sole_link.append(np.full(len(balls), chain.body_link[foot_id]))
        sole_foot.append(np.full(len(balls), side))
        ground, middle = low.min(), 0.5 * (balls[:, 1].min() + balls[:, 1].max())
        r = float(radius.max())
        heel, toe = balls[:, 0].min(), balls[:, 0].max()
        ends += [
            (foot_id, in_link(foot_id, np.array([x, middle, ground + r]))[0], r)
            for x in ((0.5 * (heel + toe),) if pointed else (heel, toe))
        ]
        heights.append(at[leg + "foot"][2] - ground)
        widths.append(0.5 * np.ptp(balls[:, 1]))

    masses, mass = lump_masses(body.model, chain)
    hip_centre = np.mean([at[leg + "thigh"] for leg in legs], axis=0)
    pelvis = int(ids[roles.index("pelvis")])
    low, high = _usable_range(body, mapping)
    rest = np.array([mapping.rest.get(n, mapping.upright.get(n, 0.0)) for n in body.joint_names])
    return Rig(
        body=body,
        mapping=mapping,
        chain=chain,
        roles=roles,
        joints=Points(
            chain.body_link[ids], chain.body_pos[ids] + np.einsum("rij,rj->ri", chain.body_rot[ids], shift), np.zeros(len(ids))
        ),
        upright=upright,
        joint_xyz=np.stack([at[r] for r in roles]),
        bones=tuple(bones),
        bone_length=np.array([np.linalg.norm(at[a] - at[b]) for a, b in bones]),
        frame_roles=frame_roles,
        frame_link=chain.body_link[frame_ids],
        frame_rot=np.stack([chain.body_rot[i] @ xmat[i].T for i in frame_ids]),
        hip_centre=hip_centre,
        hips=Points(chain.body_link[[pelvis]], in_link(pelvis, hip_centre), np.zeros(1)),
        ankle_height=float(np.mean(heights)),
        ankle_effort=_ankle_effort(body.model, chain, shanks[0], feet[0]),
        sole=Points(np.concatenate(sole_link), np.concatenate(sole_offset), np.concatenate(sole_radius)),
        sole_foot=np.concatenate(sole_foot),
        heel_toe=Points(
            np.array([chain.body_link[e[0]] for e in ends]), np.stack([e[1] for e in ends]), np.array([e[2] for e in ends])
        ),
        guard=_guard_points(body, chain, mapping, xpos, xmat),
        touch=find_self_touch(body, chain, mapping),
        masses=masses,
        mass=mass,
        sole_half_width=float(np.min(widths)),
        low=low,
        high=high,
        rest=np.clip(rest, low, high),
        stiffness=np.array([mapping.stiffness.get(n, 0.5) for n in body.joint_names]),
    )


def _usable_range(body: Body, mapping: RobotMap) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits (J,) [rad]: 98 % of what the model allows, and within what the mapping does."""
    low, high = body.joint_range.T.copy()
    slack = 0.5 * (1.0 - _LIMIT_SHARE) * np.where(np.isfinite(body.joint_range).all(axis=1), high - low, 0.0)
    low, high = low + slack, high - slack
    for name, (least, most) in mapping.limits.items():
        j = body.joint_names.index(name)
        low[j], high[j] = max(low[j], least), min(high[j], most)
    return low, high


def upright_qpos(body: Body, mapping: RobotMap) -> np.ndarray:
    """The upright pose (nq,): base at the origin, turned about z by quarters of a turn until left legs are on the +y side."""
    qpos = np.concatenate([[0.0, 0, 0, 1, 0, 0, 0], body.model.qpos0[7:]])
    for name, angle in mapping.upright.items():
        qpos[7 + body.joint_names.index(name)] = angle
    xpos, legs = forward_kinematics(body, qpos)[0], legs_of(mapping.bodies)
    left, right = (
        np.mean(xpos[body.body_ids(tuple(mapping.bodies[leg + "thigh"] for leg in legs if is_left(leg) == side))], axis=0)
        for side in (True, False)
    )
    quarters = round(np.arctan2(-(left - right)[0], (left - right)[1]) / (0.5 * np.pi))
    if quarters:
        qpos[3:7] = np.cos(-quarters * np.pi / 4), 0.0, 0.0, np.sin(-quarters * np.pi / 4)
    return qpos


def _ankle_effort(model: mujoco.MjModel, chain: Chain, shank: int, foot: int) -> float:
    """Torque limit [N m] of the weakest hinge between the bodies `shank` and `foot`; infinite if the model limits none."""
    between = chain.moves[chain.body_link[foot]] & ~chain.moves[chain.body_link[shank]]
    limits = [np.inf]
    for a in range(model.nu):
        joint = model.actuator_trnid[a, 0]
        drives = model.actuator_trntype[a] == mujoco.mjtTrn.mjTRN_JOINT and between[joint - 1]
        if drives and model.actuator_forcelimited[a]:
            limits.append(np.abs(model.actuator_forcerange[a]).max() * abs(model.actuator_gear[a, 0]))
    for joint in np.flatnonzero(between) + 1:
        if model.jnt_actfrclimited[joint]:
            limits.append(np.abs(model.jnt_actfrcrange[joint]).max())
    return float(min(limits))


def _guard_points(body: Body, chain: Chain, mapping: RobotMap, xpos: np.ndarray, xmat: np.ndarray) -> Points:
    """Balls of the other mapped bodies (hands, knees, head, ...), at most two a body, that must stay above ground."""
    link, offset, radii = [], [], []
    feet = {mapping.bodies[leg + "foot"] for leg in legs_of(mapping.bodies)}
    for name in dict.fromkeys(mapping.bodies.values()):
        if name in feet:
            continue
        b = int(body.body_ids((name,))[0])
        if not (body.model.geom_bodyid == b).any():
            continue
        balls, radius = geom_balls(body.model, [b], xpos, xmat)
        local = (balls - xpos[b]) @ xmat[b]
        far = np.argsort(-np.linalg.norm(local, axis=1))[:2]
        link += [chain.body_link[b]] * len(far)
        offset += list(chain.body_pos[b] + local[far] @ chain.body_rot[b].T)
        radii += list(radius[far])
    return Points(np.array(link, int), np.array(offset).reshape(-1, 3), np.array(radii))
