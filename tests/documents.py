"""The commands in README.md and docs: where they stand, whether they are run, and what the program makes of them.

A comment before a block of code says what tests do with it, and one before everything else on a page, what they do with its
blocks that have none:

    <!-- run -->             each `mimic` line is run, in a folder that the page's blocks share
    <!-- run slowly -->      the same, but only by `-m slow`
    <!-- not run: WHY -->
"""

import contextlib
import io
import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mimic.arguments import parse_arguments
from mimic.cli import COMMANDS
from mimic.commands.distill import DEPLOYABLE
from mimic.commands.motions import MOTION_COMMANDS
from mimic.commands.run_options import parse_options
from mimic.commands.sweep import parse_sweep
from mimic.commands.training import parse_train
from mimic.presets import PRESETS, make_preset

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARK = re.compile(r"<!-- (run|run slowly|not run: (?:.|\n)+?) -->")
BLOCK = re.compile(r"(?:^<!-- (run|run slowly|not run: [^>]+?) -->\n+)?^( *)```(\w*)\n(.*?)^ *```$", re.M | re.S)
PROGRAMS = ("mimic ", "make ", "pip ", "cmake ", "docker ", "apptainer ", "sbatch ", "python ", "ssh ", "git ")


@dataclass(frozen=True)
class Block:
    """A block of code: its page, its first line, what its comment says (None: nothing), and its lines."""

    page: Path
    line: int
    mark: str | None
    lines: tuple[str, ...]

    @property
    def commands(self) -> list[str]:
        """Its `mimic` lines, whole, without what is said of them behind."""
        return [line for line in self.lines if line.startswith("mimic ")]

    @property
    def others(self) -> list[str]:
        """Its lines that another program is to run."""
        return [line for line in self.lines if line.startswith(PROGRAMS) and not line.startswith("mimic ")]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page."""
    text = page.read_text()
    first = MARK.match(text)
    whole = first[1] if first else None
    found = []
    for match in BLOCK.finditer(text):
        own = match[1] if match.start() > 0 else None
        joined = re.sub(r"\s*\\\n\s*", " ", match[4])
        lines = [re.split(r"\s{2,}|\s#", line.strip())[0] for line in joined.splitlines()]
        found.append(Block(page, text.count("\n", 0, match.start(4)) + 1, own or whole, tuple(lines)))
    return found


def inline_commands(page: Path) -> list[str]:
    """What stands in prose and tables as `mimic ...`."""
    prose = BLOCK.sub("", page.read_text())
    return [" ".join(found.split()) for found in re.findall(r"`(mimic [^`]+)`", prose)]


def plain(command: str) -> list[str]:
    """The words of a command in a page: what is in brackets is given, of alternatives the first, of PRESET and N an example."""
    words = shlex.split(re.sub(r"\[(.*?)\]", r"\1", command).replace("...", ""))[1:]
    words = [word.split("|")[0] for word in words]
    return ["g1" if word == "PRESET" else "3" if word == "N" else word for word in words]


def parse(words: list[str]) -> None:
    """Let the program's own parsers read a command, and do nothing of it. Exits or raises where they refuse it."""
    name, rest = words[0], words[1:]
    assert name in COMMANDS, f"no command {name!r}"
    if name == "train" and rest[:1] == ["--config"]:  # the file is only an example's; what follows it are a preset's options
        parse_train(["g1", *rest[2:]])
    elif name == "train":
        parse_train([word for word in rest if word != "--resume"])  # to resume it would look for the run
    elif name == "sweep":
        preset, _, options = parse_sweep(rest)
        parse_options([preset, *options], name, None, make_preset(preset), "")
    elif name in ("distill", "harden"):
        parse_options(rest, name, None, make_preset(DEPLOYABLE), "")
    elif name == "motions":
        parse_arguments(MOTION_COMMANDS[rest[0]], rest[1:], f"mimic motions {rest[0]}")
    else:
        parse_arguments(COMMANDS[name], rest, f"mimic {name}")


@cache
def options_of(name: str, part: str = "") -> frozenset[str]:
    """The options that a command's help lists; `part` is the subcommand of one that has them."""
    words = {"train": ["g1"], "sweep": ["g1"], "distill": ["RUN"], "harden": ["RUN"]}.get(name, [part] if part else [])
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        parse([name, *words, "--help"])
    listed = set(re.findall(r"--[a-z0-9][a-z0-9.-]*", said.getvalue()))
    return frozenset(listed | options_of("train")) if name == "sweep" else frozenset(listed)


def unknown_in(command: str) -> list[str]:
    """What in a command of prose the program does not know: its name, or options."""
    words = re.sub(r"[\[\],;]", " ", command).split()[1:]
    if not words or words[0].startswith("-") or words[0].isupper():  # mimic --version, mimic COMMAND
        return []
    unknown = []
    for name in words[0].split("|"):
        if name not in COMMANDS:
            return [name]
        part = words[1].split("|")[0] if name == "motions" and len(words) > 1 else ""
        if name == "motions" and part not in MOTION_COMMANDS:
            return [part] if part else []
        preset = name in ("train", "sweep") and len(words) > 1 and words[1].islower() and words[1].replace("_", "").isalnum()
        if preset and words[1] not in PRESETS:
            unknown.append(words[1])
        given = [word.partition("=")[0] for word in words if word.startswith("--")]
        unknown += [option for option in given if option not in options_of(name, part) | {"--help"}]
    return unknown
