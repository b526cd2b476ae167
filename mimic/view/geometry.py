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
    import trimesh.creation as make

    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first, face = model.mesh_vertadr[mesh], model.mesh_faceadr[mesh]
        vertices = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
        return vertices.astype(float), model.mesh_face[face : face + model.mesh_facenum[mesh]].copy()
    shape = geom_shape(model, geom)
    if isinstance(shape, Polyhedron):
        fans = [(face[0], *edge) for face in shape.faces for edge in pairwise(face[1:])]
        return shape.corners, np.array(fans)
    if isinstance(shape, Ellipsoid):
        solid = make.uv_sphere(radius=1.0, count=[ROUND, ROUND])
        return np.asarray(solid.vertices) * shape.radii, np.asarray(solid.faces)
    assert isinstance(shape, Rod)
    if shape.round_ends:
        solid = make.capsule(height=2.0 * shape.half, radius=shape.radius, count=[ROUND, ROUND])
    else:
        solid = make.cylinder(radius=shape.radius, height=2.0 * shape.half, sections=ROUND)
    vertices = np.asarray(solid.vertices)
    return vertices - [0.0, 0.0, 0.5 * (vertices[:, 2].min() + vertices[:, 2].max())], np.asarray(solid.faces)


def body_triangles(model: mujoco.MjModel, geoms: np.ndarray) -> Triangles:
    """Several geoms of one body as one surface, in the body's frame."""
    vertices, faces, count = [], [], 0
    for geom in geoms:
        own, sides = geom_triangles(model, int(geom))
        vertices.append(quat_rotate(np.broadcast_to(model.geom_quat[geom], (len(own), 4)), own) + model.geom_pos[geom])
        faces.append(sides + count)
        count += len(own)
    return np.concatenate(vertices), np.concatenate(faces)
