"""A robot's mass as points that move with its links."""

from collections.abc import Iterator

import mujoco
import numpy as np

from motions.rotations import quat_to_matrix
from retarget.chain import Chain
from retarget.points import Points

_LARGE_INERTIA = 0.05  # [kg m^2] trace of a link's second moments from which it is more than a point


def lump_masses(model: mujoco.MjModel, chain: Chain) -> tuple[Points, np.ndarray]:
    """Points whose masses [kg] move as the links do. Links of large inertia are six points on their principal axes, which have
    their mass, centre and inertia; the others one at the centre."""
    points = [(int(chain.body_link[b]), chain.body_pos[b] + chain.body_rot[b] @ p, m) for b, p, m in _body_points(model)]
    if not points:  # a model of shapes alone: every link weighs the same
        return Points(np.arange(len(chain.parent)), np.zeros((len(chain.parent), 3)), np.zeros(len(chain.parent))), np.ones(
            len(chain.parent)
        )
    links, offsets, masses = (np.array(column) for column in zip(*points, strict=True))
    mass = np.bincount(links, masses, len(chain.parent))
    centre = np.stack([np.bincount(links, masses * offsets[:, k], len(mass)) for k in range(3)], axis=1)
    heavy = np.flatnonzero(mass > 0)
    centre = centre[heavy] / mass[heavy, None]
    rows = []
    for link, middle in zip(heavy, centre, strict=True):
        own = links == link
        away = offsets[own] - middle
        spread = np.einsum("p,pi,pj->ij", masses[own], away, away)  # second moments [kg m^2]
        if np.trace(spread) < _LARGE_INERTIA:
            rows.append((link, middle, mass[link]))
            continue
        second, axes = np.linalg.eigh(spread)
        rows += [(link, point, mass[link] / 6.0) for point in _six_points(middle, axes, second, mass[link])]
    links, offsets, masses = (np.array(column) for column in zip(*rows, strict=True))
    return Points(links, offsets, np.zeros(len(links))), masses


def _body_points(model: mujoco.MjModel) -> Iterator[tuple[int, np.ndarray, float]]:
    """(body, point in its frame [m], mass [kg]): six for every body that has mass, with its centre and inertia."""
    for b in range(1, model.nbody):
        mass = model.body_mass[b]
        if mass == 0:
            continue
        inertia = model.body_inertia[b]
        axes = quat_to_matrix(model.body_iquat[b])
        for point in _six_points(model.body_ipos[b], axes, 0.5 * inertia.sum() - inertia, mass):
            yield b, point, mass / 6.0


def _six_points(centre: np.ndarray, axes: np.ndarray, second: np.ndarray, mass: float) -> np.ndarray:
    """Points (6, 3) that, of a sixth of `mass` each, have the second moments (3,) [kg m^2] along the columns of `axes`."""
    arms = (axes * np.sqrt(3.0 * np.maximum(second, 0.0) / mass)).T
    return centre + np.concatenate([-arms, arms])
