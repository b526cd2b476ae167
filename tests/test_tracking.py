"""The tracking task against plain MuJoCo and numpy: starts, steps, ends, broken physics, observations."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from tiny import EFFORT, KP, tiny_motion, tiny_robot

from mimic.config import (
    ActionConfig,
    Config,
    CurriculumConfig,
    GoalConfig,
    ObservationConfig,
    RewardConfig,
    SamplingConfig,
)
from mimic.mdp.rewards import TERMS, squared_errors, squared_widths, tracking_rewards
from mimic.metrics import frame_errors
from mimic.presets import PRESETS, make_preset
from mimic.robots import load_robot
from mimic.sim.native import NativePhysics
from mimic.sim.physics import Drive, PhysicsState
from mimic.sim.randomize import KINDS
from mimic.tasks.curriculum import Notes
from mimic.tasks.tracking import EnvState, StepResult, Tracking
from motions.kinematics import KinematicState
from motions.library import pack
from motions.motion import Motion

ROBOT = tiny_robot()
CLIPS = (tiny_motion(), dataclasses.replace(tiny_motion(31), name="short"))  # 101 and 26 frames at 50 Hz
CONFIG = Config(
    preset="tiny",
    robot="tiny",
    sampling=SamplingConfig(episode_s=0.4),
    observation=ObservationConfig(
        actor=("command", "actions"), critic=("phase", "future", "motion_anchor_pos_b"), future_frames=(1, 50)
    ),
)
LIBRARY = pack(CLIPS, ROBOT.body, ROBOT.tracked_bodies, CONFIG.sim.ctrl_dt)


class Breakable(NamedTuple):
    """Native physics that breaks where the first motor is asked for more than 100 rad."""

    inner: NativePhysics
    robot = ROBOT
    n_substeps = 4

    def init(self, kinematics: KinematicState) -> PhysicsState:
        return self.inner.init(kinematics)

    def step(self, state: PhysicsState, drive: Drive) -> PhysicsState:
        after = self.inner.step(state, Drive(jnp.clip(drive.ctrl, -9, 9)))
        return jax.tree.map(lambda leaf: jnp.where(drive.ctrl[0] > 100, jnp.nan, leaf), after)


TASK = Tracking(CONFIG, ROBOT, Breakable(NativePhysics(ROBOT, 4)), LIBRARY)  # type: ignore[arg-type]
CURRICULUM, CHANCE = TASK.init_curriculum(), TASK.chance(jax.random.key(0))


def step(env_state: EnvState, action: jax.Array) -> tuple[EnvState, StepResult]:
    return TASK.step(env_state, action, CHANCE, CURRICULUM)


STEP, OBSERVE, RESET = jax.jit(step), jax.jit(TASK.observe), jax.jit(jax.vmap(TASK.reset, (0, None)))


def at(clip: int, frame: int) -> EnvState:
    return TASK.reset_to(jnp.array(clip, jnp.int32), jnp.array(frame, jnp.int32))


def frame_of(clip: int, frame: int) -> KinematicState:
    """By a slice of the clip, not by `lookup`."""
    start = int(LIBRARY.clip_start[clip])
    return KinematicState(*(part[start : start + int(LIBRARY.clip_length[clip])][frame] for part in LIBRARY.frames))


def test_the_library_is_on_the_device_once():
    """Hours of motion are gigabytes; whoever looks frames up shares them."""
    config = dataclasses.replace(CONFIG, reward=RewardConfig(style=1.0), goal=GoalConfig(kind="heading"))
    task = Tracking(config, ROBOT, NativePhysics(ROBOT, 4), LIBRARY)
    assert task.style is not None
    assert task.goals is not None
    other = task.aim_of(ActionConfig(prior="default"))
    for sharing in (task.aim, other, task.style, task.goals):
        assert sharing.library.qpos is task.library.qpos
        assert sharing.library.qvel is task.library.qvel


def test_starts_are_exactly_on_the_reference():
    """The reset error is zero, bit for bit, wherever the sampler sends an episode."""
    states = RESET(jax.random.split(jax.random.key(0), 200), CURRICULUM)
    assert set(np.asarray(states.clip).tolist()) == {0, 1}
    for i in range(200):
        expected = frame_of(int(states.clip[i]), int(states.frame[i]))
        for part, value in zip(states.physics.kinematics, expected):
            np.testing.assert_array_equal(part[i], value)
    assert not np.asarray(states.step_count).any()
    assert not np.asarray(states.last_action).any()


def test_steps_are_plain_mujoco_towards_the_next_frame():
    """Target: the prior of frame f + 1 plus .25 effort/kp of the action. Reward: against frame f + 1."""
    rng, state = np.random.default_rng(0), at(0, 7)
    data = mujoco.MjData(ROBOT.model)
    data.qpos[:], data.qvel[:] = LIBRARY.frames.qpos[7], LIBRARY.frames.qvel[7]
    last_action = np.zeros(4, np.float32)
    for i in range(12):
        action = rng.normal(size=4).astype(np.float32)
        data.ctrl[:] = np.asarray(TASK.target(jnp.array(0), jnp.array(8 + i), jnp.zeros(4))) + 0.25 * EFFORT / KP * action
        mujoco.mj_step(ROBOT.model, data, 4)
        state, result = STEP(state, action)
        np.testing.assert_allclose(state.physics.kinematics.qpos, data.qpos, atol=1e-4)
        np.testing.assert_allclose(state.physics.kinematics.qvel, data.qvel, atol=2e-2)
        errors = squared_errors(state.physics.kinematics, frame_of(0, 8 + i), anchor=0)
        np.testing.assert_allclose(result.notes.errors, list(errors.values()), rtol=1e-3, atol=1e-7)
        terms = tracking_rewards(errors, squared_widths(CONFIG.reward))
        total = sum(getattr(CONFIG.reward, name) * float(value) for name, value in terms.items())
        total += CONFIG.reward.action_rate * float(np.sum((action - last_action) ** 2))
        assert float(result.reward) == pytest.approx(CONFIG.reward.scale * total, abs=1e-5)
        assert (int(state.frame), int(state.step_count)) == (8 + i, i + 1)
        np.testing.assert_array_equal(state.last_action, action)
        last_action = action


def test_priors_of_the_second_clip_are_its_own():
    """By frame, whatever was packed before; beyond the end, the last."""
    alone = Tracking(CONFIG, ROBOT, TASK.physics, pack(CLIPS[1:], ROBOT.body, ROBOT.tracked_bodies, 0.02))
    zero = jnp.zeros(4)
    for frame in (0, 3, 25, 26, 99):
        np.testing.assert_array_equal(
            TASK.target(jnp.array(1), jnp.array(frame), zero), alone.target(jnp.array(0), jnp.array(min(frame, 25)), zero)
        )


def ends(result: StepResult) -> tuple[bool, bool, bool]:
    return bool(result.terminated), bool(result.truncated), bool(result.invalid)


def test_the_end_of_a_clip_truncates():
    state, result = STEP(at(1, 23), jnp.zeros(4))
    assert ends(result) == (False, False, False)
    assert np.asarray(result.notes.place).reshape(-1)[0] == 101 + 24
    state, result = STEP(state, jnp.zeros(4))
    assert ends(result) == (False, True, False)
    assert np.asarray(result.notes.place).reshape(-1)[0] == 101 + 25


def test_the_longest_episode_truncates():
    """.4 s are 20 steps."""
    state = at(0, 10)
    for _ in range(19):
        state, result = STEP(state, jnp.zeros(4))
        assert ends(result) == (False, False, False)
    state, result = STEP(state, jnp.zeros(4))
    assert ends(result) == (False, True, False)
    assert (int(state.step_count), int(state.frame)) == (20, 30)


def lifted(state: EnvState, by_m: float) -> EnvState:
    kinematics = state.physics.kinematics
    up = jnp.array([0, 0, by_m])
    kinematics = kinematics._replace(qpos=kinematics.qpos.at[2].add(by_m), xpos=kinematics.xpos + up)
    return state._replace(physics=TASK.physics.init(kinematics))


@pytest.mark.parametrize("frame", [5, 24])
def test_losing_the_reference_terminates_and_never_truncates_as_well(frame: int):
    """Also where the clip ends with the same step."""
    _, result = STEP(lifted(at(1, frame), 0.35), jnp.zeros(4))
    assert ends(result) == (True, False, False)
    _, result = STEP(lifted(at(1, frame), 0.15), jnp.zeros(4))
    assert ends(result) == (False, frame == 24, False)


def test_broken_physics_terminates_with_nothing_broken_left_behind():
    state, result = STEP(at(1, 24), jnp.array([1e4, 0, 0, 0]))
    assert ends(result) == (True, False, True)
    assert float(result.reward) == 0
    for part, value in zip(state.physics.kinematics, frame_of(1, 25)):
        np.testing.assert_array_equal(part, value)
    for leaf in jax.tree.leaves((state, result, OBSERVE(state))):
        assert np.isfinite(leaf).all()


def test_too_fast_is_broken_too():
    fast = at(0, 5)
    kinematics = fast.physics.kinematics
    fast = fast._replace(physics=TASK.physics.init(kinematics._replace(qvel=kinematics.qvel.at[6].set(5e3))))
    _, result = STEP(fast, jnp.zeros(4))
    assert bool(result.invalid)


def test_logged_errors_are_the_evaluations():
    state, result = STEP(at(0, 40), jnp.ones(4))
    single = KinematicState(*(np.asarray(part)[None] for part in state.physics.kinematics))
    reference = KinematicState(*(part[None] for part in frame_of(0, 41)))
    expected = frame_errors(single, reference, 0)
    for name in ("e_mpbpe_mm", "e_g_mpbpe_mm", "e_mpjpe_rad"):
        assert float(result.log[f"error/{name}"]) == pytest.approx(float(expected[name][0]), rel=1e-4)


def test_observations_by_hand():
    """Actor: reference joints and last action; critic beyond that: the phase, frames 1 and 50 ahead (not beyond the clip's end),
    the anchor's error."""
    state, _ = STEP(at(1, 12), jnp.array([0.5, 0, 0, -0.5]))
    actor, extra = OBSERVE(state)
    reference = frame_of(1, 13)
    np.testing.assert_allclose(actor, [*reference.qpos[7:], *reference.qvel[6:], 0.5, 0, 0, -0.5], atol=1e-6)
    assert float(extra[0]) == pytest.approx(13 / 25)
    assert extra.shape == (1 + 2 * (4 + 9) + 3,)
    np.testing.assert_allclose(extra[1:5], frame_of(1, 14).qpos[7:], atol=1e-6)
    np.testing.assert_allclose(extra[14:18], frame_of(1, 25).qpos[7:], atol=1e-6)
    np.testing.assert_allclose(OBSERVE(at(0, 30))[1][-3:], 0, atol=1e-6)


def notes(place: jax.Array, steps: tuple[int, int]) -> Notes:
    """Of steps (T, B) that were all at `place` (2,), without an error or a difference."""
    return Notes(jnp.broadcast_to(place, (*steps, 2)), jnp.zeros((*steps, 6)), jnp.zeros((*steps, len(KINDS)), bool))


def test_failures_move_the_starts():
    """Every failure in the short clip: from then on most episodes start there."""
    place = STEP(at(1, 5), jnp.zeros(4))[1].notes.place
    curriculum = TASK.update_curriculum(CURRICULUM, notes(place, (4, 8)), jnp.ones((4, 8), bool))
    states = RESET(jax.random.split(jax.random.key(0), 200), curriculum)
    assert np.asarray(states.clip).mean() > 0.7


def aided() -> Tracking:
    """Without physics: nothing here steps. Every aid is on."""
    config = dataclasses.replace(
        CONFIG,
        reward=RewardConfig(action_acceleration=-0.02),
        curriculum=CurriculumConfig(tolerance_decay=0.9, loose_bounds=3.0, tighten_share=0.5),
    )
    return Tracking(config, ROBOT, TASK.physics, LIBRARY)


def test_the_aids_reach_the_step():
    """Narrower widths, wider bounds, and a cost of kinks: each against its formula, nothing else changed."""
    task = aided()
    curriculum = task.init_curriculum()
    assert curriculum.tolerance is not None
    narrow = curriculum._replace(tolerance=curriculum.tolerance._replace(width_sq=curriculum.tolerance.width_sq / 4))
    aided_step = jax.jit(lambda state, action, curriculum: task.step(state, action, CHANCE, curriculum))
    high = task.reset_to(jnp.array(0, jnp.int32), jnp.array(5, jnp.int32))
    high = high._replace(physics=lifted(high, 0.35).physics)  # beyond .25 m, within 3 times that
    actions, results = np.random.default_rng(0).normal(size=(2, 4)), []
    state = high
    for action in actions:
        state, result = aided_step(state, jnp.asarray(action, jnp.float32), narrow)
        results.append(result)
    assert [ends(result)[0] for result in results] == [False, False]
    assert ends(aided_step(high, jnp.zeros(4), narrow._replace(looseness=jnp.array(1.0)))[1]) == (True, False, False)
    for name, error, sigma_sq in zip(TERMS, result.notes.errors, squared_widths(CONFIG.reward), strict=True):
        assert float(result.log[f"reward/{name}"]) == pytest.approx(float(np.exp(-error / (sigma_sq / 4))), rel=1e-4, abs=1e-30)
        assert float(task.curriculum_log(narrow)[f"curriculum/sigma_{name}"]) == pytest.approx(np.sqrt(sigma_sq) / 2, rel=1e-5)
    terms = {name: float(result.log[f"reward/{name}"]) for name in (*TERMS, "action_rate", "action_acceleration")}
    kink = np.sum(np.diff([np.zeros(4), *actions], n=2, axis=0)[-1] ** 2)
    assert terms["action_acceleration"] == pytest.approx(kink, rel=1e-4)
    total = 0.1 * sum(getattr(task.config.reward, name) * value for name, value in terms.items())
    assert float(result.reward) == pytest.approx(total, abs=1e-5)


def test_the_curriculum_tightens_with_the_training():
    """Bounds 3 times as wide at the start, as configured from half of it on; the widths follow the errors of each rollout."""
    task = aided()
    curriculum = task.init_curriculum()
    place, never = STEP(at(1, 5), jnp.zeros(4))[1].notes.place, jnp.zeros((4, 8), bool)
    errors = jnp.broadcast_to(jnp.asarray(squared_widths(CONFIG.reward)), (4, 8, 6)) * jnp.arange(8)[None, :, None] / 7
    seen = notes(place, (4, 8))._replace(errors=errors)
    half, factors = task.config.num_iterations // 2, []
    found = jax.lax.fori_loop(0, half // 2, lambda _, c: task.update_curriculum(c, seen, never), curriculum)
    factors.append(float(found.looseness))  # type: ignore[arg-type]
    found = jax.lax.fori_loop(half // 2, half + 9, lambda _, c: task.update_curriculum(c, seen, never), found)
    factors.append(float(found.looseness))  # type: ignore[arg-type]
    assert factors == pytest.approx([2.0, 1.0], abs=0.01)
    assert float(task.curriculum_log(found)["curriculum/looseness"]) == 1.0
    found = task.update_curriculum(curriculum, seen, never)
    shrunk = 0.5 + 0.5 * 0.9**4  # the errors' mean over environments is half the width
    np.testing.assert_allclose(found.tolerance.width_sq, shrunk * squared_widths(CONFIG.reward), rtol=1e-5)  # type: ignore
    off = TASK.update_curriculum(CURRICULUM, seen, never)
    assert (off.tolerance, off.looseness) == (None, None)


def test_widths_shrink_only_while_falls_are_few():
    """One fall in 32 control steps of .02 s is 1.6 a second."""
    task = aided()
    place = STEP(at(1, 5), jnp.zeros(4))[1].notes.place
    seen, some = notes(place, (4, 8)), jnp.zeros((4, 8), bool).at[0, 0].set(True)
    rate = 1.0 / 32 / task.config.sim.ctrl_dt
    for bound, shrinks in ((None, True), (1.2 * rate, True), (0.8 * rate, False)):
        task.config = dataclasses.replace(task.config, curriculum=CurriculumConfig(tolerance_decay=0.9, tolerance_falls=bound))
        before = task.init_curriculum()
        for _ in range(30):  # until the running mean knows
            before = task.update_curriculum(before, seen, some)
        found = task.update_curriculum(before, seen, some).tolerance
        assert found is not None
        assert before.tolerance is not None
        assert bool((found.width_sq < before.tolerance.width_sq).all()) == shrinks
        assert (found.mean_sq < before.tolerance.mean_sq).all(), "the errors are followed all the same"


def test_one_rollout_without_a_fall_narrows_nothing():
    task = aided()
    seen = notes(STEP(at(1, 5), jnp.zeros(4))[1].notes.place, (4, 8))
    task.config = dataclasses.replace(task.config, curriculum=CurriculumConfig(tolerance_decay=0.9, tolerance_falls=0.2))
    start = task.init_curriculum()
    assert start.tolerance is not None
    found = task.update_curriculum(start, seen, jnp.zeros((4, 8), bool)).tolerance
    assert found is not None
    np.testing.assert_array_equal(found.width_sq, start.tolerance.width_sq)


@pytest.mark.parametrize("blame_start", [True, False])
def test_where_a_failure_counts(blame_start: bool):
    """Begun on frame 5, lost on 70, in two of three steps: 2/3 a step for the bins of 50 frames that hold them."""
    sampling = dataclasses.replace(CONFIG.sampling, blame_start=blame_start, decay=0.5)
    task = Tracking(dataclasses.replace(CONFIG, sampling=sampling), ROBOT, TASK.physics, LIBRARY)
    failed = jnp.zeros((3, 8), bool).at[:2, 4].set(True)
    failures = task.update_curriculum(CURRICULUM, notes(jnp.array([70, 5]), (3, 8)), failed).sampler.failures
    np.testing.assert_allclose(failures, 0.5 * np.array([2 / 3 if blame_start else 0, 2 / 3, 0]))


@pytest.mark.slow
def test_jit_is_no_jit():
    action = jnp.array([0.3, -0.2, 0.1, 0.4])
    with jax.disable_jit():
        plain = step(at(0, 20), action)
        plain_observed = TASK.observe(plain[0])
    jitted = STEP(at(0, 20), action)
    for a, b in zip(jax.tree.leaves((plain, plain_observed)), jax.tree.leaves((jitted, OBSERVE(jitted[0])))):
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=1e-4, atol=1e-4)


@pytest.fixture
def robots_of_presets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Where the makers' models are; without them the preset is skipped."""

    def load(config: Config):
        if config.robot != "humanoid":
            monkeypatch.setenv("MIMIC_ROBOTS", str(request.getfixturevalue("shared_robots")))
        return load_robot(config.robot, sim=config.sim)

    return load


QUICK = ("g1", "g1_deploy", "humanoid")  # each compiles a program of its own


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PRESETS])
def test_every_preset_builds_resets_and_steps(name: str, robots_of_presets):
    """On a clip of standing with slowly swinging joints: a dozen steps of noise, and all is finite and as wide as it says."""
    config = make_preset(name)
    robot = robots_of_presets(config)
    t = np.arange(61)[:, None] / 30
    qpos = np.tile(robot.default_qpos, (61, 1))
    qpos[:, 7:] += 0.05 * np.sin(2 * t)
    motion = Motion("stand", robot.name, 30.0, qpos, robot.joint_names)
    library = pack([motion], robot.body, robot.tracked_bodies, config.sim.ctrl_dt)
    task = Tracking(config, robot, NativePhysics(robot, config.sim.n_substeps), library)

    def run(key: jax.Array):
        curriculum = task.init_curriculum()
        first = jax.vmap(task.reset, (0, None))(jax.random.split(key, 2), curriculum)

        def step(states, key_step):
            actions = 0.3 * jax.random.normal(key_step, (2, task.action_size))
            chances = jax.vmap(task.chance)(jax.random.split(key_step, 2))
            states, results = jax.vmap(task.step, (0, 0, 0, None))(states, actions, chances, curriculum)
            return states, (results, jax.vmap(task.observe)(states))

        return jax.lax.scan(step, first, jax.random.split(key, 12))[1]

    results, (actor, extra) = jax.jit(run)(jax.random.key(0))
    for leaf in jax.tree.leaves((results, actor, extra)):
        assert np.isfinite(leaf).all()
    assert not np.asarray(results.invalid).any()
    assert not np.asarray(results.terminated).any()
    assert float(results.log["error/e_mpbpe_mm"].mean()) < 60
    assert actor.shape[-1] > 2 * task.action_size
    assert extra.shape[-1] > task.action_size
