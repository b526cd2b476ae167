"""A renderer for this machine: OpenGL through EGL or OSMesa where one of them works, else the software one."""

import warnings
from collections.abc import Callable
from typing import Literal, Protocol

import mujoco
import numpy as np

from mimic.view.camera import Camera
from mimic.view.gl import GLRenderer, find_gl
from mimic.view.raster import RasterRenderer
from mimic.view.stage import make_stage
from motions.errors import unknown_name

RendererName = Literal["auto", "egl", "osmesa", "cgl", "glfw", "raster"]


class Renderer(Protocol):
    """Draws one picture at a time: a robot in one pose, the ghost of a reference in another, either may be None."""

    name: str

    def render(self, qpos: np.ndarray | None, ghost_qpos: np.ndarray | None, camera: Camera) -> np.ndarray: ...

    def close(self) -> None: ...


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
