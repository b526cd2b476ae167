"""Which engine runs where, and what is refused."""

import importlib.util

import jax
import pytest
from tiny import tiny_robot

from mimic.config import SimConfig
from mimic.sim.native import NativePhysics
from mimic.sim.physics import choose_backend, doubt, make_physics
from motions.errors import InputError

ON_CPU = pytest.mark.skipif(jax.default_backend() != "cpu", reason="this machine has an accelerator")
HAS_WARP = importlib.util.find_spec("warp") is not None


@ON_CPU
@pytest.mark.parametrize(
    ("backend", "device", "expected"),
    [
        (None, "auto", ("native", "cpu")),
        (None, "cpu", ("native", "cpu")),
        ("native", "auto", ("native", "cpu")),
        ("mjx-jax", "auto", ("mjx-jax", "cpu")),
        ("mjx-jax", "cpu", ("mjx-jax", "cpu")),
    ],
)
def test_choice_on_a_cpu(backend: str | None, device: str, expected: tuple[str, str]):
    assert choose_backend(backend, device) == expected


@pytest.mark.parametrize(
    ("present", "warp", "backend", "expected"),
    [
        ("gpu", True, None, ("mjx-warp", "gpu")),
        ("gpu", False, None, ("mjx-jax", "gpu")),
        ("gpu", True, "mjx-jax", ("mjx-jax", "gpu")),
        ("gpu", True, "native", ("native", "cpu")),
        ("tpu", True, None, ("mjx-jax", "tpu")),
    ],
)
def test_choice_elsewhere(present: str, warp: bool, backend: str | None, expected: tuple, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jax, "default_backend", lambda: present)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: warp or None)
    assert choose_backend(backend, "auto") == expected


@pytest.mark.parametrize(
    ("backend", "device", "says"),
    [
        ("nativ", "auto", r"unknown backend 'nativ'. Did you mean 'native'\? Known: mjx-jax, mjx-warp, native"),
        (None, "gpuu", r"unknown device 'gpuu'. Did you mean 'gpu'\?"),
        pytest.param(None, "gpu", "no gpu found by JAX on this machine; present: cpu .*doctor", marks=ON_CPU),
        pytest.param(None, "tpu", "no tpu found by JAX on this machine; present: cpu", marks=ON_CPU),
        pytest.param("native", "gpu", "no gpu found", marks=ON_CPU),
        pytest.param("mjx-warp", "auto", "mjx-warp on a CPU is slow .*--device cpu", marks=ON_CPU),
    ],
)
def test_refusals(backend: str | None, device: str, says: str):
    with pytest.raises(InputError, match=says):
        choose_backend(backend, device)


def test_native_stays_off_accelerators(monkeypatch: pytest.MonkeyPatch):
    class Gpu:
        platform = "gpu"

    monkeypatch.setattr(jax, "devices", lambda *_: [Gpu()])
    with pytest.raises(InputError, match="native runs on the CPU, not on gpu"):
        choose_backend("native", "gpu")


def test_warp_does_not_run_on_a_tpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    with pytest.raises(InputError, match="does not run on a TPU"):
        choose_backend("mjx-warp", "auto")


@pytest.mark.skipif(HAS_WARP, reason="Warp is installed")
def test_missing_warp_says_what_to_install():
    with pytest.raises(InputError, match=r"warp-lang: pip install 'mimic-mjx\[cuda\]'"):
        choose_backend("mjx-warp", "cpu")


def test_engines_by_name():
    robot = tiny_robot()
    assert isinstance(make_physics(robot, "native", SimConfig(), 8), NativePhysics)
    assert type(make_physics(robot, "mjx-jax", SimConfig(), 8)).__name__ == "MjxPhysics"
    with pytest.raises(InputError, match="unknown backend 'bullet'"):
        make_physics(robot, "bullet", SimConfig(), 8)


def test_what_will_be_slow_is_said():
    assert "sim.collisions is self" in (doubt("mjx-jax", SimConfig(collisions="self")) or "")
    assert doubt("mjx-jax", SimConfig(collisions="feet")) is None
    assert doubt("native", SimConfig(collisions="all")) is None
