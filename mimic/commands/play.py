"""`mimic play`: an exported policy, seen without a trainer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mimic.arguments import POSITIONAL, say, write_json
from motions.errors import InputError


@dataclass(frozen=True)
class Play:
    """Run an exported policy in plain MuJoCo, without JAX.

    The folders of several runs are run as one controller: at the end of each clip the policy takes over whose critic promises
    most.
    """

    policies: Annotated[tuple[Path, ...], POSITIONAL]
    """An exported policy.onnx, the folder of one, or a run folder (its newest checkpoint is exported first); or several of these
    last."""
    video: Path | None = None
    """Write an mp4 of it."""
    command: Path | None = None
    """A CSV that says what the robot is told when: time_s and speed_m_s, direction_deg; x_m, y_m of a place; ahead_m, left_m,
    up_m of a point for a hand; or style. The last row is held for 3 s."""
    plot: Path | None = None
    """With --command: draw what was asked and what came of it, as .png or .svg."""
    save_motion: Path | None = None
    """Write what the robot did, as .npz; of several let loose, the first. `mimic convert` takes it from there."""
    json: Path | None = None
    """Write the numbers to this file too."""

    def run(self) -> int:
        from mimic.commands.stress import policy_of
        from mimic.play import Kept, play, play_composite, play_script
        from mimic.runs import require_picture_file, require_writable_file

        require_picture_file(self.plot, "--plot")
        if self.plot is not None and self.command is None:
            raise InputError("--plot shows what came of commands: give --command FILE too")
        for file in (self.json, self.video, self.save_motion):
            require_writable_file(file)
        if self.save_motion is not None and self.save_motion.suffix != ".npz":
            raise InputError(
                f"--save-motion {self.save_motion}: expected a file that ends in .npz; mimic convert makes others of it"
            )
        if not self.policies:
            raise InputError("mimic play wants an exported policy: mimic play policy.onnx")
        kept = Kept(self.video, self.save_motion)
        first, *others = self.policies
        if others:
            if self.command is not None:
                raise InputError("--command: for one policy that can be told something, and these are several")
            write_json(self.json, play_composite(self.policies, kept, say))
            return 0
        policy, _ = policy_of(first)
        if self.command is not None:
            write_json(self.json, play_script(policy, self.command, kept, self.plot))
        else:
            write_json(self.json, play(policy, kept).to_json())
        return 0
