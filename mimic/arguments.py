"""From a command's dataclass to its command line, by tyro; tyro is imported only when something is parsed. And what
commands say and write."""

import dataclasses
import json
import os
import sys
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mimic.config import Config
from mimic.help_text import EXAMPLES, about
from motions.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

QuatOrder = Literal["wxyz", "xyzw"]
EXIT_INPUT, EXIT_FAILED, EXIT_INTERRUPTED = 2, 1, 130
EXIT_REQUEUE = 75  # sysexits.h's EX_TEMPFAIL
EXIT_CODES = {
    0: "done",
    EXIT_FAILED: "failed (a check, a training, a measurement)",
    EXIT_INPUT: "something given is wrong: one line says what",
    EXIT_REQUEUE: "ended by a scheduler, saved: the same command with --resume goes on",
    EXIT_INTERRUPTED: "Ctrl-C; a training has saved",
}
NOTHING = (None, (), "", False)  # defaults that a help need not name
LOG_WIDTH = 1000  # columns; no row of ours is as long, so that a name in a log is never broken
POSITIONAL = "positional"  # in a field's Annotated: an argument without a flag


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """What may be said of the motion files that a command reads; `mimic.config.Config` has the same for trainings."""

    quat_order: QuatOrder | None = None
    """Quaternion order of files that do not say."""
    fps: float | None = None
    """Frame rate [Hz] of files that do not say."""
    clip: str | None = None
    """Which one, of files that hold several."""
    skeleton: Path | None = None
    """The .asf of an .amc, where it is not beside it; the body model (npz) of an AMASS or SMPL file."""
    scale: float | None = None
    """Metres per unit of the file, where it cannot be recognised."""
    cycles: int = 1
    """So many of a clip that loops, one after the other; of a captured one before it is retargeted."""
    mapping: Path | None = None
    """TOML file that says how the robot stands for a person or an animal; see `mimic robot init`."""

    @property
    def of_files(self) -> dict[str, Any]:
        """These, as `mimic.sources.read_motions` takes them."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(FileOptions)}

    @property
    def of_config(self) -> dict[str, Any]:
        """These, as `mimic.config.Config` holds them."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in self.of_files.items()}


def say(text: str) -> None:
    """One line for the user, on stderr: stdout is for results."""
    print(text, file=sys.stderr, flush=True)


def paper() -> "Console":
    """What results are printed on: as wide as the terminal, and where there is none, as in a log, as wide as a table needs."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else LOG_WIDTH)


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write results for machines, if asked to, and say so."""
    if path is not None:
        path.write_text(json.dumps(content, indent=2) + "\n")
        say(f"wrote {path}")


def parse_arguments(kind: Any, argv: list[str], prog: str, *, some: bool = False) -> Any:
    """An instance of the dataclass `kind` from `argv`; `some`: and those of `argv` that are not its own.

    Exits with code 2 and a hint where they do not fit.
    """
    import tyro

    tyro._experimental_options["ansi_codes"] = may_colour()
    for field in dataclasses.fields(kind):
        marks = getattr(field.type, "__metadata__", ())
        if POSITIONAL in marks:
            field.type = tyro.conf.Positional[field.type]
        if not set(marks) - {POSITIONAL}:
            if field.default is None and (words := _words_of(field.type)):
                field.type = Annotated[field.type, _one_of(words), tyro.conf.arg(help_behavior_hint="")]
            elif any(field.default is nothing for nothing in NOTHING):  # its text says what is then done
                field.type = Annotated[field.type, tyro.conf.DisallowNone, tyro.conf.arg(help_behavior_hint="")]
            elif POSITIONAL in marks and field.default is dataclasses.MISSING:  # several, too, which tyro takes for optional
                field.type = Annotated[field.type, tyro.conf.arg(help_behavior_hint="(required)")]
        kind.__annotations__[field.name] = field.type
    markers = (tyro.conf.FlagCreatePairsOff, tyro.conf.PositionalMetavarFromFieldName)
    text = about(kind, command_of(prog))
    return tyro.cli(kind, args=argv, prog=prog, description=text, return_unknown_args=some, config=markers)


def _words_of(kind: Any) -> tuple[str, ...]:
    """Of `Literal[...] | None` the words, else none."""
    one = [part for part in typing.get_args(kind) if part is not type(None)]
    return typing.get_args(one[0]) if len(one) == 1 and typing.get_origin(one[0]) is Literal else ()


def _one_of(words: tuple[str, ...]) -> Any:
    """One of `words` or nothing, for tyro, which would name None among those that may be typed."""
    import tyro

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(words)}}}",
        instance_from_str=lambda typed: typed[0],
        is_instance=lambda value: value is None or value in words,
        str_from_instance=lambda value: [str(value)],
        choices=words,
    )


def command_of(prog: str) -> str:
    """`mimic motions edit` is "motions edit", `mimic train g1` is "train"."""
    words = prog.split()[1:]
    return " ".join(words) if " ".join(words) in EXAMPLES else words[0]


def may_colour() -> bool:
    """Whether what is printed goes to terminals, and to a user who has nothing against colours (no-color.org)."""
    return not os.environ.get("NO_COLOR") and sys.stdout.isatty() and sys.stderr.isatty()


def as_options(settings: tuple[str, ...], option: str) -> list[str]:
    """SECTION.NAME=VALUE of each of `settings` as options of `mimic train`; a word without "=" is one more value of the last.

    Raises `InputError`, which speaks of `option`, for a setting of another form.
    """
    argv: list[str] = []
    for word in " ".join(settings).split():
        name, equals, value = word.partition("=")
        if equals and "." in name:
            argv += [f"--{name.replace('_', '-')}", value]
        elif argv and not equals:
            argv.append(word)
        else:
            raise InputError(f"{option} {word}: expected SECTION.NAME=VALUE, as sampling.cap=5 or ppo.symmetry=augment")
    return argv


def with_settings(config: Config, settings: tuple[str, ...], command: str, option: str) -> Config:
    """`config` with SECTION.NAME=VALUE of each of `settings` in it, values as on `mimic train`'s command line.

    Raises `InputError` for a setting of another form. Exits with code 2 and a hint for a name or value that does not exist.
    """
    import tyro

    argv = as_options(settings, option)

    @dataclass(frozen=True)
    class Settings:
        config: Annotated[Config, tyro.conf.arg(name="")] = dataclasses.field(default_factory=lambda: config)

    try:
        return parse_arguments(Settings, argv, f"mimic train {config.preset}").config if argv else config
    except SystemExit:
        say(f"{command}: that is {option} {' '.join(settings)!r}; its settings are options of `mimic train {config.preset}`")
        raise
