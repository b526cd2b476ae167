"""Observation terms: pure functions of a state and its reference, the same in training and on a robot.

They take numpy or JAX arrays (JAX is not imported here) with any leading axes, the same on all parts of `Observed`;
the shapes given are without them. Suffix `_b`: in the frame of the
robot's own root (base terms) or anchor body (anchor and body terms). 6D rotations: first two matrix columns, row by row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mimic.mdp.anchoring import anchored_targets
from mimic.mdp.limbs import Effector
from motions.errors import InputError, unknown_name
from motions.kinematics import KinematicState
from motions.rotations import Array, namespace, quat_conj, quat_log, quat_mul, quat_rotate_inv, quat_to_rot6d, yaw_quat

_PERIODS_S = 0.2 * 2.0 ** np.arange(8)


class Observed(NamedTuple):
    """What a term may look at: the body, the reference frame under the cursor, and what went before.

    `future` has one more axis, the last of the leading ones, over the configured future frames; `phase` is the cursor's place
    in its clip, in [0, 1], and `time` the same in seconds from the clip's beginning. `drawn`: what the simulation drew for the
    episode; a robot has none.
    """

    state: KinematicState
    reference: KinematicState
    future: KinematicState
    last_action: Array
    phase: Array
    time: Array
    drawn: Array
    goal: Array | None = None
    """What the robot is told to do (`mimic.mdp.goals`), where it is told anything."""


@dataclass(frozen=True)
class BodyLayout:
    """The robot's constants that terms need: `anchor` indexes the tracked bodies, `default_joints` (J,) [rad]; what it is told to
    bring somewhere, where it is."""

    anchor: int
    default_joints: np.ndarray
    effector: Effector | None = None


def command(o: Observed, layout: BodyLayout) -> Array:
    """Reference joint positions [rad] and velocities [rad/s]; (2 J,)."""
    return namespace(o.reference.qpos).concatenate([o.reference.qpos[..., 7:], o.reference.qvel[..., 6:]], axis=-1)


def motion_anchor_pos_b(o: Observed, layout: BodyLayout) -> Array:
    """Reference anchor position in the robot's anchor frame [m]; (3,)."""
    a = layout.anchor
    return quat_rotate_inv(o.state.xquat[..., a, :], o.reference.xpos[..., a, :] - o.state.xpos[..., a, :])


def motion_anchor_ori_b(o: Observed, layout: BodyLayout) -> Array:
    """Reference anchor orientation in the robot's anchor frame, 6D; (6,)."""
    a = layout.anchor
    return quat_to_rot6d(quat_mul(quat_conj(o.state.xquat[..., a, :]), o.reference.xquat[..., a, :]))


def base_lin_vel(o: Observed, layout: BodyLayout) -> Array:
    """Linear velocity of the root in its own frame [m/s]; (3,)."""
    return quat_rotate_inv(o.state.qpos[..., 3:7], o.state.qvel[..., :3])


def base_ang_vel(o: Observed, layout: BodyLayout) -> Array:
    """Angular velocity of the root in its own frame [rad/s]; (3,)."""
    return o.state.qvel[..., 3:6]


def root_height(o: Observed, layout: BodyLayout) -> Array:
    """Height of the root over the ground [m]; (1,)."""
    return o.state.qpos[..., 2:3]


def projected_gravity(o: Observed, layout: BodyLayout) -> Array:
    """Direction of gravity in the root frame; (3,)."""
    xp = namespace(o.state.qpos)
    return quat_rotate_inv(o.state.qpos[..., 3:7], xp.asarray([0.0, 0.0, -1.0], dtype=o.state.qpos.dtype))


def joint_pos(o: Observed, layout: BodyLayout) -> Array:
    """Joint positions relative to the default pose [rad]; (J,)."""
    return o.state.qpos[..., 7:] - namespace(o.state.qpos).asarray(layout.default_joints, dtype=o.state.qpos.dtype)


def joint_vel(o: Observed, layout: BodyLayout) -> Array:
    """Joint velocities [rad/s]; (J,)."""
    return o.state.qvel[..., 6:]


def actions(o: Observed, layout: BodyLayout) -> Array:
    """The last action; (J,)."""
    return o.last_action


def body_pos_b(o: Observed, layout: BodyLayout) -> Array:
    """Tracked body positions in the robot's anchor frame [m]; (3 K,)."""
    a = layout.anchor
    return flat(quat_rotate_inv(_anchor(o.state.xquat, a), o.state.xpos - _anchor(o.state.xpos, a)))


def body_ori_b(o: Observed, layout: BodyLayout) -> Array:
    """Tracked body orientations in the robot's anchor frame, 6D; (6 K,)."""
    return flat(quat_to_rot6d(quat_mul(quat_conj(_anchor(o.state.xquat, layout.anchor)), o.state.xquat)))


def phase(o: Observed, layout: BodyLayout) -> Array:
    """Place of the cursor in its clip, in [0, 1]; (1,)."""
    return o.phase[..., None]


def clip_time(o: Observed, layout: BodyLayout) -> Array:
    """Sines and cosines of the time in the clip, of periods 0.2 to 25.6 s: tells neighbouring moments apart; (16,)."""
    xp = namespace(o.state.qpos)
    angle = 2.0 * np.pi * o.time[..., None] / xp.asarray(_PERIODS_S, dtype=o.state.qpos.dtype)
    return xp.concatenate([xp.sin(angle), xp.cos(angle)], axis=-1)


def joint_errors(o: Observed, layout: BodyLayout) -> Array:
    """Reference minus actual joint positions [rad] and velocities [rad/s]; (2 J,)."""
    xp, state, reference = namespace(o.state.qpos), o.state, o.reference
    errors = [reference.qpos[..., 7:] - state.qpos[..., 7:], reference.qvel[..., 6:] - state.qvel[..., 6:]]
    return xp.concatenate(errors, axis=-1)


def anchor_vel_error_b(o: Observed, layout: BodyLayout) -> Array:
    """Reference minus actual linear [m/s] and angular [rad/s] velocity of the anchor, in the robot's anchor frame; (6,)."""
    xp, a = namespace(o.state.qpos), layout.anchor
    linear, angular = o.reference.xlinvel - o.state.xlinvel, o.reference.xangvel - o.state.xangvel
    errors = xp.stack([linear[..., a, :], angular[..., a, :]], axis=-2)
    return flat(quat_rotate_inv(_anchor(o.state.xquat, a), errors))


def tracking_errors(o: Observed, layout: BodyLayout) -> Array:
    """What the rewards are made of: per tracked body, position [m] and rotation [rad] against the re-anchored reference, linear
    [m/s] and angular velocity [rad/s] against the reference, all in the robot's anchor frame; (12 K,)."""
    xp = namespace(o.state.qpos)
    xpos, xquat = anchored_targets(o.state, o.reference, layout.anchor)
    turn = quat_log(quat_mul(xquat, quat_conj(o.state.xquat)))
    linear, angular = o.reference.xlinvel - o.state.xlinvel, o.reference.xangvel - o.state.xangvel
    errors = xp.concatenate([xpos - o.state.xpos, turn, linear, angular], axis=-2)
    return flat(quat_rotate_inv(_anchor(o.state.xquat, layout.anchor), errors))


def future(o: Observed, layout: BodyLayout) -> Array:
    """Future reference frames: joint positions, and the reference anchor in the robot's anchor frame; (H (J + 9),)."""
    xp = namespace(o.state.qpos)
    a = layout.anchor
    xpos, xquat = _anchor(o.state.xpos, a), _anchor(o.state.xquat, a)
    offset = quat_rotate_inv(xquat, o.future.xpos[..., a, :] - xpos)
    turn = quat_to_rot6d(quat_mul(quat_conj(xquat), o.future.xquat[..., a, :]))
    return flat(xp.concatenate([o.future.qpos[..., 7:], offset, turn], axis=-1))


def future_motion(o: Observed, layout: BodyLayout) -> Array:
    """Future reference frames for a robot that does not know where it is: joint positions [rad], the reference anchor's way from
    its present place [m] and its orientation (6D), both in the robot's anchor frame; (H (J + 9),)."""
    xp = namespace(o.state.qpos)
    a = layout.anchor
    anchor = _anchor(o.state.xquat, a)
    way = quat_rotate_inv(anchor, o.future.xpos[..., a, :] - _anchor(o.reference.xpos, a))
    turn = quat_to_rot6d(quat_mul(quat_conj(anchor), o.future.xquat[..., a, :]))
    return flat(xp.concatenate([o.future.qpos[..., 7:], way, turn], axis=-1))


def randomization(o: Observed, layout: BodyLayout) -> Array:
    """What the simulation drew for the episode: factors, shifts, biases, delays. For critics and teachers only; (D,)."""
    return o.drawn


def heading(o: Observed, layout: BodyLayout) -> Array:
    """Horizontal velocity asked for [m/s], in the root's heading frame; (2,)."""
    return _as_it_faces(_told(o)[..., :2], o)


def location(o: Observed, layout: BodyLayout) -> Array:
    """Way to the place asked for, in the root's heading frame, shortened to 5 m where it is longer [m]; (2,)."""
    xp, way = namespace(o.state.qpos), _as_it_faces(_told(o)[..., :2] - o.state.qpos[..., :2], o)
    return way * (5.0 / xp.maximum(5.0, xp.sqrt(xp.sum(way * way, axis=-1, keepdims=True))))


def strike(o: Observed, layout: BodyLayout) -> Array:
    """Way from the root to the target, in the root's heading frame [m], and whether it was struck; (4,)."""
    goal = _told(o)
    way = quat_rotate_inv(yaw_quat(o.state.qpos[..., 3:7]), goal[..., :3] - o.state.qpos[..., :3])
    return namespace(way).concatenate([way, goal[..., 3:]], axis=-1)


def reach(o: Observed, layout: BodyLayout) -> Array:
    """The point asked for, from the root, and the way to it from the hand, in the root's heading frame [m]; (6,)."""
    point = _told(o)[..., :3]
    assert layout.effector is not None
    return namespace(point).concatenate([point, point - layout.effector.from_root(o.state)], axis=-1)


def style(o: Observed, layout: BodyLayout) -> Array:
    """Which style is asked for: 1 for that one, else 0; (S,)."""
    return _told(o)


def _as_it_faces(horizontal: Array, o: Observed) -> Array:
    """A horizontal vector (..., 2) of the world in the root's heading frame; (..., 2)."""
    upright = namespace(horizontal).concatenate([horizontal, 0.0 * horizontal[..., :1]], axis=-1)
    return quat_rotate_inv(yaw_quat(o.state.qpos[..., 3:7]), upright)[..., :2]


def _told(o: Observed) -> Array:
    if o.goal is None:
        raise InputError("the observation shows a goal, and there is none: set goal.kind")
    return o.goal


def _anchor(parts: Array, anchor: int) -> Array:
    """The anchor's part of (..., K, n), to go with all bodies: (..., 1, n)."""
    return parts[..., anchor : anchor + 1, :]


def flat(parts: Array) -> Array:
    """(..., K, n) to (..., K n)."""
    return parts.reshape(*parts.shape[:-2], -1)


Term = Callable[[Observed, BodyLayout], Array]
TERMS: dict[str, Term] = {
    f.__name__: f
    for f in (
        command, motion_anchor_pos_b, motion_anchor_ori_b, root_height, base_lin_vel, base_ang_vel, projected_gravity,
        joint_pos, joint_vel, actions, body_pos_b, body_ori_b, phase, clip_time,
        joint_errors, anchor_vel_error_b, tracking_errors, future, future_motion, randomization,
        heading, location, strike, reach, style,
    )
}  # fmt: skip


IN_THE_WORLD = ("motion_anchor_pos_b", "motion_anchor_ori_b", "future")  # terms that show where the reference is, or faces
OF_REFERENCES = (
    *IN_THE_WORLD, "command", "joint_errors", "anchor_vel_error_b", "tracking_errors", "phase", "clip_time", "future_motion",
)  # fmt: skip


def observe(names: tuple[str, ...], observed: Observed, layout: BodyLayout) -> Array:
    """The terms `names`, concatenated; none: an empty vector. Raises `InputError` for a name that `TERMS` lacks."""
    for name in names:
        if name not in TERMS:
            raise unknown_name("observation term", name, TERMS)
    xp = namespace(observed.state.qpos)
    if not names:
        return xp.zeros((*observed.state.qpos.shape[:-1], 0), dtype=observed.state.qpos.dtype)
    return xp.concatenate([TERMS[name](observed, layout) for name in names], axis=-1)
