"""A policy in a few seconds and few pixels, as a GIF: for logs, where an mp4 would not play."""

import io
from contextlib import closing

import mujoco
import numpy as np
from PIL import Image

from mimic.view.renderer import make_renderer
from mimic.view.video import shots

SIZE, SECONDS, RATE_HZ = (160, 120), 4.0, 10.0
COLOURS = 64  # of a picture: the robot, its ghost, floor and sky need few


def film(model: mujoco.MjModel, qpos: np.ndarray, reference_qpos: np.ndarray | None, fps: float) -> bytes | None:
    """The first `SECONDS` of `qpos` (F, nq) at `fps`, over the ghost of `reference_qpos`; None where the physics broke at once.

    Drawn in software: so few pixels cost less than a context of OpenGL, which moreover would belong to one thread.
    """
    every = max(round(fps / RATE_HZ), 1)
    whole = int(np.argmin([*np.isfinite(qpos).all(axis=1), False]))
    keep = range(0, min(whole, round(SECONDS * fps)), every)
    if len(keep) < 2:
        return None
    aim = None if reference_qpos is None else reference_qpos[:whole]
    with closing(make_renderer(model, SIZE, "raster")) as drawer:
        pictures = [
            Image.fromarray(drawer.render(qpos[frame], ghost, camera)).quantize(COLOURS, dither=Image.Dither.NONE)
            for frame, camera, ghost in shots(model, qpos[:whole], aim, fps, SIZE, "over", keep)
        ]
    out = io.BytesIO()
    first, *others = pictures
    first.save(out, "GIF", save_all=True, append_images=others, duration=round(1000 * every / fps), loop=0)
    return out.getvalue()
