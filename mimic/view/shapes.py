"""Geoms as simple shapes for the software renderer, each in its own frame: ellipsoids, rods and convex polyhedra."""

from dataclasses import dataclass

import mujoco
import numpy as np

_MESH_DIRECTIONS = 72  # a mesh is drawn as the hull of its outermost points in this many directions


@dataclass(frozen=True)
class Ellipsoid:
    """|x / radii| = 1; `radii` (3,) [m]. A sphere is one too."""

    radii: np.ndarray


@dataclass(frozen=True)
class Rod:
    """A cylinder about z from -half to half [m], its ends round (a capsule) or flat."""

    radius: float
    half: float
    round_ends: bool

    @property
    def reach(self) -> float:
        """How far it goes along z, ends included [m]."""
        return self.half + self.radius * self.round_ends


@dataclass(frozen=True)
class Polyhedron:
    """A convex solid: corners (V, 3) [m], faces as corner indices, counter-clockwise seen from outside,
    outward unit normals (faces, 3), and `round` in [0, 1]: how much shading takes it for the smooth body it stands for."""

    corners: np.ndarray
    faces: tuple[tuple[int, ...], ...]
    normals: np.ndarray
    round: float


Shape = Ellipsoid | Rod | Polyhedron


def geom_shape(model: mujoco.MjModel, geom: int) -> Shape:
    """The shape of one geom of a model; what is not convex becomes its convex hull, what is unknown its bounding box."""
    size, kinds = model.geom_size[geom], mujoco.mjtGeom
    match int(model.geom_type[geom]):
        case kinds.mjGEOM_SPHERE:
            return Ellipsoid(np.full(3, size[0]))
        case kinds.mjGEOM_ELLIPSOID:
            return Ellipsoid(size.copy())
        case kinds.mjGEOM_CAPSULE:
            return Rod(float(size[0]), float(size[1]), round_ends=True)
        case kinds.mjGEOM_CYLINDER:
            return Rod(float(size[0]), float(size[1]), round_ends=False)
        case kinds.mjGEOM_MESH:
            mesh = model.geom_dataid[geom]
            first = model.mesh_vertadr[mesh]
            return _hull(model.mesh_vert[first : first + model.mesh_vertnum[mesh]].astype(float))
        case kinds.mjGEOM_BOX:
            return _box(np.zeros(3), size)
        case _:
            return _box(model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:])


def _box(centre: np.ndarray, half: np.ndarray) -> Polyhedron:
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    faces = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    return _polyhedron(centre + signs * half, faces, 0.0)


def _hull(vertices: np.ndarray) -> Polyhedron:
    """Convex hull of a mesh's outermost vertices (V, 3); a flat or tiny mesh becomes its bounding box."""
    from scipy.spatial import ConvexHull, QhullError  # slow to import, and primitives do without

    outer = vertices[np.unique(np.argmax(vertices @ _directions(_MESH_DIRECTIONS).T, axis=0))]
    try:
        hull = ConvexHull(outer)
    except (QhullError, ValueError):
        low, high = vertices.min(0), vertices.max(0)
        return _box((low + high) / 2, np.maximum((high - low) / 2, 1e-4))
    centre = outer[hull.vertices].mean(0)
    faces = []
    for face in hull.simplices:
        a, b, c = outer[face]
        outward = np.dot(np.cross(b - a, c - a), a - centre) > 0
        faces.append(tuple(face) if outward else tuple(face[::-1]))
    return _polyhedron(outer, tuple(faces), 0.6)


def _polyhedron(corners: np.ndarray, faces: tuple[tuple[int, ...], ...], smooth: float) -> Polyhedron:
    normals = np.array([np.cross(corners[f[1]] - corners[f[0]], corners[f[2]] - corners[f[1]]) for f in faces])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return Polyhedron(corners, faces, normals / np.maximum(lengths, 1e-12), smooth)


def _directions(count: int) -> np.ndarray:
    """Unit vectors spread evenly over the sphere (count, 3): a Fibonacci spiral."""
    index = np.arange(count) + 0.5
    z, angle = 1 - 2 * index / count, np.pi * (1 + 5**0.5) * index
    level = np.sqrt(1 - z * z)
    return np.stack([level * np.cos(angle), level * np.sin(angle), z], axis=1)
