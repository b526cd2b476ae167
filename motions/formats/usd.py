"""USD: writer of a moving skeleton as UsdSkel (skeleton, animation, skinned mesh), through the extra `usd`.

Z up, metres, quaternions real first: as ours. A stage's time codes are frames. Names that USD does not allow in paths
(spaces, colons) are changed, which is said.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motions.errors import InputError
from motions.formats.scene import Scene, make_scene
from motions.motion import Motion
from motions.skeleton import Skeleton, SkeletonMotion

if TYPE_CHECKING:
    from motions.kinematics import Body

SUFFIXES = (".usda", ".usdc", ".usd")


def write_usd(motion: Motion | SkeletonMotion, path: str | Path, body: "Body | None" = None) -> tuple[str, ...]:
    """Write the motion of a captured skeleton, or of a robot with its `body`; .usda is text, .usdc and .usd are binary.

    The rest (and bind) pose is the captured one, for a robot the zero pose. Returns notes. Raises `InputError` for another
    suffix, a robot's motion without its body, or where usd-core is missing.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: expected a file name that ends in {', '.join(SUFFIXES)}")
    usd = _usd_modules(path)
    scene = make_scene(motion, body)
    # Made in memory and exported, so that a file loaded in this process is never changed under its reader.
    stage = usd["Usd"].Stage.CreateInMemory(path.suffix.lower())
    paths, notes = _joint_paths(scene.motion.skeleton, usd["Tf"])
    _fill(stage, scene, paths, usd)
    if not stage.GetRootLayer().Export(str(path)):
        raise InputError(f"{path}: cannot be written")
    return (*scene.notes, *notes)


def _usd_modules(path: Path) -> dict[str, Any]:
    try:
        from pxr import Gf, Sdf, Tf, Usd, UsdGeom, UsdSkel, Vt  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(f"{path}: USD files need usd-core: pip install 'mimic-mjx[usd]'") from error
    return {"Gf": Gf, "Sdf": Sdf, "Tf": Tf, "Usd": Usd, "UsdGeom": UsdGeom, "UsdSkel": UsdSkel, "Vt": Vt}


def _joint_paths(skeleton: Skeleton, tf: Any) -> tuple[list[str], tuple[str, ...]]:
    """Every joint as the path from the root, "hips/spine/chest", and a note on names that had to change."""
    taken: set[str] = set()
    changed, paths = [], []
    for name, parent in zip(skeleton.joint_names, skeleton.parents, strict=True):
        valid = tf.MakeValidIdentifier(name)
        valid = next(n for n in (valid, *(f"{valid}_{i}" for i in range(2, len(skeleton.parents) + 3))) if n not in taken)
        taken.add(valid)
        if valid != name:
            changed.append(f"{name} as {valid}")
        paths.append(valid if parent < 0 else f"{paths[parent]}/{valid}")
    return paths, (f"names USD does not allow, written otherwise: {', '.join(changed)}",) if changed else ()


def _fill(stage: Any, scene: Scene, paths: list[str], usd: dict[str, Any]) -> None:
    motion, geom, skel, vt = scene.motion, usd["UsdGeom"], usd["UsdSkel"], usd["Vt"]
    geom.SetStageUpAxis(stage, geom.Tokens.z)
    geom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(motion.fps)
    stage.SetFramesPerSecond(motion.fps)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(motion.num_frames - 1)
    top = "/" + usd["Tf"].MakeValidIdentifier(motion.name)
    root = skel.Root.Define(stage, top)
    stage.SetDefaultPrim(root.GetPrim())
    root.GetPrim().SetCustomDataByKey("source", motion.source)
    root.GetPrim().SetCustomDataByKey("licence", motion.licence)

    rest = motion.skeleton.offsets.copy()
    rest[0] = scene.rest_root
    at = _world(motion.skeleton, rest)
    skeleton = skel.Skeleton.Define(stage, f"{top}/Skeleton")
    skeleton.CreateJointsAttr(paths)
    skeleton.CreateJointNamesAttr(list(motion.skeleton.joint_names))
    skeleton.CreateRestTransformsAttr(vt.Matrix4dArray.FromNumpy(_translations(rest)))
    skeleton.CreateBindTransformsAttr(vt.Matrix4dArray.FromNumpy(_translations(at)))

    animation = skel.Animation.Define(stage, f"{top}/Skeleton/Animation")
    animation.CreateJointsAttr(paths)
    scales = vt.Vec3hArray(len(paths), usd["Gf"].Vec3h(1.0))
    animation.CreateScalesAttr(scales)
    moves, turns = animation.CreateTranslationsAttr(), animation.CreateRotationsAttr()
    for frame in range(motion.num_frames):
        local = rest if motion.translations is None else motion.translations[frame].copy()
        local = np.concatenate([motion.root_pos[frame][None], local[1:]])
        moves.Set(vt.Vec3fArray.FromNumpy(np.ascontiguousarray(local, dtype=np.float32)), frame)
        xyzw = np.ascontiguousarray(motion.local_quat[frame][:, [1, 2, 3, 0]], dtype=np.float32)  # as Gf.Quatf lies in memory
        turns.Set(vt.QuatfArray.FromNumpy(xyzw), frame)
    binding = skel.BindingAPI.Apply(skeleton.GetPrim())
    binding.CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    if scene.parts:
        _add_mesh(stage, scene, at, top, skeleton, usd)


def _add_mesh(stage: Any, scene: Scene, at: np.ndarray, top: str, skeleton: Any, usd: dict[str, Any]) -> None:
    """One mesh in the rest pose, every vertex on one joint, a colour per triangle."""
    vt = usd["Vt"]
    vertices, normals, triangles, bound, colours, first = [], [], [], [], [], 0
    for part in scene.parts:
        surface = part.surface
        vertices.append(surface.vertices + at[part.joint])
        normals.append(surface.normals)
        triangles.append(surface.triangles + first)
        bound.append(np.full(len(surface.vertices), part.joint))
        colours.append(np.tile(part.rgba[:3], (len(surface.triangles), 1)))
        first += len(surface.vertices)
    points = np.concatenate(vertices).astype(np.float32)
    mesh = usd["UsdGeom"].Mesh.Define(stage, f"{top}/Mesh")
    mesh.CreateSubdivisionSchemeAttr("none")
    mesh.CreatePointsAttr(vt.Vec3fArray.FromNumpy(points))
    mesh.CreateExtentAttr(vt.Vec3fArray.FromNumpy(np.stack([points.min(axis=0), points.max(axis=0)])))
    mesh.CreateNormalsAttr(vt.Vec3fArray.FromNumpy(np.concatenate(normals).astype(np.float32)))
    mesh.SetNormalsInterpolation(usd["UsdGeom"].Tokens.vertex)
    corners = np.concatenate(triangles).astype(np.int32)
    mesh.CreateFaceVertexIndicesAttr(vt.IntArray.FromNumpy(corners.reshape(-1)))
    mesh.CreateFaceVertexCountsAttr(vt.IntArray.FromNumpy(np.full(len(corners), 3, np.int32)))
    colour = mesh.CreateDisplayColorPrimvar(usd["UsdGeom"].Tokens.uniform)
    colour.Set(vt.Vec3fArray.FromNumpy(np.concatenate(colours).astype(np.float32)))
    binding = usd["UsdSkel"].BindingAPI.Apply(mesh.GetPrim())
    binding.CreateJointIndicesPrimvar(False, 1).Set(vt.IntArray.FromNumpy(np.concatenate(bound).astype(np.int32)))
    binding.CreateJointWeightsPrimvar(False, 1).Set(vt.FloatArray.FromNumpy(np.ones(len(points), np.float32)))
    binding.CreateGeomBindTransformAttr(usd["Gf"].Matrix4d(1.0))
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])


def _world(skeleton: Skeleton, rest: np.ndarray) -> np.ndarray:
    """Joint positions (J, 3) of the unturned skeleton [m]."""
    at = rest.copy()
    for j, parent in enumerate(skeleton.parents[1:], start=1):
        at[j] += at[parent]
    return at


def _translations(pos: np.ndarray) -> np.ndarray:
    """Matrices (J, 4, 4) that move by `pos` (J, 3), acting on row vectors as USD's do."""
    matrices = np.tile(np.eye(4), (len(pos), 1, 1))
    matrices[:, 3, :3] = pos
    return matrices
