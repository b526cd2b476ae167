"""Geoms as triangles, for what draws by a graphics card elsewhere."""

from itertools import pairwise

import mujoco
import numpy as np

from mimic.view.shapes import Ellipsoid, Polyhedron, Rod, geom_shape
from motions.rotations import quat_rotate

Triangles = tuple[np.ndarray, np.ndarray]  # vertices (V, 3) [m], faces (F, 3)
ROUND = 20  # sides of what is round


def geom_triangles(model: mujoco.MjModel, geom: int) -> Triangles:
    """The surface of a geom, in its own frame; a mesh is whole here, not its hull."""
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first, face = model.mesh_vertadr[mesh], model.mesh_faceadr[mesh]
        vertices = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
        return vertices.astype(float), model.mesh_face[face : face + model.mesh_facenum[mesh]].copy()
    shape = geom_shape(model, geom)
    if isinstance(shape, Polyhedron):
        fans = [(face[0], *edge) for face in shape.faces for edge in pairwise(face[1:])]
        return shape.corners, np.array(fans)
    angle = np.linspace(0.5 * np.pi, -0.5 * np.pi, ROUND // 2 + 1)  # from the top down
    if isinstance(shape, Ellipsoid):
        vertices, faces = _turned(np.cos(angle), np.sin(angle))
        return vertices * shape.radii, faces
    assert isinstance(shape, Rod)
    if shape.round_ends:
        half = np.where(angle >= 0, shape.half, -shape.half)
        middle = np.searchsorted(-angle, 0.0, side="right")  # the equator stands twice: once at either end of the rod
        angle, half = np.insert(angle, middle, 0.0), np.insert(half, middle, -shape.half)
        return _turned(shape.radius * np.cos(angle), shape.radius * np.sin(angle) + half)
    return _turned(shape.radius * np.array([0.0, 1.0, 1.0, 0.0]), shape.half * np.array([1.0, 1.0, -1.0, -1.0]))


def _turned(radius: np.ndarray, height: np.ndarray) -> Triangles:
    """The surface that a profile, from the top down, makes as it turns about z: `ROUND` copies of its points."""
    turn, points = 2.0 * np.pi * np.arange(ROUND) / ROUND, len(radius)
    rings = [np.outer(radius, np.cos(turn)), np.outer(radius, np.sin(turn)), np.repeat(height[:, None], ROUND, axis=1)]
    row, column = np.meshgrid(np.arange(points - 1), np.arange(ROUND), indexing="ij")
    a, b = row * ROUND + column, row * ROUND + (column + 1) % ROUND
    faces = np.concatenate([np.stack([a, a + ROUND, b], -1), np.stack([b, a + ROUND, b + ROUND], -1)]).reshape(-1, 3)
    return np.stack(rings, axis=-1).reshape(-1, 3), faces


def body_triangles(model: mujoco.MjModel, geoms: np.ndarray) -> Triangles:
    """Several geoms of one body as one surface, in the body's frame."""
    vertices, faces, count = [], [], 0
    for geom in geoms:
        own, sides = geom_triangles(model, int(geom))
        vertices.append(quat_rotate(np.broadcast_to(model.geom_quat[geom], (len(own), 4)), own) + model.geom_pos[geom])
        faces.append(sides + count)
        count += len(own)
    return np.concatenate(vertices), np.concatenate(faces)
