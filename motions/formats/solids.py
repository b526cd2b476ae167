"""Closed surfaces of simple solids, as triangles with normals: what bodies and bones look like in exported scenes.

Metres; triangles are counter-clockwise seen from outside. Round solids have smooth normals, edged ones flat.
"""

from typing import NamedTuple

import numpy as np

SEGMENTS, RINGS = 16, 8  # around a round solid, and from pole to pole
HULL_DIRECTIONS = 200  # a mesh is shown as the hull of its outermost vertices in this many directions
BONE_WIDTH, BONE_WIDTH_M = 0.1, 0.03  # half width of a bone: this share of its length, at most this


class Surface(NamedTuple):
    """vertices (V, 3) [m], unit normals (V, 3), triangles (T, 3) of vertex indices."""

    vertices: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray

    def moved(self, pos: np.ndarray, rot: np.ndarray) -> "Surface":
        """The surface turned by `rot` (3, 3), a proper rotation, and then moved by `pos` (3,)."""
        return Surface(self.vertices @ rot.T + pos, self.normals @ rot.T, self.triangles)


def ellipsoid(radii: np.ndarray) -> Surface:
    """|x / radii| = 1; `radii` (3,)."""
    return _round(np.asarray(radii, float), 0.0)


def capsule(radius: float, half: float) -> Surface:
    """A cylinder about z from -half to half with a half ball on either end."""
    return _round(np.full(3, float(radius)), half)


def _round(radii: np.ndarray, half: float) -> Surface:
    """An ellipsoid, cut at its equator and pulled apart to z = -half and half."""
    polar = np.linspace(0.0, np.pi, RINGS + 1)
    if half > 0.0:
        polar = np.insert(polar, RINGS // 2, np.pi / 2)  # the equator twice: once above, once below
    around = np.linspace(0.0, 2.0 * np.pi, SEGMENTS, endpoint=False)
    sphere = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(around),
            np.sin(polar)[:, None] * np.sin(around),
            np.broadcast_to(np.cos(polar)[:, None], (len(polar), SEGMENTS)),
        ],
        axis=-1,
    )
    shift = np.where(np.arange(len(polar)) <= RINGS // 2, half, -half)[:, None, None] * np.array([0.0, 0.0, 1.0])
    vertices = (sphere * radii + shift).reshape(-1, 3)
    normals = (sphere / radii).reshape(-1, 3)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    triangles = []
    for ring in range(len(polar) - 1):
        for s in range(SEGMENTS):
            a, b = ring * SEGMENTS + s, ring * SEGMENTS + (s + 1) % SEGMENTS
            c, d = a + SEGMENTS, b + SEGMENTS
            if ring > 0:  # the first ring is a point
                triangles.append((a, c, b))
            if ring < len(polar) - 2:
                triangles.append((b, c, d))
    return Surface(vertices, normals, np.array(triangles))


def cylinder(radius: float, half: float) -> Surface:
    """A cylinder about z from -half to half with flat ends."""
    around = np.linspace(0.0, 2.0 * np.pi, SEGMENTS, endpoint=False)
    circle = np.stack([np.cos(around), np.sin(around)], axis=1)
    lid = [np.append(radius * point, half) for point in circle]
    bottom = [np.append(radius * point, -half) for point in circle]
    sides = [[lid[s], bottom[s], bottom[(s + 1) % SEGMENTS], lid[(s + 1) % SEGMENTS]] for s in range(SEGMENTS)]
    return _flat([np.array(lid), np.array(bottom[::-1]), *(np.array(side) for side in sides)])


def box(half: np.ndarray, centre: np.ndarray | None = None) -> Surface:
    """A box of half extents `half` (3,) about `centre`."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * np.asarray(half, float)
    corners = corners if centre is None else corners + centre
    faces = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    return _flat([corners[list(face)] for face in faces])


def bone(along: np.ndarray) -> Surface:
    """A thin octahedron from the origin to `along` (3,), widest at a fifth of its length."""
    length = float(np.linalg.norm(along))
    axis = along / length
    side = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    side /= np.linalg.norm(side)
    width = min(BONE_WIDTH * length, BONE_WIDTH_M)
    ring = [0.2 * along + width * turned for turned in (side, np.cross(axis, side), -side, -np.cross(axis, side))]
    faces = []
    for k in range(4):
        faces.append(np.array([np.zeros(3), ring[(k + 1) % 4], ring[k]]))
        faces.append(np.array([along, ring[k], ring[(k + 1) % 4]]))
    return _flat(faces)


def hull(points: np.ndarray) -> Surface:
    """The convex hull of the outermost of `points` (P, 3); of flat or too few points, their bounding box."""
    from scipy.spatial import ConvexHull, QhullError  # slow to import, and primitives do without

    outer = points[np.unique(np.argmax(points @ _directions().T, axis=0))]
    try:
        found = ConvexHull(outer)
    except (QhullError, ValueError):
        low, high = points.min(axis=0), points.max(axis=0)
        return box(np.maximum((high - low) / 2.0, 1e-4), (low + high) / 2.0)
    centre = outer[found.vertices].mean(axis=0)
    faces = []
    for face in found.simplices:
        a, b, c = outer[face]
        outward = np.dot(np.cross(b - a, c - a), a - centre) > 0.0
        faces.append(np.array([a, b, c] if outward else [a, c, b]))
    return _flat(faces)


def _directions() -> np.ndarray:
    """Unit vectors spread evenly over the sphere (HULL_DIRECTIONS, 3): a Fibonacci spiral."""
    index = np.arange(HULL_DIRECTIONS) + 0.5
    z, angle = 1.0 - 2.0 * index / HULL_DIRECTIONS, np.pi * (1.0 + 5.0**0.5) * index
    level = np.sqrt(1.0 - z * z)
    return np.stack([level * np.cos(angle), level * np.sin(angle), z], axis=1)


def _flat(faces: list[np.ndarray]) -> Surface:
    """Convex plane faces (corners, 3), counter-clockwise from outside; every face has corners and a normal of its own."""
    vertices, normals, triangles, first = [], [], [], 0
    for face in faces:
        normal = np.cross(face[1] - face[0], face[2] - face[1])
        normal = normal / max(float(np.linalg.norm(normal)), 1e-12)
        vertices.append(face)
        normals.append(np.tile(normal, (len(face), 1)))
        triangles += [(first, first + k, first + k + 1) for k in range(1, len(face) - 1)]
        first += len(face)
    return Surface(np.concatenate(vertices), np.concatenate(normals), np.array(triangles))
