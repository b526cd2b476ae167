"""Trainings of several stages: each a run of its own, done once, gone on with where it was stopped."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mimic.arguments import say
from mimic.commands.run_options import Cluster
from mimic.config import Config, to_dict
from motions.errors import InputError

if TYPE_CHECKING:
    from mimic.stages import Stage


def run_stages(config: Config, folder: Path, *, overwrite: bool) -> int:
    """Run what must come before the run of `config` in `folder`. The exit code of the first that did not end well, else 0."""
    from mimic.stages import stages_before

    stages = stages_before(config, folder)
    for number, stage in enumerate(stages, start=1):
        say(f"stage {number} of {len(stages) + 1}: the {stage.name}")
        code = _run_stage(stage, folder, overwrite=overwrite)
        if code:
            return code
    say(f"stage {len(stages) + 1} of {len(stages) + 1}")
    return 0


def _run_stage(stage: "Stage", folder: Path, *, overwrite: bool) -> int:
    from mimic.commands.distill import Distill
    from mimic.commands.training import Train
    from mimic.runs import EVALUATION, RESUMABLE, differences, is_free, open_run
    from mimic.stages import folder_of

    own, resume = folder_of(folder, stage.name), False
    if not overwrite and not is_free(own):
        found = open_run(own).config
        ours = replace(stage.config, weights=found.weights)
        lines = [line for name, line in differences(to_dict(ours), to_dict(found), whose=str(own)) if name not in RESUMABLE]
        if lines:
            raise InputError(f"{own} holds another {stage.name}; what differs: {'; '.join(lines)}. Replace it with --overwrite")
        if (own / EVALUATION).exists():
            say(f"it is done: {own}")
            return 0
        resume = True
    if stage.teacher is None:
        return Train(stage.config, own, resume, overwrite, Cluster()).run()
    return Distill(stage.config, own, resume, overwrite, Cluster(), source=stage.teacher).run()
