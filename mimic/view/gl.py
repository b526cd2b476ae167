"""The OpenGL renderer: MuJoCo's own, offscreen, through whichever context a machine offers (EGL, OSMesa, ...).

The context is made here rather than by `mujoco.Renderer`, which decides at import time by an environment variable.
"""

import importlib
import os
import platform
import subprocess
import sys
from functools import cache
from typing import NamedTuple

import mujoco
import numpy as np

from mimic.view.camera import Camera
from mimic.view.edges import smooth_edges
from mimic.view.meshes import thin_meshes
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
    make_stage,
)

_SOFTWARE_CELL_M = 0.008  # without a graphics card, vertices of a mesh closer than this are one
_EDGE_LUMA = 36.0  # ... and neighbouring pixels whose r + g + b differ by more are smoothed, instead of multisampling
_FLOOR_TOLERANCE = 2e-3  # what is nearer than the floor by more than this part of its distance is not the floor
_EXTENT_M = 3.0  # MuJoCo scales clipping planes, fog and shadow by the model's extent

_CONTEXTS = {"Darwin": ("cgl",), "Windows": ("glfw",)}  # elsewhere EGL, then OSMesa
_OFF = ("off", "disable", "disabled", "false", "0")  # values of MUJOCO_GL with which MuJoCo itself makes no context
_PROBE_TIMEOUT_S = 60.0
_PROBE = "import sys; from mimic.view.gl import probe; print('renders with:', probe(sys.argv[1]))"


class GLFound(NamedTuple):
    """A context that renders on this machine, and the device that draws behind it."""

    context: str
    device: str

    def __str__(self) -> str:
        return f"{self.context} ({self.device})"


class GLRenderer:
    """Draws a robot, and the translucent ghost of a second pose of it, on a grid floor."""

    def __init__(self, stage: Stage, size: tuple[int, int], context: str):
        self.name = context
        self.stage, self.size = stage, size
        self._gl = importlib.import_module(f"mujoco.{context}").GLContext(*size)
        self._gl.make_current()
        self.software = _is_software()
        self._prepare_model()
        model = stage.model
        self._data = mujoco.MjData(model)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 1
        self._scene = mujoco.MjvScene(model, maxgeom=2 * model.ngeom + 300)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_FOG] = 1
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._rect = mujoco.MjrRect(0, 0, *size)

    def _prepare_model(self) -> None:
        """What MuJoCo reads from the model about buffers, fog and clipping; without a graphics card, less of it."""
        model, software = self.stage.model, self.software
        model.vis.global_.offwidth, model.vis.global_.offheight = self.size
        model.vis.quality.offsamples = 0 if software else 8
        model.vis.quality.shadowsize = 1024 if software else 4096
        model.stat.extent = _EXTENT_M
        model.vis.map.znear, model.vis.map.zfar, model.vis.map.shadowclip = 0.03, 20.0, 0.8
        model.vis.map.fogstart, model.vis.map.fogend = (metres / _EXTENT_M for metres in FADE_M)
        model.vis.rgba.fog[:] = [*BACKGROUND, 1.0]
        if software:
            thin_meshes(model, _SOFTWARE_CELL_M)

    def render(self, qpos: np.ndarray | None, ghost_qpos: np.ndarray | None, camera: Camera) -> np.ndarray:
        """One picture, (height, width, 3) uint8. The ghost is an opaque picture of its own, laid over the first."""
        self.stage.model.vis.global_.fovy = camera.fovy
        image, depth = self._draw(qpos, camera, ghost=False)
        if ghost_qpos is not None:
            other, other_depth = self._draw(ghost_qpos, camera, ghost=True)
            floor = camera.floor_depth(self.size, self.stage.floor_z) * (1 - _FLOOR_TOLERANCE)
            robot, ghost = depth < floor, other_depth < floor
            before = ghost & (~robot | (other_depth < depth - GHOST_BEHIND_M))
            shadow = np.minimum(other - image, 0) * ~(robot | ghost)[..., None]
            image += GHOST_ALPHA * np.where(before[..., None], other - image, shadow)
        if self.software:
            luma = image.sum(axis=-1)
            smooth_edges(image, lambda axis: np.abs(np.diff(luma, axis=axis)) > _EDGE_LUMA)
        return (image + 0.5).astype(np.uint8)

    def close(self) -> None:
        """Free the context, while it is current: the interpreter's own order would not."""
        if self._gl is not None:
            self._gl.make_current()
            self._context.free()
            self._gl.free()
            self._gl = None

    def _draw(self, qpos: np.ndarray | None, camera: Camera, *, ghost: bool) -> tuple[np.ndarray, np.ndarray]:
        """One pose on the floor: colours (H, W, 3) in [0, 255] and depths (H, W) [m], float32."""
        if self._gl is None:
            raise RuntimeError("this renderer is closed")
        self._gl.make_current()  # another renderer may have drawn since: textures and shapes are its own
        scene = self._scene
        scene.ngeom = 0
        mujoco.mjv_updateCamera(self.stage.model, self._data, camera.to_mujoco(), scene)
        self._add_floor(camera)
        if qpos is not None:
            self._add_robot(qpos, ghost)
        self._set_lights(camera)
        mujoco.mjr_render(self._rect, scene, self._context)
        image = np.empty((self.size[1], self.size[0], 3), np.uint8)
        buffer = np.empty((self.size[1], self.size[0]), np.float32)
        mujoco.mjr_readPixels(image, buffer, self._rect, self._context)
        near, far = (_EXTENT_M * clip for clip in (self.stage.model.vis.map.znear, self.stage.model.vis.map.zfar))
        depth = near * far / (far - buffer[::-1] * (far - near))
        return image[::-1].astype(np.float32), depth

    def _add_robot(self, qpos: np.ndarray, ghost: bool) -> None:
        model, scene, first = self.stage.model, self._scene, self._scene.ngeom
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(model, self._data)
        mujoco.mjv_addGeoms(model, self._data, self._option, mujoco.MjvPerturb(), mujoco.mjtCatBit.mjCAT_ALL, scene)
        drawn = self.stage.drawn
        for geom in scene.geoms[first : scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM and drawn[geom.objid]:
                geom.rgba[:] = [*(GHOST if ghost else self.stage.rgb[geom.objid]), 1.0]
                geom.matid, geom.texid, geom.reflectance = -1, -1, 0.0
                geom.specular, geom.shininess, geom.emission, geom.transparent = 0.25, 0.4, 0.0, 0
            else:
                geom.rgba[3] = 0.0

    def _add_floor(self, camera: Camera) -> None:
        """A plane and its lines around the camera's target, and behind it a wall that fog turns into background."""
        centre = np.round(camera.lookat[:2] / GRID_M) * GRID_M
        z, reach, level = self.stage.floor_z, FADE_M[1], np.eye(3)
        self._add(mujoco.mjtGeom.mjGEOM_PLANE, [reach + 5.0, reach + 5.0, 1.0], [*centre, z], level, FLOOR)
        for offset in np.arange(-reach / 2, reach / 2 + 1e-6, GRID_M):
            line = [centre[0], centre[1] + offset, z]
            self._add(mujoco.mjtGeom.mjGEOM_BOX, [reach, GRID_LINE_M, 5e-4], line, level, GRID_LINE)
            line = [centre[0] + offset, centre[1], z]
            self._add(mujoco.mjtGeom.mjGEOM_BOX, [GRID_LINE_M, reach, 5e-4], line, level, GRID_LINE)
        axes = camera.axes
        wall = camera.position + (reach + 2.0) * axes[2]
        self._add(mujoco.mjtGeom.mjGEOM_BOX, [60.0, 60.0, 0.01], wall, axes.T, BACKGROUND)

    def _add(self, kind: mujoco.mjtGeom, size: list, pos: np.ndarray | list, matrix: np.ndarray, rgb: np.ndarray) -> None:
        geom = self._scene.geoms[self._scene.ngeom]
        mujoco.mjv_initGeom(
            geom, kind, np.array(size, float), np.array(pos, float), matrix.ravel(), np.array([*rgb, 1.0], np.float32)
        )
        geom.specular, geom.shininess, geom.reflectance, geom.castshadow = 0.0, 0.0, 0.0, 0
        self._scene.ngeom += 1

    def _set_lights(self, camera: Camera) -> None:
        """A fill light from the camera, and a key light whose shadow thus stays a half shade."""
        direction = light_direction(camera.azimuth)
        fill, key = self._scene.lights[0], self._scene.lights[1]
        for light in (fill, key):
            light.type, light.texid, light.headlight = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, -1, 0
            light.attenuation[:], light.cutoff, light.exponent = [1, 0, 0], 90.0, 0.0
        fill.castshadow, key.castshadow = 0, 1
        fill.pos[:], fill.dir[:] = camera.position, camera.axes[2]
        key.pos[:], key.dir[:] = camera.lookat + 6.0 * direction, -direction
        fill.ambient[:], fill.diffuse[:], fill.specular[:] = 0.42, 0.3, 0.0
        key.ambient[:], key.diffuse[:], key.specular[:] = 0.0, 0.42, 0.3
        self._scene.nlight = 2


@cache
def find_gl() -> GLFound | None:
    """The first OpenGL context that renders, tried in a process of its own since drivers may crash; None without any."""
    if os.environ.get("MUJOCO_GL", "").lower() in _OFF:
        return None
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for context in _CONTEXTS.get(platform.system(), ("egl", "osmesa")):
        try:
            done = subprocess.run(
                [sys.executable, "-c", _PROBE, context],
                env=environment,
                capture_output=True,
                text=True,
                timeout=_PROBE_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        _, said, device = done.stdout.partition("renders with: ")
        if done.returncode == 0 and said:
            return GLFound(context, device.strip())
    return None


def probe(context: str) -> str:
    """Make a context in this process, draw something, and name the device. Raises (or crashes) where that fails."""
    model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size=".3"/></worldbody></mujoco>')
    renderer = GLRenderer(make_stage(model), (64, 64), context)
    camera = Camera(np.zeros(3), 2.0, 90.0, -10.0)
    image = renderer.render(np.zeros(0), None, camera)
    device = _device()
    renderer.close()
    if np.ptp(image) < 30:
        raise RuntimeError("the picture is blank")
    return device


def _device() -> str:
    """What draws for the current context."""
    from OpenGL import GL  # only once a context is current: importing it earlier would settle its platform

    return (GL.glGetString(GL.GL_RENDERER) or b"unknown").decode(errors="replace")


def _is_software() -> bool:
    """Whether the current context draws on the CPU (Mesa's llvmpipe and its kin)."""
    return any(word in _device().lower() for word in ("llvmpipe", "softpipe", "swrast", "software"))
