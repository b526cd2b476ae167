"""`mimic harden`: from a policy that falls to one that knows ways out."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimic.commands.run_options import first_argument, parse_options, run_to_resume
from mimic.commands.training import Training
from mimic.config import Config
from mimic.help_text import about
from motions.errors import InputError

if TYPE_CHECKING:
    from mimic.runs import Run

ENV_STEPS = 4_000_000


@dataclass(frozen=True)
class Harden(Training):
    """Search ways out of what a policy falls from, and teach it them.

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
        from mimic.runs import create_run, open_run
        from mimic.training.warm_start import check_warm_start

        config, folder = self.config, self.folder
        if folder.resolve() == self.source.resolve():
            raise InputError(f"{folder} is the policy's own folder: give the hardened one another --run-dir")
        source = open_run(self.source)
        if source.config.teacher is not None:
            raise InputError(f"{self.source} is a student: harden its teacher ({source.config.teacher}), and distill that again")
        check_warm_start(config, source.robot)
        return create_run(folder, config, source.robot, source.motions, asked=source.asked, overwrite=self.overwrite), None


def hardening(source: Config, folder: Path) -> Config:
    """The config to harden the run in `folder`, whose config is `source`; all of the randomization from the first step."""
    randomize = dataclasses.replace(source.randomize, start_level=1.0)
    return dataclasses.replace(source, learner="search", init_from=str(folder), env_steps=ENV_STEPS, randomize=randomize)


def parse_harden(argv: list[str]) -> Harden:
    """Steps: the policy's run, or the run to resume, gives the defaults that the options are parsed against."""
    usage = (
        f"usage: mimic harden RUN_DIR [options]\n\n{about(Harden, 'harden')}\n\n`mimic harden RUN_DIR --help` lists all options."
    )
    source = Path(first_argument(argv, "harden", "the policy's run folder", usage))
    default = Path("runs") / f"{source.name}-hardened"

    def parse(defaults: Config) -> Any:
        return parse_options(argv, "harden", Harden.__doc__, defaults, str(default))

    from mimic.runs import open_run

    parsed = parse(hardening(open_run(source).config, source))
    folder = parsed.run_dir or default
    run = run_to_resume(folder, resume=parsed.resume, overwrite=parsed.overwrite)
    if run is not None:
        parsed = parse(run.config)
    return Harden(parsed.config, folder, run is not None, parsed.overwrite, parsed.cluster, source=source)
