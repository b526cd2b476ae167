"""Environments over several devices, here CPUs that the host is told to have (`conftest.py`): the numbers of one device."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from tiny import tiny_motion, tiny_robot

from mimic.config import Config, NetworkConfig, PPOConfig, PushConfig, RandomizeConfig, ResetConfig
from mimic.devices import describe, make_mesh, on_each_device, spread
from mimic.runs import create_run, open_run, read_metrics, resume_run
from mimic.sim.mjx import MjxPhysics
from mimic.training.train import make_task, train
from motions.errors import InputError

ROBOT, MOTION = tiny_robot(), tiny_motion()
UPDATES = 5
CONFIG = Config(
    preset="tiny",
    robot="tiny",
    num_envs=16,
    env_steps=16 * 8 * (UPDATES + 1),  # the first rollout is not learnt from
    device="cpu",
    save_every_s=1e9,
    network=NetworkConfig(hidden=(16,)),
    ppo=PPOConfig(rollout_length=8, num_epochs=2, num_minibatches=2),
    # what draws by environment, and places starts by the physics
    randomize=RandomizeConfig(start_level=1.0, friction=(0.5, 1.5), push=PushConfig(interval_s=0.1, linvel=(0.2, 0.2, 0.0))),
    reset=ResetConfig(joints=0.05),
)


def rows(folder: Path, backend: str, devices: int) -> list[dict[str, float]]:
    run = create_run(folder, dataclasses.replace(CONFIG, backend=backend, devices=devices), ROBOT, (MOTION,))
    said: list[str] = []
    train(run, said.append)
    assert any(("(cpu)" if devices == 1 else f"({devices} x cpu)") in line for line in said)
    return read_metrics(run.metrics_path)


def assert_same_numbers(found: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    for row, wanted in zip(found, expected, strict=True):
        for name in (name for name in wanted if not name.startswith("time/")):
            # what is near zero by cancellation (an advantage's mean) has no digits to compare
            assert row[name] == pytest.approx(wanted[name], rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize(
    ("backend", "counts"),
    [
        ("native", (2,)),
        pytest.param("native", (4, 8), marks=pytest.mark.slow),
        pytest.param("mjx-jax", (8,), marks=pytest.mark.slow),
    ],
)
def test_any_number_of_devices_computes_what_one_does(backend: str, counts: tuple[int, ...], tmp_path: Path):
    one = rows(tmp_path / "1", backend, 1)
    for count in counts:
        assert_same_numbers(rows(tmp_path / str(count), backend, count), one)


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_devices(tmp_path: Path):
    whole = rows(tmp_path / "whole", "native", 1)
    half = dataclasses.replace(CONFIG, backend="native", devices=4, env_steps=16 * 8 * 3)
    train(create_run(tmp_path / "run", half, ROBOT, (MOTION,)))
    run, ignored = resume_run(tmp_path / "run", dataclasses.replace(half, devices=1, env_steps=CONFIG.env_steps))
    assert ignored == []
    train(run)
    assert open_run(tmp_path / "run").config.devices == 1
    for expected, found in zip(whole, read_metrics(run.metrics_path), strict=True):
        for name in ("rollout/reward", "error/e_mpbpe_mm"):  # annealed otherwise, and so not the same updates
            assert found[name] == pytest.approx(expected[name], rel=0.05)


def test_what_each_environment_has_is_split_and_engines_get_their_own_part():
    seen = []

    def note(rows: np.ndarray) -> np.ndarray:
        seen.append(len(rows))
        return np.asarray(rows) + 1

    def engine(row: jax.Array) -> jax.Array:
        return jax.pure_callback(note, jax.ShapeDtypeStruct(row.shape, row.dtype), row, vmap_method="broadcast_all")

    def program(rows: jax.Array) -> jax.Array:
        return jax.vmap(on_each_device(engine))(spread(rows))

    rows = jnp.arange(16.0).reshape(8, 2)
    np.testing.assert_array_equal(jax.jit(program)(rows), rows + 1)  # no mesh: one call
    assert seen == [8]
    mesh = make_mesh("cpu", 4, 8)
    assert describe(mesh) == "4 x cpu"
    with jax.set_mesh(mesh):
        out = jax.jit(program)(rows)
    np.testing.assert_array_equal(out, rows + 1)
    assert out.sharding.is_equivalent_to(NamedSharding(mesh, PartitionSpec("envs")), 2)
    assert seen == [8, 2, 2, 2, 2]


def test_a_device_has_room_for_its_own_environments():
    physics = make_task(CONFIG, ROBOT, (MOTION,), "mjx-jax", devices=8).physics
    assert isinstance(physics, MjxPhysics)
    assert physics.num_envs == 2


def test_devices_that_are_not_there_and_environments_that_cannot_be_split_are_refused():
    assert make_mesh("cpu", None, 7).size == 1  # of CPUs one, unless more are asked for
    with pytest.raises(InputError, match="99 cpu devices asked for, 8 present; CPUs to test with: XLA_FLAGS="):
        make_mesh("cpu", 99, 99)
    with pytest.raises(InputError, match="9 environments cannot be split evenly over 2 devices: use a multiple of 2"):
        make_mesh("cpu", 2, 9)
