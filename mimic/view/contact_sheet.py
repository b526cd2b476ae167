"""A dozen moments of a retargeted clip: the captured skeleton and, beside it, the robot."""

from collections.abc import Callable, Sequence
from pathlib import Path

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mimic.view.camera import Camera, follow, view_azimuth
from mimic.view.renderer import RendererName, make_renderer
from mimic.view.stage import ROBOT_DARK, geom_positions, make_stage
from motions.errors import InputError
from motions.motion import Motion
from motions.skeleton import SkeletonMotion

_BONE_RGB = "0.20 0.52 0.90"
_SHORTEST_BONE_M, _BONE_WIDTH, _BONE_RADIUS_M = 0.015, 0.11, (0.010, 0.035)
_INK, _ALARM = tuple((255 * ROBOT_DARK).astype(int)), (200, 30, 30)
_LOOKS = 48  # poses that are looked at to place a camera
_TITLE_PX, _GAP_PX = 26, 4

Picture = Callable[[int], np.ndarray]  # a frame of the robot's motion to an image


def retarget_sheet(
    path: str | Path,
    model: mujoco.MjModel,
    motion: Motion,
    source: SkeletonMotion | None,
    *,
    poses: int = 12,
    columns: int = 4,
    size: tuple[int, int] = (180, 240),
    title: str = "",
    failing: Sequence[int] = (),
    renderer: RendererName = "auto",
) -> str:
    """Write a PNG of `poses` moments spread evenly over the clip; returns the renderer's name.

    Each moment is the skeleton of `source`, if given, and the robot at the same time, both filling their picture, of `size`
    (width, height), from the same direction. Times of frames among `failing` are red. Raises `InputError` for a path that is
    no .png, or a model of other joints.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: expected a file name that ends in .png")
    if model.nq != motion.qpos.shape[1]:
        raise InputError(f"motion {motion.name!r} has {motion.qpos.shape[1]} columns, the robot to draw has nq = {model.nq}")
    azimuth = view_azimuth(motion.qpos)
    pictures: list[Picture] = []
    robot, name = _film(model, motion.qpos, motion.fps, motion.qpos[:, :3], size, azimuth, renderer)
    if source is not None:
        pos, _ = source.forward_kinematics()
        bones, tracks = _bone_model(source, pos)
        skeleton, _ = _film(bones, tracks, source.fps, pos[:, 0], size, azimuth, renderer)
        rate, last = source.fps / motion.fps, source.num_frames - 1
        pictures.append(lambda frame: skeleton(min(round(frame * rate), last)))
    pictures.append(robot)
    keep = np.unique(np.linspace(0, motion.num_frames - 1, poses).round().astype(int))
    cells = [_cell([draw(int(f)) for draw in pictures], f"{f / motion.fps:.2f} s", int(f) in failing) for f in keep]
    legend = f"captured | {motion.robot}" if source is not None else motion.robot
    sheet = _tiled(cells, columns, title or motion.name, legend)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return name


def _film(
    model: mujoco.MjModel,
    qpos: np.ndarray,
    fps: float,
    root: np.ndarray,
    size: tuple[int, int],
    azimuth: float,
    renderer: RendererName,
) -> tuple[Picture, str]:
    """A function from frame to picture, with a camera that follows `root` (F, 3); and the renderer's name."""
    stage = make_stage(model)
    some = np.unique(np.linspace(0, len(qpos) - 1, _LOOKS).round().astype(int))
    points, margin = geom_positions(stage, qpos[some]), stage.model.geom_rbound[stage.moving]
    cameras = follow(root, fps, points=points, margin=margin, frames=some, azimuth=azimuth, aspect=size[0] / size[1])
    drawer = make_renderer(model, size, renderer)

    def draw(frame: int) -> np.ndarray:
        camera: Camera = cameras[frame]
        return drawer.render(qpos[frame], None, camera)

    return draw, drawer.name


def _bone_model(source: SkeletonMotion, pos: np.ndarray) -> tuple[mujoco.MjModel, np.ndarray]:
    """Every bone as a free capsule, and their poses (F, 7 bones): what a renderer of robots can draw.

    `pos` (F, J, 3) [m]. The skeleton is set down so that its lowest point ever touches the floor.
    """
    pairs = [(p, j) for j, p in enumerate(source.skeleton.parents) if p >= 0]
    lengths = np.array([np.median(np.linalg.norm(pos[:, j] - pos[:, p], axis=1)) for p, j in pairs])
    pairs = [pair for pair, length in zip(pairs, lengths) if length > _SHORTEST_BONE_M]
    lengths = lengths[lengths > _SHORTEST_BONE_M]
    if not pairs:
        raise InputError(f"captured motion {source.name!r} has no bone longer than {100 * _SHORTEST_BONE_M:g} cm to draw")
    radii = np.clip(_BONE_WIDTH * lengths, *_BONE_RADIUS_M)
    bodies = "".join(
        f'<body><freejoint/><geom type="capsule" size="{r:.4f} {h / 2:.4f}" rgba="{_BONE_RGB} 1"/></body>'
        for r, h in zip(radii, lengths)
    )
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{bodies}</worldbody></mujoco>")
    near, far = (pos[:, [pair[i] for pair in pairs]] for i in (0, 1))
    qpos = np.concatenate([0.5 * (near + far), _from_z(far - near)], axis=-1)
    qpos[..., 2] -= (np.minimum(near, far)[..., 2] - radii).min()
    return model, qpos.reshape(len(pos), -1)


def _from_z(direction: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4) that turn +z to the directions (..., 3): half way there, doubled."""
    unit = direction / np.maximum(np.linalg.norm(direction, axis=-1, keepdims=True), 1e-9)
    x, y, z = (unit[..., i] for i in range(3))
    quat = np.stack([1.0 + z, -y, x, np.zeros_like(z)], axis=-1)
    quat[1.0 + z < 1e-6] = [0.0, 1.0, 0.0, 0.0]  # straight down
    return quat / np.linalg.norm(quat, axis=-1, keepdims=True)


def _cell(images: list[np.ndarray], time: str, alarm: bool) -> Image.Image:
    """The pictures of one moment side by side, with its time."""
    canvas = Image.fromarray(np.concatenate(images, axis=1))
    font = ImageFont.load_default(max(11, canvas.height // 18))
    ImageDraw.Draw(canvas).text((canvas.width - 5, 3), time, _ALARM if alarm else _INK, font, anchor="ra")
    return canvas


def _tiled(cells: list[Image.Image], columns: int, title: str, legend: str) -> Image.Image:
    """The cells in rows below a line with the title, and what is what."""
    width, height = cells[0].size
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * (width + _GAP_PX) - _GAP_PX, _TITLE_PX + rows * (height + _GAP_PX) - _GAP_PX), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    room = sheet.width - 32 - draw.textlength(legend, font)
    while len(title) > 1 and draw.textlength(title, font) > room:
        title = title[:-2] + "…"
    draw.text((sheet.width - 8, _TITLE_PX / 2), legend, _INK, font, anchor="rm")
    draw.text((8, _TITLE_PX / 2), title, _INK, font, anchor="lm")
    for index, cell in enumerate(cells):
        row, column = divmod(index, columns)
        sheet.paste(cell, (column * (width + _GAP_PX), _TITLE_PX + row * (height + _GAP_PX)))
    return sheet
