"""README.md and docs: every command in them is one that the program has, and is run by a test or says why not."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from documents import PAGES, ROOT, Block, blocks_of, inline_commands, parse, plain, unknown_in

from mimic.doctor import OPTIONAL

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
COMMANDS = [(block, command) for block in BLOCKS for command in block.commands]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize(("block", "command"), COMMANDS, ids=[f"{block}: {command[:60]}" for block, command in COMMANDS])
def test_a_command_is_one_of_the_program(block: Block, command: str, capsys: pytest.CaptureFixture):
    try:
        parse(plain(command))
    except SystemExit:
        pytest.fail(f"{block}: {command}\n{capsys.readouterr().err}")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_prose_are_ones_of_the_program(page: Path):
    unknown = {command: found for command in inline_commands(page) if (found := unknown_in(command))}
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_is_run_or_says_why_not(page: Path):
    silent = [str(block) for block in blocks_of(page) if (block.commands or block.others) and block.mark is None]
    assert not silent, f"put <!-- run --> or <!-- not run: WHY --> before: {', '.join(silent)}"


def test_what_is_run_holds_nothing_else():
    for block in BLOCKS:
        if block.mark in ("run", "run slowly"):
            assert not block.others, f"{block}: only `mimic` is run, not {block.others[0]!r}"


def test_the_tests_that_are_named_are_there():
    for block in BLOCKS:
        for file in re.findall(r"test_\w+\.py", block.mark or ""):
            assert (ROOT / "tests" / file).exists(), f"{block}: {file}"


def test_every_extra_is_told_of():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    page = (ROOT / "docs" / "support.md").read_text()
    assert not [extra for extra in extras if f"| `{extra}` |" not in page]
    named = {extra for use in OPTIONAL.values() for extra in re.findall(r"extra `(\w+)`", use)}
    assert named == {"cuda", "view", "wandb"}


def test_rot_is_found(tmp_path: Path, capsys: pytest.CaptureFixture):
    for rotten in ("mimic trian g1", "mimic retarget a.bvh --robot g1 --ouput b.npz", "mimic train g1 --ppo.discont 3"):
        with pytest.raises((SystemExit, AssertionError)):
            parse(plain(rotten))
    assert unknown_in("mimic train g2 --seeed 1") == ["g2", "--seeed"]
    assert unknown_in("mimic evaluate RUN --mirror") == []
    page = tmp_path / "page.md"
    page.write_text("# A\n\n```\nmimic doctor  # of this machine\nmimic train g1 \\\n      --seed 1\n```\n")
    (block,) = blocks_of(page)
    assert block.mark is None
    assert block.commands == ["mimic doctor", "mimic train g1 --seed 1"]
    assert shlex.split(block.commands[1])[-1] == "1"
    page.write_text("<!-- not run: they\nwait -->\n# A\n\n```\nmimic doctor\n```\n\n<!-- run -->\n```bash\nmimic doctor\n```\n")
    assert [block.mark for block in blocks_of(page)] == ["not run: they\nwait", "run"]
