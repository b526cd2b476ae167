"""What a discriminator judges a body by, and how much of what the clips show it visits. Numpy and JAX, any leading axes.

The frame of reference is the heading frame: at the root, z up, x where the root faces along the ground; suffix `_h`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mimic.mdp.observations import flat
from motions.kinematics import Body, KinematicState, joint_rotations, to_heading
from motions.rotations import (
    Array,
    namespace,
    quat_conj,
    quat_log,
    quat_mul,
    quat_rotate,
    quat_rotate_inv,
    quat_to_rot6d,
    yaw_quat,
)

CLUSTERS = 64
SPEED_QUANTILES = 32
SETTLING_S = 0.5  # [s] from an episode's start, which is in the clips, until what the robot does is its own doing
REACH = 1.5  # a state belongs to a cluster within so many times the distance of the farthest of its frames ...
LEAST_REACH = 0.4  # ... or within this part of the clips' own spread: frames of one cycle may lie hardly apart
LEAST_SCALE = 1e-3  # of any feature
ITERATIONS = 20  # of k-means, after which hardly a frame moves
MOST_FRAMES = 20_000  # that are clustered


@dataclass(frozen=True)
class StyleLayout:
    """The robot's constants that features need: its bodies, and which of the tracked ones are end effectors."""

    body: Body
    end_effectors: tuple[int, ...]

    @property
    def kinds(self) -> np.ndarray:
        """Of what kind each of the features is, in one unit; (P,)."""
        jointed = int((self.body.model.body_jntnum > 0).sum()) - 1
        sizes = (1, 6, 3, 3, 6 * jointed, len(self.body.joint_names), 3 * len(self.end_effectors))
        return np.repeat(np.arange(len(sizes)), sizes)


def style_features(state: KinematicState, layout: StyleLayout) -> Array:
    """How a body stands and moves, wherever it is and faces; (..., P). (AMP, Peng et al. 2021, section 5.2)

    Root: height [m], orientation (6D), linear [m/s] and angular velocity [rad/s], in the heading frame. Joints: rotation of each
    jointed body (6D), velocities [rad/s]. End effectors: position in the heading frame [m].
    """
    xp, heading = namespace(state.qpos), yaw_quat(state.qpos[..., 3:7])
    root, quat = state.qpos[..., :3], state.qpos[..., 3:7]
    tilt = quat_mul(quat_conj(heading), quat)
    effectors = state.xpos[..., list(layout.end_effectors), :] - root[..., None, :]
    parts = [
        root[..., 2:],
        quat_to_rot6d(tilt),
        quat_rotate_inv(heading, state.qvel[..., :3]),
        quat_rotate(tilt, state.qvel[..., 3:6]),
        flat(quat_to_rot6d(joint_rotations(layout.body, state.qpos))),
        state.qvel[..., 6:],
        flat(to_heading(heading, effectors)),
    ]
    return xp.concatenate(parts, axis=-1)


def difference(state: KinematicState, reference: KinematicState) -> Array:
    """How a body differs from its reference, all zero where it does not; (..., D). (ADD, Zhang et al. 2025)

    Per tracked body: position [m], rotation [rad], linear [m/s] and angular velocity [rad/s], in the reference's heading frame;
    joint positions [rad] and velocities [rad/s].
    """
    xp, heading = namespace(state.qpos), yaw_quat(reference.qpos[..., 3:7])
    turn = quat_log(quat_mul(reference.xquat, quat_conj(state.xquat)))
    pairs = ((reference.xlinvel, state.xlinvel), (reference.xangvel, state.xangvel))
    world = [reference.xpos - state.xpos, turn, *(theirs - ours for theirs, ours in pairs)]
    joints = reference.qpos[..., 7:] - state.qpos[..., 7:], reference.qvel[..., 6:] - state.qvel[..., 6:]
    return xp.concatenate([flat(to_heading(heading, xp.concatenate(world, axis=-2))), *joints], axis=-1)


def speed(features: Array) -> Array:
    """Horizontal speed of the root [m/s], of `style_features` (..., P); (...)."""
    xp = namespace(features)
    return xp.sqrt(xp.sum(features[..., 7:9] ** 2, axis=-1))


class Clusters(NamedTuple):
    """What the clips show, in C kinds: centres (C, P) of features less origin (P,) and divided by scale (P,), reach (C,) of each,
    share (C,) of the frames in it; speeds (Q,): quantiles of the root's speed [m/s]."""

    centres: Array
    origin: Array
    scale: Array
    reach: Array
    share: Array
    speeds: Array


def some_of(count: int) -> np.ndarray | slice:
    """Which of `count` frames to cluster: all, or `MOST_FRAMES` drawn from them."""
    return slice(None) if count <= MOST_FRAMES else np.sort(np.random.default_rng(0).choice(count, MOST_FRAMES, replace=False))


def make_clusters(features: np.ndarray, kinds: np.ndarray, seed: int = 0) -> Clusters:
    """k-means of the frames' features (N, P); fewer than `CLUSTERS` where there are few frames.

    kinds (P,): features of one kind are scaled alike, so that what hardly moves in the clips does not weigh more for it.
    """
    from scipy.cluster.vq import kmeans2

    origin = features.mean(axis=0)
    variance = np.array([features[:, kinds == kind].var(axis=0).mean() for kind in range(kinds.max() + 1)])
    scale = np.maximum(np.sqrt(variance), LEAST_SCALE)[kinds]
    scaled = (features - origin) / scale
    count = max(1, min(CLUSTERS, len(features) // 10))
    centres, member = kmeans2(scaled, count, iter=ITERATIONS, minit="++", rng=np.random.default_rng(seed))
    used = np.unique(member)
    distance = np.linalg.norm(scaled - centres[member], axis=1)
    spread = np.sqrt(np.mean(np.sum(scaled**2, axis=1)))
    reach = np.array([max(REACH * distance[member == k].max(), LEAST_REACH * spread) for k in used])
    share = np.array([(member == k).mean() for k in used])
    speeds = np.quantile(speed(features), (np.arange(SPEED_QUANTILES) + 0.5) / SPEED_QUANTILES)
    return Clusters(*(part.astype(np.float32) for part in (centres[used], origin, scale, reach, share, speeds)))


def shares_of(clusters: Clusters, features: Array, styles: np.ndarray, count: int) -> np.ndarray:
    """Share of the frames (N, P) of each of `count` styles that is in each cluster; (S, C). styles (N,): the frames'."""
    inside = np.asarray(visited(clusters, features))[:, :-1]
    told = np.eye(count)[styles]  # (N, S)
    frames = told.T @ inside
    return (frames / np.maximum(frames.sum(axis=1, keepdims=True), 1.0)).astype(np.float32)


def visited(clusters: Clusters, features: Array) -> Array:
    """Which cluster each state is in; (..., C + 1): 1 at the nearest if it reaches that far, else at the last: elsewhere."""
    xp = namespace(features)
    scaled = (features - clusters.origin) / clusters.scale
    cross = scaled @ xp.asarray(clusters.centres).T
    squared = xp.sum(scaled**2, axis=-1)[..., None] - 2.0 * cross + xp.sum(clusters.centres**2, axis=-1)
    nearest = xp.argmin(squared, axis=-1)
    is_nearest = nearest[..., None] == xp.arange(len(clusters.reach))
    inside = is_nearest & (squared <= clusters.reach**2)
    return xp.concatenate([inside, ~inside.any(axis=-1, keepdims=True)], axis=-1).astype(features.dtype)


def coverage(clusters: Clusters, visits: Array) -> Array:
    """Share of what the clips show that is visited, by the visits (C + 1,) as `visited` counts them, in [0, 1]: a cluster counts
    where it is visited at least a tenth as often, among all visits, as it is shown. (0 for none at all)"""
    xp = namespace(visits)
    total = xp.sum(visits)
    enough = (visits[:-1] >= 0.1 * clusters.share * total) & (total > 0)
    return xp.sum(clusters.share * enough)


def speed_distance(clusters: Clusters, features: Array) -> Array:
    """Wasserstein distance [m/s] of the speeds of states (N, P) to those of the clips."""
    xp = namespace(features)
    quantiles = xp.quantile(speed(features), (xp.arange(SPEED_QUANTILES) + 0.5) / SPEED_QUANTILES)
    return xp.mean(xp.abs(quantiles - clusters.speeds))
