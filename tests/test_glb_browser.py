"""GLB as three.js reads it: in the viewer's page, which is made of it, a written file is loaded, seen and plays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Browser, until
from stick import stick_body, stick_walk

from motions.formats.glb import write_glb

viser = pytest.importorskip("viser", reason="viser is not installed: pip install 'mimic-mjx[view]'")

SCENE = (320, 650)  # columns of the picture that no controls cover


@pytest.fixture
def server() -> Iterator[Any]:
    server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False)
    server.initial_camera.position, server.initial_camera.look_at = (3.0, 1.0, 3.0), (0.0, 1.0, 0.0)  # the file's y is up
    server.scene.set_up_direction("+y")
    yield server
    server.stop()


def test_three_js_loads_a_motion_and_plays_it(chromium: Browser, server: Any, tmp_path: Path):
    write_glb(stick_walk(), tmp_path / "walk.glb", body=stick_body())
    chromium.open(f"http://127.0.0.1:{server.get_port()}")
    chromium.element("//canvas")
    until(lambda: server.get_clients(), "the page's call")

    def seen() -> np.ndarray:
        return chromium.picture()[:, slice(*SCENE)].astype(int)

    def settled() -> bool:
        first, second = seen(), seen()
        return bool((first == second).all())

    until(settled, "a page that is still")
    empty = seen()
    server.scene.add_glb("/walk", (tmp_path / "walk.glb").read_bytes())

    def changed(before: np.ndarray) -> int:
        return int((np.abs(seen() - before).max(axis=-1) > 20).sum())

    until(lambda: changed(empty) > 500, "a body to be seen")
    first = seen()
    until(lambda: changed(first) > 200, "the body to move")
    chromium.keep("glb")
    assert chromium.console_errors() == []
    assert chromium.strangers() == []
