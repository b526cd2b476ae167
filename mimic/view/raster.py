"""The renderer for machines without OpenGL: rays against simple shapes, in numpy, with a depth buffer and soft shadows.

Distances along `Camera.rays` are depths [m].
"""

from collections.abc import Iterable
from typing import NamedTuple

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from mimic.view.camera import Camera
from mimic.view.edges import smooth_edges
from mimic.view.shapes import Ellipsoid, Polyhedron, Rod, Shape, geom_shape
from mimic.view.stage import (
    BACKGROUND,
    FADE_M,
    FLOOR,
    GHOST,
    GHOST_ALPHA,
    GHOST_BEHIND_M,
    GRID_LINE,
    GRID_LINE_M,
    GRID_M,
    Stage,
    light_direction,
)

_SHADOW_REACH_M, _SHADOW_PIXELS = 3.0, 400  # half the width of the shadow's map on the floor, and its resolution
_SHADOW_DARKNESS, _SHADOW_BLUR = 0.42, 2.2  # [pixels of the map]
_COMPASS = np.stack([np.cos(np.linspace(0, 2 * np.pi, 25)[:-1]), np.sin(np.linspace(0, 2 * np.pi, 25)[:-1])])
_NEAR_M = 0.05


Pose = dict[int, tuple[np.ndarray, np.ndarray]]


class Layer(NamedTuple):
    """What the rays of a picture hit first: depth (H, W) [m], normal (H, W, 3), geom id (H, W), -1 for none."""

    depth: np.ndarray
    normal: np.ndarray
    geom: np.ndarray


class RasterRenderer:
    """Draws what `GLRenderer` draws, without OpenGL."""

    name = "raster"

    def __init__(self, stage: Stage, size: tuple[int, int]):
        self.stage, self.size = stage, size
        self._data = mujoco.MjData(stage.model)
        self._shapes = {int(geom): geom_shape(stage.model, geom) for geom in stage.geoms}

    def render(self, qpos: np.ndarray | None, ghost_qpos: np.ndarray | None, camera: Camera) -> np.ndarray:
        """One picture, (height, width, 3) uint8; a ghost lies over it, translucent, where no robot is before it."""
        rays = camera.rays(self.size)
        poses = [self._pose(q) for q in (qpos, ghost_qpos)]
        shadows = [_shadow_map(pose, self._shapes, camera, self.stage.floor_z) for pose in poses]
        light = (1 - _SHADOW_DARKNESS * shadows[0]) * (1 - _SHADOW_DARKNESS * GHOST_ALPHA * shadows[1])
        light[[0, -1]] = light[:, [0, -1]] = 1.0  # the border stands for all that lies outside
        image = _floor(rays, camera, self.stage.floor_z, light)
        solid, ghost = (cast(pose, self._shapes, rays, camera) for pose in poses)
        _paint(image, solid, solid.geom >= 0, self.stage.rgb, 1.0, rays, camera)
        before = (ghost.geom >= 0) & (ghost.depth < solid.depth - GHOST_BEHIND_M)
        _paint(image, ghost, before, np.broadcast_to(GHOST, self.stage.rgb.shape), GHOST_ALPHA, rays, camera)
        geom = np.where(before, ghost.geom + len(self.stage.rgb), solid.geom)
        smooth_edges(image, lambda axis: np.diff(geom, axis=axis) != 0)
        return (255 * np.clip(image, 0, 1) + 0.5).astype(np.uint8)

    def close(self) -> None:
        """Nothing to free."""

    def _pose(self, qpos: np.ndarray | None) -> Pose:
        """The drawn geoms of a robot in this pose; nothing without one."""
        if qpos is None:
            return {}
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self.stage.model, self._data)
        return pose_of(self._data, self._shapes)


def pose_of(data: mujoco.MjData, geoms: Iterable[int]) -> Pose:
    """Where these geoms are: position (3,) [m] and axes (3, 3) in the world."""
    return {int(geom): (data.geom_xpos[geom].copy(), data.geom_xmat[geom].reshape(3, 3).copy()) for geom in geoms}


def cast(pose: Pose, shapes: dict[int, Shape], rays: np.ndarray, camera: Camera) -> Layer:
    """The nearest hit of every ray."""
    height, width = rays.shape[:2]
    depth = np.full((height, width), np.inf, np.float32)
    layer = Layer(depth, np.zeros((height, width, 3), np.float32), np.full((height, width), -1, np.int32))
    for geom, (pos, axes) in pose.items():
        shape = shapes[geom]
        box = _screen_box(_outline(shape) @ axes.T + pos, camera, (width, height))
        if box is None:
            continue
        part = rays[box]
        origin = ((camera.position - pos) @ axes).astype(np.float32)  # in the geom's frame, like the rays
        local = part @ axes.astype(np.float32)
        match shape:
            case Ellipsoid():
                t, normal = _hit_ellipsoid(origin, local, shape)
            case Rod():
                t, normal = _hit_rod(origin, local, shape)
            case Polyhedron():
                pixels, _ = camera.project(shape.corners @ axes.T + pos, (width, height))
                corner = [box[1].start + 0.5, box[0].start + 0.5]  # where Pillow has its pixel (0, 0)
                t, normal = _hit_polyhedron(origin, local, shape, pixels - corner)
        nearer = (t > _NEAR_M) & (t < layer.depth[box])
        layer.depth[box][nearer] = t[nearer]
        layer.normal[box][nearer] = normal[nearer] @ axes.T.astype(np.float32)
        layer.geom[box][nearer] = geom
    return layer


def _outline(shape: Shape) -> np.ndarray:
    """Points (P, 3) in the shape's frame whose hull contains it."""
    if isinstance(shape, Polyhedron):
        return shape.corners
    half = shape.radii if isinstance(shape, Ellipsoid) else np.array([shape.radius, shape.radius, shape.reach])
    return np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * half


def _screen_box(points: np.ndarray, camera: Camera, size: tuple[int, int]) -> tuple[slice, slice] | None:
    """The pixels (rows, columns) that may show the hull of these points; None outside the picture."""
    pixel, depth = camera.project(points, size)
    if depth.min() < _NEAR_M:
        return (slice(0, size[1]), slice(0, size[0])) if depth.max() > _NEAR_M else None
    low = np.clip(np.floor(pixel.min(0)).astype(int), 0, size)
    high = np.clip(np.ceil(pixel.max(0)).astype(int) + 1, 0, size)
    return (slice(low[1], high[1]), slice(low[0], high[0])) if np.all(high > low) else None


def _hit_ellipsoid(origin: np.ndarray, rays: np.ndarray, shape: Ellipsoid) -> tuple[np.ndarray, np.ndarray]:
    """Smallest t with |(origin + t ray) / radii| = 1 (inf: none), and the normals."""
    radii = shape.radii.astype(np.float32)
    o, d = origin / radii, rays / radii
    t = _smaller_root(np.einsum("...i,...i", d, d), d @ o, float(o @ o) - 1.0)
    normal = (o + np.where(np.isfinite(t), t, 0)[..., None] * d) / radii
    return t, normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def _hit_rod(origin: np.ndarray, rays: np.ndarray, shape: Rod) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of the hits with the open cylinder about z and with its ends."""
    radius, half = shape.radius, shape.half
    level = rays[..., :2]
    t = _smaller_root(np.einsum("...i,...i", level, level), level @ origin[:2], float(origin[:2] @ origin[:2]) - radius**2)
    z = origin[2] + np.where(np.isfinite(t), t, 0) * rays[..., 2]
    t = np.where(np.abs(z) <= half, t, np.inf)
    for end in (-half, half):
        if shape.round_ends:
            o = origin - np.array([0, 0, end], np.float32)
            t = np.minimum(t, _smaller_root(np.einsum("...i,...i", rays, rays), rays @ o, float(o @ o) - radius**2))
        else:
            flat = (end - origin[2]) / np.where(np.abs(rays[..., 2]) < 1e-9, 1e-9, rays[..., 2])
            beside_sq = np.sum((origin[:2] + flat[..., None] * level) ** 2, axis=-1)
            t = np.where((beside_sq <= radius**2) & (flat > 0), np.minimum(t, flat), t)
    normal = origin + np.where(np.isfinite(t), t, 0)[..., None] * rays
    if shape.round_ends:
        normal[..., 2] -= np.clip(normal[..., 2], -half, half)
        return t, normal / radius
    on_end = np.abs(np.abs(normal[..., 2]) - half) < 1e-4
    upright = np.sign(normal[..., 2:]) * np.array([0, 0, 1], np.float32)
    normal[..., 2] = 0
    return t, np.where(on_end[..., None], upright, normal / radius)


def _smaller_root(a: np.ndarray, b: np.ndarray, c: float) -> np.ndarray:
    """Smaller root of a t^2 + 2 b t + c, inf where there is none."""
    under = b * b - a * c
    return np.where(under > 0, (-b - np.sqrt(np.maximum(under, 0))) / np.maximum(a, 1e-9), np.inf)


def _hit_polyhedron(origin: np.ndarray, rays: np.ndarray, shape: Polyhedron, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which front face covers a pixel is drawn as polygons (they do not overlap); its plane then gives the depth."""
    first = shape.corners[[face[0] for face in shape.faces]]
    offset = np.einsum("fi,fi->f", shape.normals, first - origin)  # negative: the camera is outside this plane
    front = np.flatnonzero(offset < 0)
    canvas = Image.new("L" if len(front) < 255 else "I", (rays.shape[1], rays.shape[0]))
    draw = ImageDraw.Draw(canvas)
    corners = [tuple(pixel) for pixel in pixels.tolist()]
    for index, face in enumerate(front, start=1):
        draw.polygon([corners[corner] for corner in shape.faces[face]], fill=index)
    which = np.asarray(canvas).astype(int)
    normal = np.concatenate([np.zeros((1, 3)), shape.normals[front]]).astype(np.float32)[which]
    slope = np.einsum("...i,...i", normal, rays)
    distance = np.concatenate([[np.inf], offset[front]]).astype(np.float32)[which]
    t = np.where((which > 0) & (slope < -1e-6), distance / np.minimum(slope, -1e-6), np.inf)
    if shape.round > 0:
        centre, half = shape.corners.mean(0), np.ptp(shape.corners, axis=0) / 2
        smooth = (origin - centre + np.where(np.isfinite(t), t, 0)[..., None] * rays) / half**2
        smooth /= np.linalg.norm(smooth, axis=-1, keepdims=True)
        normal = (1 - shape.round) * normal + shape.round * smooth.astype(np.float32)
    return t, normal


def _paint(
    image: np.ndarray, layer: Layer, mask: np.ndarray, rgb: np.ndarray, alpha: float, rays: np.ndarray, camera: Camera
) -> None:
    """Shade the hits under `mask` and lay them over the image: a key light, a fill light from the camera, sky light."""
    rows, columns = np.nonzero(mask)
    normal = layer.normal[rows, columns]
    normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    view = -rays[rows, columns]
    view = view / np.linalg.norm(view, axis=1, keepdims=True)
    key = light_direction(camera.azimuth).astype(np.float32)
    half = view + key
    half = half / np.linalg.norm(half, axis=1, keepdims=True)
    light = (
        0.34 + 0.08 * normal[:, 2] + 0.3 * np.maximum(np.einsum("pi,pi->p", normal, view), 0) + 0.5 * np.maximum(normal @ key, 0)
    )
    gloss = 0.16 * np.maximum(np.einsum("pi,pi->p", normal, half), 0) ** 40
    colour = light[:, None] * rgb[layer.geom[rows, columns]] + gloss[:, None]
    image[rows, columns] += alpha * (colour - image[rows, columns])


def _floor(rays: np.ndarray, camera: Camera, floor_z: float, light: np.ndarray) -> np.ndarray:
    """The picture without robots (H, W, 3), float32 in [0, 1]: lines that fade with distance, times the `light` map."""
    height, width = rays.shape[:2]
    image = np.empty((height, width, 3), np.float32)
    image[:] = BACKGROUND
    eye = camera.position
    if eye[2] <= floor_z or rays[-1, 0, 2] >= -1e-3:
        return image
    farthest = (eye[2] - floor_z) / FADE_M[1]
    top = int(np.argmax(rays[:, 0, 2] < -farthest))  # above this row all is background
    t = np.float32(floor_z - eye[2]) / rays[top:, :1, 2]  # (rows, 1), as the view never rolls
    x, y = (np.float32(eye[i]) + t * rays[top:, :, i] for i in (0, 1))
    across = t / np.float32(camera.focal_px(height))  # a pixel's footprint, across the view and along it
    footprint = 0.5 * across * (1 + t / np.float32(eye[2] - floor_z))
    line = np.maximum(_line(x, footprint), _line(y, footprint))
    visible = 1 - np.clip((t - FADE_M[0]) / (FADE_M[1] - FADE_M[0]), 0, 1)
    lit = _sample(light, x, y, camera)
    for channel in range(3):
        colour = (FLOOR[channel] + (GRID_LINE - FLOOR)[channel] * line) * lit
        image[top:, :, channel] += visible * (colour - np.float32(BACKGROUND[channel]))
    return image


def _sample(light: np.ndarray, x: np.ndarray, y: np.ndarray, camera: Camera) -> np.ndarray:
    """The map's value at floor points; 1 outside it."""
    scale = np.float32(0.5 * _SHADOW_PIXELS / _SHADOW_REACH_M)
    column = np.clip((x - np.float32(camera.lookat[0])) * scale + _SHADOW_PIXELS / 2, 0, _SHADOW_PIXELS - 1).astype(np.int32)
    row = np.clip((y - np.float32(camera.lookat[1])) * scale + _SHADOW_PIXELS / 2, 0, _SHADOW_PIXELS - 1).astype(np.int32)
    return light.ravel()[row * _SHADOW_PIXELS + column]


def _line(coordinate: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """How much of a pixel of this footprint [m] a grid line covers, in [0, 1]."""
    distance = np.abs(coordinate - GRID_M * np.round(coordinate / GRID_M))
    wide = np.maximum(footprint, 2 * GRID_LINE_M)
    return np.clip((GRID_LINE_M - distance) / wide + 0.5, 0, 1) * np.minimum(1, 2 * GRID_LINE_M / footprint)


def _shadow_map(pose: Pose, shapes: dict[int, Shape], camera: Camera, floor_z: float) -> np.ndarray:
    """How much of the key light is kept from the floor around the camera's target, in [0, 1]; (pixels y, pixels x)."""
    canvas = Image.new("L", (_SHADOW_PIXELS, _SHADOW_PIXELS))
    if not pose:
        return np.zeros((_SHADOW_PIXELS, _SHADOW_PIXELS), np.float32)
    draw = ImageDraw.Draw(canvas)
    light = light_direction(camera.azimuth)
    scale = 0.5 * _SHADOW_PIXELS / _SHADOW_REACH_M

    def to_map(points: np.ndarray) -> np.ndarray:
        on_floor = points[:, :2] - (points[:, 2:] - floor_z) / light[2] * light[:2]
        return (on_floor - camera.lookat[:2]) * scale + _SHADOW_PIXELS / 2

    for geom, (pos, axes) in pose.items():
        shape = shapes[geom]
        if isinstance(shape, Polyhedron):
            spots = to_map(shape.corners @ axes.T + pos)
            outermost = np.argmax(spots @ _COMPASS, axis=0)  # in order around the shadow: its outline
            draw.polygon([tuple(spot) for spot in spots[outermost].tolist()], fill=255)
            continue
        half, radius_m = (shape.half, shape.radius) if isinstance(shape, Rod) else (0.0, float(shape.radii.mean()))
        radius = scale * radius_m
        ends = to_map(pos + np.array([[-half], [half]]) * axes[:, 2])
        draw.line([tuple(end) for end in ends], fill=255, width=max(1, round(2 * radius)))
        for x, y in ends:
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(_SHADOW_BLUR)), np.float32) / 255
