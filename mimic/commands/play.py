"""`mimic play`: an exported policy, seen without a trainer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mimic.arguments import POSITIONAL, write_json
from motions.errors import InputError


@dataclass(frozen=True)
class Play:
    """Run an exported policy in plain MuJoCo, without JAX."""

    policy: Annotated[Path, POSITIONAL]
    """An exported policy.onnx, the folder of one, or a run folder (its newest checkpoint is exported first)."""
    video: Path | None = None
    """Write an mp4 of it."""
    command: Path | None = None
    """A CSV that says what the robot is told when: time_s and speed_m_s, direction_deg; or x_m, y_m for a policy told a place.
    The last row is held for 3 s."""
    plot: Path | None = None
    """With --command: draw what was asked and what came of it, as .png or .svg."""
    save_motion: Path | None = None
    """Write what the robot did, as .npz; of several let loose, the first. `mimic convert` takes it from there."""
    json: Path | None = None
    """Write the numbers to this file too."""

    def run(self) -> int:
        from mimic.commands.stress import policy_of
        from mimic.play import Kept, play, play_script
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
        policy, _ = policy_of(self.policy)
        kept = Kept(self.video, self.save_motion)
        if self.command is not None:
            write_json(self.json, play_script(policy, self.command, kept, self.plot))
        else:
            write_json(self.json, play(policy, kept).to_json())
        return 0
