"""What a browser sees, as a picture or a film that it is given to keep."""

import io
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mimic.view.browser import Window
from mimic.view.video import film_writer, require_ffmpeg
from motions.errors import InputError

FORMATS = ("mp4", "gif")
MOST_S = 20.0  # of a film: it is kept in memory until it is written
RATE = {"mp4": 30.0, "gif": 15.0}  # pictures a second at most
SIDE = 720  # of a film's picture, the longer one, at most
TIMEOUT_S = 20.0
PAUSE_S = 5.0  # how long a notice stays


class Capture:
    """Buttons for both. A film goes on until the button is pressed again, or for `MOST_S`; without a browser nothing is drawn."""

    def __init__(self, window: Window, name: str) -> None:
        gui, self.name = window.server.gui, re.sub(r"[^\w.-]+", "_", name)[:40] or "view"
        self._over: threading.Event | None = None  # of the film that is being made
        with gui.add_folder("Keep", expand_by_default=False):
            gui.add_button("Picture").on_click(lambda event: self._guarded(event.client, self._picture))
            self.kind = gui.add_dropdown("Film as", FORMATS)
            gui.add_button("Film: begin / end").on_click(lambda event: self._guarded(event.client, self._film))

    def _guarded(self, client: Any, make: Any) -> None:
        """In a thread of viser's own. Says in the browser what goes wrong."""
        if client is None:
            return
        try:
            make(client)
        except (InputError, OSError, RuntimeError, TimeoutError) as error:
            client.add_notification("Not kept", str(error), color="red")

    def _picture(self, client: Any) -> None:
        pixels = client.get_render(*_size(client), transport_format="jpeg", timeout=TIMEOUT_S)
        client.send_file_download(f"{self.name}.png", encoded_picture(pixels), save_immediately=True)

    def _film(self, client: Any) -> None:
        if self._over is not None:
            self._over.set()
            return
        if (kind := self.kind.value) == "mp4":
            require_ffmpeg()  # before anything is filmed
        self._over = threading.Event()
        notice = client.add_notification("Filming", "until the button is pressed again", loading=True, with_close_button=False)
        try:
            pictures, seconds = self._pictures(client, RATE[kind])
        finally:
            self._over = None
            notice.remove()
        fps = max(len(pictures) - 1, 1) / max(seconds, 1e-3)
        client.send_file_download(f"{self.name}.{kind}", encoded_film(pictures, fps, kind), save_immediately=True)
        client.add_notification("Kept", f"{len(pictures)} pictures of {seconds:.1f} s", auto_close_seconds=PAUSE_S)

    def _pictures(self, client: Any, rate: float) -> tuple[list[np.ndarray], float]:
        """As fast as the browser draws them, `rate` a second at most; and how long that took [s]."""
        height, width = _size(client)
        scale = min(1.0, SIDE / max(height, width))
        size = (round(height * scale) // 2 * 2, round(width * scale) // 2 * 2)  # H.264 wants even ones
        pictures: list[np.ndarray] = []
        began = last = time.perf_counter()
        assert self._over is not None
        while not self._over.is_set() and time.perf_counter() - began < MOST_S:
            last = time.perf_counter()
            pictures.append(client.get_render(*size, transport_format="jpeg", timeout=TIMEOUT_S)[..., :3])
            self._over.wait(max(0.0, 1.0 / rate - (time.perf_counter() - last)))
        return pictures, last - began


def encoded_picture(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., :3]).save(file, "PNG")
    return file.getvalue()


def encoded_film(pictures: list[np.ndarray], fps: float, kind: str) -> bytes:
    """Pictures (H, W, 3) uint8 as one of `FORMATS`. Raises `InputError` where there is no ffmpeg."""
    if kind == "gif":
        file, frames = io.BytesIO(), [Image.fromarray(picture) for picture in pictures]
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=round(1000.0 / fps), loop=0)
        return file.getvalue()
    require_ffmpeg()
    height, width, _ = pictures[0].shape
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        with film_writer(path, (width, height), fps) as write:
            for picture in pictures:
                write(picture)
        return path.read_bytes()


def _size(client: Any) -> tuple[int, int]:
    """Height and width of what is seen."""
    return client.camera.image_height, client.camera.image_width
