"""The reference page of the commands: what each says of itself when it is asked with `--help`."""

import contextlib
import io
import os

from tables import code, table, text

from mimic.cli import COMMANDS, main
from mimic.commands.motions import MOTION_COMMANDS
from mimic.help_text import summary

WIDTH = 88
BY_RUN = {"train", "sweep", "distill", "harden"}  # their options follow a preset's or a run's, and are the configuration's


def said(*argv: str) -> str:
    """What a command prints before it exits."""
    out = io.StringIO()
    before = dict(os.environ)
    os.environ.update(COLUMNS=str(WIDTH), NO_COLOR="1")
    try:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            main(list(argv))
    finally:
        os.environ.clear()
        os.environ.update(before)
    return out.getvalue().rstrip()


def commands_page() -> str:
    """Each command's own help, as it is printed."""
    rows = [
        ("", (f'<a href="#mimic-{name}{"-edit" if name == "motions" else ""}">{code(name)}</a>', text(summary(command))))
        for name, command in COMMANDS.items()
    ]
    lines = ["# Commands", "", table(("command", "what"), rows), "", "Each as `mimic COMMAND --help` prints it:", ""]
    for name in COMMANDS:
        subcommands = [[name, part] for part in MOTION_COMMANDS] if name == "motions" else [[name]]
        for words in subcommands:
            lines += [f"## mimic {' '.join(words)}", "", "```text", said(*words, "--help"), "```", ""]
        if name in BY_RUN:
            lines += ["Its options: [Configuration](configuration.md).", ""]
    return "\n".join(lines)
