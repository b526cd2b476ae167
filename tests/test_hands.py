"""What a spectator does by hand: what is pulled comes, what is thrown hits, and who is let alone is as without hands."""

from pathlib import Path

import numpy as np
import pytest
from test_live import FOLLOWING
from tiny_policy import FREE, still_policy

from mimic.live.hands import PARKED
from mimic.live.session import Session

FOOT = 2  # body of the tiny robot
ASIDE, AHEAD, UP = np.array([0.0, 0.3, 0.0]), np.array([0.1, 0.0, 0.0]), np.array([0.0, 0.0, 0.5])


@pytest.fixture
def session(tmp_path: Path) -> Session:
    session = Session(still_policy(tmp_path, FREE))
    for _ in range(20):
        session.advance()
    return session


def test_the_box_hangs_where_it_is_until_it_is_thrown(session: Session):
    assert not session.hands.thrown
    np.testing.assert_allclose(session.hands.box_pose[:3], PARKED, atol=1e-3)
    assert session.state.qpos.shape[1] == session.policy.model.nq, "a policy sees nothing of it"
    assert session.state.qvel.shape[1] == session.policy.model.nv


@pytest.mark.parametrize("side", [(3.0, 0.0, 1.0), (-1.0, 2.0, 0.5)])
def test_a_thrown_box_hits_the_robot_and_shoves_it_away(session: Session, side: tuple[float, float, float]):
    before = session.state.qpos[0, :2].copy()
    session.ask(lambda hands: hands.throw(np.array(side), 6.0, 4.0))
    session.advance()
    assert session.hands.thrown
    start = session.hands.box_pose[:3].copy()
    assert np.dot(start[:2] - before, side[:2]) > 0, "it comes from where one looks on"
    speed = 0.0
    for _ in range(60):
        session.advance()
        speed = max(speed, -float(np.dot(session.state.qvel[0, :2], side[:2])) / np.linalg.norm(side[:2]))
    assert speed > 0.3
    assert session.link.simulation.batch.get_model(0).body_mass[session.hands.box] == pytest.approx(4.0)
    assert session.hands.box_pose[2] < 0.5, "it has fallen to the ground"
    session.begin()
    assert not session.hands.thrown


def test_what_is_pulled_comes_and_what_is_let_go_stays_so(session: Session):
    place = session.link.simulation.batch.xpos[0, 1].copy()
    session.ask(lambda hands: hands.hold(1, place))
    session.ask(lambda hands: hands.pull(place + ASIDE))
    for _ in range(50):
        session.advance()
    assert session.state.qpos[0, 1] - place[1] > 0.1
    np.testing.assert_allclose(session.hands.string[1], place + ASIDE)
    weight = session.policy.model.body_mass.sum() * 9.81
    assert np.linalg.norm(session.hands.forces[0, 1, :3]) <= 1.001 * weight
    session.ask(lambda hands: hands.let_go())
    session.advance()
    assert session.hands.held is None
    assert not session.hands.forces[0, 1].any()


def test_a_foot_held_off_its_centre_is_turned_too(session: Session):
    foot = session.link.simulation.batch.xpos[0, FOOT].copy()
    session.ask(lambda hands: hands.hold(FOOT, foot + AHEAD))
    session.ask(lambda hands: hands.pull(foot + AHEAD + UP))
    session.advance()
    assert session.hands.forces[0, FOOT, 2] > 0
    assert session.hands.forces[0, FOOT, 4] < 0, "upwards in front of it: about y, downwards turning"
    for _ in range(100):
        session.advance()
    assert np.isfinite(session.state.qpos).all()


def test_alone_with_a_box_it_does_as_without(tmp_path: Path):
    policy = still_policy(tmp_path, FOLLOWING)
    touched, alone = Session(policy), Session(policy)
    place = touched.link.simulation.batch.xpos[0, 1].copy()
    touched.ask(lambda hands: hands.hold(1, place))
    touched.advance()
    touched.ask(lambda hands: hands.let_go())
    touched.begin()
    for _ in range(30):
        touched.advance()
        alone.advance()
    np.testing.assert_array_equal(touched.state.qpos, alone.state.qpos)
