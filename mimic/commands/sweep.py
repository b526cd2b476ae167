"""`mimic sweep`: one training for each clip, variant of the settings and seed."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mimic.arguments import parse_arguments, say, with_settings, write_json
from mimic.commands.run_options import config_file, first_argument, parse_options, require_preset
from mimic.help_text import about, paragraph
from mimic.presets import PRESETS, make_preset
from motions.errors import InputError

if TYPE_CHECKING:
    from mimic.training.sweep import Plan

OWN = ("--seed", "--run-dir", "--resume", "--overwrite")  # options of `mimic train` that a sweep gives to its members itself


@dataclass(frozen=True)
class Sweep:
    """Train a controller for each clip, variant of the settings and seed; one table.

    Each is a `mimic train` of its own: one that fails does not stop the others, and what is done is not done again when the
    command is repeated. `--task` trains a single one, so that a scheduler's array can share them out. All options of `mimic
    train PRESET` can be given, and hold for every training.
    """

    motion: tuple[str, ...] = ()
    """Motion files, one training each; none: those of the file of --config, else the preset's own clip."""
    vary: tuple[str, ...] = ("",)
    """Variants, each a string of settings SECTION.NAME=VALUE by spaces; "" is the preset as it is: --vary "" "sampling.cap=3"."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One training each."""
    run_dir: Path | None = None
    """The sweep's folder; default: runs/PRESET-sweep."""
    task: int | None = None
    """Train only this one of them, numbered from 0."""
    list: bool = False
    """Say what would be trained, by number, and what has been; train nothing."""
    collect: bool = False
    """Print the table of what is there; train nothing."""
    json: Path | None = None
    """Write the table to this file too."""
    plot: Path | None = None
    """Draw it, .png or .svg."""


def run_sweep(argv: list[str]) -> int:
    """Parse and run `mimic sweep`; its exit code."""
    from mimic.runs import require_picture_file, require_writable_file
    from mimic.training.sweep import check_plan, keep_plan, members, outcomes, print_sweep, rows_of, run_members

    preset, sweep, options = parse_sweep(argv)
    folder = sweep.run_dir or Path("runs") / f"{preset}-sweep"
    require_writable_file(sweep.json)
    require_picture_file(sweep.plot, "--plot")
    plan = checked_plan(preset, sweep, options)
    everyone = members(plan)
    if sweep.task is not None and not 0 <= sweep.task < len(everyone):
        raise InputError(f"--task {sweep.task}: the sweep has {len(everyone)} trainings, 0 to {len(everyone) - 1}")
    check_plan(plan, folder)
    if sweep.list:
        for number, outcome in enumerate(outcomes(plan, folder)):
            print(f"{number:3}  {outcome.state:6}  {outcome.member.name}")
        return 0
    code = 0
    if not sweep.collect:
        keep_plan(plan, folder)
        wanted = everyone if sweep.task is None else [everyone[sweep.task]]
        code = run_members(wanted, plan, folder, say)
    if sweep.task is not None:
        return code
    rows = rows_of(list(outcomes(plan, folder)))
    print_sweep(rows)
    write_json(sweep.json, {"rows": rows})
    if sweep.plot is not None:
        from mimic.view.plots import plot_sweep

        say(f"wrote {plot_sweep(sweep.plot, rows)}")
    return code


def parse_sweep(argv: list[str]) -> tuple[str, Sweep, tuple[str, ...]]:
    """The preset, the sweep's own options, and those of `mimic train`, which are looked at in `checked_plan`."""
    usage = (
        f"usage: mimic sweep PRESET [options]\n\n{about(Sweep, 'sweep')}\n\n"
        f"{paragraph('presets: ' + ', '.join(PRESETS))}\n\n"
        "`mimic sweep PRESET --help` lists the sweep's options, `mimic train PRESET --help` the others."
    )
    preset = first_argument(argv, "sweep", "a preset", usage, known=f". Known: {', '.join(PRESETS)}")
    make_preset(preset)
    sweep, rest = parse_arguments(Sweep, argv[1:], f"mimic sweep {preset}", some=True)
    return preset, sweep, tuple(rest)


def checked_plan(preset: str, sweep: Sweep, options: tuple[str, ...]) -> "Plan":
    """The plan, if all its members can be trained as far as their settings say: before any is, not after hours.

    Raises `InputError`, or exits with a hint, for what `mimic train` would refuse of the options and variants.
    """
    from mimic.checks import check_config
    from mimic.training.sweep import Plan

    whole = {"--list": sweep.list, "--collect": sweep.collect, "--json": sweep.json, "--plot": sweep.plot}
    for option, given in whole.items():
        if sweep.task is not None and given:
            raise InputError(f"--task trains one of the sweep, {option} is of all: one without the other")
    if not sweep.seeds:
        raise InputError("--seeds: expected at least one")
    for option in options:
        if option.partition("=")[0] in OWN:
            raise InputError(f"{option}: a sweep gives its trainings their own; it has --seeds, --run-dir, and goes on by itself")
    config = parse_options([preset, *options], "sweep", Sweep.__doc__, make_preset(preset), "").config
    require_preset(preset, config)
    for variant in sweep.vary:
        check_config(with_settings(config, (variant,), "mimic sweep", "--vary"))
    if not config.follow:
        raise InputError(f"{preset} follows no clip, and a sweep's table is of how well clips are followed")
    motion = sweep.motion or config.motion
    for clip in motion:
        if not Path(clip).exists():
            raise InputError(f"{clip}: no such file")
    clips = tuple(str(Path(clip).absolute()) for clip in motion)
    variants, file = tuple(" ".join(variant.split()) for variant in sweep.vary), config_file(list(options))
    return Plan(preset, clips, variants, sweep.seeds, options, file.read_text(encoding="utf-8") if file else "")
