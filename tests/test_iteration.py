"""An iteration that is handed its large arrays: the same numbers as the function, and nothing large inside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mimic.devices import everywhere, make_mesh
from mimic.training.iteration import LARGE, compile_iteration

SMALL = np.arange(4, dtype=np.float32)
TABLE = jnp.arange(LARGE // 4, dtype=jnp.float32)


def step(state: dict) -> tuple[dict, jax.Array]:
    """Looks up rows in the middle of a scan, as a rollout does; a random key rides along."""

    def body(place: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return place + 1, jax.vmap(lambda p: TABLE[p] * SMALL)(place)

    place, found = jax.lax.scan(body, state["place"], None, length=3)
    return {"place": place, "key": jax.random.split(state["key"])[0]}, found.sum()


def start() -> dict:
    return {"place": jnp.array([5, 100_000]), "key": jax.random.key(3)}


def test_same_numbers_as_the_function_and_the_table_is_an_argument():
    mesh = make_mesh("cpu", 1, 2)
    with jax.set_mesh(mesh):
        iterate = compile_iteration(jax.jit(step).trace(start()), start(), mesh, everywhere(mesh))
        state, found = iterate(start())
        state, again = iterate(state)
    wanted, first = step(start())
    last, second = step(wanted)
    assert (found, again) == (pytest.approx(first), pytest.approx(second))
    np.testing.assert_array_equal(state["place"], last["place"])
    assert (jax.random.key_data(state["key"]) == jax.random.key_data(last["key"])).all()
    assert [held.shape for held in iterate.held] == [TABLE.shape]
    assert iterate.compiled.memory_analysis().argument_size_in_bytes >= LARGE


def test_what_it_is_given_is_used_up():
    mesh = make_mesh("cpu", 1, 2)
    with jax.set_mesh(mesh):
        state = start()
        compile_iteration(jax.jit(step).trace(state), state, mesh, everywhere(mesh))(state)
    assert state["place"].is_deleted()
    assert not TABLE.is_deleted()
