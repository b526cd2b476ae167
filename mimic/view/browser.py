"""What a browser shows: robots on a floor, and controls beside them. By viser, which is an extra (`pip install mimic-mjx[view]`).

Only the pose of each body is sent for a new picture; how fast the browser draws is its own affair.
"""

import socket
from collections.abc import Callable, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

import mujoco
import numpy as np

from mimic.view.geometry import body_triangles
from mimic.view.stage import BACKGROUND, FLOOR, GHOST, GHOST_ALPHA, GRID_LINE, GRID_M, make_stage
from motions.errors import InputError

LOOPBACK = "127.0.0.1"
RATE = "showStats"  # what viser's page takes for it
FLOOR_M = 4 * GRID_M  # between the heavier lines
WORLD = "/world"  # the node that all else hangs on: it moves, so that what moves through it stays before the cameras
CAMERA_M, LOOK_AT_M = (1.9, -1.9, 1.3), (0.0, 0.0, 0.8)  # where a camera is at first, and what it looks at


class Figure:
    """A model's bodies in the scene, under `name`. ghost: seen through. colour (3,): of all of it, instead of its own."""

    def __init__(
        self, scene: Any, name: str, model: mujoco.MjModel, *, ghost: bool = False, colour: np.ndarray | None = None
    ) -> None:
        one = GHOST if ghost else colour
        stage = make_stage(model)
        self.model, self.data = model, mujoco.MjData(model)
        self.parts: list[tuple[int, Any]] = []
        self._root, self.shift = scene.add_frame(f"{WORLD}/{name}", show_axes=False), np.zeros(3)
        for body in range(1, model.nbody):
            geoms = stage.moving[model.geom_bodyid[stage.moving] == body]
            colours = np.unique(stage.rgb[geoms], axis=0) if one is None else one[None]
            for index, rgb in enumerate(colours):
                alike = geoms[(stage.rgb[geoms] == rgb).all(axis=1)] if one is None else geoms
                if not len(alike):
                    continue
                vertices, faces = body_triangles(stage.model, alike)
                mesh = scene.add_mesh_simple(
                    f"{WORLD}/{name}/{body}/{index}", vertices.astype(np.float32), faces.astype(np.uint32), color=_bytes(rgb),
                    opacity=GHOST_ALPHA if ghost else None, cast_shadow=not ghost,
                )  # fmt: skip
                self.parts.append((body, mesh))

    def show(self, qpos: np.ndarray) -> None:
        """Put it into a pose (nq,)."""
        self.data.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, self.data)
        for body, mesh in self.parts:
            mesh.position, mesh.wxyz = self.data.xpos[body].copy(), self.data.xquat[body].copy()

    def place(self, shift: np.ndarray) -> None:
        """Draw it (3,) [m] beside where it is."""
        self._root.position = self.shift = shift

    def hide(self, hidden: bool) -> None:
        """Take it out of the scene, or back in."""
        self._root.visible = not hidden


class Window:
    """A scene with a floor, served at `host`:`port`. Raises `InputError` where that cannot be, or viser is absent."""

    def __init__(self, host: str, port: int, title: str) -> None:
        try:
            import viser  # pyright: ignore[reportMissingImports]: an extra
        except ImportError as error:
            raise InputError("mimic view needs viser: pip install 'mimic-mjx[view]'") from error
        _require_free(host, port)  # viser itself would look for another port, or wait for ever
        with redirect_stdout(StringIO()):  # it prints its address in a box
            self.server = viser.ViserServer(host=host, port=port, label=title, verbose=False)
        self.server.gui.configure_theme(show_share_button=False)
        self.server.request_share_url = lambda *_, **__: None  # no browser may put the page on the internet
        self.host = host
        scene = self.server.scene
        scene.set_up_direction("+z")
        scene.set_background_image(np.broadcast_to(np.array(_bytes(BACKGROUND), np.uint8), (2, 2, 3)))
        self.server.initial_camera.position, self.server.initial_camera.look_at = CAMERA_M, LOOK_AT_M
        self._world = scene.add_frame(WORLD, show_axes=False)
        self._floor = scene.add_grid(
            f"{WORLD}/floor", infinite_grid=True, cell_size=GRID_M, section_size=FLOOR_M, cell_color=_bytes(GRID_LINE),
            section_color=_bytes(0.85 * GRID_LINE), fade_distance=25.0, plane_color=_bytes(FLOOR), plane_opacity=1.0,
        )  # fmt: skip
        self.follows = True

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.server.get_port()}"

    @contextmanager
    def update(self):
        """What changes within reaches the browsers together."""
        with self.server.atomic():
            yield

    def look_at(self, place: np.ndarray) -> None:
        """Let the cameras go with what moves to (3,) [m], over the ground: by the world's moving past them, for a camera is its
        browser's, and what is sent to it would be as late as what is known of it."""
        if self.follows:
            self._world.position = -place * [1.0, 1.0, 0.0]
            self._floor.position = np.round(place / FLOOR_M) * FLOOR_M * [1.0, 1.0, 0.0]  # it is large, not endless

    def follow_control(self) -> None:
        """A checkbox for whether they do."""
        box = self.server.gui.add_checkbox("Camera goes along", True)
        box.on_update(lambda _: setattr(self, "follows", box.value))

    def rate_control(self) -> None:
        """A link to the same page with the browser's own count of its pictures per second: the server cannot know it."""
        self.server.gui.add_markdown(f"[How fast this browser draws](/?{RATE})")

    def in_world(self, place: tuple[float, float, float]) -> np.ndarray:
        """A place (3,) [m] as a browser's event names it, in the world's coordinates."""
        return np.array(place) - self._world.position

    def close(self) -> None:
        with redirect_stdout(StringIO()):
            self.server.stop()


def hide_control(window: Window, ghosts: Sequence[Figure]) -> None:
    """A checkbox for whether the reference is shown."""
    box = window.server.gui.add_checkbox("Reference", True)

    def change() -> None:
        for ghost in ghosts:
            ghost.hide(not box.value)

    box.on_update(lambda _: change())


def _require_free(host: str, port: int) -> None:
    """Raise `InputError` where nothing can listen."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0], socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot listen at {host}:{port} ({error}): try another --port") from error


def on_click(button: Any, do: Callable[[], None]) -> None:
    button.on_click(lambda _: do())


def on_key(gui: Any, key: str, label: str, do: Callable[[], None]) -> None:
    """Let a key of the keyboard do something, in every browser that looks; `label` is what the list of keys calls it."""
    gui.add_command(label, hotkey=key).on_trigger(lambda _: do())


def _bytes(rgb: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (round(255 * float(part)) for part in rgb)
    return red, green, blue
