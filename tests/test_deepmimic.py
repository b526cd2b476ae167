"""DeepMimic's reward and normalized return, against its equation written out joint by joint."""

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tiny import tiny_motion, tiny_robot

from mimic.config import HEIGHT_RULE
from mimic.deepmimic import imitation_reward, normalized_return
from mimic.metrics import clip_metrics
from mimic.robots import load_robot
from motions.kinematics import KinematicState, kinematic_state

HUMANOID = load_robot("humanoid")
TRACKED = HUMANOID.body.body_ids(HUMANOID.tracked_bodies)
ENDS = tuple(HUMANOID.tracked_bodies.index(name) for name in HUMANOID.end_effectors)


def states(seed: int, size: float) -> KinematicState:
    rng = np.random.default_rng(seed)
    qpos = np.tile(HUMANOID.default_qpos, (4, 1))
    qpos[:, :3] += size * rng.normal(size=(4, 3))
    qpos[:, 3:7] = Rotation.from_rotvec(size * rng.normal(size=(4, 3))).as_quat(scalar_first=True)
    qpos[:, 7:] += size * rng.normal(size=(4, HUMANOID.model.nq - 7))
    return kinematic_state(HUMANOID.body, qpos, size * rng.normal(size=(4, HUMANOID.model.nv)), TRACKED)


def relative(data: mujoco.MjData, body: int) -> Rotation:
    parent = HUMANOID.model.body_parentid[body]
    return Rotation.from_quat(data.xquat[parent], scalar_first=True).inv() * Rotation.from_quat(
        data.xquat[body], scalar_first=True
    )


def test_the_reward_is_the_papers_equation():
    """Joints by MuJoCo's own poses of the bodies, the centre of mass by MuJoCo."""
    model, ours, theirs = HUMANOID.model, states(0, 0.05), states(1, 0.05)
    found = imitation_reward(HUMANOID.body, ours, theirs, ENDS)
    for f in range(4):
        both = []
        for state in (ours, theirs):
            data = mujoco.MjData(model)
            data.qpos = state.qpos[f]
            mujoco.mj_fwdPosition(model, data)
            both.append(data)
        a, b = both
        angles = [(relative(a, i).inv() * relative(b, i)).magnitude() for i in range(1, model.nbody)]
        pose = np.exp(-2 * sum(angle**2 for angle in angles))
        spin = np.exp(-0.1 * sum((ours.qvel[f, 3:] - theirs.qvel[f, 3:]) ** 2))
        ends = np.exp(-40 * sum(np.sum((ours.xpos[f, e] - theirs.xpos[f, e]) ** 2) for e in ENDS))
        com = np.exp(-10 * np.sum((a.subtree_com[1] - b.subtree_com[1]) ** 2))
        assert found[f] == pytest.approx(0.65 * pose + 0.1 * spin + 0.15 * ends + 0.1 * com, rel=1e-5)
    assert (found < 0.9).all()
    np.testing.assert_allclose(imitation_reward(HUMANOID.body, theirs, theirs, ENDS), 1.0, atol=1e-6)


def test_in_place_a_way_off_the_clip_costs_nothing_and_height_does():
    ours, theirs = states(0, 0.05), states(1, 0.05)

    def moved(shift: tuple[float, float, float]) -> KinematicState:
        qpos = ours.qpos.copy()
        qpos[:, :3] += shift
        return kinematic_state(HUMANOID.body, qpos, ours.qvel, TRACKED)

    def reward(state: KinematicState, in_place: bool = True) -> np.ndarray:
        return imitation_reward(HUMANOID.body, state, theirs, ENDS, in_place=in_place)

    np.testing.assert_allclose(reward(moved((2.0, -1.0, 0.0))), reward(ours), atol=1e-6)
    assert (reward(moved((2.0, -1.0, 0.0)), in_place=False) < reward(ours, in_place=False) - 0.05).all()
    assert (reward(moved((0.0, 0.0, 0.2))) < reward(ours) - 0.01).all()


def test_in_place_the_heading_is_each_ones_own():
    """Turned on the spot, only the root's rotation is off."""
    ours, turn = states(0, 0.05), Rotation.from_euler("z", 0.4)
    qpos = ours.qpos.copy()
    qpos[:, :3], qpos[:, 3:7] = (
        turn.apply(qpos[:, :3]),
        (turn * Rotation.from_quat(qpos[:, 3:7], scalar_first=True)).as_quat(scalar_first=True),
    )
    turned = kinematic_state(HUMANOID.body, qpos, ours.qvel, TRACKED)
    found = imitation_reward(HUMANOID.body, turned, ours, ENDS, in_place=True)
    np.testing.assert_allclose(found, 0.65 * np.exp(-2 * 0.4**2) + 0.35, atol=1e-5)


def test_nothing_is_earned_after_a_fall_nor_after_the_end():
    robot, motion = tiny_robot(), tiny_motion(51, 50.0)
    clip = kinematic_state(robot.body, motion.qpos, np.zeros((51, 10)), robot.body.body_ids(robot.tracked_bodies))
    assert normalized_return(robot.body, 51, 51, clip, clip, (3, 4)) == pytest.approx(1.0)
    assert normalized_return(robot.body, 102, 51, clip, clip, (3, 4)) == pytest.approx(0.5)
    sunk = clip._replace(xpos=clip.xpos.copy())
    sunk.xpos[17:, 0, 2] -= 0.5
    whole = imitation_reward(robot.body, sunk, clip, (3, 4))
    row = clip_metrics("sunk", 51, sunk, clip, anchor=0, end_effectors=(3, 4), termination=HEIGHT_RULE)
    found = normalized_return(robot.body, 51, row["completed_frames"], sunk, clip, (3, 4))
    assert found == pytest.approx(whole[:17].sum() / 51)
