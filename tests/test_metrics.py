"""Metrics against plain Python loops, scipy and numbers worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mimic.config import TerminationConfig
from mimic.mdp.anchoring import anchored_targets
from mimic.mdp.terminations import fallen
from mimic.metrics import METRICS, clip_metrics, frame_errors, mean_metrics
from motions.kinematics import KinematicState

FRAMES, BODIES, JOINTS, ANCHOR = 6, 4, 3, 1


def random_state(seed: int) -> KinematicState:
    rng = np.random.default_rng(seed)
    quat = Rotation.random(FRAMES * BODIES, rng=rng).as_quat(scalar_first=True).reshape(FRAMES, BODIES, 4)
    return KinematicState(
        qpos=np.concatenate([rng.normal(size=(FRAMES, 3)), quat[:, 0], rng.normal(size=(FRAMES, JOINTS))], axis=1),
        qvel=rng.normal(size=(FRAMES, 6 + JOINTS)),
        xpos=rng.normal(size=(FRAMES, BODIES, 3)),
        xquat=quat,
        xlinvel=rng.normal(size=(FRAMES, BODIES, 3)),
        xangvel=rng.normal(size=(FRAMES, BODIES, 3)),
    )


def rotation(quat: np.ndarray) -> Rotation:
    return Rotation.from_quat(quat, scalar_first=True)


def heading(turn: Rotation) -> Rotation:
    m = turn.as_matrix()
    return Rotation.from_euler("z", np.arctan2(m[1, 0], m[0, 0]))


def expected_errors(state: KinematicState, reference: KinematicState) -> dict[str, list[float]]:
    """Every metric by loops over frames, bodies and joints, from the definitions."""
    rows: dict[str, list[float]] = {metric.key: [] for metric in METRICS}
    for f in range(FRAMES):
        p, r = state.xpos[f], reference.xpos[f]
        q_robot, q_ref = rotation(state.xquat[f, ANCHOR]), rotation(reference.xquat[f, ANCHOR])
        turn = heading(q_robot * q_ref.inv())
        origin = np.array([p[ANCHOR, 0], p[ANCHOR, 1], r[ANCHOR, 2]])
        world, anchored, relative = [], [], []
        for b in range(BODIES):
            world.append(np.linalg.norm(p[b] - r[b]))
            anchored.append(np.linalg.norm(p[b] - origin - turn.apply(r[b] - r[ANCHOR])))
            relative.append(np.linalg.norm((p[b] - state.qpos[f, :3]) - (r[b] - reference.qpos[f, :3])))
        ours, theirs = (heading(rotation(s.qpos[f, 3:7])).inv().apply(s.xpos[f] - s.qpos[f, :3]) for s in (state, reference))
        rows["pose_error_m"].append(np.mean([np.linalg.norm(ours[b] - theirs[b]) for b in range(BODIES)]))
        angles = [state.qpos[f, 7 + j] - reference.qpos[f, 7 + j] for j in range(JOINTS)]
        rates = [state.qvel[f, 6 + j] - reference.qvel[f, 6 + j] for j in range(JOINTS)]
        rows["e_g_mpbpe_mm"].append(1000 * sum(world) / BODIES)
        rows["e_mpbpe_mm"].append(1000 * sum(anchored) / BODIES)
        rows["e_mpbpe_root_mm"].append(1000 * sum(relative) / BODIES)
        rows["e_mpjpe_rad"].append(sum(abs(a) for a in angles) / JOINTS)
        rows["e_mpjpe_l2_rad"].append(sum(a * a for a in angles) ** 0.5)
        rows["e_mpjve_rad_s"].append(sum(abs(a) for a in rates) / JOINTS)
        rows["e_anchor_height_mm"].append(1000 * abs(p[ANCHOR, 2] - r[ANCHOR, 2]))
        rows["e_anchor_angle_rad"].append((q_robot.inv() * q_ref).magnitude())
        d = [state.xpos[f - k] - reference.xpos[f - k] for k in range(min(f, 2) + 1)]
        if f >= 1:
            rows["e_mpbve_mm_frame"].append(1000 * np.mean([np.linalg.norm(v) for v in d[0] - d[1]]))
        if f >= 2:
            rows["e_mpbae_mm_frame2"].append(1000 * np.mean([np.linalg.norm(v) for v in d[0] - 2 * d[1] + d[2]]))
    return rows


def test_every_metric_equals_its_definition_in_loops():
    state, reference = random_state(0), random_state(1)
    errors, expected = frame_errors(state, reference, ANCHOR), expected_errors(state, reference)
    for key, values in errors.items():
        np.testing.assert_allclose(values, expected[key], rtol=1e-9, err_msg=key)


def test_numbers_by_hand():
    """Two bodies, the anchor first: 3-4-0 mm off in the world, the other one 12 mm higher besides."""
    reference = still(frames=1)
    state = reference._replace(xpos=reference.xpos + np.array([[[0.003, 0.004, 0], [0.003, 0.004, 0.012]]]))
    state = state._replace(qpos=reference.qpos + np.array([[0] * 7 + [0.3, -0.4]]))
    errors = {key: values.tolist() for key, values in frame_errors(state, reference, 0).items()}
    assert errors["e_g_mpbpe_mm"] == pytest.approx([(5 + 13) / 2])
    assert errors["e_mpbpe_mm"] == pytest.approx([(0 + 12) / 2])
    assert errors["e_mpjpe_rad"] == pytest.approx([0.35])
    assert errors["e_mpjpe_l2_rad"] == pytest.approx([0.5])


def moved(reference: KinematicState, yaw: float, shift: tuple[float, float, float]) -> KinematicState:
    turn = Rotation.from_euler("z", yaw)
    xpos = turn.apply(reference.xpos.reshape(-1, 3)).reshape(reference.xpos.shape) + np.array(shift)
    xquat = (turn * rotation(reference.xquat.reshape(-1, 4))).as_quat(scalar_first=True).reshape(reference.xquat.shape)
    return reference._replace(xpos=xpos, xquat=xquat)


@pytest.mark.parametrize("yaw", [0.0, 0.7, -2.0, 3.1])
def test_reanchoring_forgives_place_and_heading_but_not_height(yaw: float):
    reference = random_state(2)
    state = moved(reference, yaw, (3.0, -20.0, 0.0))
    xpos, xquat = anchored_targets(state, reference, ANCHOR)
    np.testing.assert_allclose(xpos, state.xpos, atol=1e-12)
    assert np.abs(np.sum(xquat * state.xquat, axis=-1)).min() > 1 - 1e-12
    errors = frame_errors(state, reference, ANCHOR)
    assert errors["e_mpbpe_mm"].max() < 1e-9
    assert errors["e_g_mpbpe_mm"].min() > 1000
    lifted = frame_errors(moved(reference, yaw, (3.0, -20.0, 0.05)), reference, ANCHOR)
    np.testing.assert_allclose(lifted["e_mpbpe_mm"], 50.0)


def test_targets_keep_the_reference_height():
    """What lets `fallen` compare world heights: the re-anchored z is the reference's z."""
    state, reference = random_state(3), random_state(4)
    np.testing.assert_allclose(anchored_targets(state, reference, ANCHOR)[0][..., 2], reference.xpos[..., 2], atol=1e-12)


def test_jax_and_numpy_agree():
    state, reference = random_state(5), random_state(6)
    on_device = [KinematicState(*(jnp.asarray(part) for part in s)) for s in (state, reference)]
    for metric in METRICS:
        value = metric.per_frame(*on_device, ANCHOR)
        assert isinstance(value, jnp.ndarray)
        np.testing.assert_allclose(value, metric.per_frame(state, reference, ANCHOR), rtol=2e-4, err_msg=metric.key)


def still(frames: int, bodies: int = 2) -> KinematicState:
    quat = np.tile([1.0, 0, 0, 0], (frames, bodies, 1))
    xpos = np.tile(np.arange(bodies * 3).reshape(bodies, 3) * 0.1, (frames, 1, 1))
    qpos = np.tile([0, 0, 0, 1.0, 0, 0, 0, 0, 0], (frames, 1))
    zero = np.zeros((frames, bodies, 3))
    return KinematicState(qpos, np.zeros((frames, 8)), xpos, quat, zero, zero)


LIMITS = TerminationConfig(anchor_height=0.25, anchor_angle=0.8, end_effector_height=0.2)


@pytest.mark.parametrize(
    ("body", "dz", "expected"),
    [(0, 0.24, False), (0, 0.26, True), (0, -0.26, True), (1, 0.19, False), (1, 0.21, True), (1, -0.21, True), (2, 5.0, False)],
)
def test_height_rule(body: int, dz: float, expected: bool):
    """Body 0 is the anchor, 1 an end effector, 2 neither."""
    reference = still(frames=1, bodies=3)
    xpos = reference.xpos.copy()
    xpos[0, body, 2] += dz
    assert fallen(reference._replace(xpos=xpos), reference, 0, [1], LIMITS).tolist() == [expected]


@pytest.mark.parametrize(("axis", "angle", "expected"), [("x", 0.79, False), ("x", 0.81, True), ("z", 0.81, True)])
def test_angle_rule(axis: str, angle: float, expected: bool):
    reference = still(frames=1)
    xquat = reference.xquat.copy()
    xquat[0, 0] = Rotation.from_euler(axis, angle).as_quat(scalar_first=True)
    assert fallen(reference._replace(xquat=xquat), reference, 0, [], LIMITS).tolist() == [expected]


def test_nan_has_fallen_even_where_a_comparison_would_say_no():
    reference = still(frames=1)
    for field in ("xpos", "xquat"):
        assert fallen(reference._replace(**{field: getattr(reference, field) * np.nan}), reference, 0, [1], LIMITS).all()


def displaced(dz: list[float]) -> tuple[KinematicState, KinematicState]:
    """All bodies dz[f] [m] too high in frame f."""
    reference = still(len(dz))
    return reference._replace(xpos=reference.xpos + np.array(dz)[:, None, None] * [0, 0, 1]), reference


def row(dz: list[float], frames: int | None = None) -> dict:
    state, reference = displaced(dz)
    return clip_metrics("c", frames or len(dz), state, reference, anchor=0, end_effectors=[1], termination=LIMITS)


def test_completed_frames_end_where_the_height_rule_fails():
    result = row([0.0, 0.1, 0.19, 0.3, 0.0])
    assert (result["frames"], result["completed_frames"], result["success_height"]) == (5, 3, 0)
    assert result["e_g_mpbpe_mm"] == pytest.approx((0 + 100 + 190) / 3)
    assert result["e_mpbve_mm_frame"] == pytest.approx((100 + 90) / 2)
    assert result["e_mpbae_mm_frame2"] == pytest.approx(10)


@pytest.mark.parametrize(
    ("dz", "height", "at_015", "at_05"),
    [
        ([0, 0.14, 0], 1, 1, 1),
        ([0, 0.16, 0], 1, 0, 1),
        ([0, 0.3, 0], 0, 0, 1),
        ([0, 0.3, 0.6], 0, 0, 0),
        ([0, 0.1, np.nan], 0, 0, 0),
    ],
)
def test_three_successes_are_judged_apart(dz: list[float], height: int, at_015: int, at_05: int):
    result = row(dz)
    assert (result["success_height"], result["success_015"], result["success_05"]) == (height, at_015, at_05)


def test_frame_zero_counts_and_a_single_frame_has_no_differences():
    result = row([0.0, 9.0], frames=100)
    assert (result["completed_frames"], result["success_height"], result["success_05"]) == (1, 0, 0)
    assert result["e_g_mpbpe_mm"] == 0
    assert result["e_mpbve_mm_frame"] is None


def test_mean_over_clips_gives_fractions_and_leaves_out_what_is_missing():
    mean = mean_metrics([row([0.0, 9.0]), row([0.0, 0.1, 0.1])])
    assert "name" not in mean
    assert mean["success_height"] == 0.5
    assert mean["frames"] == 2.5
    assert mean["e_g_mpbpe_mm"] == pytest.approx((0 + 200 / 3) / 2)
    assert mean["e_mpbve_mm_frame"] == pytest.approx(50)
