"""Which renderer a machine has: OpenGL through EGL or OSMesa, else the software one; found out without risking the process."""

import importlib
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import cache
from typing import Literal, NamedTuple, Protocol

import mujoco
import numpy as np

from mimic.view.camera import Camera
from mimic.view.gl import GLRenderer
from mimic.view.raster import RasterRenderer
from mimic.view.stage import make_stage
from motions.errors import unknown_name

RendererName = Literal["auto", "egl", "osmesa", "cgl", "glfw", "raster"]
_CONTEXTS = {"Darwin": ("cgl",), "Windows": ("glfw",)}  # elsewhere EGL, then OSMesa
_OFF = ("off", "disable", "disabled", "false", "0")  # values of MUJOCO_GL with which MuJoCo itself makes no context
_PROBE_TIMEOUT_S = 60.0
_PROBE = "import sys; from mimic.view.renderer import probe; print('renders with:', probe(sys.argv[1]))"


class Renderer(Protocol):
    """Draws one picture at a time: a robot in one pose, the ghost of a reference in another, either may be None."""

    name: str

    def render(self, qpos: np.ndarray | None, ghost_qpos: np.ndarray | None, camera: Camera) -> np.ndarray: ...

    def close(self) -> None: ...


class GLFound(NamedTuple):
    """A context that renders on this machine, and what draws behind it."""

    context: str
    device: str


def make_renderer(model: mujoco.MjModel, size: tuple[int, int], renderer: RendererName = "auto") -> Renderer:
    """A renderer of pictures of `size` (width, height); `.name` says which it became. The model stays untouched.

    `auto`: the first OpenGL context that works, else `raster`. A named one is taken or raises what is wrong with it.
    """
    makers: dict[str, Callable[[], Renderer]] = {"raster": lambda: RasterRenderer(make_stage(model), size)}
    for context in ("egl", "osmesa", "cgl", "glfw"):
        makers[context] = lambda context=context: GLRenderer(make_stage(model), size, context)
    if renderer != "auto":
        if renderer not in makers:
            raise unknown_name("renderer", renderer, ["auto", *makers])
        return makers[renderer]()
    found = find_gl()
    if found is not None:
        try:
            return makers[found.context]()
        except Exception as error:  # whatever a driver throws here, a picture must come
            warnings.warn(f"OpenGL through {found.context} failed ({error}); drawing in software", stacklevel=2)
    return makers["raster"]()


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
    device = importlib.import_module("OpenGL.GL").glGetString(importlib.import_module("OpenGL.GL").GL_RENDERER)
    renderer.close()
    if np.ptp(image) < 30:
        raise RuntimeError("the picture is blank")
    return device.decode()
