"""Styles by name: which clip shows which, what is told and shown of them, and how a policy that is told one is driven."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import call, write_tiny
from tiny import tiny_motion, tiny_robot
from tiny_policy import FREE, MOTION, random_network, still_policy

from mimic.checks import check_config
from mimic.commands.training import parse_train
from mimic.config import Config, GoalConfig, ObservationConfig, RewardConfig, StyleConfig
from mimic.deploy.bundle import write_bundle
from mimic.deploy.check import check_bundle
from mimic.deploy.sim2sim import rollout
from mimic.drive import drive, read_script, responses
from mimic.evaluation.roam import measure, roam
from mimic.live.session import Session
from mimic.mdp.styles import require_all_shown, style_names, style_of, told_style
from mimic.presets import make_preset
from mimic.tasks.aim import Aim
from mimic.tasks.goals import Goals
from mimic.tasks.style import StyleView
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.library import pack

ROBOT = tiny_robot()
STYLES = ("calm=sway", "calm=rest", "wild")
GOAL = GoalConfig(kind="style", styles=STYLES)
CLIPS = [replace(tiny_motion(frames), name=name) for name, frames in (("sway, led", 121), ("my_wild", 61), ("at rest", 61))]
LIBRARY = pack(CLIPS, ROBOT.body, ROBOT.tracked_bodies, 0.02)
TOLD = replace(FREE, goal=GOAL, observation=ObservationConfig(actor=("projected_gravity", "joint_pos", "style")))


def test_clips_show_styles_by_their_names():
    assert style_names(STYLES) == ("calm", "wild")
    np.testing.assert_array_equal(style_of(STYLES, [clip.name for clip in CLIPS]), [0, 1, 0])
    np.testing.assert_array_equal(style_of(("run", "run_fast"), ["run", "run_fast_2"]), [0, 1]), "the longest part says which"
    np.testing.assert_array_equal(told_style(STYLES, "wild"), [0, 1])


@pytest.mark.parametrize(
    ("styles", "said"),
    [
        (("sway", "wild", "rest", "jump"), "'jump', which no clip shows; the clips are sway, led, my_wild, at rest"),
        (("sway", "wild"), "'at rest' shows none of goal.styles"),
        (("<script>alert(1)</script>=sway", "wild"), "letters, digits"),
    ],
)
def test_what_shows_nothing_is_refused_with_what_there_is(styles: tuple[str, ...], said: str):
    with pytest.raises(InputError, match=said.replace("(", r"\(").replace(")", r"\)")):
        require_all_shown(styles, [clip.name for clip in CLIPS])
    with pytest.raises(InputError):
        Goals(Config(goal=replace(GOAL, styles=styles)), ROBOT, LIBRARY)


def test_a_robot_is_first_told_as_its_clip_and_then_now_and_then_another():
    goals = Goals(Config(follow=False, goal=replace(GOAL, interval_s=0.5)), ROBOT, LIBRARY)
    zero = jnp.array(0)
    state = goals.library.lookup(zero, zero)
    for clip, told in enumerate(([1, 0], [0, 1], [1, 0])):
        np.testing.assert_array_equal(goals.begun(jax.random.key(3), jnp.array(clip), zero, state), told)
    keys = jax.random.split(jax.random.key(0), 4000)
    first = jnp.array([1.0, 0.0])
    after = jax.vmap(lambda key: goals.next(first, goals.chance(key), zero, zero, state))(keys)
    assert set(map(tuple, np.asarray(after))) == {(1.0, 0.0), (0.0, 1.0)}
    assert float(after[:, 1].mean()) == pytest.approx(0.5 * 0.02 / 0.5, abs=0.008)
    assert goals.reward(first, state) is None
    follower = Goals(Config(goal=GOAL), ROBOT, LIBRARY)
    np.testing.assert_array_equal(follower.next(first, follower.chance(keys[0]), jnp.array(1), zero, state), [0, 1])


def test_a_discriminator_is_shown_which_style_and_as_many_of_each():
    config = Config(robot="tiny", reward=RewardConfig(style=1.0), goal=GOAL, style=StyleConfig(window=2))
    view = StyleView(config, ROBOT, LIBRARY, Aim(config, ROBOT, LIBRARY))
    plain = StyleView(replace(config, goal=GoalConfig()), ROBOT, LIBRARY, Aim(config, ROBOT, LIBRARY))
    assert view.style_size == plain.style_size + 2
    shown = np.asarray(jax.jit(jax.vmap(view.demo))(jax.random.split(jax.random.key(0), 2000)))
    assert shown[:, -2:].mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.04), "three quarters of the frames are calm"
    assert view.shares is not None
    np.testing.assert_allclose(view.shares.sum(axis=1), 1.0, rtol=1e-5)
    state = view.library.lookup(jnp.array(0), jnp.array(3))
    window = view.begun(jnp.array(0), jnp.array(3), state)
    np.testing.assert_array_equal(view.shown(window, state, state, jnp.zeros(4), jnp.array([0.0, 1.0]))[-2:], [0, 1])


def test_styles_that_cannot_be_learnt_are_refused():
    base = make_preset("humanoid_styles")
    check_config(base)
    for change, said in (
        ({"goal": replace(base.goal, styles=("walk",))}, "two or more"),
        ({"goal": GoalConfig(styles=("a", "b")), "observation": make_preset("humanoid_style").observation}, "goal.kind None"),
        ({"reward": replace(base.reward, goal=1.0)}, "reward.style pays"),
        ({"reward": replace(base.reward, style=0.0)}, "reward.style 0"),
        ({"ppo": replace(base.ppo, symmetry="loss")}, "mirror image"),
    ):
        with pytest.raises(InputError, match=said):
            check_config(replace(base, **change))
    asked = ["humanoid_styles", "--motion", "a.bvh", "b.bvh", "--goal.styles", "slow=a", "fast=b"]
    assert parse_train(asked).config.goal.styles == ("slow=a", "fast=b")


def test_an_exported_policy_is_told_by_name_and_says_which_there_are(tmp_path: Path):
    policy = still_policy(tmp_path, TOLD)
    goal = policy.spec.goal
    assert goal is not None
    assert (goal.kind, goal.styles) == ("style", STYLES)
    assert goal.numbers == ("1 where told calm, else 0", "1 where told wild, else 0")
    assert policy.spec.observation[-1].size == 2
    np.testing.assert_array_equal(rollout(policy, CLIPS[1], max_steps=3).observations[:, -2:], [[0, 1]] * 3)
    session = Session(policy)
    np.testing.assert_array_equal(session.goal, [1, 0])
    session.tell(told_style(goal.styles, "wild"))
    session.advance()
    np.testing.assert_array_equal(session.goal, [0, 1])


def script(folder: Path, *lines: str) -> Path:
    path = folder / "styles.csv"
    path.write_text("\n".join(["time_s,style", *lines]) + "\n")
    return path


def test_a_file_of_names_drives_it(tmp_path: Path):
    policy = still_policy(tmp_path, TOLD)
    found = drive(policy, read_script(script(tmp_path, "0,calm", "2, wild"), "style", STYLES))
    np.testing.assert_array_equal(found.goals[[0, 99, 100, 249]], [[1, 0], [1, 0], [0, 1], [0, 1]])
    rows = responses(found, "style", STYLES)
    assert [(row["style"], row["to_s"]) for row in rows] == [("calm", 2.0), ("wild", 5.0)]
    with pytest.raises(InputError, match=r"row 2: .*'wlid'.*wild"):
        read_script(script(tmp_path, "0,calm", "2,wlid"), "style", STYLES)
    with pytest.raises(InputError, match="columns time_s, style"):
        read_script(tmp_path / "p.json", "style", STYLES)


def test_play_prints_what_was_told(tmp_path: Path, capsys: pytest.CaptureFixture):
    still_policy(tmp_path, TOLD)
    asked = ("play", tmp_path / "p.onnx", "--command", script(tmp_path, "0,calm", "1,wild"))
    assert call(*asked) == 0
    assert "wild" in capsys.readouterr().out
    assert call(*asked, "--plot", tmp_path / "x.png") == 2
    assert "which is no curve" in capsys.readouterr().err


def test_robots_let_loose_are_measured_by_what_they_were_told(tmp_path: Path):
    """Who does all that the clips show, each as told, and who is told the other one."""
    policy = still_policy(tmp_path, TOLD)
    high = CLIPS[1].qpos + 0.2 * np.eye(11)[2] + np.repeat([0.0, 0.6], [7, 4])
    motions = [CLIPS[0], replace(CLIPS[1], qpos=high)]
    clips = [policy.reference(motion) for motion in motions]
    frames = KinematicState(*(np.concatenate(parts) for parts in zip(*clips, strict=True)))
    run = KinematicState(
        *(np.stack([np.resize(part, (101, *part.shape[1:])) for part in pair], 1) for pair in zip(*clips, strict=True))
    )
    goals = np.broadcast_to(np.eye(2, dtype=np.float32), (100, 2, 2))
    row = measure(policy, run, frames, clips, goals, np.array([0, 1]))
    assert row["coverage_calm"] > 0.7
    assert row["coverage_wild"] > 0.5
    assert row["coverage"] == pytest.approx((row["coverage_calm"] + row["coverage_wild"]) / 2)
    assert row["as_told"] > 0.95
    other = measure(policy, run, frames, clips, goals[..., ::-1], np.array([0, 1]))
    assert (other["coverage_wild"], other["coverage_calm"]) == (0.0, 0.0)
    assert other["as_told"] < 0.05
    alone = roam(policy, seconds=1.0, again=False).row
    assert alone["coverage_wild"] is None, "its own clip is a calm one"
    assert "as_told" not in alone


def test_the_bundle_takes_it_as_a_named_input(tmp_path: Path):
    write_bundle(*random_network(TOLD), TOLD, ROBOT, MOTION, tmp_path / "bundle")
    assert all(check.passed for check in check_bundle(tmp_path / "bundle"))
    assert "1 where told wild" in (tmp_path / "bundle" / "README.txt").read_text()


def test_a_style_that_no_clip_shows_is_refused_before_the_tracker_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture):
    write_tiny(tmp_path)
    asked = ("--robot", tmp_path / "tiny.toml", "--motion", tmp_path / "sway.npz", "--goal.styles", "sway", "jump")
    assert call("train", "humanoid_styles", *asked, "--run-dir", tmp_path / "run") == 2
    assert "'jump', which no clip shows; the clips are sway" in capsys.readouterr().err
    assert not list(tmp_path.glob("run*/config.json"))
