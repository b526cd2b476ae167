"""What is read off a program before it is compiled, what the machine has left, and what is said when that is not enough."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from tiny import tiny_motion, tiny_robot
from toy import Clock, toy_config

from mimic import memory
from mimic.config import Config
from mimic.devices import make_mesh
from mimic.learning.ppo import make_learner
from mimic.memory import Need, advice, host_available, most_live
from mimic.presets import make_preset
from mimic.runs import create_run
from mimic.sources import find_robot, preset_clip, read_motions
from mimic.training.program import TrainingError, fitting_program, make_program
from mimic.training.train import make_task, train
from motions.errors import InputError

CONFIG = dataclasses.replace(toy_config(num_envs=64), device="cpu")
MESH = make_mesh("cpu", 1, 64)
TASK: Any = Clock()


def live(function: Callable, *shapes: tuple[int, ...]) -> int:
    return most_live(jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)).jaxpr)


def test_values_count_from_where_they_are_made_to_where_they_are_last_used():
    square = (10, 10)  # 400 bytes
    assert live(lambda a: a @ a, square) == 400
    assert live(lambda a: (a @ a) @ a, square) == 800  # one product, then the next beside it
    assert live(lambda a: ((a @ a) @ a) @ a, square) == 800  # the first is gone
    assert live(lambda a: ((b := a @ a) @ a) @ b, square) == 1200  # the first is needed again


def test_what_is_computed_within_its_only_use_takes_nothing():
    assert live(lambda a: jnp.tanh(2.0 * a + 1.0).sum(), (10, 10)) == 4


def test_a_loop_keeps_what_it_stacks_and_carries_in_place():
    def loop(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.lax.scan(lambda carry, row: (carry + row, carry @ carry), jnp.zeros((10, 10)), rows)

    inside = 400 + 400  # the product of one step, the next carry
    assert live(loop, (7, 10, 10)) == pytest.approx(7 * 400 + 400 + inside, abs=400)


def test_of_branches_the_largest_counts():
    def branches(a: jax.Array) -> jax.Array:
        return jax.lax.cond(a[0, 0] > 0, lambda: (a @ a) @ a, lambda: a + 1.0)

    assert live(branches, (10, 10)) == pytest.approx(800, abs=8)


@pytest.mark.parametrize(
    ("lines", "files", "left"),
    [
        ("0::/box", {"box/memory.max": "900000", "box/memory.current": "4000", "box/memory.stat": "inactive_file 500"}, 896_500),
        ("0::/elsewhere", {"memory.max": "800000", "memory.current": "0", "memory.stat": "inactive_file 0"}, 800_000),
        ("0::/box", {"box/memory.max": "max"}, 1_024_000),
        (
            "4:memory:/box\n3:cpuset:/",
            {
                "memory/box/memory.limit_in_bytes": "300000",
                "memory/box/memory.usage_in_bytes": "200000",
                "memory/box/memory.stat": "cache 9\ntotal_inactive_file 1000",
            },
            101_000,
        ),
        ("4:memory:/box", {"memory/box/memory.limit_in_bytes": str(2**63 - 4096), "memory/box/memory.usage_in_bytes": "1",
                           "memory/box/memory.stat": "total_inactive_file 0"}, 1_024_000),
    ],
)  # fmt: skip
def test_the_host_has_what_is_free_or_what_its_container_leaves(lines: str, files: dict, left: int, tmp_path: Path):
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal:  4000 kB\nMemAvailable:  1000 kB\n")
    (proc / "self" / "cgroup").write_text(lines + "\n")
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text + "\n")
    assert host_available(proc, groups) == left


@pytest.mark.parametrize(
    ("available", "at_most", "words"),
    [
        (1000.0, 63, "the largest num_envs that fits is about 44 (--num-envs 44)"),
        (1e9, 32, "the largest num_envs that fits is about 32 (--num-envs 32)"),  # by estimate all do, but they did not
        (100.0, 63, "no number of environments fits"),
    ],
)
def test_advice(available: float, at_most: int, words: str):
    """A need of 110 + 20 n bytes; numbers of environments go by fours: two minibatches, pairs, and two devices."""
    config = dataclasses.replace(CONFIG, ppo=dataclasses.replace(CONFIG.ppo, num_minibatches=4))

    def need_for(num_envs: int) -> Need:
        return Need(110.0 + 20.0 * num_envs, 0.0, available, on_host=True)

    assert words in advice(config, make_mesh("cpu", 2, 64), need_for(64), need_for, at_most)


def test_nothing_is_refused_that_may_fit():
    assert Need(120.0, 0.0, 100.0, on_host=True).fits
    assert not Need(140.0, 0.0, 100.0, on_host=True).fits
    assert Need(140.0, 0.0, None, on_host=False).fits


def program_of(num_envs: int, devices: int = 1) -> Need:
    config, mesh = dataclasses.replace(CONFIG, num_envs=num_envs), make_mesh("cpu", devices, num_envs)
    with jax.set_mesh(mesh):
        return make_program(config, make_learner(config, TASK), mesh, 1000.0).need


def test_the_need_grows_evenly_with_the_environments_and_each_device_has_its_own_networks():
    one, two, three = (program_of(count).needed for count in (64, 128, 192))
    assert three - two == pytest.approx(two - one, rel=0.01)
    assert two > one
    assert program_of(64, devices=4).program > program_of(64).program


def test_a_training_too_large_is_refused_before_anything_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = Config(preset="tiny", robot="tiny", num_envs=64, device="cpu", backend="native")
    run = create_run(tmp_path / "run", config, tiny_robot(), (tiny_motion(),))
    monkeypatch.setattr(memory, "host_available", lambda: memory.COMPILING + 15e6)
    monkeypatch.setattr(memory, "ERRS", 1.0)
    with pytest.raises(
        InputError, match=r"64 environments need about .* GB on this host, 0.4. GB are free: the largest"
    ) as caught:
        train(run)
    fits = int(str(caught.value).rpartition("--num-envs ")[2].rstrip(")"))
    assert 0 < fits < 64
    assert fits % 4 == 0


def test_an_allocation_that_fails_is_explained():
    error = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.\nmore")
    words = (
        r"out of memory \(RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.\). By estimate 64 environments need .* about 32 "
    )

    def fails(error: Exception) -> None:
        with jax.set_mesh(MESH), fitting_program(CONFIG, lambda config: make_learner(config, TASK), MESH, 0.0):
            raise error

    with pytest.raises(TrainingError, match=words):
        fails(error)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL: other"):
        fails(jax.errors.JaxRuntimeError("INTERNAL: other"))


@pytest.mark.slow
def test_the_compiler_needs_about_as_much():
    """Of a real size: in a program of a few MB the networks, which are counted once too often, weigh more."""
    config = dataclasses.replace(make_preset("humanoid"), num_envs=256, device="cpu", backend="native")
    robot = find_robot(config, print)
    motions, _ = read_motions((preset_clip(config),), robot, print)
    task = make_task(config, robot, tuple(motions), "native")
    mesh = make_mesh("cpu", 1, 256)
    with jax.set_mesh(mesh):
        program = make_program(config, make_learner(config, task), mesh, 0.0)
        found = program.traced.lower().compile().memory_analysis()
    taken = found.argument_size_in_bytes + found.temp_size_in_bytes
    print(f"estimate {program.need.program / 1e6:.2f} MB, compiler {taken / 1e6:.2f} MB")
    assert program.need.program == pytest.approx(taken, rel=0.3)
