"""`mimic stress`: how far from nominal an exported policy still works."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mimic.arguments import POSITIONAL, FileOptions, say, write_json
from motions.errors import InputError

if TYPE_CHECKING:
    from mimic.runs import Run


@dataclass(frozen=True)
class Stress(FileOptions):
    """Measure a policy's margins: latency, torque, mass, friction, noise, pushes and more.

    In plain C MuJoCo. Each value of each axis is run for every seed over the whole clip. Seeds differ in the start (every joint
    and the root's tilt by up to 0.02 rad) and in what an axis draws. Completion: the share that reaches the clip's end. Of a
    run folder, all axes and the run's own clips: also written there as stress.json, which `mimic report` shows.
    """

    policy: Annotated[Path, POSITIONAL]
    """An exported policy.onnx, the folder of one, or a run folder (its newest checkpoint is exported first)."""
    axes: tuple[str, ...] = ()
    """Some of the axes, by spaces or commas; none: all, unless the policy never completes even on the nominal robot. An unknown
    one lists them."""
    seeds: int = 64
    """Runs for each value of each axis."""
    motion: tuple[str, ...] = ()
    """Other motion files than the policy's own; completion is then over all of them."""
    json: Path | None = None
    """Write the numbers to this file too."""
    plot: Path | None = None
    """Write a plot of every axis, .png or .svg."""

    def run(self) -> int:
        from mimic.deploy.sim2sim import Policy
        from mimic.evaluation.stress import AXES, print_stress, sweep
        from mimic.progress import waiting
        from mimic.robots import load_robot
        from mimic.runs import STRESS, require_picture_file, require_writable_file
        from mimic.sources import read_motions

        if self.seeds < 1:
            raise InputError(f"--seeds {self.seeds}: expected 1 or more")
        require_writable_file(self.json)
        require_picture_file(self.plot, "--plot")
        axes = tuple(name for given in self.axes for name in given.split(",") if name)
        file, run = policy_of(self.policy)
        policy = Policy.load(file)
        motions = None
        if self.motion:
            robot = run.robot if run else load_robot(policy.spec.robot, sim=policy.spec.sim)
            motions, _ = read_motions(self.motion, robot, say, **self.of_files)
        with waiting(f"{len(axes or AXES)} axes, {self.seeds} runs for each value"):
            stress = sweep(policy, str(self.policy), motions, seeds=self.seeds, axes=axes, say=say)
        print_stress(stress)
        write_json(self.json, stress.to_json())
        if run is not None and not self.motion and not self.axes:
            write_json(run.folder / STRESS, stress.to_json())
        if self.plot is not None:
            from mimic.view.plots import plot_stress

            say(f"wrote {plot_stress(self.plot, stress.to_json())}")
        return 0


def policy_of(path: Path) -> "tuple[Path, Run | None]":
    """The .onnx that `path` means; of a run folder that of its newest checkpoint, exported anew, and the run."""
    from mimic.pipeline import export_run
    from mimic.runs import CONFIG, POLICY, open_run

    if not (path / CONFIG).is_file():
        return policy_file(path), None
    run = open_run(path)
    export_run(run, path / POLICY, lambda _: None)
    return path / POLICY, run


def policy_file(path: Path) -> Path:
    """The .onnx that `path`, no run folder, means."""
    from mimic.runs import POLICY

    if not path.is_dir():
        return path
    if (path / POLICY).is_file():
        return path / POLICY
    raise InputError(f"{path}: neither a run folder nor one with a {POLICY} in it")
