"""A policy at work step by step: pushed, told, given another body; and that alone it does what a rollout does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot
from tiny_policy import CONFIG as FOLLOWING
from tiny_policy import FREE, still_policy

from mimic.config import GoalConfig, ObservationConfig
from mimic.deploy.sim2sim import Policy, rollout
from mimic.evaluation.perturb import Perturbation
from mimic.live.session import DOWN_S, Session
from mimic.metrics import body_error
from mimic.switches import seam_of
from motions.edit import switch
from motions.motion import resample

ROBOT, MOTION = tiny_robot(), tiny_motion()
HISTORY = replace(FOLLOWING, observation=ObservationConfig(actor=("command", "joint_errors"), history=3))
STRIKE = replace(
    FOLLOWING, goal=GoalConfig(kind="strike", distance=(0.1, 0.2), height=(0.2, 0.4)),
    observation=ObservationConfig(actor=("command", "joint_errors", "strike")),
)  # fmt: skip


def test_alone_it_does_what_a_rollout_does_and_begins_anew(tmp_path: Path):
    policy = still_policy(tmp_path, FOLLOWING)
    run, session = rollout(policy), Session(policy)
    for step in range(1, run.frames):
        session.advance()
        np.testing.assert_allclose(session.state.qpos[0], run.states.qpos[step], atol=1e-6)
        np.testing.assert_allclose(session.reference.qpos[0], run.reference.qpos[step], atol=1e-6)
    assert session.errors is not None
    np.testing.assert_allclose(session.errors.mean(), body_error(run.states, run.reference, policy.spec.anchor)[-1], atol=1e-3)
    assert session.falls == 0
    session.advance()
    assert session.frame == 0
    np.testing.assert_allclose(session.state.qpos[0], run.states.qpos[0], atol=1e-6)


def test_told_to_it_goes_over_to_another_clip_as_a_rollout_of_both_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    policy, pasts, apart = still_policy(tmp_path, HISTORY), [], []
    seen = Policy.observation
    monkeypatch.setattr(Policy, "observation", lambda *given: pasts.append(given[5]) or seen(*given))
    other = replace(tiny_motion(241), name="other", qpos=tiny_motion(241).qpos[::-1].copy())
    session = Session(policy, clips=[MOTION, other])
    for _ in range(20):
        session.advance()
    session.do("other")
    second = resample(other, 50.0)
    over = switch(policy.motion, second, seam_of(policy.motion, second, 0.4, policy.body))
    run = rollout(policy, over)
    pasts.clear()
    for step in range(21, run.frames):
        session.advance()
        assert session.frame == step
        np.testing.assert_allclose(session.reference.qpos[0], run.reference.qpos[step], atol=1e-6)
        apart.append(float(np.abs(session.state.qpos[0] - run.states.qpos[step]).max()))
    assert max(apart[:12]) < 1e-3, "but for the targets of the last steps, which look ahead"
    assert all(past is not None for past in pasts), "it remembers what was before"
    session.advance()
    assert session.frame == 0
    np.testing.assert_allclose(session.reference.qpos[0, 7:], other.qpos[0, 7:], atol=1e-6)  # it begins with that one now


def test_who_has_fallen_begins_with_what_it_is_told_to_do(tmp_path: Path):
    other = replace(tiny_motion(241), name="other", qpos=tiny_motion(241).qpos[::-1].copy())
    session = Session(still_policy(tmp_path, FOLLOWING), clips=[MOTION, other])
    session.link.simulation.batch.qpos[0, 2] -= 5.0
    session.advance()
    session.do("other")
    for _ in range(round(DOWN_S * 50) - 1):
        session.advance()
    assert (session.falls, session.frame) == (1, 0)
    np.testing.assert_allclose(session.reference.qpos[0, 7:], other.qpos[0, 7:], atol=1e-6)


def test_a_push_changes_the_velocity_as_the_robot_faces(tmp_path: Path):
    policy = still_policy(tmp_path, FREE)
    pushed, left = Session(policy), Session(policy)
    for session in (pushed, left):
        for _ in range(10):
            session.advance()
    pushed.push(np.array([0.0, 0.3]))
    for session in (pushed, left):
        session.advance()
    change = (pushed.state.qvel - left.state.qvel)[0, :2]  # it faces along x, and stands
    assert change[1] > 0.05
    assert abs(change[0]) < 0.5 * change[1]
    np.testing.assert_allclose(left.state.qpos[0, :2], Session(policy).state.qpos[0, :2], atol=0.05)


def test_what_is_told_is_what_the_policy_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    policy, seen = still_policy(tmp_path, FREE), []
    act = Policy.act
    monkeypatch.setattr(Policy, "act", lambda self, observation: seen.append(observation) or act(self, observation))
    session = Session(policy)
    assert session.goal == pytest.approx([0.25, 0.0], abs=1e-6), "straight on, at a middling speed"
    session.tell(np.array([0.0, 0.2]))
    assert session.goal[1] == 0.0, "not before the next step"
    session.advance()
    np.testing.assert_allclose(seen[-1][0, -2:], [0.0, 0.2], atol=0.02)  # it faces along x
    assert session.errors is None


def test_a_target_is_whole_again_at_the_beginning(tmp_path: Path):
    session = Session(still_policy(tmp_path, STRIKE))
    assert session.told_once
    assert session.goal is not None
    session.goal[:3] = session.state.xpos[0, session.policy.striker]
    session.advance()
    assert session.goal[3] == 1.0
    session.begin()
    assert session.goal[3] == 0.0


def test_who_has_fallen_lies_for_a_second_and_is_counted_once(tmp_path: Path):
    session = Session(still_policy(tmp_path, FOLLOWING))
    down = round(DOWN_S / session.policy.spec.ctrl_dt)
    session.advance()
    session.link.simulation.batch.qpos[0, 2] += 1.0  # in the air, out of the height rule
    for _ in range(down - 1):
        session.advance()
    assert session.falls == 1
    assert session.frame == down
    session.advance()
    assert session.frame == 0


def test_another_body_begins_anew(tmp_path: Path):
    policy = still_policy(tmp_path, FOLLOWING)
    session, nominal = Session(policy), Session(policy)
    session.advance()
    session.vary(Perturbation(start_rad=0.0, mass=1.4, action_delay_s=0.02))
    assert session.frame == 0
    for _ in range(40):
        session.advance()
        nominal.advance()
    assert np.abs(session.state.qpos - nominal.state.qpos).max() > 1e-3
    assert session.link.simulation.batch.model.body_subtreemass[1] == pytest.approx(1.4 * policy.model.body_mass.sum())


def test_it_remembers_the_last_seconds(tmp_path: Path):
    session = Session(still_policy(tmp_path, FOLLOWING))
    for _ in range(7):
        session.advance()
    traces = session.traces
    np.testing.assert_allclose(traces.times, -0.02 * np.arange(7, -1, -1), atol=1e-9)
    np.testing.assert_array_equal(traces.joints[-1], session.state.qpos[0, 7:])
    assert traces.reference is not None
    np.testing.assert_array_equal(traces.reference[-1], session.reference.qpos[0, 7:])
    assert traces.torques is not None
    assert 0.0 < np.abs(traces.torques).max() < 30.0, "of motors that bear a table"
    weight = session.policy.model.body_mass.sum() * 9.81
    assert session.acting().forces[:, 2].sum() == pytest.approx(weight, rel=0.5)


def test_one_that_has_ways_up_gets_up_where_it_lies_and_stands(tmp_path: Path):
    """Its legs were spread beneath it; a still policy that follows the way up comes back onto them, and is not put anywhere."""
    session = Session(still_policy(tmp_path, FOLLOWING), ways=[tiny_motion(241)])
    lying = MOTION.qpos[0].copy()
    lying[:2], lying[2], lying[7:] = (0.5, -0.3), 0.2, [0.9, 0.9, -0.9, -0.9]
    session.link.simulation.batch.qpos[0, : len(lying)] = lying
    session.link.simulation.batch.qvel[:] = 0.0
    session._down, session.falls = round(DOWN_S / session.policy.spec.ctrl_dt), 1  # it has lain for long enough
    session.advance()
    assert session.frame == 0
    np.testing.assert_allclose(session.clip.qpos[0, :2], [0.5, -0.3], atol=0.05)
    for _ in range(350):
        session.advance()
    assert session.falls == 1
    assert np.linalg.norm(session.state.qpos[0, :2] - [0.5, -0.3]) < 0.4
    assert abs(session.state.qpos[0, 2] - MOTION.qpos[-1, 2]) < 0.05, "it stands, and goes on standing beyond the clip's end"
    session.link.simulation.batch.qpos[0, 2] = 3.0  # where no clip comes near
    session._down = round(DOWN_S / session.policy.spec.ctrl_dt)
    session.advance()
    np.testing.assert_allclose(session.state.qpos[0, :2], MOTION.qpos[0, :2], atol=1e-3)
