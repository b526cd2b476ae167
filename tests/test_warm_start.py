"""Warm start: what a new run takes over from another, and what it refuses to."""

import dataclasses
from pathlib import Path

import jax
import mujoco
import numpy as np
import pytest
from tiny import LEGS, tiny_motion, tiny_robot

from mimic.config import Config, NetworkConfig, ObservationConfig, PPOConfig
from mimic.learning.ppo import Learner, TrainState
from mimic.runs import Run, create_run
from mimic.training.train import learner_of, make_task, restore_state, train
from mimic.training.warm_start import INHERITED, _without_critic, check_warm_start, warm_start
from motions.errors import InputError
from motions.kinematics import Body

pytestmark = pytest.mark.usefixtures("one_program")
ROBOT = tiny_robot()
CONFIG = Config(
    preset="tiny", robot="tiny", num_envs=16, env_steps=16 * 8 * 4, backend="native", device="cpu",
    network=NetworkConfig(hidden=(16,)), ppo=PPOConfig(rollout_length=8, num_epochs=2, num_minibatches=2),
)  # fmt: skip


def new_run(folder: Path, motion=None, **changes) -> Run:
    return create_run(folder, dataclasses.replace(CONFIG, **changes), ROBOT, (motion or tiny_motion(),))


def learner(run: Run) -> Learner:
    return learner_of(run, make_task(run.config, run.robot, run.motions, "native"))


def trained_state(run: Run) -> TrainState:
    return restore_state(run, learner(run), pytest.fail)


def zero_state(run: Run) -> TrainState:
    """Of the shapes that the first state has."""
    shapes = jax.eval_shape(learner(run).init, jax.random.key(0))
    return shapes._replace(**{name: jax.tree.map(lambda leaf: np.zeros(leaf.shape), getattr(shapes, name)) for name in INHERITED})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = new_run(tmp_path_factory.mktemp("source") / "run")
    train(run, lambda line: None)
    return run


def test_begins_with_the_networks_and_statistics_alone(source, tmp_path):
    """On another clip, with other numbers of environments and steps."""
    run = new_run(tmp_path / "run", tiny_motion(frames=91), init_from=str(source.folder), num_envs=8, seed=5)
    fresh, trained = zero_state(run), trained_state(source)
    said: list[str] = []
    state = warm_start(run, fresh, said.append)
    assert said == [f"begins with the policy of {source.folder}"]
    for name in TrainState._fields:
        if name in INHERITED:
            jax.tree.map(np.testing.assert_array_equal, getattr(state, name), getattr(trained, name))
        else:
            assert getattr(state, name) is getattr(fresh, name)


@pytest.mark.slow
def test_a_training_uses_it(source, tmp_path):
    """One update at a vanishing learning rate leaves the policy where the source's was."""
    ppo = dataclasses.replace(CONFIG.ppo, learning_rate=1e-12, min_learning_rate=1e-12, max_learning_rate=1e-12)
    run = new_run(tmp_path / "run", init_from=str(source.folder), env_steps=1, ppo=ppo)
    train(run, lambda line: None)
    ours, theirs = (trained_state(of).params["actor"] for of in (run, source))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-8), ours, theirs)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"network": NetworkConfig(hidden=(24,))}, "network.hidden"),
        ({"observation": ObservationConfig(actor=("command", "actions"))}, "observation.actor"),
        ({"observation": ObservationConfig(history=2)}, "observation.history"),
        ({"teacher": "runs/teacher"}, "imitates a teacher"),
    ],
)
def test_refuses_what_means_something_else(source, changes, names):
    config = dataclasses.replace(CONFIG, init_from=str(source.folder), **changes)
    with pytest.raises(InputError, match=names):
        check_warm_start(config, ROBOT)


def test_takes_over_a_policy_that_was_computed_in_another_precision(source):
    config = dataclasses.replace(CONFIG, init_from=str(source.folder))
    check_warm_start(dataclasses.replace(config, network=dataclasses.replace(config.network, dtype="bfloat16")), ROBOT)


def test_refuses_another_robot(source):
    model = mujoco.MjModel.from_xml_string(ROBOT.mjcf.replace("_hip", "_knee"))
    other = dataclasses.replace(ROBOT, name="other", body=Body("other", model, LEGS[:2]))
    with pytest.raises(InputError, match="other's joints"):
        check_warm_start(dataclasses.replace(CONFIG, init_from=str(source.folder)), other)


def test_refuses_a_run_without_a_checkpoint(tmp_path):
    empty = new_run(tmp_path / "empty")
    run = new_run(tmp_path / "run", init_from=str(empty.folder))
    with pytest.raises(InputError, match="no readable checkpoint"):
        warm_start(run, zero_state(run), pytest.fail)


def test_refuses_what_is_no_run(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        check_warm_start(dataclasses.replace(CONFIG, init_from=str(tmp_path)), ROBOT)


def test_refuses_other_shapes(source, tmp_path):
    """The same config, a critic of another kind of task."""
    run = new_run(tmp_path / "run", init_from=str(source.folder))
    state = zero_state(run)
    wider = jax.tree.map(lambda leaf: np.zeros((2, *np.shape(leaf))), state.params)
    with pytest.raises(InputError, match="params of"):
        warm_start(run, state._replace(params=wider), lambda line: None)


def test_who_goes_on_from_a_student_keeps_its_actor_and_eyes_and_gets_a_new_critic(source, tmp_path):
    """A student's statistics are of more than it sees; its noise is not taken over, nor are its current weights."""
    run = new_run(tmp_path / "run")
    fresh = jax.device_get(learner(run).init(jax.random.key(3)))
    actor = jax.tree.map(lambda leaf: leaf + 1.0, fresh.params["actor"])
    seen = len(actor["params"]["Dense_0"]["kernel"])
    wide = np.arange(seen + 9, dtype=np.float32)
    count = {"hi": np.uint32(0), "lo": np.uint32(77)}
    statistics = {"mean": wide, "std": 2 * wide, "summed_variance": 3 * wide, "count": count, "std_eps": 0.0}
    parts = _without_critic({"average": {"actor": actor}, "normalizer": statistics}, fresh.params)
    for name in ("params", "average"):
        jax.tree.map(np.testing.assert_array_equal, parts[name]["actor"], actor)
        jax.tree.map(np.testing.assert_array_equal, parts[name]["critic"], fresh.params["critic"])
        np.testing.assert_array_equal(parts[name]["log_std"], fresh.params["log_std"])
    np.testing.assert_array_equal(parts["normalizer"]["std"], 2 * wide[:seen])
    assert parts["normalizer"]["count"] == count


def test_a_student_may_have_had_another_critic(source, tmp_path):
    """Or rather none: what it says of one, and of the noise, does not matter to who goes on by reward."""
    student = new_run(tmp_path / "student", teacher="runs/teacher", network=NetworkConfig(hidden=(16,), init_std=0.7))
    seen = dataclasses.replace(CONFIG.observation, critic=())
    check_warm_start(dataclasses.replace(CONFIG, init_from=str(student.folder), observation=seen), ROBOT)
    with pytest.raises(InputError, match=r"network\.init_std"):
        check_warm_start(
            dataclasses.replace(CONFIG, init_from=str(source.folder), network=NetworkConfig(hidden=(16,), init_std=0.7)), ROBOT
        )
