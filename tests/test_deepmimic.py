"""DeepMimic's reward and normalized return, against its equation written out joint by joint."""

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tiny import tiny_motion, tiny_robot

from mimic.config import HEIGHT_RULE
from mimic.evaluation.deepmimic import imitation_reward, normalized_return, released_reward
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


def released(state: KinematicState, reference: KinematicState, cycle: float = 100.0) -> np.ndarray:
    return released_reward(HUMANOID.body, state, reference, ENDS, 0.02, cycle)


def test_the_other_is_the_released_codes():
    """By MuJoCo's own poses, term by term; the centre of mass flows by central differences."""
    model, ours, theirs = HUMANOID.model, states(0, 0.05), states(1, 0.05)
    found, centres, terms = released(ours, theirs), [], []
    for f in range(4):
        a, b = mujoco.MjData(model), mujoco.MjData(model)
        seen = []
        for data, state in ((a, ours), (b, theirs)):
            data.qpos = state.qpos[f]
            mujoco.mj_fwdPosition(model, data)
            heading = Rotation.from_quat(data.xquat[1], scalar_first=True).as_matrix()[:2, 0]
            back = Rotation.from_euler("z", -np.arctan2(heading[1], heading[0]))
            seen.append([back.apply(state.xpos[f, e] - state.qpos[f, :3] * [1, 1, 0]) for e in ENDS])
        centres.append((a.subtree_com[1].copy(), b.subtree_com[1].copy()))
        pose = sum((relative(a, i).inv() * relative(b, i)).magnitude() ** 2 for i in range(1, model.nbody))
        spin = np.sum((ours.qvel[f, 3:] - theirs.qvel[f, 3:]) ** 2)
        place = ours.qpos[f, :3] - theirs.qpos[f, :3]
        place[:2] -= (ours.qpos[0] - theirs.qpos[0])[:2]  # brought together in the first frame
        spins = [Rotation.from_quat(x.qpos[f, 3:7], scalar_first=True).apply(x.qvel[f, 3:6]) for x in (ours, theirs)]
        root = (
            np.sum(place**2)
            + 0.1 * (relative(a, 1).inv() * relative(b, 1)).magnitude() ** 2
            + 0.01 * np.sum((ours.qvel[f, :3] - theirs.qvel[f, :3]) ** 2)
            + 0.001 * np.sum((spins[0] - spins[1]) ** 2)
        )
        terms.append((2 / 15 * pose, 0.1 / 15 * spin, 10 * np.sum(np.subtract(*seen) ** 2), 5 * root))
    flows = [np.gradient(np.array(one), 0.02, axis=0) for one in zip(*centres, strict=True)]
    flow = np.sum((flows[0] - flows[1]) ** 2, axis=-1)
    expected = [np.dot([0.5, 0.05, 0.15, 0.2, 0.1], np.exp(-np.array([*t, c]))) for t, c in zip(terms, flow, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert (found < 0.95).all()
    np.testing.assert_allclose(released(theirs, theirs), 1.0, atol=1e-6)


def test_a_way_over_the_ground_counts_within_a_cycle_only():
    """Half a metre aside from the third frame on: all is as it was in a cycle that begins there; height always counts."""
    ours = states(0, 0.05)

    def moved(shift: tuple[float, float, float]) -> KinematicState:
        qpos = ours.qpos.copy()
        qpos[2:, :3] += shift
        found = kinematic_state(HUMANOID.body, qpos, ours.qvel, TRACKED)
        return found

    def place(state: KinematicState, cycle: float) -> np.ndarray:
        """What is earned but by the centre's flow, which feels the step."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mimic.evaluation.deepmimic._centre_velocity", lambda body, state, dt: np.zeros((4, 3)))
            return released(state, ours, cycle)

    aside, above = moved((0.3, -0.4, 0.0)), moved((0.0, 0.0, 0.5))
    np.testing.assert_allclose(place(aside, 4), [1, 1, *[0.8 + 0.2 * np.exp(-5 * 0.25)] * 2], atol=1e-6)
    np.testing.assert_allclose(place(aside, 2), 1.0, atol=1e-6)
    np.testing.assert_allclose(place(aside, 4 / 3), 1.0, atol=1e-6)  # the second of three begins with the third frame
    assert (place(above, 2)[2:] < 0.85).all()


def test_nothing_is_earned_after_a_fall_nor_after_the_end():
    robot, motion = tiny_robot(), tiny_motion(51, 50.0)
    clip = kinematic_state(robot.body, motion.qpos, np.zeros((51, 10)), robot.body.body_ids(robot.tracked_bodies))
    perfect = imitation_reward(robot.body, clip, clip, (3, 4))
    assert normalized_return(perfect, 51) == pytest.approx(1.0)
    assert normalized_return(perfect, 102) == pytest.approx(0.5)
    sunk = clip._replace(xpos=clip.xpos.copy())
    sunk.xpos[17:, 0, 2] -= 0.5
    whole = imitation_reward(robot.body, sunk, clip, (3, 4))
    row = clip_metrics("sunk", 51, sunk, clip, anchor=0, end_effectors=(3, 4), termination=HEIGHT_RULE)
    assert normalized_return(whole[: row["completed_frames"]], 51) == pytest.approx(whole[:17].sum() / 51)
