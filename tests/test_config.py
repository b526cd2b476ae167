"""The configuration tree: to JSON and back, and what it refuses."""

import dataclasses
import inspect
import json

import pytest

from mimic.arguments import FileOptions
from mimic.config import Config, ObservationConfig, PPOConfig, SimConfig, from_dict, to_dict
from mimic.presets import PRESETS, make_preset
from motions.errors import InputError

OTHER = Config(
    motion=("a.bvh", "b.npz"),
    fps=30.0,
    quat_order="xyzw",
    clip="b",
    mapping="mine.toml",
    backend="native",
    sim=SimConfig(sim_dt=0.002, n_substeps=10, collisions="all"),
    observation=ObservationConfig(actor=("command", "future"), future_frames=(1, 5)),
    ppo=PPOConfig(discount=0.9),
)


@pytest.mark.parametrize("config", [OTHER, *(make_preset(name) for name in PRESETS)], ids=["other", *PRESETS])
def test_round_trip_through_json(config: Config):
    again = from_dict(Config, json.loads(json.dumps(to_dict(config))))
    assert again == config
    assert hash(again) == hash(config)  # tuples stay tuples


def test_commands_and_trainings_say_the_same_of_files():
    """What the reading of motions takes beside robot and pictures, every command that reads them can say."""
    from mimic.sources import read_motions

    taken = set(inspect.signature(read_motions).parameters) - {"paths", "robot", "say", "sheets"}
    assert set(Config().of_files) == taken
    assert set(FileOptions().of_files) == taken - {"start_s", "end_s"}


def test_missing_keys_take_the_defaults():
    assert from_dict(Config, {"seed": 3}) == Config(seed=3)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"sed": 1}, r"unknown key in config 'sed'. Did you mean 'seed'\?"),
        ({"ppo": {"discout": 0.9}}, r"unknown key in config.ppo 'discout'. Did you mean 'discount'\?"),
        ({"sim": 3}, "config.sim: expected a table, got 3"),
    ],
)
def test_what_does_not_fit_is_named(values: dict, says: str):
    with pytest.raises(InputError, match=says):
        from_dict(Config, values)


def test_control_step_is_derived():
    assert SimConfig(sim_dt=0.002, n_substeps=10).ctrl_dt == pytest.approx(0.02)


def test_it_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().seed = 1  # type: ignore[misc]


def test_presets_know_their_names():
    for name in PRESETS:
        assert make_preset(name).preset == name
    with pytest.raises(InputError, match=r"unknown preset 'g2'. Did you mean 'g1'\?"):
        make_preset("g2")
