"""Trainings of several stages: each a run of its own, done once, gone on with where it was stopped."""

from pathlib import Path
from typing import TYPE_CHECKING

from mimic.arguments import say
from mimic.commands.run_options import Cluster
from mimic.config import Config, to_dict
from motions.errors import InputError

if TYPE_CHECKING:
    from mimic.runs import Run
    from mimic.training.stages import Stage


def check_stages(config: Config, folder: Path) -> None:
    """Raise `InputError` for what a later stage would refuse, after hours of those before it."""
    from mimic.checks import check_config, check_fits
    from mimic.sources import find_robot
    from mimic.training.stages import begun, stages_before
    from mimic.training.teacher import check_student

    if config.init_from is not None:
        raise InputError("begin is tracker and init_from is a run: it begins with one or the other (--begin scratch)")
    if config.observation.critic:
        raise InputError(
            f"observation.critic is {', '.join(config.observation.critic)}, expected none: what a student did not see has no "
            "statistics where it is gone on with"
        )
    tracker, student = stages_before(config, folder)
    for one in (tracker.config, student.config, begun(config, folder)):
        check_config(one)
    check_fits(config, find_robot(config, lambda line: None))  # what is to be said of it is said when it is trained
    check_student(student.config, tracker.config)


def clear_stages(config: Config, folder: Path) -> None:
    """Give up what is in the folders of a run and its stages, all at once: what is stopped then can be gone on with."""
    from mimic.runs import CONFIG, clear
    from mimic.training.stages import stages_before

    for own in (folder, *(stage.folder for stage in stages_before(config, folder))):
        if (own / CONFIG).exists():
            clear(own)


def run_stages(config: Config, folder: Path) -> int:
    """Run what must come before the run of `config` in `folder`. The exit code of the first that did not end well, else 0."""
    from mimic.training.stages import STAGES, stages_before

    stages = stages_before(config, folder)
    for number, stage in enumerate(stages, start=1):
        title = f"stage {number} of {STAGES}, the {stage.name}"
        say(title)
        code = _run_stage(stage, title, config.goal.styles)
        if code:
            return code
    say(f"stage {STAGES} of {STAGES}")
    return 0


def _run_stage(stage: "Stage", title: str, styles: tuple[str, ...]) -> int:
    from mimic.commands.distill import Distill
    from mimic.commands.training import Train
    from mimic.runs import is_free, open_run

    resume = not is_free(stage.folder)
    if resume:
        found = open_run(stage.folder)
        _require_same(stage, found.config)
        if _is_done(stage, found):
            say(f"it is done: {stage.folder}")
            return 0
    if stage.teacher is None:
        return Train(stage.config, stage.folder, resume, False, Cluster(), stage=title, styles=styles).run()
    return Distill(stage.config, stage.folder, resume, False, Cluster(), source=stage.teacher, stage=title).run()


def _require_same(stage: "Stage", found: Config) -> None:
    """Raise `InputError` where the folder holds the stage of another run."""
    from mimic.runs import RESUMABLE_OF_SIM, differences
    from mimic.training.teacher import SHARED

    identity = (*SHARED, "led_s", "falls", "switches", "seed", "num_envs", "observation", "network")
    ours, theirs = ({name: to_dict(config)[name] for name in identity} for config in (stage.config, found))
    found_lines = differences(ours, theirs, whose=str(stage.folder))
    lines = [line for name, line in found_lines if name.removeprefix("sim.") not in RESUMABLE_OF_SIM]
    if stage.config.goal.kind != found.goal.kind:
        lines.append(f"goal.kind: {stage.config.goal.kind!r} ({stage.folder} has {found.goal.kind!r})")
    if stage.config.goal.styles != found.goal.styles:
        lines.append(f"goal.styles: {stage.config.goal.styles!r} ({stage.folder} has {found.goal.styles!r})")
    if lines:
        raise InputError(
            f"{stage.folder} holds another {stage.name}; what differs: {'; '.join(lines)}. Replace it with --overwrite"
        )


def _is_done(stage: "Stage", found: "Run") -> bool:
    """Whether it was trained for as long as it is to be, and measured, which comes last."""
    from mimic.runs import EVALUATION, read_metrics

    rows = read_metrics(found.metrics_path) if found.metrics_path.exists() else []
    reached = rows[-1]["iteration"] if rows else 0
    return reached >= stage.config.num_iterations and (found.folder / EVALUATION).exists()
