"""Several trackers as one controller: what their critics promise, who takes over where, and what is counted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import call
from tiny import tiny_motion, tiny_robot
from tiny_policy import CONFIG, still_policy

from mimic import composite
from mimic.composite import Composite, Critic, Member, load_composite
from mimic.config import Config, ObservationConfig
from mimic.deploy.sim2sim import Policy, frame_of
from mimic.evaluation.switching import measure_switches
from mimic.runs import Run, create_run
from motions.errors import InputError
from motions.kinematics import KinematicState, shifted, turned
from motions.motion import Motion

ROBOT = tiny_robot()
SWAY = replace(tiny_motion(181), name="sway")
OTHER = replace(SWAY, name="other", qpos=SWAY.qpos[::-1].copy())


def knows(policy: Policy, motion: Motion) -> Member:
    """Of a critic that promises the more the nearer the joints are to the clip, and a little more towards its end:
    -100 sum |q_ref - q| + phase / 2, by two layers."""
    errors = 2 * 4  # joint_errors: positions, then velocities
    first = np.zeros((errors + 1, 9))
    first[:4, :4], first[:4, 4:8], first[-1, -1] = 100 * np.eye(4), -100 * np.eye(4), 0.5
    last = np.array([*[-1.0] * 8, 1.0])[:, None]
    layers = [(kernel.astype(np.float32), np.zeros(kernel.shape[1], np.float32)) for kernel in (first, last)]
    return Member(
        policy, motion, Critic(layers, np.zeros(errors + 1), np.ones(errors + 1), ("joint_errors", "phase"), False, 1e3)
    )


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return still_policy(tmp_path_factory.mktemp("policy"), CONFIG)


def test_it_begins_where_the_critic_promises_most_wherever_the_robot_is(policy: Policy):
    member = knows(policy, SWAY)
    for frame in (3, 20, 61):
        state = frame_of(member.clip, frame)
        turn = np.array([np.cos(0.6), 0, 0, np.sin(0.6)], np.float32)
        away = shifted(turned(state, turn), np.array([2.0, -1.0, 0.0], np.float32))
        for here in (state, away):
            promise, begin = member.promise(here)
            tried = np.abs(member.clip.qpos[: len(member.clip.qpos) - 90, 7:] - state.qpos[7:]).sum(axis=1)
            assert np.abs(member.clip.qpos[begin, 7:] - state.qpos[7:]).sum() < tried.min() + 0.02
            assert promise > -5.0
    odd = state._replace(qpos=np.concatenate([state.qpos[:7], state.qpos[7:] + 0.5]).astype(np.float32))
    assert member.promise(odd)[0] < -100.0


def test_who_promises_most_takes_over_where_a_clip_ends(policy: Policy, monkeypatch: pytest.MonkeyPatch):
    """The still policies stand, and go on from clip to clip to the end; a clip of other poses promises little."""
    lifted = replace(SWAY, name="far", qpos=SWAY.qpos + np.repeat([0.0, 0.8], [7, 4]))
    monkeypatch.setattr(composite, "SECONDS", 8.0)
    found = Composite([knows(policy, SWAY), knows(policy, lifted), knows(policy, OTHER)]).alone()
    assert found.stood_s == pytest.approx(8.0)
    names = [row["clip"] for row in found.acted]
    assert names[0] == "sway"
    assert len(names) > 3
    assert "far" not in names
    assert len(found.states.qpos) == len(found.reference.qpos) == 401
    error = np.abs(found.states.qpos[:, 7:] - found.reference.qpos[:, 7:]).mean()
    assert error < 0.08, "the reference goes on from where the robot is"
    jumps = np.abs(np.diff(found.reference.qpos, axis=0)).max()
    assert jumps < 0.1
    assert found.to_json()["acted"] == found.acted


def test_switches_are_those_of_one_policy_of_all_clips(policy: Policy):
    members = [knows(policy, SWAY), knows(policy, OTHER)]
    found, alike = Composite(members).switches(4), measure_switches(policy, [SWAY, OTHER], 4)
    assert found["succeeded"] == alike["succeeded"] == 1.0
    for row, other in zip(found["switches"], alike["switches"], strict=True):
        assert {name: row[name] for name in ("from", "to")} == {name: other[name] for name in ("from", "to")}
        assert row["at_s"] == pytest.approx(other["at_s"], abs=0.05)
    rising = SWAY.qpos + np.linspace(0, 1, len(SWAY.qpos))[:, None] * np.eye(11)[2]
    lost = Composite([members[0], knows(policy, replace(SWAY, name="up", qpos=rising))]).switches(4)
    assert not any(row["succeeded"] for row in lost["switches"] if row["to"] == "up")


def test_the_contacts_are_those_of_who_has_most(policy: Policy):
    spec = replace(policy.spec, sim=replace(policy.spec.sim, collisions="all"))
    other = replace(policy, spec=spec, model=ROBOT.model)
    assert Composite([knows(policy, SWAY), knows(other, SWAY)]).model is ROBOT.model


def run_of(folder: Path, **changes) -> Run:
    observation = ObservationConfig(actor=("command", "joint_errors"), critic=("joint_errors",))
    base = Config(preset="tiny", robot="tiny", observation=observation)
    return create_run(folder, replace(base, **changes), ROBOT, (SWAY,))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teacher": "somebody"}, "has no critic"),
        ({"follow": False}, "follows no clip"),
        ({"observation": ObservationConfig(critic=("randomization",))}, "randomization"),
        ({"sim": replace(Config().sim, n_substeps=2)}, "control rate"),
    ],
)
def test_what_cannot_be_one_controller_is_refused(tmp_path: Path, changes: dict, said: str):
    run_of(tmp_path / "a")
    run_of(tmp_path / "b", **changes)
    with pytest.raises(InputError, match=rf"b.*{said}"):
        load_composite([tmp_path / "a", tmp_path / "b"], lambda line: None)


def test_critics_are_read_from_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Policy):
    """What the critic sees is the last part of what is normalized."""
    run_of(tmp_path / "a")
    size = 16 + 8
    kernel = np.arange(size, dtype=np.float32)[:, None]
    network = {"params": {"Dense_0": {"kernel": kernel, "bias": np.zeros(1, np.float32)}}}
    parts = {"average": {"critic": network}, "normalizer": {"mean": np.arange(size), "std": np.ones(size)}}
    monkeypatch.setattr(composite, "newest", lambda run, read: parts)
    monkeypatch.setattr(composite, "exported", lambda run, say: still_policy(tmp_path, run.config))
    (member,) = load_composite([tmp_path / "a"], lambda line: None).members
    state = KinematicState(*(part[5] for part in member.clip))
    seen = member.policy.observation(state, member.clip, 5, np.zeros(4, np.float32))[0]
    wanted = np.clip(np.concatenate([seen, seen[-8:]]) - np.arange(size), -10, 10) @ kernel[:, 0]
    np.testing.assert_allclose(member._values([state], np.array([5]))[0], wanted, rtol=1e-4)


def test_the_command_line_takes_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Policy, capsys):
    both = Composite([knows(policy, SWAY), knows(policy, OTHER)])
    monkeypatch.setattr(composite, "load_composite", lambda folders, say: both)
    monkeypatch.setattr(composite, "SECONDS", 3.0)
    assert call("evaluate", "a", "b", "--switches", 2, "--json", tmp_path / "out.json") == 0
    shown = capsys.readouterr().err
    assert "2 switches from one clip to another: 100%" in shown
    assert "it stood for 3.0 of 3 s" in shown
    assert '"succeeded": 1.0' in (tmp_path / "out.json").read_text()
    assert call("play", "a", "b") == 0
    assert "promises" in capsys.readouterr().err
    assert call("evaluate", "a", "b", "--mirror") == 2
    assert call("play", "a", "b", "--command", "x.csv") == 2
    assert "several" in capsys.readouterr().err
