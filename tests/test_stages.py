"""Trainings of several stages: what each is, and that each is done once."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot
from tiny_policy import still_policy

from mimic import pipeline, runs, sources
from mimic.checks import check_config
from mimic.commands import staged
from mimic.commands.run_options import Cluster
from mimic.commands.training import Train, Training
from mimic.config import Config, ObservationConfig, RewardConfig
from mimic.deploy.sim2sim import rollout
from mimic.presets import make_preset
from mimic.training.stages import begun, stages_before
from mimic.training.teacher import check_student
from motions.errors import InputError
from motions.library import pack

ROBOT = tiny_robot()
STEER = replace(make_preset("humanoid_steer"), motion=("walk.npz", "run.npz"), seed=7, num_envs=64)


def test_a_tracker_of_the_same_clips_then_its_student_with_the_eyes_of_the_last(tmp_path: Path):
    tracker, student = stages_before(STEER, tmp_path / "steer")
    assert (tracker.name, tracker.folder.name, tracker.teacher) == ("tracker", "steer-tracker", None)
    assert tracker.config.follow
    assert tracker.config.action == make_preset("humanoid").action
    assert "motion_anchor_pos_b" in make_preset("humanoid").observation.actor
    assert not {"motion_anchor_pos_b", "motion_anchor_ori_b"} & set(tracker.config.observation.actor)
    assert tracker.config.env_steps == STEER.tracker_steps
    assert (student.name, student.teacher) == ("student", tmp_path / "steer-tracker")
    assert student.config.env_steps == STEER.student_steps
    assert student.config.observation.actor == STEER.observation.actor
    assert (student.config.action, student.config.network, student.config.goal) == (STEER.action, STEER.network, STEER.goal)
    for config in (tracker.config, student.config):
        check_config(config)
        assert (config.motion, config.seed, config.num_envs) == (STEER.motion, 7, 64)
    check_student(student.config, tracker.config)
    last = begun(STEER, tmp_path / "steer")
    assert last == replace(STEER, begin="scratch", init_from=str(tmp_path / "steer-student"))
    check_config(last)
    assert not stages_before(last, tmp_path / "steer")
    weighed, taught = stages_before(replace(STEER, weights=(1.0, 2.0)), tmp_path / "steer")
    assert weighed.config.weights == (1.0, 2.0)
    assert taught.config.weights == (), "the tracker's, which are also those of the ways it was led"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Folder and `resume` of each run, in order; none is really run."""
    runs: list[tuple[str, bool]] = []

    def run(self: Training) -> int:
        runs.append((self.folder.name, self.resume))
        return 75 if self.folder.name == "stopped-student" else 0

    monkeypatch.setattr(Training, "run", run)
    return runs


def test_one_command_runs_all(ran, tmp_path: Path):
    """Checks included; nothing is there yet."""
    assert Train(STEER, tmp_path / "steer", False, False, Cluster()).run() == 0
    assert ran == [("steer-tracker", False), ("steer-student", False), ("steer", False)]


def test_a_stage_that_was_stopped_ends_the_command(ran, tmp_path: Path):
    assert Train(STEER, tmp_path / "stopped", False, False, Cluster()).run() == 75
    assert ran == [("stopped-tracker", False), ("stopped-student", False)]


def made(folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch, *, iterations: int) -> None:
    """A stage's folder as a run would have left it after so many iterations, evaluated by somebody."""
    folder.mkdir(parents=True)
    (folder / runs.CONFIG).write_text("{}")
    (folder / runs.EVALUATION).write_text("{}")
    (folder / runs.METRICS).write_text(json.dumps({"iteration": iterations, "env_steps": 0}) + "\n")
    found, before = runs.Run(folder, config, ROBOT, ()), runs.open_run
    monkeypatch.setattr(runs, "open_run", lambda path: found if path == folder else before(path))


def test_what_is_done_is_not_done_again_and_what_was_begun_goes_on(ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Step sizes that were halved on the way, and what a stage does not make use of, make it no other."""
    tracker, student = stages_before(STEER, tmp_path / "steer")
    slower = replace(tracker.config, ppo=replace(tracker.config.ppo, learning_rate=1e-5))
    made(tracker.folder, slower, monkeypatch, iterations=tracker.config.num_iterations)
    other = replace(student.config, style=replace(student.config.style, updates=9))
    made(student.folder, other, monkeypatch, iterations=student.config.num_iterations - 1)
    assert staged.run_stages(STEER, tmp_path / "steer") == 0
    assert ran == [("steer-student", True)]
    longer = replace(STEER, tracker_steps=2 * STEER.tracker_steps)
    ran.clear()
    assert staged.run_stages(longer, tmp_path / "steer") == 0
    assert ran == [("steer-tracker", True), ("steer-student", True)]


@pytest.mark.parametrize("change", [{"motion": ("dance.npz",)}, {"seed": 8}, {"cycles": 3}, {"led_s": 60.0}])
def test_another_tracker_in_the_way_is_refused(ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict):
    tracker, _ = stages_before(STEER, tmp_path / "steer")
    made(tracker.folder, replace(tracker.config, **change), monkeypatch, iterations=1)
    with pytest.raises(InputError, match=rf"another tracker.*{next(iter(change))}.*--overwrite"):
        staged.run_stages(STEER, tmp_path / "steer")
    assert not ran


def test_overwriting_gives_up_all_stages_at_once(ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """So that what is stopped in the first of them can be gone on with."""
    stages = stages_before(STEER, tmp_path / "steer")
    for folder in (*(stage.folder for stage in stages), tmp_path / "steer"):
        folder.mkdir()
        (folder / runs.CONFIG).write_text("{}")
    assert Train(STEER, tmp_path / "steer", False, True, Cluster()).run() == 0
    assert ran == [("steer-tracker", False), ("steer-student", False), ("steer", False)]
    assert all(runs.is_free(folder) for folder in (tmp_path / "steer", *(stage.folder for stage in stages)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"init_from": "runs/x"}, "one or the other"),
        ({"observation": replace(STEER.observation, critic=("body_pos_b",))}, "observation.critic"),
        ({"ppo": replace(STEER.ppo, symmetry="augment")}, "symmetry"),
    ],
)
def test_what_a_later_stage_would_refuse_is_refused_before_the_first(ran, tmp_path: Path, change: dict, named: str):
    with pytest.raises(InputError, match=named):
        Train(replace(STEER, **change), tmp_path / "steer", False, False, Cluster()).run()
    assert not ran


def test_a_folder_in_the_way_is_refused_before_the_first_stage(ran, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not a run folder"):
        Train(STEER, tmp_path, False, False, Cluster()).run()
    assert not ran


def test_stages_are_for_one_process(tmp_path: Path):
    with pytest.raises(InputError, match="init-from"):
        Train(STEER, tmp_path / "steer", False, False, Cluster(join=True)).run()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"reward": replace(STEER.reward, style=0.0, goal=0.0)}, "nothing to learn"),
        ({"observation": replace(STEER.observation, actor=("joint_pos",))}, "would not be told"),
        ({"observation": replace(STEER.observation, actor=("command", "heading"))}, "command"),
        ({"goal": replace(STEER.goal, kind=None)}, "goal.kind"),
        ({"action": replace(STEER.action, prior="reference")}, "action.prior"),
        ({"style": replace(STEER.style, judges="difference")}, "style.judges"),
        ({"termination": replace(STEER.termination, anchor_height=0.2)}, "anchor_height"),
        ({"goal": replace(STEER.goal, speed=(2.0, 1.0))}, "goal.speed"),
        ({"teacher": "runs/teacher"}, "follow is false"),
        ({"learner": "search", "init_from": "runs/x"}, "follow is false"),
    ],
)
def test_what_cannot_be_learnt_is_refused(change: dict, named: str):
    with pytest.raises(InputError, match=named):
        check_config(replace(STEER, **change))


def test_a_limb_that_the_robot_lacks_is_refused_before_hours_of_training(tmp_path: Path):
    """The tracker, which comes first, does not need it; nothing is begun."""
    reach = make_preset("humanoid_reach")
    for name, said in (("tail", "goal.effector 'tail'"), ("pelvis", "no joint moves")):
        with pytest.raises(InputError, match=said):
            Train(replace(reach, goal=replace(reach.goal, effector=name)), tmp_path / "reach", False, False, Cluster()).run()
    assert not list(tmp_path.iterdir())


def test_who_follows_no_clip_teaches_nobody_to():
    with pytest.raises(InputError, match="follows no clip"):
        check_student(replace(STEER, follow=True), STEER)


def test_rewards_that_are_all_costs_are_refused():
    costs = dict.fromkeys(("anchor_pos", "anchor_ori", "body_pos", "body_ori", "body_linvel", "body_angvel"), 0.0)
    with pytest.raises(InputError, match="nothing to learn"):
        check_config(Config(reward=RewardConfig(**costs)))


CLIP = tiny_motion()


def test_the_last_stage_learns_the_style_of_the_trackers_motion_and_is_judged_by_the_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What the tracker does not complete stays as it is; all weights are the tracker's."""
    config = Config(preset="tiny", robot="tiny", observation=ObservationConfig(actor=("command", "joint_errors")))
    policy = still_policy(tmp_path, config)
    monkeypatch.setattr(pipeline, "exported", lambda run, say: policy)
    lifted = CLIP.qpos.copy()
    lifted[60:, 2] += 1.0
    impossible = replace(CLIP, name="lifted", qpos=lifted)
    tracker = runs.create_run(tmp_path / "steer-tracker", replace(config, weights=(1.0, 2.0)), ROBOT, (CLIP, impossible))
    said: list[str] = []
    (made, kept), none = pipeline.made_physical(tracker, said.append)
    assert none is None
    assert said == ["lifted: taken as it is, the policy does not complete it"]
    np.testing.assert_allclose(kept.qpos, impossible.qpos, atol=1e-6)
    np.testing.assert_allclose(made.qpos, rollout(policy, CLIP).states.qpos, atol=1e-6)
    assert np.abs(made.qpos - policy.reference(CLIP).qpos).max() > 1e-4
    assert (made.licence, made.num_frames) == (CLIP.licence, 101)

    monkeypatch.setattr(sources, "find_robot", lambda config, say: ROBOT)
    last = Train(replace(config, motion=("other.npz",)), tmp_path / "steer", False, False, Cluster(), tracker.folder)
    run, quality = last.create()
    assert quality is None
    assert (run.config.weights, run.config.motion) == ((1.0, 2.0), ("other.npz",))
    for found, expected in ((run.motions, (made, kept)), (run.asked, (CLIP, impossible)), (tracker.asked, (CLIP, impossible))):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.qpos, other.qpos, atol=1e-6)


def test_a_discriminator_that_sees_actions_is_shown_the_trackers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One for each frame of the clips as they are packed, kept in the run's folder."""
    config = Config(preset="tiny", robot="tiny", observation=ObservationConfig(actor=("command", "joint_errors")))
    policy = still_policy(tmp_path, config)
    monkeypatch.setattr(pipeline, "exported", lambda run, say: policy)
    monkeypatch.setattr(sources, "find_robot", lambda config, say: ROBOT)
    tracker = runs.create_run(tmp_path / "gail-tracker", config, ROBOT, (CLIP, tiny_motion(61)))
    seeing = replace(config, style=replace(config.style, actions=True))
    run, _ = Train(seeing, tmp_path / "gail", False, False, Cluster(), tracker.folder).create()
    packed = pack(run.motions, ROBOT.body, ROBOT.tracked_bodies, config.sim.ctrl_dt)
    assert run.targets is not None
    assert len(run.targets) == len(packed.qpos)
    sent = rollout(policy, CLIP).targets
    np.testing.assert_allclose(run.targets[:101], [sent[0], *sent], atol=1e-6)
    assert tracker.targets is None
    lifted = replace(CLIP, name="lifted", qpos=CLIP.qpos + np.linspace(0, 1, CLIP.num_frames)[:, None] * np.eye(11)[2])
    other = runs.create_run(tmp_path / "lost-tracker", config, ROBOT, (CLIP, lifted))
    with pytest.raises(InputError, match=r"does not complete: lifted.*--no-style\.actions"):
        Train(seeing, tmp_path / "lost", False, False, Cluster(), other.folder).create()


def test_actions_without_a_tracker_are_refused_at_once(tmp_path: Path):
    asked = replace(STEER, begin="scratch", style=replace(STEER.style, actions=True))
    with pytest.raises(InputError, match="expected begin tracker"):
        Train(asked, tmp_path / "gail", False, False, Cluster()).run()
    with pytest.raises(InputError, match="of states alone"):
        check_config(replace(asked, follow=True, style=replace(asked.style, judges="difference")))
