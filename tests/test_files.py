"""Files that are there whole or not at all."""

import json
import os
import tomllib
from pathlib import Path

import pytest

from motions.files import toml_text, whole, write_json


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


@pytest.mark.parametrize("text", ['a "b" \\c', "line\nend\x7f\t", "Ärger\u2028日本"])
def test_a_text_in_toml_is_a_value_and_a_key(text: str):
    assert tomllib.loads(f"{toml_text(text)} = {toml_text(text)}") == {text: text}
    assert "\n" not in toml_text(text)
