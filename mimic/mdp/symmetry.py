"""Left-right symmetry of observations: what a robot's mirror image observes, as signed permutations. Numpy only.

A term is a function of states, so its mirror image is the term of the mirrored states: the signs are found by evaluating it on
random states and their mirror images, not typed in.
"""

import itertools
from typing import NamedTuple

import numpy as np

from mimic.config import ObservationConfig
from mimic.mdp.observations import TERMS, BodyLayout, Observed, Term
from motions.edit.mirror import SAME_AXIS_RAD, MirrorMap, mirrored_qpos
from motions.errors import InputError
from motions.kinematics import Body, KinematicState, forward_kinematics
from motions.rotations import Array, quat_angle, quat_conj, quat_mul, quat_rotate_inv

POLAR = np.array([1.0, -1.0, 1.0])  # the world's xz plane as a mirror, for places and velocities
AXIAL = -POLAR  # for angular velocities
SAMPLES, SAME = 8, 1e-9  # random states that show a term's mirror image, and how exactly


class Image(NamedTuple):
    """A mirror image of vectors: number i is sign[i] times number index[i] of the original; both (N,)."""

    index: np.ndarray
    sign: np.ndarray

    def of(self, vectors: Array) -> Array:
        """The images of (..., N)."""
        return self.sign.astype(vectors.dtype) * vectors[..., self.index]


class Mirror(NamedTuple):
    """What the mirror image of a robot observes, of what the actor does, and the action it takes, of the original's."""

    observation: Image
    action: Image


class StateMirror(NamedTuple):
    """How states of one robot are mirrored: its joints, and for its K tracked bodies the counterpart (K,) and the turn
    (K, 4) of the frame in the mirror image against the mirrored frame of the counterpart."""

    joints: MirrorMap
    counterpart: np.ndarray
    turn: np.ndarray


def state_mirror(body: Body, joints: MirrorMap, tracked: tuple[str, ...]) -> StateMirror:
    """Of the bodies `tracked`. Raises `InputError` naming one whose counterpart is not tracked.

    Frames of counterparts that are drawn within `SAME_AXIS_RAD` of quarter turns against each other are taken for exact.
    """
    ids, names = body.body_ids(tracked), body.body_names
    for i in ids:
        if joints.body[i] not in ids:
            missing = names[joints.body[i]] if joints.body[i] >= 0 else "none in the model"
            raise InputError(f"robot {body.name!r}: tracked body {names[i]!r} has no tracked counterpart ({missing})")
    counterpart = np.array([list(ids).index(joints.body[i]) for i in ids])
    qpos = np.concatenate([[0.0, 0, 0, 1, 0, 0, 0], joints.zero])[None]
    seen = _seen(forward_kinematics(body, qpos)[1][0, ids])[counterpart]
    turn = quat_mul(quat_conj(seen), forward_kinematics(body, mirrored_qpos(qpos, joints))[1][0, ids])
    angles = quat_angle(turn[:, None], QUARTER_TURNS[None])  # [K, 48]
    nearest = angles.argmin(axis=1)
    close = angles.min(axis=1, keepdims=True) < SAME_AXIS_RAD
    return StateMirror(joints, counterpart, np.where(close, QUARTER_TURNS[nearest], turn))


def mirrored_state(state: KinematicState, mirror: StateMirror) -> KinematicState:
    """The mirror image of states, any leading axes, across the world's xz plane.

    With S that reflection: places and linear velocities S v, angular velocities -S w, rotations S R S and the frame's turn.
    """
    joints, of = mirror.joints, mirror.counterpart
    qpos = mirrored_qpos(state.qpos.reshape(-1, state.qpos.shape[-1]), joints).reshape(state.qpos.shape)
    turn = np.broadcast_to(joints.turn, state.qpos[..., 3:7].shape)
    spin_b = quat_rotate_inv(turn, AXIAL * state.qvel[..., 3:6])
    qvel = [POLAR * state.qvel[..., :3], spin_b, joints.sign * state.qvel[..., 6:][..., joints.joint]]
    xquat = _seen(state.xquat[..., of, :])
    return KinematicState(
        qpos=qpos,
        qvel=np.concatenate(qvel, axis=-1),
        xpos=POLAR * state.xpos[..., of, :],
        xquat=quat_mul(xquat, np.broadcast_to(mirror.turn, xquat.shape)),
        xlinvel=POLAR * state.xlinvel[..., of, :],
        xangvel=AXIAL * state.xangvel[..., of, :],
    )


def observation_image(observation: ObservationConfig, layout: BodyLayout, mirror: StateMirror) -> Image:
    """The mirror image of what the actor sees, its history included.

    Raises `InputError` naming a term that has none: what identifies a moment of the clip (which mirrored is another clip),
    what the simulation drew, or what is counted from a pose that is not symmetric.
    """
    pairs = _random_pairs(mirror, len(observation.future_frames))
    now = [_image_or_refusal(name, layout, pairs) for name in observation.actor]
    then = [_image_or_refusal(name, layout, pairs) for name in observation.history_terms if observation.history]
    images = now + then * observation.history
    starts = np.cumsum([0, *(len(image.index) for image in images)])
    index = [image.index + start for image, start in zip(images, starts, strict=False)]
    return Image(np.concatenate(index), np.concatenate([image.sign for image in images]))


def term_image(term: Term, layout: BodyLayout, pairs: list[tuple[Observed, Observed]]) -> Image | None:
    """The signed permutation that leads from the term of each first to that of each second; None if there is none."""
    before, after = (np.stack([term(pair[side], layout) for pair in pairs]) for side in (0, 1))  # [S, N]
    size = before.shape[1]
    index, sign = np.zeros(size, int), np.ones(size)
    free = np.ones(size, bool)
    for i in range(size):
        for s in (1.0, -1.0):
            fits = free & (np.abs(s * before - after[:, i : i + 1]) < SAME).all(axis=0)
            if fits.any():
                index[i], sign[i] = np.argmax(fits), s
                free[index[i]] = False
                break
        else:
            return None
    return Image(index, sign)


def _image_or_refusal(name: str, layout: BodyLayout, pairs: list[tuple[Observed, Observed]]) -> Image:
    image = term_image(TERMS[name], layout, pairs)
    if image is None:
        possible = [other for other, term in TERMS.items() if term_image(term, layout, pairs) is not None]
        raise InputError(
            f"ppo.symmetry: the observation term {name!r} has no left-right mirror image that is a signed permutation (a time in "
            f"the clip, draws of the simulation, one hand's point, an asymmetric default pose); terms that have one: "
            f"{', '.join(possible)}"
        )
    return image


def _random_pairs(mirror: StateMirror, future_frames: int) -> list[tuple[Observed, Observed]]:
    """Random observed states, nothing in them related to anything else, and their mirror images.

    What has no image (the time in the clip, draws) is NaN there: no term that shows it can be fitted.
    """
    rng = np.random.default_rng(0)
    joints, bodies = len(mirror.joints.joint), len(mirror.counterpart)

    def state(*frames: int) -> KinematicState:
        sizes = ((7 + joints,), (6 + joints,), (bodies, 3), (bodies, 4), (bodies, 3), (bodies, 3))
        drawn = KinematicState(*(rng.normal(size=(*frames, *size)) for size in sizes))
        for quats in (drawn.qpos[..., 3:7], drawn.xquat):
            quats /= np.linalg.norm(quats, axis=-1, keepdims=True)
        return drawn

    pairs, unknown = [], np.array(np.nan)
    for _ in range(SAMPLES):
        now, reference, future = state(), state(), state(future_frames)
        action = rng.normal(size=joints)
        goal = rng.normal(size=4)
        seen = Observed(now, reference, future, action, rng.uniform(size=()), rng.uniform(size=()), rng.normal(size=1), goal)
        now, reference, future = (mirrored_state(part, mirror) for part in (now, reference, future))
        acted = mirror.joints.sign * action[mirror.joints.joint]
        pairs.append(
            (seen, Observed(now, reference, future, acted, unknown, unknown, unknown[None], goal * np.array([*POLAR, 1.0])))
        )
    return pairs


def _seen(quat: np.ndarray) -> np.ndarray:
    """S R S: a reflection turns the rotation about a by an angle into the one about S a by minus the angle."""
    return quat * [1.0, -1.0, 1.0, -1.0]


def _quarter_turns() -> np.ndarray:
    """The rotations that map the axes onto each other, both quaternions of each; (48, 4)."""
    corners = np.array([q for q in itertools.product((-1.0, 0.0, 1.0), repeat=4) if np.count_nonzero(q) in (1, 2, 4)])
    return corners / np.linalg.norm(corners, axis=1, keepdims=True)


QUARTER_TURNS = _quarter_turns()
