"""Who is told of a training: TensorBoard's file, read back, and a stand-in for Weights & Biases."""

import dataclasses
import importlib.util
import io
import json
import struct
import sys
import types
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from commands import refusal
from PIL import Image
from tensorboardX.proto.event_pb2 import Event
from tiny import tiny_motion, tiny_robot
from tiny_run import new_run

from mimic.config_log import LogConfig
from mimic.runs import open_run, resume_run
from mimic.training.hosts import is_first
from mimic.training.journal import Journal, titled
from mimic.training.loggers import FILM, LAYOUT
from mimic.view.film import SIZE, film

ROBOT, MOTION = tiny_robot(), tiny_motion()


def events(folder: Path) -> list[Event]:
    """All that TensorBoard would read: records of a length (8 bytes), its checksum (4), the event, its checksum (4)."""
    (file,) = folder.glob("events.out.tfevents.*")
    data, found = file.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


@pytest.fixture(scope="module")
def gif() -> bytes:
    qpos = np.tile(MOTION.qpos, (3, 1))
    made = film(ROBOT.model, qpos, qpos, 60.0)
    assert made is not None
    return made


def test_a_film_plays_small_and_moves(gif: bytes):
    with Image.open(io.BytesIO(gif)) as picture:
        assert (picture.format, picture.size) == ("GIF", SIZE)
        count, milliseconds = picture.n_frames, picture.info["duration"]
        shots = [np.asarray(picture.convert("RGB")) for frame in range(count) if picture.seek(frame) is None]
    assert count * milliseconds / 1000 == pytest.approx(min(4.0, 3 * len(MOTION.qpos) / 60), rel=0.1)
    assert any((shots[0] != other).any() for other in shots[1:])
    assert len(gif) < 300_000


def test_what_broke_is_filmed_as_long_as_it_was_whole():
    qpos = np.tile(MOTION.qpos, (3, 1))
    broken = qpos.copy()
    broken[30:] = np.nan
    cut = film(ROBOT.model, broken, None, 60.0)
    assert cut is not None
    with Image.open(io.BytesIO(cut)) as picture:
        assert picture.n_frames == 5
    assert film(ROBOT.model, np.full_like(qpos, np.nan), None, 60.0) is None


def test_tensorboard_has_the_rows_their_layout_and_the_film(tmp_path: Path, gif: bytes):
    run = new_run(tmp_path / "run")
    with Journal(run, pytest.fail) as journal:
        journal.write(1, {"rollout/reward": 0.5, "time/env_steps_per_s": 10.0})
        journal.film(gif, 128)
    assert is_first()
    found = [(value.tag, event.step, value) for event in events(run.folder) for value in event.summary.value]
    assert [(step, value.simple_value) for tag, step, value in found if tag == "rollout/reward"] == [(128, 0.5)]
    assert [(step, value.image.encoded_image_string) for tag, step, value in found if tag == FILM] == [(128, gif)]
    (layout,) = [value for tag, _, value in found if "custom_scalars" in tag]
    assert all(title.encode() in layout.SerializeToString() for title in LAYOUT)
    assert json.loads(run.metrics_path.read_text())["rollout/reward"] == 0.5


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """As far as we use it."""
    module = MagicMock(spec=types.ModuleType("wandb"), init=MagicMock(), api=MagicMock(api_key=None), Video=MagicMock())
    module.__spec__ = importlib.machinery.ModuleSpec("wandb", None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    for name in ("WANDB_MODE", "WANDB_SILENT"):
        monkeypatch.delenv(name, raising=False)
    return module


def test_weights_and_biases_gets_the_same_rows_and_asks_nobody(tmp_path: Path, wandb: MagicMock, gif: bytes):
    run = new_run(tmp_path / "run", log=LogConfig(wandb="walks"))
    said: list[str] = []
    with Journal(run, said.append) as journal:
        journal.write(1, {"rollout/reward": 0.5, "time/env_steps_per_s": 10.0})
        journal.film(gif, 64)  # of the policy as it was before
    given = wandb.init.call_args.kwargs
    assert (given["project"], given["name"], given["mode"], given["resume"]) == ("walks", "run", "offline", "allow")
    assert given["config"]["preset"] == "tiny"
    assert "offline" in said[0]
    first, second = wandb.init.return_value.log.call_args_list
    assert first.args == ({"rollout/reward": 0.5, "time/env_steps_per_s": 10.0, "env_steps": 128},)
    assert second.args == ({FILM: wandb.Video.return_value, "env_steps": 64},)
    assert first.kwargs == second.kwargs == {}, "what comes at an older step than the last is dropped"
    wandb.init.return_value.define_metric.assert_called_once_with("*", step_metric="env_steps")
    wandb.init.return_value.finish.assert_called_once()
    with Journal(dataclasses.replace(open_run(run.folder), resumed=True), said.append):
        assert wandb.init.call_args.kwargs["id"] == given["id"]
    wandb.api.api_key = "secret"
    with Journal(run, pytest.fail):
        assert wandb.init.call_args.kwargs["mode"] == "online"


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is installed")
def test_without_the_package_its_extra_is_named_and_nothing_begun(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = tmp_path / "run"
    given = ("--robot", here / "tiny.toml", "--motion", here / "sway.npz", "--run-dir", folder, "--log.wandb", "walks")
    assert "pip install 'mimic-mjx[wandb]'" in refusal(capsys, "train", "humanoid", *given)
    assert not folder.exists()


def test_a_resume_may_change_who_is_told(tmp_path: Path):
    run = new_run(tmp_path / "run")
    wanted = dataclasses.replace(run.config, log=LogConfig(video=False, wandb="walks"))
    resumed, ignored = resume_run(run.folder, wanted)
    assert (resumed.config.log, ignored) == (wanted.log, [])
    _, ignored = resume_run(run.folder, dataclasses.replace(run.config, seed=9))
    assert len(ignored) == 1


def test_the_title_names_robot_clips_and_stage(tmp_path: Path):
    run = new_run(tmp_path / "run")
    assert titled(run, "") == f"tiny, {MOTION.name}"
    more = dataclasses.replace(run, motions=(MOTION, MOTION, MOTION))
    assert titled(more, "stage 1 of 3, the tracker") == f"stage 1 of 3, the tracker: tiny, {MOTION.name} and 2 more"
