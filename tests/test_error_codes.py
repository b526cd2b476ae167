"""The codes behind errors: every module that raises one has a code with advice, and the documentation lists what it says."""

import re
import sys
from pathlib import Path

import pytest
from commands import call

from mimic.commands.explain import plain
from mimic.deploy.policy import BundleError
from mimic.error_codes import CODES, code_of, code_of_module, find_code
from motions.errors import InputError

GENERATOR = Path(__file__).resolve().parents[1] / "docs" / "generator"
HELPERS = {"motions.errors"}  # makes errors for others to raise


@pytest.fixture(scope="module")
def errors():
    """The part of the documentation's generator that reads messages."""
    sys.path.insert(0, str(GENERATOR))
    try:
        import errors  # pyright: ignore[reportMissingImports]

        return errors
    finally:
        sys.path.remove(str(GENERATOR))


def test_codes_are_told_apart_and_say_what_to_do():
    assert len({entry.code for entry in CODES}) == len(CODES)
    for entry in CODES:
        assert entry.code.startswith("E-")
        assert entry.code == entry.code.upper()
        assert entry.title
        assert entry.causes.endswith(".")
        assert entry.advice.endswith(".")


def test_every_module_that_raises_has_a_code(errors):
    without = [
        name
        for name, path in errors.modules().items()
        if name not in HELPERS and errors.messages(path) and code_of_module(name) is None
    ]
    assert not without, f"add them to mimic/error_codes.toml: {', '.join(without)}"


def test_every_code_belongs_to_modules_that_are_there(errors):
    known = errors.modules()
    claimed = [name for entry in CODES for name in entry.modules]
    assert len(set(claimed)) == len(claimed)
    assert not [name for name in claimed if name not in known]


def test_the_page_lists_every_code_and_what_is_said(errors):
    page = errors.error_codes()
    for entry in CODES:
        assert f"### {entry.code}: " in page
    assert "…, line …: starts with …, expected HIERARCHY: not a BVH file" in page
    assert "unknown preset … Known: …" in page
    assert "learning has diverged" in page
    assert errors.PLACE in (GENERATOR.parent / "troubleshooting.md").read_text()


def test_messages_are_escaped(errors, tmp_path: Path):
    module = tmp_path / "module.py"
    module.write_text('raise InputError(f"<script>alert({x})</script>")\n')
    (message,) = errors.messages(module)
    assert "<script>" in message
    made = errors.text(message) + errors.text(f"`{message}`")
    assert "<script>" not in made
    assert "&lt;script&gt;" in made


def raised(source: str, module: str, **names: object) -> BaseException:
    """The error of a few lines that seem to stand in `module`."""
    with pytest.raises((InputError, BundleError)) as caught:
        exec(source, {"__name__": module, "InputError": InputError, "BundleError": BundleError, **names})
    return caught.value


def test_a_code_is_that_of_the_module_that_raises():
    for module, code in (("motions.formats.bvh", "E-BVH"), ("motions.formats.text", "E-FILE"), ("mimic.sim.mjx", "E-BACKEND")):
        found = code_of(raised("raise InputError('x')", module))
        assert found is not None
        assert found.code == code
    assert code_of(raised("raise InputError('x')", "elsewhere")) is None


def through(*modules: str) -> BaseException:
    """An error that the last of `modules` raises, called by the one before it, and so on."""
    called: object = None
    for module in reversed(modules):
        names = {"__name__": module, "InputError": InputError, "called": called}
        exec("def call():\n    called() if called else fail()\ndef fail():\n    raise InputError('x')", names)
        called = names["call"]
    with pytest.raises(InputError) as caught:
        called()  # type: ignore[operator]
    return caught.value


@pytest.mark.parametrize(
    ("modules", "code"),
    [
        (("mimic.sources", "motions.formats.reading", "motions.formats.bvh", "motions.formats.values"), "E-BVH"),
        (("mimic.sources", "motions.formats.reading", "motions.formats.text"), "E-FILE"),
        (("mimic.deploy.check", "mimic.deploy.spec"), "E-BUNDLE"),
        (("mimic.commands.training", "mimic.robots.find"), "E-ROBOT"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_helper_speaks_for_who_called_it_in_its_package(modules: tuple[str, ...], code: str):
    found = code_of(through(*modules))
    assert found is not None
    assert found.code == code


def test_an_error_told_anew_keeps_its_code():
    lines = "try:\n    fail()\nexcept BundleError as error:\n    raise InputError(str(error)) from error"
    inner = {"__name__": "mimic.deploy.policy", "BundleError": BundleError}
    exec("def fail():\n    raise BundleError('x')", inner)
    found = code_of(raised(lines, "mimic.commands.serving", fail=inner["fail"]))
    assert found is not None
    assert found.code == "E-BUNDLE"


def test_what_is_said_carries_the_code(capsys: pytest.CaptureFixture, tmp_path: Path):
    assert call("inspect", tmp_path / "nothing.bvh") == 2
    assert capsys.readouterr().err.rstrip().endswith("nothing.bvh: no such file [E-FILE]")


def test_training_says_where_the_fault_is_not_where_it_was_told(capsys: pytest.CaptureFixture, tmp_path: Path):
    assert call("train", "humanoid", "--motion", tmp_path / "nothing.bvh", "--run-dir", tmp_path / "run") == 2
    assert capsys.readouterr().err.rstrip().endswith("[E-FILE]")


@pytest.mark.parametrize("word", ["E-BVH", "e-bvh", "bvh"])
def test_explain(word: str, capsys: pytest.CaptureFixture):
    assert call("explain", word) == 0
    said = capsys.readouterr().out
    assert find_code("E-BVH").title in said
    assert "What to do" in said


def test_explain_lists_and_refuses(capsys: pytest.CaptureFixture):
    assert call("explain") == 0
    said = capsys.readouterr().out
    assert all(entry.code in said for entry in CODES)
    assert call("explain", "E-BHV") == 2
    assert "Did you mean 'E-BVH'?" in capsys.readouterr().err


def test_links_are_read_without_a_site(capsys: pytest.CaptureFixture):
    assert call("explain", "E-CLUSTER") == 0
    assert "Cluster (docs/cluster.md)" in capsys.readouterr().out
    for entry in CODES:
        for file in re.findall(r"\(docs/([^)]+)\)", plain(entry.advice)):
            assert (GENERATOR.parent / file).is_file(), f"{entry.code}: {file}"
