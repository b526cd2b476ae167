"""Room for contacts and constraint rows: MuJoCo Warp keeps both in buffers of fixed size, and drops what they do not hold.

Sized by a probe: the library's frames, as they are and disturbed as kicks and falls disturb them, counted by C MuJoCo.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import mujoco
import numpy as np

from mimic.config import SimConfig
from mimic.robots.clean import FLOOR
from motions.rotations import quat_exp, quat_mul

SAMPLES = 512  # frames of a library, evenly over it
QUANTILE, SIGMAS = 0.999, 3.09  # the second: where a normal distribution has the first
MARGIN = 1.25
SWITCHES = {"contacts": "--sim.contacts-per-env", "constraints": "--sim.constraints-per-env"}


class Room(NamedTuple):
    """What there is room for. contacts: of an environment, in the mean over those of a device, which share theirs; each pair of
    geoms that the broad phase lets through needs the room of one, too. constraints: rows, which each has for itself."""

    contacts: int
    constraints: int


class Kind(NamedTuple):
    """A kind of disturbance: largest turn of the root [rad], change of a joint [rad], and depth of the lowest point in the
    floor [m]."""

    turn: float
    joints: float
    depth: float


STANDING, STUMBLING, LYING = Kind(0.0, 0.0, 0.02), Kind(0.5, 0.2, 0.05), Kind(math.pi, 0.5, 0.1)


def find_room(model: mujoco.MjModel, qpos: np.ndarray, num_envs: int, sim: SimConfig) -> Room:
    """The room for `num_envs` environments of one device: as the config says, else as the frames qpos (N, nq) need."""
    given = sim.contacts_per_env, sim.constraints_per_env
    if None not in given:
        return Room(*given)  # type: ignore[arg-type]
    return Room(*(found if size is None else size for found, size in zip(probe(model, qpos, num_envs), given, strict=True)))


def probe(model: mujoco.MjModel, qpos: np.ndarray, num_envs: int) -> Room:
    """The room that `num_envs` environments of one device need whose references are the frames qpos (N, nq), with `MARGIN`.

    Rows: the `QUANTILE` of one environment of the worst kind. Contacts: that of the mean of all environments, should all be of
    one kind at once; those that stand may all be on one frame.
    """
    frames = qpos[np.linspace(0, len(qpos) - 1, SAMPLES).round().astype(int)]
    rng, contacts, rows = np.random.default_rng(0), [], []
    for kind in (STANDING, STUMBLING, LYING):
        of_contacts, of_rows = demands(model, disturbed(model, frames, kind, rng))
        spread = 1.0 if kind is STANDING else 1.0 / math.sqrt(num_envs)
        contacts.append(min(of_contacts.mean() + SIGMAS * spread * of_contacts.std(), of_contacts.max()))
        rows.append(np.quantile(of_rows, QUANTILE))
    return Room(*(max(1, math.ceil(MARGIN * float(max(numbers)))) for numbers in (contacts, rows)))


def disturbed(model: mujoco.MjModel, qpos: np.ndarray, kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """The frames (N, nq) turned and bent at random, the lowest point of each in the floor; joints may pass their limits."""
    qpos, joints, floor = qpos.astype(float), model.jnt_qposadr[1:], model.geom(FLOOR).id
    axis = rng.normal(size=(len(qpos), 3))
    turns = axis / np.linalg.norm(axis, axis=1, keepdims=True) * rng.uniform(0, kind.turn, (len(qpos), 1))
    qpos[:, 3:7] = quat_mul(quat_exp(turns), qpos[:, 3:7])
    qpos[:, joints] += rng.uniform(-kind.joints, kind.joints, (len(qpos), len(joints)))
    data, soles = mujoco.MjData(model), [int(other) for plane, other in touching_pairs(model) if plane == floor]
    for frame, depth in zip(qpos, rng.uniform(0, kind.depth, len(qpos)), strict=True):
        data.qpos[:] = frame
        mujoco.mj_kinematics(model, data)
        frame[2] -= depth + min((mujoco.mj_geomDistance(model, data, sole, floor, 100.0, None) for sole in soles), default=0.0)
    return qpos


def demands(model: mujoco.MjModel, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Contacts (or pairs of geoms that are near, where these are more) and constraint rows of each of the poses (N, nq)."""
    data, pairs, contacts, rows = mujoco.MjData(model), touching_pairs(model), [], []
    for pose in qpos:
        data.qpos[:] = pose
        mujoco.mj_fwdPosition(model, data)
        contacts.append(max(data.ncon, np.count_nonzero(near(model, data, pairs))))
        rows.append(data.nefc)
    return np.array(contacts), np.array(rows)


def touching_pairs(model: mujoco.MjModel) -> np.ndarray:
    """All pairs of geoms that `model` lets touch (P, 2), a plane first."""
    from mujoco.mjx._src.collision_driver import geom_pairs  # here, so that only who runs MJX loads it

    return np.array([pair[:2] for pair in geom_pairs(model)], int).reshape(-1, 2)


def near(model: mujoco.MjModel, data: mujoco.MjData, pairs: np.ndarray) -> np.ndarray:
    """Which of the pairs (P, 2) Warp's broad phase lets through: bounding spheres meet, then bounding boxes; (P,)."""
    one, other = pairs.T
    margin = model.geom_margin[pairs].sum(axis=1)
    apart, turn = data.geom_xpos[other] - data.geom_xpos[one], data.geom_xmat.reshape(-1, 3, 3)
    plane, reach = model.geom_rbound[one] == 0.0, model.geom_rbound[pairs].sum(axis=1) + margin
    found = np.where(plane, np.einsum("pi,pi->p", apart, turn[one][:, :, 2]), np.linalg.norm(apart, axis=1)) <= reach
    boxes = found & ~plane
    one, other, margin = one[boxes], other[boxes], margin[boxes]
    centre = data.geom_xpos + np.einsum("gij,gj->gi", turn, model.geom_aabb[:, :3])
    axes = np.concatenate([turn[one], turn[other]], axis=2)  # (P, 3, 6): each box's own, by columns
    widths = sum(np.einsum("pi,pia->pa", model.geom_aabb[g, 3:], np.abs(turn[g].transpose(0, 2, 1) @ axes)) for g in (one, other))
    gaps = np.abs(np.einsum("pi,pia->pa", centre[other] - centre[one], axes)) - widths
    found[boxes] = (gaps <= margin[:, None]).all(axis=1)
    return found


def shortage(log: Mapping[str, float]) -> str | None:
    """What to tell the user after a rollout in which something did not fit; None where everything did."""
    sizes = {s: math.ceil(MARGIN * log[f"max/{name}"]) for name, s in SWITCHES.items() if log.get(f"max/{name}_fill", 0.0) > 1.0}
    if not sizes:
        return None
    return (
        "the physics needed more room for contacts or constraint rows than mjx-warp was given, and went on without some. "
        f"Enough for what was seen: {' '.join(f'{switch} {size}' for switch, size in sizes.items())}"
    )
