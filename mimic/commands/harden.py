"""`mimic harden`: from a policy that falls to one that knows ways out."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mimic.arguments import EXIT_INPUT, parse_arguments
from mimic.commands.training import Training, run_to_resume
from mimic.config import Config
from motions.errors import InputError

if TYPE_CHECKING:
    from mimic.runs import Run

ENV_STEPS = 4_000_000


@dataclass(frozen=True)
class Harden(Training):
    """Search ways out of what a policy falls from, and teach them to it.

    The policy of a run is let practise in its own world, all of its randomization included. Each fall is played again from a
    second before, by many samples of other actions, until some do not fall; the policy learns those, and what stood by itself.
    Reward alone finds such ways slowly, or never. Options change the run's own settings: shoves of another strength, another
    friction. The result is a run like any other, to be evaluated, exported, distilled or trained on (--init-from).
    """

    source: Path
    """The policy's run folder."""

    def refuse(self) -> None:
        from mimic.runs import open_run

        if self.resume and open_run(self.folder).config.learner != "search":
            raise InputError(f"{self.folder} is no hardening: mimic train --resume goes on with it")

    def create(self) -> tuple["Run", None]:
        from mimic.checks import check_fits
        from mimic.runs import create_run, open_run, refuse_occupied, require_writable
        from mimic.warm_start import check_warm_start

        config, folder = self.config, self.folder
        if folder.resolve() == self.source.resolve():
            raise InputError(f"{folder} is the policy's own folder: give the hardened one another --run-dir")
        source = open_run(self.source)
        if source.config.teacher is not None:
            raise InputError(f"{self.source} is a student: harden its teacher ({source.config.teacher}), and distill that again")
        check_fits(config, source.robot)
        check_warm_start(config, source.robot)
        refuse_occupied(folder, config, overwrite=self.overwrite)
        require_writable(folder)
        return create_run(folder, config, source.robot, source.motions, overwrite=self.overwrite), None


def hardening(source: Config, folder: Path) -> Config:
    """The config to harden the run in `folder`, whose config is `source`; all of the randomization from the first step."""
    randomize = dataclasses.replace(source.randomize, start_level=1.0)
    return dataclasses.replace(source, learner="search", init_from=str(folder), env_steps=ENV_STEPS, randomize=randomize)


def parse_harden(argv: list[str]) -> Harden:
    """Steps: the policy's run, or the run to resume, gives the defaults that the options are parsed against."""
    import tyro

    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: mimic harden RUN [options]\n\n{Harden.__doc__}\n`mimic harden RUN --help` lists all options.")
        sys.exit(0 if argv else EXIT_INPUT)
    if argv[0].startswith("-"):
        raise InputError(f"mimic harden wants the policy's run folder first, got {argv[0]!r}")
    source = Path(argv[0])

    def parse(defaults: Config) -> Any:
        @dataclass(frozen=True)
        class Arguments:
            __doc__ = Harden.__doc__
            config: Annotated[Config, tyro.conf.arg(name="")] = dataclasses.field(default_factory=lambda: defaults)
            run_dir: Path = Path("runs") / f"{source.name}-hardened"
            """The hardened policy's run folder."""
            resume: bool = False
            """Go on with the run in the folder; begin it where there is none."""
            overwrite: bool = False
            """Replace the run in the folder."""

        return parse_arguments(Arguments, argv[1:], f"mimic harden {argv[0]}")

    from mimic.runs import open_run

    defaults = hardening(open_run(source).config, source)
    parsed = parse(defaults)
    run = run_to_resume(parsed.run_dir, resume=parsed.resume, overwrite=parsed.overwrite)
    if run is not None:
        parsed = parse(run.config)
    return Harden(parsed.config, parsed.run_dir, run is not None, parsed.overwrite, source=source)
