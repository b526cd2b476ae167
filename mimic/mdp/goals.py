"""Goals: what a robot is told to do, as a few numbers in the world. Numpy and JAX, any leading axes; rewards are in [0, 1].

A kind of goal is a `Kind`: its numbers, how they are drawn, read off a clip, and paid for. What the robot sees of them is an
observation term of the same name (`mimic.mdp.observations`).

A strike is not read off a clip but drawn once in an episode, about where the clip strikes: at the moment when the striking
body is fastest. A style is one of those that the clips show by their names (`mimic.mdp.styles`); the discriminator pays for it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mimic.config import GoalConfig, Range
from mimic.mdp.striking import swiftest
from mimic.mdp.styles import style_names
from motions.errors import unknown_name
from motions.kinematics import KinematicState
from motions.library import MotionLibrary
from motions.rotations import Array, namespace, quat_conj, quat_mul, quat_rotate, yaw_quat

AHEAD_S = 0.5  # [s] over which a clip's own velocity is taken for what it was told
WAY_S = 3.0  # [s] after which a clip was told another place: where it is then
HIT_M = 0.2  # [m] a target is struck by a body whose centre comes so near (Peng et al. 2018)


class Terms(NamedTuple):
    """What goals are drawn between: `GoalConfig`, with what it leaves to the clips. striker: the tracked body that strikes, where
    one does. styles: how many there are."""

    speed: Range
    turn: float
    distance: Range
    height: Range
    striker: int | None
    styles: int = 0


class Kind(NamedTuple):
    """numbers: what the goal's numbers are, for people and files. draw(u, state, terms): a goal for a robot at `state`, from
    u (4,) uniform in [-1, 1]. reward(goal, state, terms); None: it is not this that pays for it. read(now, later, seconds): the
    goal of a clip that is at `now`, and at `later` `seconds` after; None: states do not say. met(goal, state, terms): the goal
    after a step that led to `state`. place: somewhere to go to, not what is done all the while. once: drawn once in an episode,
    about a clip that is at `state` where it does it, not read off the clip."""

    numbers: tuple[str, ...]
    draw: Callable[[Array, KinematicState, Terms], Array]
    reward: Callable[[Array, KinematicState, Terms], Array] | None
    read: Callable[[KinematicState, KinematicState, Array], Array] | None
    met: Callable[[Array, KinematicState, Terms], Array] = lambda goal, state, terms: goal
    place: bool = False
    once: bool = False


def shown_speeds(library: MotionLibrary, ctrl_dt: float) -> tuple[float, float]:
    """The slowest and the fastest that the clips' roots move over the ground for `AHEAD_S`, but for one in fifty [m/s]."""
    speeds = []
    for start, length in zip(library.clip_start, library.clip_length, strict=True):
        place, over = library.qpos[start : start + length, :2], min(round(AHEAD_S / ctrl_dt), int(length) - 1)
        speeds.append(np.linalg.norm(place[over:] - place[:-over], axis=1) / (over * ctrl_dt))
    low, high = np.quantile(np.concatenate(speeds), (0.02, 0.98))
    return float(low), float(high)


def find_terms(
    goal: GoalConfig, library: MotionLibrary, tracked_bodies: Sequence[str], end_effectors: Sequence[str], ctrl_dt: float
) -> Terms:
    """What goals are drawn between, with what the clips of a library of numpy arrays show.

    Raises `InputError` for a `goal.striker` that is not tracked.
    """
    striker = None
    if goal.kind == "strike":
        if goal.striker is not None and goal.striker not in tracked_bodies:
            raise unknown_name("tracked body (goal.striker)", goal.striker, tracked_bodies)
        ends = [tracked_bodies.index(name) for name in end_effectors]
        striker = tracked_bodies.index(goal.striker) if goal.striker else swiftest(library.frames, ends)
    return Terms(
        goal.speed or shown_speeds(library, ctrl_dt),
        goal.turn,
        goal.distance,
        goal.height,
        striker,
        len(style_names(goal.styles)),
    )


def told_by_clip(
    kind: Kind, at: Callable[[Array], KinematicState], frame: Array, last: Array, ctrl_dt: float, state: KinematicState
) -> Array:
    """What a clip that is at `frame` of its frames 0 .. `last` was told, as if it stood where a robot at `state` does, and faced
    as it: what it does in the next `AHEAD_S`, near its end what it did just before; of a place, where it is when the next `WAY_S`
    are full, or at its end. at: the clip's frames, by number."""
    xp = namespace(state.qpos)
    if kind.place:
        steps, first = round(WAY_S / ctrl_dt), frame
        after = xp.minimum((frame // steps + 1) * steps, last)
    else:
        ahead = round(AHEAD_S / ctrl_dt)
        first = xp.clip(frame, 0, xp.maximum(last - ahead, 0))
        after = xp.minimum(first + ahead, last)
    now, later = at(first), at(after)
    turn = quat_mul(yaw_quat(state.qpos[..., 3:7]), quat_conj(yaw_quat(at(frame).qpos[..., 3:7])))
    begin, end = (_moved(place, turn, now, state) for place in (now, later))
    assert kind.read is not None
    return kind.read(begin, end, xp.maximum(after - first, 1) * ctrl_dt)


def _moved(frame: KinematicState, turn: Array, origin: KinematicState, place: KinematicState) -> KinematicState:
    """A frame of a clip turned about the root of `origin`, which comes to lie under that of `place`; heights stay. Of the poses
    the root's place only."""
    xp = namespace(turn)
    away = quat_rotate(turn, frame.qpos[..., :3] - origin.qpos[..., :3])
    root = xp.concatenate([place.qpos[..., :2] + away[..., :2], frame.qpos[..., 2:]], axis=-1)
    return frame._replace(qpos=root)


def heading_reward(goal: Array, state: KinematicState, terms: Terms) -> Array:
    """exp(-2.5 |v* - v|^2) of the horizontal velocities v* wanted and v of the root [m/s]: DeepMimic's, but that what is too
    fast, or sideways, costs as much as what is too slow. (Peng et al. 2018, section 8.2)"""
    return _exp_square(2.5, goal - state.qvel[..., :2])


def _between(span: Range, u: Array) -> Array:
    return span[0] + (span[1] - span[0]) * 0.5 * (u + 1.0)


def _draw_heading(u: Array, state: KinematicState, terms: Terms) -> Array:
    """A speed in `terms.speed`, in a direction up to `terms.turn` from where the robot faces."""
    xp = namespace(u)
    speed, angle = _between(terms.speed, u[..., 0]), terms.turn * u[..., 1]
    along = xp.stack([xp.cos(angle), xp.sin(angle), xp.zeros_like(angle)], axis=-1)
    return speed[..., None] * quat_rotate(yaw_quat(state.qpos[..., 3:7]), along)[..., :2]


def _read_heading(now: KinematicState, later: KinematicState, seconds: Array) -> Array:
    return (later.qpos[..., :2] - now.qpos[..., :2]) / seconds


def location_reward(goal: Array, state: KinematicState, terms: Terms) -> Array:
    """exp(-|x* - x|^2 / 2) of the horizontal place x* wanted and x of the root [m]. (the first part
    of AMP's, Peng et al. 2021)"""
    return _exp_square(0.5, goal - state.qpos[..., :2])


def _draw_location(u: Array, state: KinematicState, terms: Terms) -> Array:
    xp = namespace(u)
    distance, angle = _between(terms.distance, u[..., 0]), np.pi * u[..., 1]
    return state.qpos[..., :2] + distance[..., None] * xp.stack([xp.cos(angle), xp.sin(angle)], axis=-1)


def _read_location(now: KinematicState, later: KinematicState, seconds: Array) -> Array:
    return later.qpos[..., :2]


def strike_reward(goal: Array, state: KinematicState, terms: Terms) -> Array:
    """1 once the target is struck, before exp(-4 |x* - x|^2) of its place x* and the striking body's x [m]. (Peng et al. 2018,
    section 8.2)"""
    xp = namespace(state.xpos)
    return xp.maximum(goal[..., 3], _exp_square(4.0, goal[..., :3] - state.xpos[..., terms.striker, :]))


def _draw_strike(u: Array, state: KinematicState, terms: Terms) -> Array:
    """A target within `terms.distance` of the root and `terms.height`, up to `terms.turn` from where the clip strikes."""
    xp = namespace(u)
    root, way = state.qpos[..., :2], state.xpos[..., terms.striker, :2] - state.qpos[..., :2]
    angle = xp.arctan2(way[..., 1], way[..., 0]) + terms.turn * u[..., 1]
    place = root + _between(terms.distance, u[..., 0])[..., None] * xp.stack([xp.cos(angle), xp.sin(angle)], axis=-1)
    return xp.concatenate([place, xp.stack([_between(terms.height, u[..., 2]), 0.0 * u[..., 0]], axis=-1)], axis=-1)


def _struck(goal: Array, state: KinematicState, terms: Terms) -> Array:
    xp = namespace(state.xpos)
    near = xp.sum((goal[..., :3] - state.xpos[..., terms.striker, :]) ** 2, axis=-1) < HIT_M**2
    return xp.concatenate([goal[..., :3], xp.maximum(goal[..., 3], near.astype(goal.dtype))[..., None]], axis=-1)


def _draw_style(u: Array, state: KinematicState, terms: Terms) -> Array:
    """1 for one of the styles, else 0; (..., S)."""
    xp = namespace(u)
    drawn = xp.minimum(xp.floor(0.5 * (u[..., :1] + 1.0) * terms.styles), terms.styles - 1)
    return (xp.arange(terms.styles) == drawn).astype(u.dtype)


def numbers_of(goal: GoalConfig) -> tuple[str, ...]:
    """What the goal's numbers are, for people and files; none where there is no goal."""
    if goal.kind == "style":
        return tuple(f"1 where told {label}, else 0" for label in style_names(goal.styles))
    return () if goal.kind is None else KINDS[goal.kind].numbers


def _exp_square(rate: float, error: Array) -> Array:
    xp = namespace(error)
    return xp.exp(-rate * xp.sum(error**2, axis=-1))


KINDS: dict[str, Kind] = {
    "heading": Kind(("world x velocity [m/s]", "world y velocity [m/s]"), _draw_heading, heading_reward, _read_heading),
    "location": Kind(("world x [m]", "world y [m]"), _draw_location, location_reward, _read_location, place=True),
    "strike": Kind(
        ("world x [m]", "world y [m]", "world z [m]", "1 once it is struck, before 0"),
        _draw_strike,
        strike_reward,
        None,
        _struck,
        once=True,
    ),
    "style": Kind((), _draw_style, None, None),  # its numbers are those of `numbers_of`
}
