"""Presets: functions that return a whole `Config`. The only place where configurations differ by name."""

from collections.abc import Callable

from mimic.config import Config
from motions.errors import unknown_name


def g1() -> Config:
    """Unitree G1, 29 joints."""
    return Config(preset="g1", robot="g1")


def humanoid() -> Config:
    """Our humanoid, 28 joints, with gains of the DeepMimic class."""
    return Config(preset="humanoid", robot="humanoid")


PRESETS: dict[str, Callable[[], Config]] = {preset.__name__: preset for preset in (g1, humanoid)}


def make_preset(name: str) -> Config:
    """The preset `name`. Raises `InputError` with the known ones."""
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]()
