"""DAgger: the teacher's word against its exported network, what the student learns, and how a run of it is kept."""

import dataclasses
import io
import json
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import SMALL, call, refusal
from rich.console import Console
from tiny import tiny_motion, tiny_robot
from toy import Reach, ReachState, toy_config

from mimic import pipeline
from mimic.checks import check_config
from mimic.compare import Side, completed, export_teacher, judging_config, print_comparison
from mimic.config import (
    HEIGHT_RULE,
    ActionConfig,
    Config,
    CurriculumConfig,
    DistillConfig,
    NetworkConfig,
    ObservationConfig,
    PPOConfig,
    RandomizeConfig,
    TerminationConfig,
)
from mimic.deploy.export import export_policy, make_spec, numpy_policy
from mimic.deploy.sim2sim import Policy
from mimic.learning.distill import Lesson, Taught, Teacher, known_mean, labels, make_student
from mimic.learning.networks import Layers, actor_layers, actor_params
from mimic.learning.normalizer import normalize
from mimic.learning.ppo import TrainState
from mimic.presets import make_preset
from mimic.runs import create_run, open_run, read_metrics
from mimic.training.teacher import TaughtBy, check_student, load_teacher, save_teacher, student_config, unknowable, unlike_teacher
from mimic.training.train import make_task
from motions.errors import InputError

ROBOT, MOTION = tiny_robot(), tiny_motion()
SIGHT = ObservationConfig(actor=("command", "tracking_errors", "base_lin_vel", "actions", "future"), future_frames=(2, 9))
TEACHER = Config(preset="tiny", robot="tiny", observation=SIGHT)
STUDENT = dataclasses.replace(
    TEACHER,
    num_envs=4,
    observation=ObservationConfig(actor=("command", "joint_pos", "actions"), history=2, history_terms=("joint_pos",)),
    randomize=RandomizeConfig(
        nominal_share=0.0, start_level=1.0, encoder_bias=0.1, observation_delay=(3, 4), action_delay=(0, 6)
    ),
)


def random_teacher(config: Config) -> tuple[Layers, np.ndarray, np.ndarray]:
    """Layers, mean, std of the size `config` asks for."""
    rng, size = np.random.default_rng(0), make_spec(config, ROBOT, MOTION).observation_size
    layers = [
        (rng.normal(size=shape).astype(np.float32) / 4, rng.normal(size=shape[1]).astype(np.float32))
        for shape in ((size, 12), (12, 8), (8, 4))
    ]
    return layers, rng.normal(size=size).astype(np.float32), rng.uniform(0.5, 2, size).astype(np.float32)


def test_a_student_may_act_by_another_prior_than_its_teacher():
    """What the teacher asks for is the same target; the label is the student's own action that asks for it, and what the teacher
    is shown as its last action is the one of its own that would have acted as the student's did."""
    prompt = dataclasses.replace(STUDENT, randomize=RandomizeConfig())
    own = dataclasses.replace(prompt, action=ActionConfig(prior="default", feed_forward="none", scale=0.5))
    teacher = Teacher(SIGHT, TEACHER.action, *random_teacher(TEACHER))
    plain, other = (Taught(make_task(config, ROBOT, (MOTION,), "native"), teacher, 1.0) for config in (prompt, own))
    clip, frame, joints = jnp.array(0, jnp.int32), jnp.array(10, jnp.int32), 4
    states = [taught.task.reset_to(clip, frame) for taught in (plain, other)]
    plans = [taught.plan(state) for taught, state in zip((plain, other), states, strict=True)]
    np.testing.assert_allclose(plans[0][:joints], plans[1][:joints], atol=1e-5)
    np.testing.assert_allclose(plans[1][joints:-1], ROBOT.default_qpos[7:], atol=1e-6)
    label, known = labels(plans[1][None, None], jnp.zeros((1, 1), bool), other.task.action_scale)
    assert known.all()
    np.testing.assert_allclose(other.task.target(clip, frame + 1, label[0, 0]), plans[0][:joints], atol=1e-5)
    acted = states[1]._replace(step_count=jnp.array(3), last_action=jnp.full(joints, 0.2))
    seen = other.task.observe_true(acted, ObservationConfig(actor=("actions",)), other.aim)
    target = other.task.target(clip, frame, jnp.full(joints, 0.2))
    np.testing.assert_allclose(other.aim.target(clip, frame, seen), target, atol=1e-5)


def test_the_label_is_what_the_exported_teacher_would_do_in_the_true_state(tmp_path: Path):
    """By ONNX and the numpy runtime, after random steps with delays and biased encoders, which the teacher does not see; with
    `true_state` it does not in its own training either. Its last action is the one whose target acted last."""
    actor = random_teacher(TEACHER)
    policy = Policy.load(export_policy(*actor, TEACHER, ROBOT, MOTION, tmp_path / "teacher.onnx"))
    late = dataclasses.replace(STUDENT, randomize=dataclasses.replace(STUDENT.randomize, action_delay=(3, 3)))
    task = make_task(late, ROBOT, (MOTION,), "native")  # three of four physics steps with the target before the last
    trained = dataclasses.replace(STUDENT, observation=dataclasses.replace(SIGHT, true_state=True))
    seer = make_task(trained, ROBOT, (MOTION,), "native")
    taught = Taught(task, Teacher(SIGHT, TEACHER.action, *actor), 1.0)
    lesson = taught.init_curriculum()._replace(led=jnp.zeros(()))
    state, rng = taught.reset(jax.random.key(1), lesson), np.random.default_rng(1)
    clip = policy.reference(MOTION)
    step, observe = jax.jit(taught.step), jax.jit(taught.observe)
    sizes = [term.size for term in make_spec(TEACHER, ROBOT, MOTION).observation]
    its_action = slice(sum(sizes[:3]), sum(sizes[:4]))  # the one that acted, or that was sent
    sent, still = [task.target(state.clip, state.frame, jnp.zeros(4))], np.zeros(4, np.float32)
    for i in range(4):
        action = rng.normal(size=4).astype(np.float32)
        state, _ = step(state, action, taught.chance(jax.random.key(i)), lesson)
        sent.append(task.target(state.clip, state.frame, action))
        true = jax.tree.map(np.asarray, state.physics.kinematics)
        in_force = 0.75 * sent[-2] + 0.25 * sent[-1]
        acted = (in_force - task.target(state.clip, state.frame, still)) / task.action_scale
        seen, _ = policy.observation(true, clip, int(state.frame), np.asarray(acted))
        sensed, (target, prior, lag) = observe(state)[0], np.split(np.asarray(observe(state)[1]), [4, 8])
        np.testing.assert_allclose((target - prior) / task.action_scale, policy.act(seen), atol=1e-4)
        np.testing.assert_allclose(prior, task.target(state.clip, state.frame + 1, still), atol=1e-6)
        assert lag == 0.75
        present = seer.observe(state)[0][: sum(sizes)]
        np.testing.assert_array_equal(
            np.delete(task.observe_true(state, SIGHT, task.aim), its_action), np.delete(present, its_action)
        )
        assert np.abs(np.asarray(sensed)[8:12] - (true.qpos[7:] - ROBOT.default_qpos[7:])).max() > 1e-3


def test_a_label_is_what_the_teacher_asks_for_when_the_action_arrives():
    """By loops: whole and broken lags, episodes that end before, and the rollout's own end."""
    rng, scale = np.random.default_rng(0), np.array([0.5, 2.0], np.float32)
    target, still = rng.normal(size=(2, 9, 3, 2)).astype(np.float32)
    ended = np.zeros((9, 3), bool)
    ended[4, 1] = True
    lag = np.array([0.0, 2.0, 1.25], np.float32) * np.ones((9, 1), np.float32)
    plans = np.concatenate([target, still, lag[..., None]], axis=-1)
    label, known = labels(jnp.asarray(plans), jnp.asarray(ended), jnp.asarray(scale))
    for b, needed in enumerate((0, 2, 2)):
        for t in range(9):
            there = t + needed < 9 and not ended[t : t + needed, b].any()
            assert known[t, b] == there, (t, b)
            if there:
                later = {
                    0: target[t, b],
                    1: target[min(t + 2, 8), b],
                    2: 0.75 * target[min(t + 1, 8), b] + 0.25 * target[min(t + 2, 8), b],
                }[b]
                np.testing.assert_allclose(label[t, b], (later - still[t, b]) / scale, rtol=1e-4, atol=1e-5)
    assert float(known_mean(jnp.asarray([[1.0, 3.0], [9.0, 9.0]]), jnp.asarray([1.0, 0.0]))) == 2.0


def test_layers_go_back_into_the_network_they_came_from():
    layers = random_teacher(TEACHER)[0]
    for (kernel, bias), (kernel_again, bias_again) in zip(layers, actor_layers({"actor": actor_params(layers)}), strict=True):
        np.testing.assert_array_equal(kernel, kernel_again)
        np.testing.assert_array_equal(bias, bias_again)


# A toy with a known teacher: who sees the way to the goal and walks a third of it; the student sees it in other units.


class Blurred(Reach):
    def observe(self, state: ReachState) -> tuple[jax.Array, jax.Array]:
        return 5.0 + 3.0 * (state.goal - state.position), jnp.zeros(0)

    def observe_true(self, state: ReachState, observation: ObservationConfig, aim: None) -> jax.Array:
        return state.goal - state.position


WALK = Teacher(
    ObservationConfig(), ActionConfig(), [(np.eye(2, dtype=np.float32) / 3, np.zeros(2, np.float32))], np.zeros(2), np.ones(2)
)
TOY = dataclasses.replace(
    toy_config(num_envs=32, rollout_length=8),
    env_steps=32 * 8 * 60,
    distill=DistillConfig(learning_rate=1e-2, mixed_share=0.5, updates=4, kept_rollouts=3),
)


@pytest.fixture(scope="module")
def states() -> list[tuple[TrainState, dict[str, float]]]:
    """Every state of a distillation, and its log."""
    learner = make_student(TOY, Blurred(), WALK)
    state, iterate, found = jax.jit(learner.init)(jax.random.key(0)), jax.jit(learner.iterate), []
    for _ in range(TOY.num_iterations):
        state, log, _ = iterate(state)
        found.append((state, {name: float(value) for name, value in log.items()}))
    return found


def test_the_student_learns_what_its_teacher_does(states: list[tuple[TrainState, dict[str, float]]]):
    first, last = states[1][1], states[-1][1]  # nothing is learnt in the very first
    assert last["loss/imitation"] < 0.02 * first["loss/imitation"]
    assert last["error/imitation_rms"] < 0.05 * first["rollout/label_rms"]
    state = states[-1][0]
    way = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 2)).astype(np.float32)
    plans = np.zeros((50, 5), np.float32)
    seen = normalize(state.normalizer, jnp.concatenate([5.0 + 3.0 * way, plans], axis=1), TOY.observation.clip)[:, :2]
    x = np.asarray(seen)
    for i, (kernel, bias) in enumerate(layers := actor_layers(state.average)):
        x = x @ kernel + bias
        x = np.where(x > 0, x, np.expm1(np.minimum(x, 0))) if i < len(layers) - 1 else x
    np.testing.assert_allclose(x, way / 3, atol=0.03)


def test_the_teacher_leads_less_and_less(states: list[tuple[TrainState, dict[str, float]]]):
    """Linearly, to nothing at the middle of the training."""
    led = [log["curriculum/led"] for _, log in states]
    assert led[0] == 1.0
    assert led[15] == pytest.approx(1.0 - 15 / 30, abs=1e-6)
    assert not any(led[31:])


def test_the_last_rollouts_are_remembered(states: list[tuple[TrainState, dict[str, float]]]):
    """Three of 256 samples each; the newest replaces the oldest, and labels are a third of the way that was seen."""
    for before, after, place in zip(states[4:7], states[5:8], (0, 1, 2)):
        memory, old = after[0].opt_state, before[0].opt_state
        assert memory.obs.shape == (3, 256, 2)
        np.testing.assert_allclose(memory.label, (memory.obs - 5.0) / 9.0, atol=1e-6)
        changed = [bool((memory.obs[k] != old.obs[k]).any()) for k in range(3)]
        assert changed == [k == (place + 5) % 3 for k in range(3)]


def test_who_acts_is_drawn_in_every_step():
    """Of a share of .25: that many steps end where the teacher would have gone, the others where the policy would."""
    taught = Taught(Blurred(), WALK, 1.0)
    lesson = Lesson(jnp.zeros(()), jnp.asarray(0.25))
    state = ReachState(jnp.zeros(2), jnp.asarray([0.6, 0.3]), jnp.zeros((), int))

    def one(key: jax.Array) -> jax.Array:
        return taught.step(state, jnp.asarray([-1.0, 0.0]), taught.chance(key), lesson)[0].position

    reached = np.asarray(jax.vmap(one)(jax.random.split(jax.random.key(0), 2000)))
    teachers = np.isclose(reached, [0.1, 0.05]).all(axis=1)
    assert np.isclose(reached[~teachers], [-0.5, 0.0]).all()
    assert teachers.mean() == pytest.approx(0.25, abs=0.03)


# What a student may be


def test_a_student_has_its_teachers_robot_and_actions_and_its_own_senses():
    preset = Config(preset="p", network=NetworkConfig((7,)), observation=STUDENT.observation, env_steps=9)
    teacher = dataclasses.replace(TEACHER, motion=("a.npz",), start_s=1.0, action=ActionConfig(scale=0.5))
    student = student_config(preset, teacher, Path("runs/old"))
    assert (student.robot, student.motion, student.start_s, student.action.scale) == ("tiny", ("a.npz",), 1.0, 0.5)
    assert (student.network.hidden, student.observation, student.env_steps) == ((7,), STUDENT.observation, 9)
    assert student.teacher == "runs/old"
    check_student(student, teacher)


@pytest.mark.parametrize(
    ("student", "teacher", "says"),
    [
        ({}, {"follow": False}, "follows no clip"),
        ({"sim": dataclasses.replace(TEACHER.sim, n_substeps=2)}, {}, r"sim.n_substeps: 2 \(the teacher has 4\)"),
        ({"ppo": PPOConfig(symmetry="loss")}, {}, "ppo.symmetry is loss, expected none"),
        ({"robot": "h1"}, {}, r"robot: 'h1' \(the teacher has 'tiny'\)"),
        ({"motion": ("b.npz",)}, {}, r"motion: \('b.npz',\)"),
        ({}, {"observation": STUDENT.observation}, "observes 2 past control steps.*--observation.history 0"),
        (
            {},
            {"observation": ObservationConfig(actor=("randomization",))},
            r"randomize.encoder_bias: 0.1 \(the teacher has 0.0\)",
        ),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused(student: dict, teacher: dict, says: str):
    with pytest.raises(InputError, match=says):
        check_student(dataclasses.replace(STUDENT, **student), dataclasses.replace(TEACHER, **teacher))


def test_what_a_student_cannot_know_is_named():
    assert unknowable(STUDENT, TEACHER) == ["future"]
    assert unknowable(TEACHER, TEACHER) == []
    teacher, student = make_preset("g1_teacher"), make_preset("g1_deploy")
    check_student(student, teacher)
    assert unknowable(student, teacher) == unlike_teacher(student, teacher) == []


def test_other_motors_are_the_students_own_affair():
    check_student(dataclasses.replace(STUDENT, sim=dataclasses.replace(STUDENT.sim, actuator="motor")), TEACHER)
    # delays are the line's, which a teacher does without
    assert unlike_teacher(STUDENT, TEACHER) == ["nominal_share", "start_level", "encoder_bias"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kept_rollouts": 0}, "distill.kept_rollouts is 0, expected at least 1"),
        ({"noise": 0.0}, "distill.noise is 0.0, expected a number above 0"),
        ({"learning_rate": float("nan")}, "distill.learning_rate is nan"),
        ({"mixed_share": 1.5}, "distill.mixed_share is 1.5, expected a share"),
    ],
)
def test_numbers_that_make_no_sense(changes: dict, says: str):
    with pytest.raises(InputError, match=says):
        check_config(dataclasses.replace(STUDENT, distill=DistillConfig(**changes)))


def test_the_height_rule_judges_with_its_own_bounds_whatever_the_training_began_with():
    loose = dataclasses.replace(
        STUDENT,
        termination=TerminationConfig(anchor_height=1.0),
        curriculum=CurriculumConfig(loose_bounds=2.0),
        randomize=dataclasses.replace(STUDENT.randomize, start_level=0.1),
    )
    judging = judging_config(loose, MOTION.duration_s)
    curriculum = make_task(judging, ROBOT, (MOTION,), "native").init_curriculum()
    assert judging.termination == HEIGHT_RULE
    assert (curriculum.looseness, float(curriculum.extent.level)) == (None, 1.0)


def test_a_teacher_kept_is_the_teacher(tmp_path: Path):
    teacher = TaughtBy(TEACHER, *random_teacher(TEACHER))
    save_teacher(teacher, tmp_path)
    again = load_teacher(tmp_path)
    assert again.config == TEACHER
    np.testing.assert_array_equal(again.mean, teacher.mean)
    for (kernel, bias), (kernel_again, bias_again) in zip(teacher.layers, again.layers, strict=True):
        np.testing.assert_array_equal(kernel, kernel_again)
        np.testing.assert_array_equal(bias, bias_again)
    for damage in (b"", b"PK\x03\x04", None):
        path = tmp_path / "teacher" / "actor.npz"
        path.unlink() if damage is None else path.write_bytes(damage)
        with pytest.raises(InputError, match="the teacher kept in"):
            load_teacher(tmp_path)


# Side by side


def test_a_teacher_that_sees_what_is_drawn_is_exported_as_it_acts_on_the_model_as_it_is(tmp_path: Path):
    """Its network with zeros for what was drawn, in numpy, where the exported one never hears of it."""
    sight = dataclasses.replace(SIGHT, actor=("command", "randomization", "base_lin_vel"))
    blind = dataclasses.replace(TEACHER, observation=dataclasses.replace(SIGHT, actor=("command", "base_lin_vel")))
    drawn, rng = 5, np.random.default_rng(3)
    size = make_spec(blind, ROBOT, MOTION).observation_size + drawn
    layers = [(rng.normal(size=shape), rng.normal(size=shape[1])) for shape in ((size, 6), (6, 4))]
    taught_by = TaughtBy(
        dataclasses.replace(TEACHER, observation=sight), layers, rng.normal(size=size), rng.uniform(0.02, 2, size)
    )
    policy = Policy.load(export_teacher(taught_by, ROBOT, MOTION, tmp_path / "teacher.onnx"))
    obs = rng.normal(size=(20, size)).astype(np.float32)
    obs[:, 8 : 8 + drawn] = 0.0
    expected = numpy_policy(layers, taught_by.mean, taught_by.std, SIGHT.clip, obs)
    found = [policy.act(np.delete(row, range(8, 8 + drawn))) for row in obs]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_first_end_of_an_episode_says_whether_it_was_completed():
    """By hand: a fall, a clip's end, a clip's end and later a fall, a fall and later an end, both still."""
    terminated = np.array([[0, 0, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0]], bool)
    truncated = np.array([[0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 1]], bool)
    assert completed(jnp.asarray(terminated), jnp.asarray(truncated)).tolist() == [False, True, True, False]


def test_the_table_gives_the_students_part():
    out = io.StringIO()
    sides = {"teacher": Side(1.0, 20.0, 0.8, 30.0), "student": Side(1.0, 25.0, 0.78, 40.0)}
    print_comparison(sides, Console(file=out, width=80))
    last = out.getvalue().rstrip().splitlines()[-1].split()
    assert last == ["student", "/", "teacher", "100.0%", "97.5%"]


# The command


@pytest.fixture
def teacher_run(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder whose policy is random, without the minutes of its training."""
    config = dataclasses.replace(TEACHER, robot=str(here / "tiny.toml"), motion=(str(here / "sway.npz"),))
    run = create_run(tmp_path / "teacher", config, ROBOT, (tiny_motion(25),))
    real = pipeline.trained_policy
    random = TaughtBy(config, *random_teacher(config))
    monkeypatch.setattr(pipeline, "trained_policy", lambda run, say: random if run.config.teacher is None else real(run, say))
    return run.folder


@pytest.mark.slow
def test_a_student_is_a_run_that_goes_on_where_it_stopped(
    teacher_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """From the command to the table; then the last two checkpoints are lost, the teacher too, and it is resumed: bit for bit."""
    monkeypatch.setattr("mimic.reporting.report_run", lambda *_: [])
    student = tmp_path / "student"
    senses = ["--observation.actor", "command", "joint_pos", "--observation.history", "2", "--randomize.encoder-bias", "0.05"]
    asked = ["distill", teacher_run, "--run-dir", student, "--preset", "g1", "--env-steps", 16 * 8 * 6, "--save-every-s", -1,
             *SMALL, *senses]  # fmt: skip
    assert call(*asked) == 0
    out, err = capsys.readouterr()
    assert "student / teacher" in out
    assert "trained with another randomization (encoder_bias)" in err
    run = open_run(student)
    assert (run.config.teacher, run.config.robot) == (str(teacher_run), open_run(teacher_run).config.robot)
    assert Policy.load(student / "policy.onnx").spec.history == 2
    assert json.loads((student / "comparison.json").read_text()).keys() == {"teacher", "student"}
    rows, policy = read_metrics(run.metrics_path), (student / "policy.onnx").read_bytes()
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["curriculum/led"] == 0.0

    for lost in ("5", "6"):
        shutil.rmtree(run.checkpoints / lost)
    shutil.rmtree(teacher_run)
    assert call("distill", teacher_run, "--run-dir", student, "--resume") == 0
    for row, again in zip(rows, read_metrics(run.metrics_path), strict=True):
        assert {k: v for k, v in row.items() if k[:5] != "time/"} == {k: v for k, v in again.items() if k[:5] != "time/"}
    assert (student / "policy.onnx").read_bytes() == policy


def test_what_cannot_be_distilled(teacher_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    student = ["--run-dir", tmp_path / "student"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("years of work")
    for asked, says in (
        (["--sim.n-substeps", "2"], r"sim.n_substeps: 2 \(the teacher has 4\)"),
        (["--preset", "g2"], "unknown preset 'g2'"),
        (["--run-dir", teacher_run], "is the teacher's own folder"),
        (["--resume", "--run-dir", tmp_path / "other"], "is not a run folder"),
        (["--resume", "--run-dir", teacher_run], "is no student's run"),
        (["--distill.noise", "-1"], "distill.noise is -1"),
        (["--resume", "--overwrite", "--run-dir", teacher_run], "exclude each other"),
    ):
        assert re.search(says, refusal(capsys, "distill", teacher_run, *student, "--device", "cpu", *asked))
    assert "is not a run folder" in refusal(capsys, "distill", tmp_path, *student)
    assert "the teacher's run folder first" in refusal(capsys, "distill", "--resume")
    assert "mimic distill runs/x" in refusal(capsys, "train", "g1", "--teacher", "runs/x", "--device", "cpu")
    assert not (tmp_path / "student").exists()
    assert call("distill", "--help") == 0
    assert "TEACHER_RUN" in capsys.readouterr().out
