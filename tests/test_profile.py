"""Profiles: own times of nested operations, what they come from, and a real trace of a small program."""

import gzip
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from rich.console import Console

from mimic.bench.profile import Operation, meanings, operations, parts, print_profile, trace
from motions.errors import InputError

PROGRAM = """
ENTRY %main {
  %fusion.7 = f32[3]{0} fusion(%a), kind=kLoop, metadata={op_name="jit(iterate)/while/body/eval_jaxpr/jvp(MLP)/Dense_0/dot" id=3}
  ROOT %add.1 = f32[3]{0} add(%fusion.7, %b), metadata={op_name="jit(iterate)/add"}
  %copy.2 = f32[3]{0} copy(%b)
"""


def event(name: str, begin_us: float, us: float, thread: int = 1) -> dict:
    """As JAX writes it; a name in brackets is no operation of the program's."""
    operation = {} if name.startswith("[") else {"args": {"hlo_op": name}}
    return {"ph": "X", "pid": 1, "tid": thread, "ts": begin_us, "dur": us, "name": "kernel"} | operation


def write(path: Path, events: list[dict]) -> Path:
    path.write_bytes(gzip.compress(json.dumps({"traceEvents": events}).encode()))
    return path


def test_a_programs_text_says_what_operations_come_from():
    assert meanings(PROGRAM) == {"fusion.7": "while/jvp(MLP)/Dense_0/dot", "add.1": "add"}


def test_an_operation_has_the_time_that_is_not_its_parts(tmp_path: Path):
    """Two threads, two iterations; what runs the program, and Python, is left out, their parts are not."""
    events = [
        event("[executor]", 0, 1000),
        event("while.3", 100, 600),
        event("fusion.7", 150, 100),
        event("fusion.7", 300, 200),
        event("pure_callback.6", 700, 250),
        event("fusion.7", 0, 50, thread=2),
        event("[python]", 60, 900, thread=2),
        {"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {"name": "main"}},
    ]
    found = operations(write(tmp_path / "trace.json.gz", events[::-1]), 2, {"fusion.7": "Dense_0/dot"})
    assert [(o.name, o.ms, o.calls) for o in found] == [
        ("Dense_0/dot", 0.175, 1.5),
        ("while.3", 0.15, 0.5),
        ("pure_callback.6", 0.125, 0.5),
    ]


def test_parts_add_up_to_all():
    names = ("while/vmap()/pure_callback", "while/add", "while/mul", "cond/while/jvp(MLP)/dot", "vmap()/pure_callback", "cumsum")
    found = [Operation(name, 2.0**i, 1) for i, name in enumerate(names)]
    assert list(parts(found).values()) == [1 + 16, 2 + 4, 8, 32]


def test_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture):
    events = [event(f"op.{i}", 100 * i, 90 - i) for i in range(20)] + [event("pure_callback.6", 5000, 500)]
    found = operations(write(tmp_path / "trace.json.gz", events), 1, {})
    print_profile(found, 2.0, tmp_path / "trace.json.gz", Console(width=100))
    printed = capsys.readouterr().out
    assert "one iteration: 2 ms" in printed
    assert "C engine 0 ms (25%), once an iteration" in printed
    assert "6 more" in printed
    assert "op.13" in printed
    assert "op.14" not in printed


def test_a_real_trace(tmp_path: Path):
    """The product of two matrices is in it, by the name of the function that asks for it, and takes no longer than all."""

    def iterate(x):
        with jax.named_scope("layer"):
            return jnp.tanh(x @ x)

    compiled = jax.jit(iterate).lower(jnp.ones((400, 400))).compile()
    path, wall_ms = trace(lambda: compiled(jnp.ones((400, 400))), tmp_path, 3)
    found = operations(path, 3, meanings(compiled.as_text()))
    product = next(o for o in found if "layer" in o.name and "dot_general" in o.name)
    assert product.calls == 1
    assert 0 < product.ms < 1.5 * wall_ms
    assert list(tmp_path.rglob("*.xplane.pb"))


@pytest.mark.parametrize("text", ["", "{", "{}", "[]"])
def test_what_holds_no_trace(text: str, tmp_path: Path):
    (tmp_path / "trace.json.gz").write_bytes(gzip.compress(text.encode()))
    with pytest.raises(InputError, match=r"trace.json.gz: not a trace"):
        operations(tmp_path / "trace.json.gz", 1, {})


@pytest.mark.parametrize("content", [b"", b"no gzip"])
def test_what_is_no_trace(content: bytes, tmp_path: Path):
    (tmp_path / "trace.json.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"trace.json.gz: not a trace"):
        operations(tmp_path / "trace.json.gz", 1, {})
