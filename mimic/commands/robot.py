"""`mimic robot init my.xml`: guess how a robot stands for a person or an animal, and write it down to be looked at, edited
and used."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from mimic.arguments import POSITIONAL


@dataclass(frozen=True)
class Robot:
    """Describe a robot of yours: `mimic robot init my.xml` proposes how it stands for people."""

    what: Annotated[Literal["init"], POSITIONAL]
    """init: propose a mapping from the joints of captured bodies to the robot's bodies."""
    robot: Annotated[str, POSITIONAL]
    """An MJCF file, a spec file or a robot's name."""
    out: Path | None = None
    """The TOML file to write; by default <model>_map.toml beside the model, where it is found. An existing file is kept."""

    def run(self) -> int:
        from mimic.runs import require_new_toml
        from mimic.sources import map_beside, propose_robot_map

        robot, text, notes = propose_robot_map(self.robot)
        out = self.out if self.out is not None else map_beside(robot)
        require_new_toml(out, "--out")
        for note in notes:
            print(f"{robot.name}: {note}")
        out.write_text(text, encoding="utf-8")
        used = "is used from now on" if out == map_beside(robot) else f"is used as {map_beside(robot)}"
        print(f"wrote {out}: look at it and correct it; it {used}")
        return 0
