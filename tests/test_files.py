"""Files that are there whole or not at all."""

import json
import os
from pathlib import Path

import pytest

from motions.files import whole, write_json


def test_the_file_appears_at_the_end(tmp_path: Path):
    path = tmp_path / "clip.npz"
    with whole(path) as partial:
        partial.write_text("new")
        assert not path.exists()
        assert partial.suffix == ".npz"
        assert partial.parent == tmp_path
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["clip.npz"]


def fill_up(path: Path) -> None:
    with whole(path) as partial:
        partial.write_text("half of i")
        raise OSError("full")


def test_what_raises_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "clip.npz"
    path.write_text("old")
    with pytest.raises(OSError, match="full"):
        fill_up(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["clip.npz"]


def test_json(tmp_path: Path):
    write_json(tmp_path / "a.json", {"frames": 3, "name": "walk"})
    assert json.loads((tmp_path / "a.json").read_text()) == {"frames": 3, "name": "walk"}
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"frames": object()})
    assert json.loads((tmp_path / "a.json").read_text())["frames"] == 3
