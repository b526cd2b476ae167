"""What a policy that follows no clip begins with: a tracker of the clips, then a student of it that sees no clip.

From nothing, a discriminator teaches slowly: whoever cannot stand yet is told apart at once, whatever else he does. Tracking
shows the way to every pose; a student that imitates the tracker, and sees only itself and what it is told, keeps it without the
clip; reward then only has to make it whole. The style that it is paid for is that of the tracker's own motion: by a clip's
feet that slip, above all where it is led, anybody could be told from it.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mimic.config import Config, ResetConfig
from mimic.mdp.observations import IN_THE_WORLD
from mimic.presets import PRESETS, make_preset

SHARED = (
    "robot", "motion", "weights", "led_s", "falls", "switches", "poses", "seed", "num_envs", "backend", "device", "devices",
    "save_every_s", "evaluate_every_s", "sim", "log",
)  # fmt: skip


STAGES = 3  # the two below and the run itself
UPRIGHT = 0.8  # how much gravity along the anchor's axis may differ from the clip's


class Stage(NamedTuple):
    """A run that comes before another: its config, its folder, and that of the run it learns from, None for the first."""

    name: str
    config: Config
    folder: Path
    teacher: Path | None


def folder_of(folder: Path, name: str) -> Path:
    """Beside the run's own folder, which then is a run like any other."""
    return folder.with_name(f"{folder.name}-{name}")


def stages_before(config: Config, folder: Path) -> tuple[Stage, ...]:
    """The stages of a run of `config` in `folder`, none unless it begins with a tracker."""
    if config.begin != "tracker":
        return ()
    shared = {name: getattr(config, name) for name in SHARED} | config.of_files
    base = make_preset(config.robot) if config.robot in PRESETS else Config()
    # a tracker that corrects its place or heading in the world would teach what its student cannot see a reason for
    seen = tuple(name for name in base.observation.actor if name not in IN_THE_WORLD)
    blind = {
        "reward": replace(base.reward, anchor_pos=0.0, anchor_ori=0.0),
        "termination": replace(base.termination, anchor_angle=None, anchor_gravity=UPRIGHT),
    }
    tracker = replace(
        base,
        env_steps=config.tracker_steps,
        observation=replace(base.observation, actor=seen),
        reset=ResetConfig(),
        **blind,
        **shared,
    )
    teacher = folder_of(folder, "tracker")
    student = replace(
        config, begin="scratch", follow=True, teacher=str(teacher), env_steps=config.student_steps, weights=(),
        observation=replace(config.observation, critic=()), **blind,
    )  # fmt: skip
    return Stage("tracker", tracker, teacher, None), Stage("student", student, folder_of(folder, "student"), teacher)


def begun(config: Config, folder: Path) -> Config:
    """`config` as it goes on from its last stage."""
    return replace(config, begin="scratch", init_from=str(folder_of(folder, "student")))
