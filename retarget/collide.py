"""Keeping forearms and hands out of the rest of the body: balls along the arms against capsules of everything else."""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import mujoco
import numpy as np

from motions.kinematics import Body
from motions.rotations import Array, namespace, quat_to_matrix
from retarget.chain import Chain, Kinematics, points_on
from retarget.mapping import RobotMap
from retarget.roles import SIDES, legs_of

CLEARANCE_M = 0.005
_BALL_SPACING_M = 0.08
_TYPES = mujoco.mjtGeom
_ROUND = tuple(
    int(kind)
    for kind in (_TYPES.mjGEOM_SPHERE, _TYPES.mjGEOM_CAPSULE, _TYPES.mjGEOM_CYLINDER, _TYPES.mjGEOM_ELLIPSOID, _TYPES.mjGEOM_BOX)
)


@dataclass(frozen=True, eq=False)
class SelfTouch:
    """N balls (link, offset, radius) and C capsules (link, two ends (C, 2, 3), radius); `may_touch` (N, C) pairs to watch."""

    ball_link: np.ndarray
    ball_offset: np.ndarray
    ball_radius: np.ndarray
    link: np.ndarray
    ends: np.ndarray
    radius: np.ndarray
    may_touch: np.ndarray


def find_self_touch(body: Body, chain: Chain, mapping: RobotMap) -> SelfTouch:
    """The arms' balls and the other capsules of a robot; without arms or geoms there are none.

    Pairs that overlap in the zero pose (a wrist beside its own hip on a stocky robot) are left alone.
    """
    model = body.model
    arm_of = np.full(model.nbody, -1)
    lower = np.zeros(model.nbody, bool)
    for side, prefix in enumerate(SIDES):
        if prefix + "forearm" not in mapping.bodies:
            continue
        upper = body.body_ids((mapping.bodies[prefix + "upper_arm"],))[0]
        fore = body.body_ids((mapping.bodies[prefix + "forearm"],))[0]
        for b in range(1, model.nbody):
            above = _above(model, b)
            arm_of[b] = side if upper in above else arm_of[b]
            lower[b] |= fore in above
    feet = set(body.body_ids(tuple(mapping.bodies[leg + "foot"] for leg in legs_of(mapping.bodies))).tolist())
    capsules = [c for c in _capsules(model) if not feet & set(_above(model, c.body))]
    balls = [(c.body, point, c.radius) for c in capsules if lower[c.body] for point in _along(c)]
    link = [chain.body_link[c.body] for c in capsules]
    touch = np.array([[arm_of[ball[0]] != arm_of[c.body] for c in capsules] for ball in balls], bool)
    found = SelfTouch(
        ball_link=np.array([chain.body_link[b] for b, _, _ in balls], int),
        ball_offset=_in_link(chain, [(b, p) for b, p, _ in balls]),
        ball_radius=np.array([r for _, _, r in balls]),
        link=np.array(link, int),
        ends=np.stack([_in_link(chain, [(c.body, c.ends[k]) for c in capsules]) for k in range(2)], axis=1),
        radius=np.array([c.radius for c in capsules]),
        may_touch=touch.reshape(len(balls), len(capsules)),
    )
    if not balls:
        return found
    # In numpy: a single pose is not worth the compilation of every step of this, which costs seconds.
    gaps, _, _ = _gaps(found, *(x[None].astype(np.float32) for x in _zero_links(chain)))
    return SelfTouch(**{**found.__dict__, "may_touch": found.may_touch & (gaps[0] > 0.0)})


class _Capsule(NamedTuple):
    body: int
    ends: np.ndarray  # (2, 3) in the body
    radius: float


def _capsules(model: mujoco.MjModel) -> list[_Capsule]:
    """Geoms as capsules: boxes, cylinders and ellipsoids along their longest axis. Meshes are left out, and so is what
    the model lets collide: presets switch contacts off for speed, and a body has its shape all the same."""
    found = []
    for g in range(model.ngeom):
        kind, size = int(model.geom_type[g]), model.geom_size[g]
        if kind not in _ROUND or model.geom_bodyid[g] == 0:
            continue
        half, radius, axis = size[1], size[0], 2
        if kind == _TYPES.mjGEOM_SPHERE:
            half = 0.0
        elif kind in (_TYPES.mjGEOM_BOX, _TYPES.mjGEOM_ELLIPSOID):
            axis = int(np.argmax(size))
            radius = float(np.delete(size, axis).mean())
            half = max(0.0, size[axis] - radius)
        elif kind == _TYPES.mjGEOM_CYLINDER:
            half = max(0.0, half - radius)
        along = quat_to_matrix(model.geom_quat[g])[:, axis] * half
        centre = model.geom_pos[g]
        found.append(_Capsule(int(model.geom_bodyid[g]), np.stack([centre - along, centre + along]), float(radius)))
    return found


def _along(capsule: _Capsule) -> np.ndarray:
    """Points from end to end, at most 8 cm apart."""
    count = 1 + int(np.ceil(np.linalg.norm(capsule.ends[1] - capsule.ends[0]) / _BALL_SPACING_M - 1e-9))
    part = np.linspace(0.0, 1.0, count)[:, None] if count > 1 else np.full((1, 1), 0.5)
    return capsule.ends[0] + part * (capsule.ends[1] - capsule.ends[0])


def _above(model: mujoco.MjModel, body: int) -> list[int]:
    """The body and all that carry it."""
    chain = [body]
    while chain[-1] > 0:
        chain.append(int(model.body_parentid[chain[-1]]))
    return chain


def _in_link(chain: Chain, points: list[tuple[int, np.ndarray]]) -> np.ndarray:
    placed = [chain.body_pos[b] + chain.body_rot[b] @ p for b, p in points]
    return np.array(placed).reshape(-1, 3)


def _zero_links(chain: Chain) -> tuple[np.ndarray, np.ndarray]:
    """Link origins (L, 3) and rotations (L, 3, 3) in the zero pose."""
    pos, rot = [np.zeros(3)], [np.eye(3)]
    for i in range(1, len(chain.parent)):
        parent = chain.parent[i]
        pos.append(pos[parent] + rot[parent] @ chain.fixed_pos[i])
        rot.append(rot[parent] @ chain.fixed_rot[i])
    return np.stack(pos), np.stack(rot)


def _gaps(touch: SelfTouch, link_pos: Array, link_rot: Array) -> tuple[Array, Array, Array]:
    """Free space (F, N, C) [m] between balls and capsules, the balls (F, N, 3), the capsules' ends (F, C, 2, 3).

    numpy or JAX, as `link_pos` is. Coordinate by coordinate: XLA makes fast code of arrays with pairs along the last axis."""
    xp = namespace(link_pos)
    balls = points_on(touch.ball_link, touch.ball_offset, link_pos, link_rot)
    ends = xp.stack([points_on(touch.link, touch.ends[:, k], link_pos, link_rot) for k in range(2)], axis=2)
    a = [ends[:, None, :, 0, k] for k in range(3)]
    edge = [ends[:, None, :, 1, k] - a[k] for k in range(3)]
    away = [balls[:, :, None, k] - a[k] for k in range(3)]
    share = xp.clip(_dot(away, edge) / xp.maximum(_dot(edge, edge), 1e-9), 0.0, 1.0)
    gap = [w - share * e for w, e in zip(away, edge, strict=True)]
    distance = xp.sqrt(_dot(gap, gap) + 1e-12)
    radii = xp.asarray(touch.ball_radius[:, None] + touch.radius, dtype=distance.dtype)
    return distance - radii, balls, ends


def _dot(a: list[Array], b: list[Array]) -> Array:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def self_touch_terms(touch: SelfTouch, chain: Chain, root: Array, kin: Kinematics, jacobian: bool) -> tuple[Array, Array]:
    """How deep every ball lies in its nearest capsule, negative where it does, else 0: (F, N) [m], and its derivative.

    With unit normal n from the axis point c to the ball p: d depth = n . (dp - dc).
    """
    gaps, balls, ends = _gaps(touch, kin.link_pos, kin.link_rot)
    gaps = jnp.where(touch.may_touch, gaps - CLEARANCE_M, jnp.inf)
    depth = jnp.min(gaps, axis=-1)
    touching = depth < 0.0
    depth = jnp.where(touching, depth, 0.0)
    if not jacobian:
        return depth, depth[..., None, :0]
    chosen = jnp.argmin(gaps, axis=-1)  # [F, N]
    start, stop = jnp.moveaxis(jnp.take_along_axis(ends, chosen[..., None, None], axis=1), 2, 0)
    edge = stop - start
    share = jnp.sum((balls - start) * edge, axis=-1) / jnp.maximum(jnp.sum(edge * edge, axis=-1), 1e-9)
    at = start + jnp.clip(share, 0.0, 1.0)[..., None] * edge
    normal = balls - at
    normal = normal / jnp.sqrt(jnp.sum(normal * normal, axis=-1, keepdims=True) + 1e-9)
    moves = jnp.asarray(chain.moves, depth.dtype)
    ball_moves = moves[touch.ball_link]  # [N, J]
    other_moves = moves[jnp.asarray(touch.link)[chosen]]  # [F, N, J]
    ball_moment = jnp.cross(balls - root[:, None], normal)  # [F, N, 3]
    other_moment = jnp.cross(at - root[:, None], normal)
    anchors = kin.anchors - root[:, None]
    swing = jnp.sum(jnp.cross(kin.axes, anchors)[:, None] * normal[:, :, None], axis=-1)  # (axis x anchor) . n, [F, N, J]

    def turned(moment: Array) -> Array:
        """axis . ((x - anchor) x n) for x with the moment x x n; [F, N, J]."""
        return jnp.sum(kin.axes[:, None] * moment[:, :, None], axis=-1) - swing

    hinge = ball_moves * turned(ball_moment) - other_moves * turned(other_moment)
    full = jnp.concatenate([jnp.zeros_like(normal), ball_moment - other_moment, hinge], axis=-1)
    return depth, full * touching[..., None]
