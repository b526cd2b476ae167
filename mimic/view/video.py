"""Pictures and videos of a controller, beside or under the translucent ghost of what it was to do."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mimic.view.camera import Camera, follow, view_azimuth
from mimic.view.renderer import Renderer, RendererName, make_renderer
from mimic.view.stage import GHOST, ROBOT_DARK, geom_positions, make_stage
from motions.errors import InputError
from motions.files import whole

Overlay = Literal["beside", "over"]
_BESIDE_M = (0.6, 2.0)  # the ghost's distance to the right of the robot, at least and at most
_LOOKS = 48  # poses that are looked at to place ghost and camera
_QUALITY = 8  # imageio-ffmpeg's scale, 0 to 10


def write_video(
    path: str | Path,
    model: mujoco.MjModel,
    qpos: np.ndarray,
    reference_qpos: np.ndarray | None,
    fps: float,
    *,
    size: tuple[int, int] = (640, 480),
    overlay: Overlay = "beside",
    renderer: RendererName = "auto",
    every: int = 1,
    title: str = "",
) -> str:
    """Write an mp4 (H.264, yuv420p) that plays `qpos` (F, nq) at `fps`, and return the renderer's name.

    `reference_qpos` (F, nq), if any, is drawn as a translucent ghost beside the robot or over it. `every` n-th frame is
    kept. `size` (width, height) must be even. The file appears when it is whole. For looks, pass a model with its
    visual meshes (`load_robot(..., visuals=True)`); any model of the same joints will do. Raises `InputError` for a
    path that is no .mp4 or cannot be written.
    """
    if size[0] % 2 or size[1] % 2:
        raise ValueError(f"H.264 wants an even width and height, got {size}")
    path = _writable(path, ".mp4")
    require_ffmpeg()
    keep = range(0, len(qpos), every)
    drawer = make_renderer(model, size, renderer)
    with closing(drawer), whole(path) as partial, film_writer(partial, size, fps / every) as write:
        for frame, camera, ghost in shots(model, qpos, reference_qpos, fps, size, overlay, keep):
            image = drawer.render(qpos[frame], ghost, camera)
            write(_labelled(image, title, f"{frame / fps:.1f} s", ghost is not None))
    return drawer.name


@contextmanager
def film_writer(path: Path, size: tuple[int, int], fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Called with one picture (H, W, 3) uint8 after the other, writes an mp4 (H.264, yuv420p) of `size` (width, height)."""
    import imageio_ffmpeg

    writer = imageio_ffmpeg.write_frames(
        str(path),
        size,
        fps=fps,  # pyright: ignore[reportArgumentType]: a float is fine
        codec="libx264",
        pix_fmt_out="yuv420p",
        quality=_QUALITY,
        macro_block_size=2,
        output_params=["-movflags", "+faststart"],
    )
    writer.send(None)
    with closing(writer):
        yield lambda picture: writer.send(np.ascontiguousarray(picture))


def contact_sheet(
    path: str | Path,
    model: mujoco.MjModel,
    qpos: np.ndarray,
    reference_qpos: np.ndarray | None,
    fps: float,
    *,
    frames: int = 8,
    columns: int = 4,
    size: tuple[int, int] = (300, 300),
    overlay: Overlay = "over",
    renderer: RendererName = "auto",
) -> str:
    """Write a PNG of `frames` moments spread evenly over the clip, each of `size`; returns the renderer's name."""
    keep = np.unique(np.linspace(0, len(qpos) - 1, frames).round().astype(int))
    rows = -(-len(keep) // columns)
    path = _writable(path, ".png")
    sheet = Image.new("RGB", (columns * size[0], rows * size[1]), "white")
    with closing(make_renderer(model, size, renderer)) as drawer:
        for index, image in enumerate(moments(drawer, model, qpos, reference_qpos, fps, keep, size, overlay=overlay)):
            sheet.paste(Image.fromarray(image), (index % columns * size[0], index // columns * size[1]))
    sheet.save(path)
    return drawer.name


def moments(
    drawer: Renderer,
    model: mujoco.MjModel,
    qpos: np.ndarray,
    reference_qpos: np.ndarray | None,
    fps: float,
    frames: Sequence[int] | np.ndarray,
    size: tuple[int, int],
    *,
    overlay: Overlay = "over",
) -> Iterator[np.ndarray]:
    """Pictures (H, W, 3) of the `frames` of a motion, each with its time, by a `drawer` made for this model and size."""
    for frame, camera, ghost in shots(model, qpos, reference_qpos, fps, size, overlay, frames):
        yield _labelled(drawer.render(qpos[frame], ghost, camera), "", f"{frame / fps:.1f} s", False)


def picture(
    path: str | Path,
    model: mujoco.MjModel,
    qpos: np.ndarray,
    reference_qpos: np.ndarray | None = None,
    *,
    size: tuple[int, int] = (640, 480),
    overlay: Overlay = "over",
    renderer: RendererName = "auto",
) -> str:
    """Write a PNG of one pose `qpos` (nq); returns the renderer's name."""
    path = _writable(path, ".png")
    reference = None if reference_qpos is None else reference_qpos[None]
    drawer = make_renderer(model, size, renderer)
    try:
        _, camera, ghost = next(shots(model, qpos[None], reference, 1.0, size, overlay, [0]))
        image = drawer.render(qpos, ghost, camera)
    finally:
        drawer.close()
    Image.fromarray(image).save(path)
    return drawer.name


def shots(
    model: mujoco.MjModel,
    qpos: np.ndarray,
    reference_qpos: np.ndarray | None,
    fps: float,
    size: tuple[int, int],
    overlay: Overlay,
    keep: Sequence[int] | np.ndarray,
) -> Iterator[tuple[int, Camera, np.ndarray | None]]:
    """For every frame of `keep`: its number, its camera, and the ghost's qpos (moved aside if it stands beside)."""
    if reference_qpos is not None and reference_qpos.shape != qpos.shape:
        raise ValueError(f"robot and reference differ in shape: {qpos.shape} and {reference_qpos.shape}")
    if qpos.shape[1] != model.nq:
        raise ValueError(f"qpos has {qpos.shape[1]} columns, the model has nq = {model.nq}")
    stage, azimuth = make_stage(model), view_azimuth(qpos)
    some = np.unique(np.linspace(0, len(qpos) - 1, _LOOKS).round().astype(int))
    points = geom_positions(stage, qpos[some])
    shift, margin = np.zeros(3), stage.model.geom_rbound[stage.moving]
    right = np.array([np.sin(np.radians(azimuth)), -np.cos(np.radians(azimuth)), 0.0])
    if reference_qpos is not None:
        ghosts = geom_positions(stage, reference_qpos[some])
        if overlay == "beside":
            shift = right * _beside(points @ right, ghosts @ right, margin)
        points, margin = np.concatenate([points, ghosts + shift], axis=1), np.tile(margin, 2)
    cameras = follow(qpos[:, :3], fps, points=points, margin=margin, frames=some, azimuth=azimuth, aspect=size[0] / size[1])
    for frame in keep:
        ghost = None
        if reference_qpos is not None:
            ghost = np.array(reference_qpos[frame], dtype=float)
            ghost[:3] += shift
        yield int(frame), cameras[frame], ghost


def _beside(robot: np.ndarray, ghost: np.ndarray, margin: np.ndarray) -> float:
    """How far to the right the ghost must stand never to cover the robot [m]; coordinates to the right (S, P) [m]."""
    gap = (robot + margin).max(1) - (ghost - margin).min(1)
    return float(min(max(gap.max(), _BESIDE_M[0]), _BESIDE_M[1]))


def _labelled(image: np.ndarray, title: str, time: str, legend: bool) -> np.ndarray:
    """The picture with its title above left, the time above right, and who is who below left."""
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(max(11, canvas.height // 30))
    margin, ink = canvas.height // 40, tuple((255 * ROBOT_DARK).astype(int))
    draw.text((margin, margin), title, ink, font)
    draw.text((canvas.width - margin, margin), time, ink, font, anchor="ra")
    if legend:
        left, bottom = margin, canvas.height - margin
        for text, colour in (("controller", ink), ("reference", tuple((255 * GHOST).astype(int)))):
            draw.text((left, bottom), text, colour, font, anchor="ls")
            left += draw.textlength(text, font) + 2 * margin
    return np.asarray(canvas)


def _writable(path: str | Path, suffix: str) -> Path:
    """The path, its folder made. Raises `InputError` for another suffix or where nothing can be written."""
    path = Path(path)
    if path.suffix.lower() != suffix:
        raise InputError(f"{path}: expected a file name that ends in {suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(None, "no permission")
    except OSError as error:
        raise InputError(f"cannot write in {path.parent}: {error.strerror}") from error
    return path


def require_ffmpeg() -> None:
    """Raise `InputError` where imageio-ffmpeg brought no program and none is installed."""
    import imageio_ffmpeg

    try:
        imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise InputError("no ffmpeg for videos: install one, or name it in IMAGEIO_FFMPEG_EXE") from error
