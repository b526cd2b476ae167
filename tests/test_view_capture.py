"""Pictures and films of what a browser sees, with a browser that is played by the test."""

import io
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("viser", reason="viser is not installed: pip install 'mimic-mjx[view]'")

from mimic.view.browser import Window
from mimic.view.capture import Capture, encoded_film

HEIGHT, WIDTH = 63, 81


class Client:
    """Draws pictures that grow brighter, and keeps what it is given."""

    def __init__(self) -> None:
        self.camera = SimpleNamespace(image_height=HEIGHT, image_width=WIDTH)
        self.kept: dict[str, bytes] = {}
        self.told: list[str] = []
        self.drawn = 0

    def get_render(self, height: int, width: int, **_: Any) -> np.ndarray:
        self.drawn += 1
        return np.full((height, width, 3), min(8 * self.drawn, 255), np.uint8)

    def send_file_download(self, name: str, content: bytes, *, save_immediately: bool) -> None:
        assert save_immediately
        self.kept[name] = content

    def add_notification(self, title: str, body: str, **_: Any) -> Any:
        self.told.append(f"{title}: {body}")
        return SimpleNamespace(remove=lambda: None)


@pytest.fixture
def capture():
    window = Window("127.0.0.1", 0, "keep")
    yield Capture(window, "../<b>walk</b>.npz")
    window.close()


def test_a_picture_is_as_large_as_what_is_seen_and_its_name_is_a_name(capture: Capture):
    client = Client()
    capture._guarded(client, capture._picture)
    ((name, content),) = client.kept.items()
    assert "/" not in name
    assert "<" not in name
    assert name.endswith(".png")
    assert Image.open(io.BytesIO(content)).size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_a_film_goes_on_until_the_button_is_pressed_again(capture: Capture, kind: str):
    client = Client()
    capture.kind.value = kind
    work = threading.Thread(target=capture._guarded, args=(client, capture._film))
    work.start()
    while client.drawn < 3:
        time.sleep(0.01)
    capture._guarded(client, capture._film)
    work.join()
    ((name, content),) = client.kept.items()
    assert name.endswith(kind)
    assert content[4:8] == b"ftyp" if kind == "mp4" else content[:4] == b"GIF8"
    assert "Kept" in client.told[-1]


def test_a_gif_has_all_pictures_and_their_time():
    pictures = [np.full((8, 10, 3), 40 * index, np.uint8) for index in range(5)]
    film = Image.open(io.BytesIO(encoded_film(pictures, 10.0, "gif")))
    assert film.n_frames == 5
    assert film.info["duration"] == 100


def test_a_browser_that_leaves_is_said(capture: Capture):
    client = Client()

    def gone(*_: Any, **__: Any) -> np.ndarray:
        raise RuntimeError("the client disconnected")

    client.get_render = gone
    capture._guarded(client, capture._picture)
    assert client.told == ["Not kept: the client disconnected"]
