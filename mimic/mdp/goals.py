"""Goals: what a robot is told to do, as a few numbers. Numpy and JAX, any leading axes; rewards are in [0, 1].

A kind of goal is a row of `KINDS`: what its numbers are, what of a robot they are compared with, how they are drawn. What the
robot sees of them is an observation term of the same name (`mimic.mdp.observations`); all else follows from the row: what it is
paid, what a clip was told, what a command file holds, when a place is reached.

A strike is not read off a clip but drawn once in an episode, about where the clip strikes: at the moment when the striking
body is fastest. A style is one of those that the clips show by their names (`mimic.mdp.styles`); the discriminator pays for it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mimic.config import GoalConfig, Range, Vector
from mimic.mdp.limbs import Effector, highest_end, limb_of
from mimic.mdp.striking import swiftest
from mimic.mdp.styles import style_names
from motions.errors import unknown_name
from motions.kinematics import Body, KinematicState
from motions.library import MotionLibrary
from motions.rotations import Array, namespace, quat_conj, quat_mul, quat_rotate, yaw_quat

AHEAD_S = 0.5  # [s] over which a clip's own velocity is taken for what it was told
HIT_M = 0.2  # [m] a target is struck by a body whose centre comes so near (Peng et al. 2018)
REACHED_M = 0.1  # [m] a point is reached by a hand that comes so near: a hand's length, nearly
OF_LIMB = (0.5, 0.9)  # of its longest: how far a limb reaches out, bent enough to go anywhere and not quite straight


class Terms(NamedTuple):
    """What goals are drawn between: `GoalConfig`, with what it leaves to clips and robot. effector: what strikes or reaches, if
    anything; shoulder (3,): where its limb begins, from the root in its heading frame [m]; reach: how far from there. styles: how
    many there are."""

    speed: Range
    turn: float
    distance: Range
    height: Range
    effector: Effector | None = None
    shoulder: Vector = (0.0, 0.0, 0.0)
    reach: Range = (0.0, 0.0)
    styles: int = 0


class Kind(NamedTuple):
    """numbers: what the goal's numbers are, for people and files. columns: those of a command file, beside time_s.

    draw(u, state, terms): a goal for a robot at `state`, from u (4,) uniform in [-1, 1]. done(state, terms): what the robot does
    about it: the same numbers, but for what only the goal knows; None: its state does not say, and it is not paid for by this.
    rate: it is paid exp(-rate |asked - done|^2).

    way_s: of a place to go to, seconds after which a clip was told another one; None: what it is told is done all the while.
    once: drawn once in an episode about a clip that is at `state` where it does it, and from when it is met paid in full: so says
    its last number. near_m: how near a place counts as reached, where that is counted. own: whether its numbers are counted from
    the robot's root in its heading frame, not in the world."""

    numbers: tuple[str, ...]
    columns: tuple[str, ...]
    draw: Callable[[Array, KinematicState, Terms], Array]
    done: Callable[[KinematicState, Terms], Array] | None
    rate: float = 0.0
    way_s: float | None = None
    once: bool = False
    near_m: float | None = None
    own: bool = False

    @property
    def place(self) -> bool:
        """Whether it is somewhere to go to; else what is done all the while."""
        return self.once or self.way_s is not None

    @property
    def velocity(self) -> bool:
        """Whether it is a velocity over the ground."""
        return self.done is not None and not self.place

    def does(self, state: KinematicState, terms: Terms) -> Array:
        """What the robot does about it, of a kind whose states say so."""
        assert self.done is not None
        return self.done(state, terms)

    def away(self, goal: Array, state: KinematicState, terms: Terms) -> Array:
        """From what the robot does to what it is told, (..., n)."""
        done = self.does(state, terms)
        return goal[..., : done.shape[-1]] - done

    def reward(self, goal: Array, state: KinematicState, terms: Terms) -> Array:
        """exp(-rate |asked - done|^2), and 1 from when a goal that is drawn once is met."""
        xp, away = namespace(state.qpos), self.away(goal, state, terms)
        paid = xp.exp(-self.rate * xp.sum(away**2, axis=-1))
        return xp.maximum(goal[..., -1], paid) if self.once else paid

    def met(self, goal: Array, state: KinematicState, terms: Terms) -> Array:
        """The goal after a step that led to `state`."""
        if not self.once:
            return goal
        assert self.near_m is not None
        xp, away = namespace(state.qpos), self.away(goal, state, terms)
        near = xp.sum(away**2, axis=-1) < self.near_m**2
        return xp.concatenate([goal[..., :-1], xp.maximum(goal[..., -1], near.astype(goal.dtype))[..., None]], axis=-1)


def shown_speeds(library: MotionLibrary, ctrl_dt: float) -> tuple[float, float]:
    """The slowest and the fastest that the clips' roots move over the ground for `AHEAD_S`, but for one in fifty [m/s]."""
    speeds = []
    for start, length in zip(library.clip_start, library.clip_length, strict=True):
        place, over = library.qpos[start : start + length, :2], min(round(AHEAD_S / ctrl_dt), int(length) - 1)
        speeds.append(np.linalg.norm(place[over:] - place[:-over], axis=1) / (over * ctrl_dt))
    low, high = np.quantile(np.concatenate(speeds), (0.02, 0.98))
    return float(low), float(high)


def find_terms(
    goal: GoalConfig,
    library: MotionLibrary,
    body: Body,
    standing: np.ndarray,
    tracked_bodies: tuple[str, ...],
    end_effectors: tuple[str, ...],
    ctrl_dt: float,
) -> Terms:
    """What goals are drawn between, with what the clips of a library of numpy arrays show, and a robot that stands at qpos
    `standing` (nq,).

    Raises `InputError` for a `goal.effector` that is not tracked, or reaches for nothing.
    """
    name = goal.effector
    if name is not None and name not in tracked_bodies:
        raise unknown_name("tracked body (goal.effector)", name, tracked_bodies)
    terms = Terms(goal.speed or shown_speeds(library, ctrl_dt), goal.turn, goal.distance, goal.height)
    if goal.kind == "strike":
        ends = [tracked_bodies.index(end) for end in end_effectors]
        return terms._replace(effector=Effector(tracked_bodies.index(name) if name else swiftest(library.frames, ends)))
    if goal.kind == "reach":
        name = name or highest_end(body, standing, end_effectors)
        limb = limb_of(body, standing, name, end_effectors)
        reach = goal.reach or (OF_LIMB[0] * limb.span[1], OF_LIMB[1] * limb.span[1])
        return terms._replace(effector=Effector(tracked_bodies.index(name), limb.tip), shoulder=limb.shoulder, reach=reach)
    return terms._replace(styles=len(style_names(goal.styles)))


def told_by_clip(
    kind: Kind,
    at: Callable[[Array], KinematicState],
    frame: Array,
    last: Array,
    ctrl_dt: float,
    state: KinematicState,
    terms: Terms,
) -> Array:
    """What a clip that is at `frame` of its frames 0 .. `last` was told, as if it stood where a robot at `state` does, and faced
    as it: what it does in the next `AHEAD_S`, near its end what it did just before; of a place, where it is when the next
    `kind.way_s` are full, or at its end. at: the clip's frames, by number."""
    xp = namespace(state.qpos)
    if kind.way_s is not None:
        steps, first = round(kind.way_s / ctrl_dt), frame
        after = xp.minimum((frame // steps + 1) * steps, last)
    else:
        ahead = round(AHEAD_S / ctrl_dt)
        first = xp.clip(frame, 0, xp.maximum(last - ahead, 0))
        after = xp.minimum(first + ahead, last)
    now, later = at(first), at(after)
    if kind.own:  # it goes along with the robot
        return kind.does(later, terms)
    turn = quat_mul(yaw_quat(state.qpos[..., 3:7]), quat_conj(yaw_quat(at(frame).qpos[..., 3:7])))
    begin, end = (_moved(place, turn, now, state) for place in (now, later))
    if kind.place:
        return kind.does(end, terms)
    return (end.qpos[..., :2] - begin.qpos[..., :2]) / (xp.maximum(after - first, 1) * ctrl_dt)


def _moved(frame: KinematicState, turn: Array, origin: KinematicState, place: KinematicState) -> KinematicState:
    """A frame of a clip turned about the root of `origin`, which comes to lie under that of `place`; heights stay. Of the poses
    the root's place only."""
    xp = namespace(turn)
    away = quat_rotate(turn, frame.qpos[..., :3] - origin.qpos[..., :3])
    root = xp.concatenate([place.qpos[..., :2] + away[..., :2], frame.qpos[..., 2:]], axis=-1)
    return frame._replace(qpos=root)


def _between(span: Range, u: Array) -> Array:
    return span[0] + (span[1] - span[0]) * 0.5 * (u + 1.0)


def _velocity(state: KinematicState, terms: Terms) -> Array:
    return state.qvel[..., :2]


def _draw_heading(u: Array, state: KinematicState, terms: Terms) -> Array:
    """A speed in `terms.speed`, in a direction up to `terms.turn` from where the robot faces."""
    xp = namespace(u)
    speed, angle = _between(terms.speed, u[..., 0]), terms.turn * u[..., 1]
    along = xp.stack([xp.cos(angle), xp.sin(angle), xp.zeros_like(angle)], axis=-1)
    return speed[..., None] * quat_rotate(yaw_quat(state.qpos[..., 3:7]), along)[..., :2]


def _place(state: KinematicState, terms: Terms) -> Array:
    return state.qpos[..., :2]


def _draw_location(u: Array, state: KinematicState, terms: Terms) -> Array:
    xp = namespace(u)
    distance, angle = _between(terms.distance, u[..., 0]), np.pi * u[..., 1]
    return state.qpos[..., :2] + distance[..., None] * xp.stack([xp.cos(angle), xp.sin(angle)], axis=-1)


def _striking_place(state: KinematicState, terms: Terms) -> Array:
    assert terms.effector is not None
    return terms.effector.place(state)


def _draw_strike(u: Array, state: KinematicState, terms: Terms) -> Array:
    """A target within `terms.distance` of the root and `terms.height`, up to `terms.turn` from where the clip strikes."""
    xp = namespace(u)
    root, way = state.qpos[..., :2], (_striking_place(state, terms) - state.qpos[..., :3])[..., :2]
    angle = xp.arctan2(way[..., 1], way[..., 0]) + terms.turn * u[..., 1]
    place = root + _between(terms.distance, u[..., 0])[..., None] * xp.stack([xp.cos(angle), xp.sin(angle)], axis=-1)
    return xp.concatenate([place, xp.stack([_between(terms.height, u[..., 2]), 0.0 * u[..., 0]], axis=-1)], axis=-1)


def _reaching_place(state: KinematicState, terms: Terms) -> Array:
    assert terms.effector is not None
    return terms.effector.from_root(state)


def _draw_reach(u: Array, state: KinematicState, terms: Terms) -> Array:
    """A point `terms.reach` from the shoulder, in a direction up to `terms.turn` from straight ahead: uniform in that cone."""
    xp = namespace(u)
    ahead = 1.0 - (1.0 - np.cos(min(terms.turn, np.pi))) * 0.5 * (u[..., 1] + 1.0)
    around, aside = np.pi * u[..., 2], xp.sqrt(xp.maximum(1.0 - ahead**2, 0.0))
    away = xp.stack([ahead, aside * xp.cos(around), aside * xp.sin(around)], axis=-1)
    return xp.asarray(terms.shoulder, dtype=u.dtype) + _between(terms.reach, u[..., 0])[..., None] * away


def _draw_style(u: Array, state: KinematicState, terms: Terms) -> Array:
    """1 for one of the styles, else 0; (..., S)."""
    xp = namespace(u)
    drawn = xp.minimum(xp.floor(0.5 * (u[..., :1] + 1.0) * terms.styles), terms.styles - 1)
    return (xp.arange(terms.styles) == drawn).astype(u.dtype)


def numbers_of(kind: str | None, styles: Sequence[str]) -> tuple[str, ...]:
    """What a goal's numbers are, for people and files; none where there is no goal."""
    if kind == "style":
        return tuple(f"1 where told {label}, else 0" for label in style_names(styles))
    return () if kind is None else KINDS[kind].numbers


KINDS: dict[str, Kind] = {
    # DeepMimic's, but that what is too fast, or sideways, costs as much as what is too slow (Peng et al. 2018, section 8.2)
    "heading": Kind(
        ("world x velocity [m/s]", "world y velocity [m/s]"), ("speed_m_s", "direction_deg"), _draw_heading, _velocity, rate=2.5
    ),
    # the first part of AMP's (Peng et al. 2021)
    "location": Kind(("world x [m]", "world y [m]"), ("x_m", "y_m"), _draw_location, _place, rate=0.5, way_s=3.0),
    # DeepMimic's, section 8.2
    "strike": Kind(
        ("world x [m]", "world y [m]", "world z [m]", "1 once it is struck, before 0"), (), _draw_strike, _striking_place,
        rate=4.0, once=True, near_m=HIT_M,
    ),
    # a clip's hand is somewhere else a second later; 9 parts in 10 are paid for at `REACHED_M`
    "reach": Kind(
        ("ahead of the root [m]", "left of the root [m]", "above the root [m]"), ("ahead_m", "left_m", "up_m"), _draw_reach,
        _reaching_place, rate=10.0, way_s=1.0, near_m=REACHED_M, own=True,
    ),
    "style": Kind((), ("style",), _draw_style, None),  # its numbers are those of `numbers_of`
}  # fmt: skip
