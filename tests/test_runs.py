"""Run folders: what they hold, when they are refused, and what a resume may change."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot

import mimic.runs
from mimic.config import Config, PPOConfig, to_dict
from mimic.runs import (
    Run,
    create_run,
    differences,
    git_commit,
    is_free,
    keep_config,
    open_run,
    read_metrics,
    refuse_occupied,
    require_writable,
    resume_run,
    truncate_metrics,
)
from motions.errors import InputError

ROBOT = tiny_robot()
CONFIG = Config(preset="tiny", robot="tiny", seed=4, ppo=PPOConfig(discount=0.9), motion=("a.npz",))
MOTIONS = (tiny_motion(), dataclasses.replace(tiny_motion(61), name="odd /name\n\N{SNOWMAN}"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run(tmp_path / "deep" / "run", CONFIG, ROBOT, MOTIONS)


def test_a_run_can_be_opened_without_the_files_it_was_made_from(run: Run):
    again = open_run(run.folder)
    assert again.config == CONFIG
    assert [motion.name for motion in again.motions] == [motion.name for motion in MOTIONS]
    for motion, original in zip(again.motions, MOTIONS):
        np.testing.assert_allclose(motion.qpos, original.qpos, atol=1e-6)
        assert motion.licence == "Apache-2.0"
    assert again.robot.tracked_bodies == ROBOT.tracked_bodies
    np.testing.assert_array_equal(again.robot.kp, ROBOT.kp)
    np.testing.assert_array_equal(again.robot.default_qpos, ROBOT.default_qpos)
    np.testing.assert_array_equal(again.robot.model.body_mass, ROBOT.model.body_mass)
    np.testing.assert_array_equal(again.robot.model.actuator_biasprm, ROBOT.model.actuator_biasprm)
    assert not again.resumed


def test_config_json_says_what_made_it(run: Run):
    record = json.loads((run.folder / "config.json").read_text())
    assert record["config"] == json.loads(json.dumps(to_dict(CONFIG)))
    assert {"mimic", "python", "jax", "mujoco", "mujoco-mjx", "brax", "orbax-checkpoint"} <= record["versions"].keys()
    assert record["machine"]["cores"] >= 1
    assert record["git_commit"] == git_commit()
    assert record["started"].startswith("20")


def test_an_occupied_folder_is_refused_and_says_how_it_differs(run: Run):
    with pytest.raises(InputError, match=r"run holds a run with the same config: --resume .* --overwrite"):
        refuse_occupied(run.folder, CONFIG)
    other = dataclasses.replace(CONFIG, seed=5, ppo=PPOConfig(discount=0.8))
    with pytest.raises(
        InputError, match=r"another config \(seed: 5 \(the folder has 4\); ppo.discount: 0.8 \(the folder has 0.9\)\)"
    ):
        create_run(run.folder, other, ROBOT, MOTIONS)
    assert open_run(run.folder).config == CONFIG


def test_overwriting_leaves_nothing_of_the_old(run: Run):
    run.metrics_path.write_text("old\n")
    new = create_run(run.folder, dataclasses.replace(CONFIG, seed=5), ROBOT, MOTIONS[:1], overwrite=True)
    assert open_run(run.folder).config.seed == 5
    assert len(new.motions) == 1
    assert not run.metrics_path.exists()


def test_a_folder_of_something_else_is_never_touched(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is not a run folder; give another --run-dir"):
            create_run(tmp_path, CONFIG, ROBOT, MOTIONS, overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_killed_process_leaves_a_folder_that_a_run_may_begin_in(run: Run, monkeypatch: pytest.MonkeyPatch):
    """Killed while an old run is replaced, at any file: what is there is no run, and the same command works again."""
    for name in ("save_motion", "write_robot", "facts"):

        def killed(*_) -> None:
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr(mimic.runs, name, killed)
            with pytest.raises(SystemExit):
                create_run(run.folder, CONFIG, ROBOT, MOTIONS, overwrite=True)
        assert is_free(run.folder)
        with pytest.raises(InputError, match=r"it has no config\.json"):
            open_run(run.folder)
        create_run(run.folder, CONFIG, ROBOT, MOTIONS)
        assert not is_free(run.folder)
        assert sorted(path.name for path in run.folder.iterdir()) == ["config.json", "motions", "robot.json", "robot.xml"]


def test_a_motion_that_does_not_fit_costs_nothing(run: Run):
    """It is refused before the old run is replaced."""
    wrong = dataclasses.replace(tiny_motion(), joint_names=("a", "b", "c", "d"))
    with pytest.raises(InputError, match="does not fit robot 'tiny'"):
        create_run(run.folder, CONFIG, ROBOT, (wrong,), overwrite=True)
    with pytest.raises(InputError, match="fewer than 3 frames"):
        create_run(run.folder, CONFIG, ROBOT, (tiny_motion(3, 120.0),), overwrite=True)
    assert open_run(run.folder).config == CONFIG


def test_unwritable_places(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run", Path("/dev/null/run"), tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match=r"cannot write in|is not a run folder"):
            create_run(folder, CONFIG, ROBOT, MOTIONS)
        with pytest.raises(InputError, match="cannot write in"):
            require_writable(folder)


def test_what_is_only_asked_for_leaves_no_folder(tmp_path: Path):
    (tmp_path / "mounted").mkdir()
    for name in ("new", "mounted"):
        require_writable(tmp_path / name, keep=False)
    assert [path.name for path in tmp_path.rglob("*")] == ["mounted"]
    require_writable(tmp_path / "new")
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "config.json").unlink(), "is not a run folder: it has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is damaged"),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json is damaged"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json is damaged"),
        (lambda folder: (folder / "config.json").write_text('{"config": {"sed": 1}}'), r"'sed'. Did you mean 'seed'\?"),
        (lambda folder: (folder / "config.json").write_text('{"config": 3}'), "config.json is damaged"),
        (lambda folder: (folder / "robot.xml").unlink(), "the robot stored at"),
        (lambda folder: (folder / "robot.json").write_text("{}"), "the robot stored at"),
        (lambda folder: [path.unlink() for path in (folder / "motions").iterdir()], "holds no motions"),
        (lambda folder: next((folder / "motions").iterdir()).write_bytes(b"PK"), "not a readable npz"),
    ],
)
def test_damage_is_named(run: Run, damage, says: str):
    damage(run.folder)
    with pytest.raises(InputError, match=says):
        open_run(run.folder)


def test_a_resume_changes_length_place_and_saving_only(run: Run):
    """And for good: whoever resumes again goes on to the new length. Of the physics, how much room it has."""
    sim = dataclasses.replace(CONFIG.sim, contacts_per_env=30, constraints_per_env=90)
    changes = {"env_steps": 77, "device": "cpu", "save_every_s": 5.0}
    other = dataclasses.replace(sim, friction=0.1)
    wanted = dataclasses.replace(CONFIG, **changes, sim=other, seed=9, ppo=PPOConfig(discount=0.5))
    resumed, ignored = resume_run(run.folder, wanted)
    assert resumed.resumed
    assert resumed.config == dataclasses.replace(CONFIG, **changes, sim=sim)
    friction = f"sim.friction: 0.1 (the folder has {CONFIG.sim.friction})"
    assert ignored == ["seed: 9 (the folder has 4)", friction, "ppo.discount: 0.5 (the folder has 0.9)"]
    assert open_run(run.folder).config == CONFIG  # until the checkpoint could be read
    keep_config(resumed)
    assert open_run(run.folder).config == resumed.config
    record = json.loads((run.folder / "config.json").read_text())
    assert record["started"]
    assert resume_run(run.folder, resumed.config)[1] == []


def test_resuming_nothing(tmp_path: Path):
    with pytest.raises(InputError, match="is not a run folder"):
        resume_run(tmp_path / "none", CONFIG)
    assert not (tmp_path / "none").exists()


def test_differences_by_hand():
    new, old = {"a": 1, "b": {"c": 2, "d": (1, 2)}, "e": None}, {"a": 1, "b": {"c": 3, "d": [1, 2]}}
    assert differences(new, old) == [("b.c", "b.c: 2 (the folder has 3)")]


def rows(*iterations: int) -> str:
    return "".join(json.dumps({"iteration": i, "loss": i / 3}) + "\n" for i in iterations)


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    truncate_metrics(path, 3)
    assert not path.exists()
    path.write_text(rows(2, 3, 4, 5) + '{"iteration": 6, "lo')
    assert [row["iteration"] for row in read_metrics(path)] == [2, 3, 4, 5]
    truncate_metrics(path, 3)
    assert path.read_text() == rows(2, 3)
    truncate_metrics(path, 0)
    assert path.read_text() == ""
