"""Checkpoints: what is written comes back, damage costs one of them at most, and nothing is deleted by reading."""

import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mimic.checkpoint import KEEP, Checkpoints
from mimic.learning.normalizer import init_normalizer, update_normalizer
from motions.errors import InputError


class State(NamedTuple):
    params: dict[str, Any]
    opt_state: Any
    normalizer: Any
    key: Any
    iteration: Any


def make_state(key: jax.Array) -> State:
    """All kinds of leaves that a training state has."""
    params = {"actor": {"kernel": jax.random.normal(key, (30, 20))}, "log_std": jnp.zeros(3)}
    normalizer = update_normalizer(init_normalizer(4), jax.random.normal(key, (10, 4)))
    return State(params, optax.scale_by_adam().init(params), normalizer, jax.random.key(7), jnp.array(5, jnp.int32))


STATE = make_state(jax.random.key(1))
LIKE = jax.eval_shape(make_state, jax.random.key(0))


def is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def same(a: State, b: State) -> bool:
    """A leaf that is a plain number comes back as an array."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    plain = [[jax.random.key_data(x) if is_key(x) else x for x in jax.tree.leaves(state)] for state in (a, b)]
    return all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in zip(*plain))


def at(iteration: int) -> State:
    return STATE._replace(iteration=jnp.array(iteration, jnp.int32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With checkpoints 3, 7 and 9."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for iteration in (3, 7, 9):
        checkpoints.save(iteration, at(iteration))
    checkpoints.close()
    return tmp_path / "checkpoints"


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def restore(folder: Path, like: Any = LIKE, **options: Any) -> tuple[Any, list[str]]:
    checkpoints, said = Checkpoints(folder), []
    try:
        return checkpoints.restore(like, said.append, **options), said
    finally:
        checkpoints.close()


@pytest.mark.parametrize("like", [LIKE, STATE], ids=["shapes", "arrays"])
def test_the_newest_comes_back_to_the_last_bit(folder: Path, like: Any):
    """Random keys as random keys, counters as integers."""
    (state, iteration), said = restore(folder, like)
    assert iteration == 9
    assert same(state, at(9))
    assert jnp.issubdtype(state.key.dtype, jax.dtypes.prng_key)
    assert said == []


def test_parts_come_back_whatever_the_rest_is(folder: Path):
    """What a deployer needs, from a state whose structure this version does not know."""
    checkpoints = Checkpoints(folder)
    parts = checkpoints.restore_parts(("params", "normalizer"), pytest.fail)
    checkpoints.close()
    assert parts is not None
    assert sorted(parts) == ["normalizer", "params"]
    np.testing.assert_array_equal(parts["params"]["actor"]["kernel"], STATE.params["actor"]["kernel"])
    np.testing.assert_array_equal(parts["normalizer"]["mean"], STATE.normalizer.mean)
    assert isinstance(parts["normalizer"]["std"], np.ndarray)


def test_an_empty_folder_holds_none(tmp_path: Path):
    assert restore(tmp_path / "none") == (None, [])


def test_the_last_few_are_kept_and_none_is_written_twice(folder: Path):
    checkpoints = Checkpoints(folder)
    checkpoints.save(11, at(11))
    checkpoints.save(11, at(99))
    checkpoints.close()
    assert KEEP == 3
    assert kept(folder) == ["11", "7", "9"]
    assert int(restore(folder)[0][0].iteration) == 11


def test_what_is_being_saved_may_be_overwritten_at_once(tmp_path: Path):
    """As the next iteration does, to which the state's buffers are donated: none of them is kept from it, or read later."""
    state = jax.tree.map(jnp.copy, STATE)
    overwrite = jax.jit(lambda state: jax.tree.map(lambda x: x if is_key(x) else -x - 1, state), donate_argnums=0)
    following = overwrite.lower(state).compile()
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(1, state)
    jax.block_until_ready(following(state))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    checkpoints.close()
    assert same(restore(tmp_path / "checkpoints")[0][0], STATE)


FOLLOWING = {"save": lambda checkpoints: checkpoints.save(12, STATE), "wait": Checkpoints.wait, "close": Checkpoints.close}


@pytest.mark.parametrize("what_follows", FOLLOWING.values(), ids=FOLLOWING)
def test_a_save_that_fails_in_the_background_says_so_at_what_follows(folder: Path, what_follows: Callable):
    """No file may grow beyond a kilobyte; what was there before stays."""
    checkpoints, limits = Checkpoints(folder, writes=True), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        checkpoints.save(11, at(11))
        while checkpoints._manager.is_saving_in_progress():
            time.sleep(0.01)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with pytest.raises(OSError, match="checkpoint 11 failed: "):
        what_follows(checkpoints)
    checkpoints.close()
    assert restore(folder)[0][1] == 9


def remove_items(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint / "default")


def cut_data(checkpoint: Path) -> None:
    for path in (checkpoint / "default" / "d").iterdir():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble_index(checkpoint: Path) -> None:
    path = checkpoint / "default" / "manifest.ocdbt"
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))


def empty_metadata(checkpoint: Path) -> None:
    (checkpoint / "default" / "_METADATA").write_bytes(b"")


DAMAGE = (remove_items, cut_data, garble_index, empty_metadata)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
def test_a_damaged_newest_costs_itself_alone(folder: Path, damage: Callable, caplog, capfd):
    """The one before is used, which is said, without a traceback; only who goes on with the run removes it."""
    damage(folder / "9")
    (state, iteration), said = restore(folder)
    assert iteration == 7
    assert same(state, at(7))
    assert said == ["checkpoint 9 is damaged; using the one before it, 7"]
    assert kept(folder) == ["3", "7", "9"]
    restore(folder, discard=True)
    assert kept(folder) == ["3", "7"]
    checkpoints = Checkpoints(folder)
    checkpoints.save(9, at(9))
    checkpoints.close()
    assert restore(folder)[0][1] == 9
    assert capfd.readouterr().err == caplog.text == ""


def test_two_damaged_ones(folder: Path):
    garble_index(folder / "9")
    cut_data(folder / "7")
    (state, iteration), said = restore(folder, discard=True)
    assert iteration == 3
    assert [line[:23] for line in said] == ["checkpoint 9 is damaged", "checkpoint 7 is damaged"]
    assert kept(folder) == ["3"]
    assert same(state, at(3))


def test_when_none_can_be_read_none_is_deleted(folder: Path):
    for name in ("3", "7", "9"):
        garble_index(folder / name)
    with pytest.raises(InputError, match=r"none of the checkpoints in .*checkpoints can be read"):
        restore(folder, discard=True)
    assert kept(folder) == ["3", "7", "9"]


@pytest.mark.parametrize(
    "like",
    [LIKE._replace(params={"actor": LIKE.params["actor"]}), LIKE._replace(key=jax.ShapeDtypeStruct((5,), jnp.float32))],
    ids=["structure", "shape"],
)
def test_another_programs_checkpoints_are_refused_and_left_alone(folder: Path, like: Any):
    with pytest.raises(InputError, match="none of the checkpoints"):
        restore(folder, like, discard=True)
    assert kept(folder) == ["3", "7", "9"]
