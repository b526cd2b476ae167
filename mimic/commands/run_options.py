"""What the commands share that make a run or resume one (`mimic train | harden | distill`): their first argument and options."""

import dataclasses
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mimic.arguments import EXIT_INPUT, parse_arguments, say
from mimic.config import Config
from mimic.config_file import configured, read_config_file, run_dir_in
from motions.errors import InputError

if TYPE_CHECKING:
    from mimic.runs import Run


def first_argument(argv: list[str], command: str, wanted: str, usage: str, known: str = "") -> str:
    """What stands before all options. Prints `usage` and exits where nothing does; raises `InputError` where an option does."""
    if not argv or argv[0] in ("-h", "--help"):
        print(usage)
        sys.exit(0 if argv else EXIT_INPUT)
    if argv[0].startswith("-"):
        raise InputError(f"mimic {command} wants {wanted} first, got {argv[0]!r}{known}")
    return argv[0]


CONFIG_OPTION = "config"


@dataclass(frozen=True)
class Cluster:
    """Which of several processes this one is; see docs/cluster.md."""

    join: bool = False
    """Train together with other processes: SLURM, Open MPI, Kubernetes and Cloud TPUs say with which."""
    coordinator: str | None = None
    """HOST:PORT of the first process, where no launcher says so; with the two below."""
    num_processes: int | None = None
    process_id: int | None = None
    """From 0, the first, which alone says and writes something."""


def parse_options(argv: list[str], command: str, about: str | None, defaults: Config, folder: str) -> Any:
    """The options behind the first argument, parsed against `defaults` and the file of --config: config, run_dir (None where not
    said; `folder` says in the help what is then taken), resume, overwrite and cluster."""
    file = config_file(argv[1:])
    said, placed = (configured(file, defaults), run_dir_in(file)) if file else (defaults, None)
    return parse_arguments(options_of(about, said, placed, folder), argv[1:], f"mimic {command} {argv[0]}")


def options_of(about: str | None, defaults: Config, placed: Path | None, folder: str) -> type:
    """The dataclass of these options; `placed`: the run's folder where none is given."""
    import tyro

    @dataclass(frozen=True)
    class Arguments:
        __doc__ = about
        config: Annotated[Config, tyro.conf.arg(name="")] = dataclasses.field(default_factory=lambda: defaults)
        run_dir: Annotated[Path | None, tyro.conf.arg(help=f"Run folder; default: {folder}.", help_behavior_hint="")] = placed
        file: Annotated[Path | None, tyro.conf.arg(name=CONFIG_OPTION, help_behavior_hint="")] = None
        """TOML file of settings, as `mimic init` writes; options override it."""
        resume: bool = False
        """Go on with the run in the folder; begin it where there is none."""
        overwrite: bool = False
        """Replace the run in the folder."""
        cluster: Cluster = Cluster()

    return Arguments


def config_file(argv: list[str]) -> Path | None:
    """What --config names, which must be known before anything can be parsed against it. Raises `InputError` for several."""
    flag = f"--{CONFIG_OPTION}"
    given = [
        after if word == flag else word.partition("=")[2]
        for word, after in pairwise([*argv, ""])
        if word == flag or word.startswith(f"{flag}=")
    ]
    if len(given) > 1:
        raise InputError(f"{flag} is given {len(given)} times, expected one file: {', '.join(given)}")
    return Path(given[0]) if given and given[0] else None


def with_preset(argv: list[str]) -> list[str]:
    """`argv`, led by the preset that the file of --config names, where no other does."""
    file = config_file(argv)
    if file is None or not argv[0].startswith("-"):
        return argv
    preset = read_config_file(file).get("preset")
    if not isinstance(preset, str):
        raise InputError(
            f'{file} names no preset: expected preset = "g1" or another in it, or mimic train PRESET --config {file}'
        )
    return [preset, *argv]


def require_preset(name: str, config: Config) -> None:
    """Raise `InputError` where --preset or a file says another than the one that is begun with: most of it would not be there."""
    if config.preset != name:
        raise InputError(f"preset {name} is asked for first, and then {config.preset}, by --preset or a file: name one of them")


def run_to_resume(folder: Path, *, resume: bool, overwrite: bool) -> "Run | None":
    """The run in `folder`, if it is to be resumed; None where none has begun, which is said.

    Raises `InputError` where something else is, or it is to be overwritten, too.
    """
    from mimic.runs import is_free, open_run

    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other")
    if not resume:
        return None
    if is_free(folder):
        say(f"no run in {folder} to resume: beginning one")
        return None
    return open_run(folder)
