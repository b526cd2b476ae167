"""`mimic evaluate`: what a trained controller can do, or several as one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mimic.arguments import POSITIONAL, FileOptions, say, write_json
from motions.errors import InputError

if TYPE_CHECKING:
    from mimic.runs import Run
    from motions.motion import Motion


@dataclass(frozen=True)
class Evaluate(FileOptions):
    """Measure a trained controller on whole clips, in plain C MuJoCo.

    Every clip once, deterministic: as trained, with all collisions on, and in another simulator: half the timestep, another
    integrator, solver and friction cone, harder contacts. Several runs are measured as one controller: at the end of each clip,
    and at each of the `--switches`, the policy takes over whose critic promises most.
    """

    run_dirs: Annotated[tuple[Path, ...], POSITIONAL]
    """The run's folder, or those of several."""
    motion: tuple[str, ...] = ()
    """Other motion files than the run's own; of a catalogue its held-out clips."""
    mirror: bool = False
    """Run each clip's left-right mirror image too, and say how far the errors are apart."""
    json: Path | None = None
    """Write the numbers to this file too."""
    switches: int | None = None
    """Also go over from one clip to another so many times, at moments drawn at random; by default 64 of a policy that was
    trained with some, by its own clips."""
    falls: int | None = None
    """Also let it get up from so many random falls; by default 64 of a policy that was trained with some, by
    its own clips."""
    save_motion: Path | None = None
    """Write the simulated motion, as .npz; of several clips into this folder. `mimic convert` takes it from there."""

    def run(self) -> int:
        from mimic.evaluation.whole_clips import print_evaluation, print_mirrored, save_simulated
        from mimic.pipeline import evaluate_run
        from mimic.runs import open_run, require_writable_file
        from mimic.sources import clips_of, read_motions
        from motions import edit

        for file in (self.json, self.save_motion if self.save_motion and self.save_motion.suffix else None):
            require_writable_file(file)
        for name, count in (("switches", self.switches), ("falls", self.falls)):
            if count is not None and count < 0:
                raise InputError(f"--{name} {count}: expected 0 or more")
        if not self.run_dirs:
            raise InputError("mimic evaluate wants a run folder: mimic evaluate RUN")
        first, *others = self.run_dirs
        if others:
            return self.composite()
        run = open_run(first)
        motions, cycles = None, None  # of clips of its own, the run knows how many
        if self.motion:
            files, _ = clips_of(self.motion, run.robot, say, split="held_out")
            motions, _ = read_motions(files, run.robot, say, **self.of_files)
            cycles = self.cycles
        if not run.config.follow:
            return self.roam(run, motions)
        if self.mirror:
            motions = list(motions or run.asked)
            motions += [edit.mirror(motion, run.robot.body) for motion in motions]
        evaluation = evaluate_run(run, motions, say, cycles=cycles, falls=self.falls, switches=self.switches)
        print_evaluation(evaluation, run.config.sim.collisions)
        if self.mirror:
            print_mirrored(evaluation)
        write_json(self.json, evaluation.to_json())
        if self.save_motion is not None:
            save_simulated(evaluation, run.robot, 1.0 / run.config.sim.ctrl_dt, self.save_motion, say)
        return 0

    def composite(self) -> int:
        """Several policies as one."""
        from mimic.composite import load_composite, print_alone
        from mimic.progress import waiting
        from mimic.switches import spell_switches

        if self.motion or self.mirror or self.save_motion or self.falls:
            raise InputError("--motion, --mirror, --falls, --save-motion: for one run, and these are several")
        composite = load_composite(self.run_dirs, say)
        with waiting("letting it choose"):
            found = composite.alone()
        print_alone(found, say)
        measured = {"alone": found.to_json()}
        if self.switches:
            with waiting(f"going over from clip to clip, {self.switches} times"):
                switched = composite.switches(self.switches)
            say(spell_switches(switched))
            measured["switches"] = switched
        write_json(self.json, measured)
        return 0

    def roam(self, run: "Run", motions: "list[Motion] | None") -> int:
        """A policy that follows no clip."""
        from mimic.evaluation.roam import print_roaming
        from mimic.pipeline import roam_run

        given = {"mirror": self.mirror, "switches": self.switches, "falls": self.falls}
        if any(given.values()):
            options = ", ".join(f"--{name}" for name, value in given.items() if value)
            raise InputError(f"{options}: for policies that follow a clip, and this one does not")
        if self.save_motion:
            raise InputError(
                "--save-motion: this policy follows no clip; `mimic play POLICY --command FILE --save-motion OUT.npz` "
                "writes what it does as it is told"
            )
        roaming = roam_run(run, motions, say)
        print_roaming(roaming)
        write_json(self.json, roaming.to_json())
        return 0
