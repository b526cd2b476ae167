"""`mimic distill`: from a teacher that sees everything to a student that sees what a robot measures."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimic.arguments import say
from mimic.commands.run_options import first_argument, parse_options, run_to_resume
from mimic.commands.training import Training
from mimic.config import Config
from mimic.help_text import about, paragraph
from mimic.presets import PRESETS, make_preset
from motions.errors import InputError

if TYPE_CHECKING:
    from mimic.runs import Run

DEPLOYABLE = "g1_deploy"  # the preset whose observation, randomization and network a student has unless told otherwise


@dataclass(frozen=True)
class Distill(Training):
    """Teach a student that sees only what a robot measures to act as a trained policy.

    By DAgger. The teacher is the averaged policy of a run; it sees the true state, and with the observation term `randomization`
    what is wrong with its robot: `mimic train g1_teacher` makes one. Robot, motions, simulation and actions are the teacher's;
    observation, randomization, starts, network and length are of the student's --preset (default: g1_deploy) or given one by
    one. The student's folder is a run like any other: evaluate, export, play and stress take it.
    """

    source: Path
    """The teacher's run folder."""

    def refuse(self) -> None:
        from mimic.runs import open_run

        if self.resume and open_run(self.folder).config.teacher is None:
            raise InputError(f"{self.folder} is no student's run: mimic train --resume goes on with it")

    def create(self) -> tuple["Run", None]:
        from mimic.checks import check_fits
        from mimic.pipeline import trained_policy
        from mimic.runs import create_run, open_run, refuse_occupied, require_writable
        from mimic.training.teacher import check_student, save_teacher, unknowable, unlike_teacher
        from mimic.training.warm_start import check_warm_start

        config, folder = self.config, self.folder
        if folder.resolve() == self.source.resolve():
            raise InputError(f"{folder} is the teacher's own folder: give the student another --run-dir")
        taught_by = open_run(self.source)
        check_student(config, taught_by.config)
        check_fits(config, taught_by.robot)
        check_warm_start(config, taught_by.robot)
        refuse_occupied(folder, config, overwrite=self.overwrite)
        require_writable(folder, keep=False)
        if not config.weights:
            config = replace(config, weights=taught_by.config.weights)
        teacher = trained_policy(taught_by, say)
        unlike = unlike_teacher(config, taught_by.config)
        if unlike:
            say(f"the teacher was trained with another randomization ({', '.join(unlike)}): where it falls, so will its student")
        place = unknowable(config, taught_by.config)
        if place:
            say(f"the teacher sees how far it has drifted ({', '.join(place)}), its student does not: better a teacher without")
        run = create_run(
            folder, config, taught_by.robot, taught_by.motions, asked=taught_by.asked, overwrite=self.overwrite,
            beside=lambda folder: save_teacher(teacher, folder),
        )  # fmt: skip
        return run, None


def parse_distill(argv: list[str]) -> Distill:
    """Steps: the teacher's run and the preset, or the run to resume, give the defaults that the options are parsed against."""
    usage = (
        f"usage: mimic distill TEACHER_RUN [--preset NAME] [options]\n\n{about(Distill, 'distill')}\n\n"
        f"{paragraph('presets: ' + ', '.join(PRESETS))}\n\n`mimic distill TEACHER_RUN --help` lists all options."
    )
    teacher = Path(first_argument(argv, "distill", "the teacher's run folder", usage))
    default = Path("runs") / f"{teacher.name}-student"

    def parse(defaults: Config) -> Any:
        return parse_options(argv, "distill", Distill.__doc__, defaults, str(default))

    from mimic.runs import open_run
    from mimic.training.teacher import student_config

    parsed = parse(make_preset(DEPLOYABLE))  # for --preset, --run-dir and --resume, whatever else is said
    preset, folder = make_preset(parsed.config.preset), parsed.run_dir or default
    run = run_to_resume(folder, resume=parsed.resume, overwrite=parsed.overwrite)
    parsed = parse(run.config if run is not None else student_config(preset, open_run(teacher).config, teacher))
    return Distill(parsed.config, folder, run is not None, parsed.overwrite, parsed.cluster, source=teacher)
