"""Fewer triangles for renderers without a graphics card."""

import mujoco
import numpy as np


def thin_meshes(model: mujoco.MjModel, cell_m: float) -> int:
    """Merge mesh vertices that share a grid cell of this size [m], in place; returns how many triangles are left.

    (Vertex clustering, Rossignac and Borrel 1993.) Triangles that collapse are dropped from the mesh's list, whose
    corners keep their normals, so shading stays smooth. For drawing only: contacts use convex hulls, not this list.
    """
    for mesh in range(model.nmesh):
        first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        cells = np.floor(model.mesh_vert[first : first + count] / cell_m).astype(np.int64)
        _, keeper, cluster = np.unique(cells, axis=0, return_index=True, return_inverse=True)
        faces = slice(model.mesh_faceadr[mesh], model.mesh_faceadr[mesh] + model.mesh_facenum[mesh])
        corners = keeper[cluster.ravel()][model.mesh_face[faces]]
        kept = (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2]) & (corners[:, 2] != corners[:, 0])
        left = slice(faces.start, faces.start + int(kept.sum()))
        for table, values in (
            (model.mesh_face, corners[kept]),
            (model.mesh_facenormal, model.mesh_facenormal[faces][kept]),
            (model.mesh_facetexcoord, model.mesh_facetexcoord[faces][kept]),
        ):
            table[left] = values
        model.mesh_facenum[mesh] = left.stop - left.start
    return int(model.mesh_facenum.sum())
