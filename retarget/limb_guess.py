"""Guesses about one limb of a robot: where it bends, which way, and where its end is; geometry in the model's own pose."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import mujoco
import numpy as np

from motions.errors import InputError
from motions.kinematics import Body, forward_kinematics
from motions.rotations import quat_to_matrix
from retarget.balls import sole_balls

OFF_LINE_M = 0.01  # a joint's origin this far from the limb's line is moved onto it
_MIDDLE = re.compile(r"knee|shin|shank|calf|elbow|fore_?arm|lower_?(leg|arm)|kfe", re.IGNORECASE)
_TOE = re.compile(r"toe", re.IGNORECASE)
SLACK = {True: 0.07, False: 0.17}  # of a knee and an elbow beyond straight [rad]: origins lie a little beside the bones
FLEXION = 2.4  # of a knee or elbow whose model limits nothing [rad]
_SHARE = (0.2, 0.85)  # of a limb's length: where its middle joint may be
_NAMED = 0.1  # by how much of the length a fitting name makes a joint more likely


@dataclass(frozen=True)
class Limb:
    """Bodies of the near, middle and far joint (hip, knee, ankle) below `top`, and the joints' `points` (3, 3) [m]; `pointed`: a
    leg whose foot is the tip of its last body."""

    top: int
    near: int
    middle: int
    far: int
    points: np.ndarray
    leg: bool
    pointed: bool = False


class Pose:
    """A body in its model's own pose, base at the origin, and its tree of hinges."""

    def __init__(self, body: Body) -> None:
        self.body, self.model = body, body.model
        self.data = mujoco.MjData(self.model)
        self.qpos = np.concatenate([[0.0, 0, 0, 1, 0, 0, 0], self.model.qpos0[7:]])
        self._place()
        jointed = [b for b in range(1, self.model.nbody) if self.model.body_jntnum[b]]
        with_child = {int(self.model.body_weldid[self.model.body_parentid[b]]) for b in jointed}
        self.leaves = [b for b in jointed[1:] if b not in with_child]

    def _place(self) -> None:
        self.xpos, xquat = forward_kinematics(self.body, self.qpos)
        self.xmat = quat_to_matrix(xquat)
        self.data.qpos[:] = self.qpos
        mujoco.mj_forward(self.model, self.data)

    def face_ahead(self, left: Sequence[int], right: Sequence[int]) -> None:
        """Turn by quarters so that bodies `left` are on the +y side of bodies `right`."""
        gap = self.xpos[list(left)].mean(axis=0) - self.xpos[list(right)].mean(axis=0)
        half = -round(np.arctan2(-gap[0], gap[1]) / (0.5 * np.pi)) * np.pi / 4
        self.qpos[3:7] = np.cos(half), 0.0, 0.0, np.sin(half)
        self._place()

    def path(self, b: int) -> list[int]:
        """The body and all that carry it, up to the base."""
        found = [b]
        while self.model.body_parentid[found[-1]] > 0:
            found.append(int(self.model.body_parentid[found[-1]]))
        return found

    def meeting(self, a: int, b: int) -> int:
        above = set(self.path(b))
        return next(x for x in self.path(a) if x in above)

    def below(self, top: int, end: int) -> list[int]:
        """Bodies from below `top` down to `end`."""
        path = self.path(end)
        return path[: path.index(top)][::-1]

    def family(self, b: int) -> list[int]:
        """The body and all that hangs on it."""
        return [x for x in range(b, self.model.nbody) if b in self.path(x)]

    def joints_of(self, b: int) -> range:
        first = int(self.model.body_jntadr[b])
        return range(first, first + int(self.model.body_jntnum[b]))

    def joints_below(self, b: int) -> list[int]:
        return [j for x in self.family(b) if x != b for j in self.joints_of(x)]

    def joint_name(self, j: int) -> str:
        return self.model.joint(j).name

    def joint_names_of(self, b: int) -> list[str]:
        return [self.joint_name(j) for j in self.joints_of(b)]

    def axis(self, j: int) -> np.ndarray:
        return self.data.xaxis[j]

    def range_of(self, j: int) -> tuple[float, float]:
        low, high = self.body.joint_range[j - 1]
        return max(float(low), -np.pi), min(float(high), np.pi)

    def hinge_along(self, b: int, direction: list[float]) -> int | None:
        """The hinge of a body whose axis lies most along a direction, if one does."""
        share = {j: abs(float(self.axis(j) @ direction)) for j in self.joints_of(b)}
        best = max(share, key=lambda j: share[j], default=None)
        return best if best is not None and share[best] > 0.7 else None

    def lowest(self, b: int) -> float:
        """Height of the lowest point of a body, what is welded to it and its origin [m]."""
        own = self.family(b)
        geoms = [g for g in range(self.model.ngeom) if self.model.geom_bodyid[g] in own]
        down = [self.data.geom_xmat[g].reshape(3, 3)[2] for g in geoms]
        boxes = [(self.model.geom_aabb[g, :3], self.model.geom_aabb[g, 3:]) for g in geoms]
        bottoms = [self.data.geom_xpos[g, 2] + d @ c - np.abs(d) @ h for g, d, (c, h) in zip(geoms, down, boxes, strict=True)]
        return min([*bottoms, *(self.xpos[x, 2] for x in own)])


def find_joints(pose: Pose, chain: list[int], end: int, where: str, *, leg: bool, pointed: bool = False) -> Limb:
    """The three joints of a limb. The middle one turns across the limb near half its length; the near one is the last above
    it that does not twist the limb; the far one is the last body, or the tip of the middle one, as of `pointed` legs always.
    Raises `InputError`."""
    top = int(pose.model.body_parentid[chain[0]])
    chain = _to_the_end(pose, chain, leg)
    tip = far_end(pose, chain[-1])
    spots = [pose.xpos[b] for b in chain] + ([tip] if pointed or not leg else [])
    along = np.concatenate([[0.0], np.cumsum([np.linalg.norm(b - a) for a, b in pairwise(spots)])])
    scores = {}
    for i, b in enumerate(chain[1:], start=1):
        share = along[i] / max(along[-1], 1e-9)
        bone = spots[i] - spots[0]
        across = any(abs(pose.axis(j) @ bone) < 0.5 * np.linalg.norm(bone) for j in pose.joints_of(b))
        if across and _SHARE[0] < share < _SHARE[1]:
            named = any(_MIDDLE.search(n) for n in (pose.model.body(b).name, *pose.joint_names_of(b)))
            scores[i] = abs(share - 0.5) - _NAMED * named
    if not scores:
        names = ", ".join(pose.model.body(b).name for b in chain)
        raise InputError(f"{where} ({names}) has no joint that looks like a {'knee' if leg else 'elbow'}; give a mapping")
    middle = min(scores, key=lambda i: scores[i])
    near = _near(pose, chain[:middle], spots[middle])
    reach = np.linalg.norm(spots[middle] - pose.xpos[near])
    far_body, far = chain[-1], pose.xpos[chain[-1]]
    if pointed or chain[middle] == far_body or np.linalg.norm(far - spots[middle]) < 0.4 * reach:
        far_body, far = chain[-1], tip
    points = np.array([pose.xpos[near], spots[middle], far])
    if leg and not pointed:  # only these stand straight in the model's own pose
        points = _on_one_line(pose, chain[middle:], points)
    return Limb(top, near, chain[middle], far_body, points, leg, pointed)


def _to_the_end(pose: Pose, chain: list[int], leg: bool) -> list[int]:
    """A leg without its toes; a limb with the bodies welded on where they carry it further (a hand, a foot without a hinge)."""
    if leg and len(chain) > 2 and _TOE.search(pose.model.body(chain[-1]).name):
        chain = chain[:-1]
    while len(children := [b for b in range(1, pose.model.nbody) if pose.model.body_parentid[b] == chain[-1]]) == 1:
        if (leg and len(chain) > 2) or pose.model.body_jntnum[children[0]]:
            break
        chain = [*chain, children[0]]
    return chain


def _near(pose: Pose, above: list[int], middle: np.ndarray) -> int:
    for b in reversed(above):
        bone = middle - pose.xpos[b]
        if any(abs(pose.axis(j) @ bone) < 0.7 * np.linalg.norm(bone) for j in pose.joints_of(b)):
            return b
    return above[-1]


def _on_one_line(pose: Pose, lower: list[int], points: np.ndarray) -> np.ndarray:
    """Hip, knee and ankle of a leg that stands straight: origins beside the joints' axes are moved onto the line."""
    hip, knee, ankle = points.copy()
    pitch = [j for b in lower[1:] if (j := pose.hinge_along(b, [0, 1, 0])) is not None]
    if pitch and abs(pose.data.xanchor[pitch[-1], 0] - ankle[0]) > OFF_LINE_M:
        ankle[0] = pose.data.xanchor[pitch[-1], 0]
    if abs(ankle[1] - hip[1]) > OFF_LINE_M:
        hip[1] = ankle[1]
    share = (hip[2] - knee[2]) / max(hip[2] - ankle[2], 1e-9)
    line = hip + share * (ankle - hip)
    for k in range(2):
        if abs(line[k] - knee[k]) > OFF_LINE_M:
            knee[k] = line[k]
    return np.array([hip, knee, ankle])


def far_end(pose: Pose, b: int) -> np.ndarray:
    """The point of a body's shapes that is furthest from its origin; without shapes, as far again as its centre of mass."""
    types, model = mujoco.mjtGeom, pose.model
    points = []
    for g in range(model.ngeom):
        if model.geom_bodyid[g] != b:
            continue
        kind, size = model.geom_type[g], model.geom_size[g]
        half = np.zeros(3) if kind == types.mjGEOM_SPHERE else np.array([0.0, 0.0, size[1]])
        if kind in (types.mjGEOM_BOX, types.mjGEOM_ELLIPSOID, types.mjGEOM_MESH):
            half = np.where(np.arange(3) == np.argmax(size), size, 0.0)
        away = pose.data.geom_xmat[g].reshape(3, 3) @ half
        points += [pose.data.geom_xpos[g] - away, pose.data.geom_xpos[g] + away]
    if not points:
        return 2.0 * pose.data.xipos[b] - pose.xpos[b]
    return max(points, key=lambda p: np.linalg.norm(p - pose.xpos[b]))


def bending(pose: Pose, limb: Limb) -> tuple[int, float, float, float, float]:
    """Of the middle joint: its hinge, the value [rad] at which the limb is straight, the sign in which it bends, its range.

    A knee takes the foot back, an elbow the hand forward where its axis allows it. The knees of animals bend as their range
    says, where that lies to one side.
    """
    upper, lower = limb.points[1] - limb.points[0], limb.points[2] - limb.points[1]
    joint = max(pose.joints_of(limb.middle), key=lambda j: np.linalg.norm(np.cross(pose.axis(j), lower)))
    axis = pose.axis(joint)
    upper, lower = (v - axis * (axis @ v) for v in (upper, lower))
    angle = float(np.arctan2(axis @ np.cross(upper, lower), upper @ lower))
    straight = float(pose.model.qpos0[pose.model.jnt_qposadr[joint]]) - angle
    low, high = pose.range_of(joint)
    down = upper / np.linalg.norm(upper)
    swing = np.cross(axis, down)  # where the end goes from straight for growing angles
    forward = -float(swing[0]) if limb.leg else float(swing[0])
    if abs(forward) < 0.5:  # across the body: an arm held out bends down, a hanging one inwards
        forward = -float(swing[2]) if abs(down[2]) < 0.7 else -float(swing[1] * np.sign(limb.points[1, 1]))
    sign = 1.0 if forward > 0 else -1.0
    if not np.isfinite(pose.body.joint_range[joint - 1]).all():
        low, high = sorted((straight - sign * SLACK[limb.leg], straight + sign * FLEXION))
    elif limb.pointed and abs(0.5 * (low + high) - straight) > 0.25 * (high - low):
        sign = float(np.sign(low + high - 2.0 * straight))
    return joint, straight, sign, low, high


def flat_ankle(pose: Pose, limb: Limb) -> dict[str, float]:
    """Joint -> angle [rad] of the ankle that lays the sole flat, if the model's own zero does not."""
    joints = [j for b in pose.below(limb.middle, limb.far) if (j := pose.hinge_along(b, [0, 1, 0])) is not None]
    if not joints:
        return {}
    balls, radius = sole_balls(pose.model, limb.far, pose.xpos, pose.xmat)
    joint = joints[-1]
    balls = balls - pose.data.xanchor[joint]
    sign = np.sign(pose.axis(joint)[1])

    def extent(angle: float) -> float:
        c, s = np.cos(sign * angle), np.sin(sign * angle)
        x, z = c * balls[:, 0] + s * balls[:, 2], -s * balls[:, 0] + c * balls[:, 2] - radius
        return float(np.ptp(x[z < z.min() + 0.003]))

    angles = np.linspace(-0.6, 0.6, 121)
    found = [extent(a) for a in angles]
    if extent(0.0) > 0.7 * max(found):
        return {}
    best = angles[np.array(found) > 0.99 * max(found)]
    return {pose.joint_name(joint): float(np.mean(best))}
