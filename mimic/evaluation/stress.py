"""The stress sweep: an exported policy in plain C MuJoCo on robots that differ from the one it was trained for.

Completion: the share of seeds that reach the clip's end by the height rule. Margin: how far from nominal every tested value
still completes `PASS` of the seeds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mimic.arguments import paper
from mimic.deploy.sim2sim import Policy, frame_of, track
from mimic.evaluation.perturb import START_RAD, Perturbation, perturbed_link
from mimic.mdp.terminations import fallen
from mimic.metrics import body_error
from motions.errors import InputError, unknown_name
from motions.kinematics import KinematicState
from motions.motion import Motion

PASS = 0.95


@dataclass(frozen=True)
class Axis:
    """One way in which robots differ: a field of `Perturbation`, the values tried, and how people read it.

    `values` and `nominal` are in `unit`, which is `si` times the field's.
    """

    name: str
    field: str
    unit: str
    values: tuple[float, ...]
    nominal: float = 0.0
    si: float = 1.0

    def setting(self, value: float) -> Perturbation:
        return Perturbation(**{self.field: value * self.si})


AXES: dict[str, Axis] = {
    axis.name: axis
    for axis in (
        Axis("latency", "action_delay_s", "ms", (5, 10, 20, 40), si=1e-3),
        Axis("observation_latency", "observation_delay_s", "ms", (5, 10, 20, 40), si=1e-3),
        Axis("torque", "torque", "x", (0.7, 0.85), nominal=1.0),
        Axis("mass", "mass", "x", (0.8, 0.9, 1.1, 1.2), nominal=1.0),
        Axis("com", "com_m", "cm", (2.5, 5, 7.5, 10), si=1e-2),
        Axis("friction", "friction", "x", (0.5, 0.7, 1.5), nominal=1.0),
        Axis("gains", "gains", "x", (0.8, 0.9, 1.1, 1.2), nominal=1.0),
        Axis("noise", "noise", "x", (1, 2, 3)),
        Axis("push", "push_m_s", "m/s", (0.25, 0.5, 0.75, 1.0)),
        Axis("forward", "forward_n", "N", (100, 200, 300, 450, 700)),
        Axis("sideways", "sideways_n", "N", (100, 200, 300, 450, 700)),
        Axis("throw", "throw_kg", "kg at 5 m/s", (0.5, 1, 2, 4)),
        Axis("encoder_bias", "encoder_bias_rad", "rad", (0.01, 0.02, 0.05)),
        Axis("start", "start_rad", "rad", (0.05, 0.1, 0.2), nominal=START_RAD),
        Axis("dropped", "dropped", "%", (1, 5, 10), si=1e-2),
    )
}


@dataclass(frozen=True)
class Row:
    """What one value of one axis did. `e_mpbpe_mm`: mean over the completed frames of all seeds."""

    axis: str
    unit: str
    value: float
    completion: float
    e_mpbpe_mm: float


@dataclass(frozen=True)
class Side:
    """How far one side of an axis holds. `to` is None where even the nominal robot does not complete; `open_end`: `to` is the
    last value tried, so the true margin is larger."""

    to: float | None
    open_end: bool


@dataclass(frozen=True)
class Stress:
    """A sweep's results: per axis a row for each value, in order, the nominal one among them."""

    policy: str
    clip: str
    seeds: int
    rows: tuple[Row, ...]

    def of(self, axis: str) -> list[Row]:
        return [row for row in self.rows if row.axis == axis]

    @property
    def margins(self) -> dict[str, dict[str, Side]]:
        """By axis: the sides that were tried, "below" and "above" nominal."""
        found = {}
        for name in dict.fromkeys(row.axis for row in self.rows):
            completion = {row.value: row.completion for row in self.of(name)}
            nominal = AXES[name].nominal
            found[name] = {
                side: margin([(value, completion[value]) for value in sorted(values, key=lambda value: abs(value - nominal))])
                for side, values in (
                    ("below", [value for value in completion if value <= nominal]),
                    ("above", [value for value in completion if value >= nominal]),
                )
                if len(values) > 1
            }
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "policy": self.policy,
            "clip": self.clip,
            "seeds": self.seeds,
            "pass": PASS,
            "axes": [vars(row) for row in self.rows],
            "margins": {
                name: {"unit": AXES[name].unit, "nominal": AXES[name].nominal} | {k: vars(side) for k, side in sides.items()}
                for name, sides in self.margins.items()
            },
        }


def margin(tried: Sequence[tuple[float, float]]) -> Side:
    """From (value, completion) outwards from nominal: the last value up to which all complete `PASS`."""
    passed: list[float] = []
    for value, completion in tried:
        if completion < PASS:
            return Side(passed[-1] if passed else None, open_end=False)
        passed.append(value)
    return Side(passed[-1], open_end=True)


def sweep(
    policy: Policy,
    name: str,
    motions: Sequence[Motion] | None = None,
    *,
    seeds: int = 64,
    axes: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Stress:
    """Run `policy`, called `name`, over its clip (or `motions`) on every value of `axes`; none: of all axes.

    Raises `InputError` for an axis that `AXES` lacks, for a policy that follows no clip, and, unless axes are named, for one that
    never completes on the nominal robot: it has no margins.
    """
    if not policy.spec.follow or policy.spec.goal is not None:
        raise InputError(f"{name} is told what to do, or follows no clip; stress is for those that only follow: mimic evaluate")
    for axis in axes:
        if axis not in AXES:
            raise unknown_name("axis", axis, AXES)
    motions = motions or [policy.motion]
    clips = [policy.reference(motion) for motion in motions]
    nominal = measure(policy, clips, Perturbation(), seeds)
    if nominal[0] == 0 and not axes:
        raise InputError(
            f"{name}: 0 of {seeds * len(clips)} runs complete on the nominal robot, so there are no margins to measure: train "
            "more, or name --axes to go on all the same"
        )
    rows = []
    wanted = [AXES[name] for name in axes or AXES]
    for number, axis in enumerate(wanted, start=1):
        for value in sorted({*axis.values, axis.nominal}):
            result = nominal if value == axis.nominal else measure(policy, clips, axis.setting(value), seeds)
            rows.append(Row(axis.name, axis.unit, value, *result))
        say(f"{axis.name}: done, {number} of {len(wanted)}")
    return Stress(name, ", ".join(motion.name for motion in motions), seeds, tuple(rows))


def measure(policy: Policy, clips: Sequence[KinematicState], setting: Perturbation, seeds: int) -> tuple[float, float]:
    """(completion, E_mpbpe [mm]) of one setting, over all clips and seeds; a start counts as a completed frame."""
    done, frames, error_mm = 0, 0, 0.0
    spec = policy.spec
    for clip in clips:
        link = perturbed_link(policy, clip, setting, seeds)
        simulation = link.simulation
        begin = body_error(simulation.state(), _beside(clip, 0, seeds), spec.anchor)
        frames, error_mm = frames + seeds, error_mm + float(begin.sum())
        for frame, step in enumerate(track(policy, clip, link, len(clip.qpos) - 1), start=1):
            reference = _beside(clip, frame, seeds)
            simulation.stop(fallen(step.state, reference, spec.anchor, spec.end_effector_indices, spec.termination))
            if not simulation.running.any():
                break
            frames += int(simulation.running.sum())
            error_mm += float(body_error(step.state, reference, spec.anchor)[simulation.running].sum())
        done += int(simulation.running.sum())
    return done / (seeds * len(clips)), error_mm / frames


def _beside(clip: KinematicState, frame: int, count: int) -> KinematicState:
    """One frame of `clip`, `count` times."""
    return KinematicState(*(np.broadcast_to(part, (count, *part.shape)) for part in frame_of(clip, frame)))


def print_stress(stress: Stress, console: Console | None = None) -> None:
    """The table of all rows, then the pass card."""
    console = console or paper()
    table = Table(title=f"Stress sweep, {stress.seeds} seeds a row", title_justify="left", box=SIMPLE_HEAD, show_edge=False)
    for header in ("axis", "value", "completion", escape("E_mpbpe\n[mm]")):
        table.add_column(header, justify="left" if header == "axis" else "right", no_wrap=True)
    for axis in dict.fromkeys(row.axis for row in stress.rows):
        for index, row in enumerate(stress.of(axis)):
            name = f"{axis} [{row.unit}]" if index == 0 else ""
            table.add_row(escape(name), f"{row.value:g}", f"{row.completion:.0%}", f"{row.e_mpbpe_mm:.1f}")
        table.add_section()
    console.print(table)
    card = Table(
        title=f"Pass card: completion >= {PASS:.0%} from nominal to", title_justify="left", box=SIMPLE_HEAD, show_edge=False
    )
    for header in ("axis", "nominal", "below", "above"):
        card.add_column(header, justify="left" if header == "axis" else "right", no_wrap=True)
    for name, sides in stress.margins.items():
        axis = AXES[name]
        cells = [_side(sides.get(side), axis.nominal) for side in ("below", "above")]
        card.add_row(escape(f"{name} [{axis.unit}]"), f"{axis.nominal:g}", *cells)
    console.print(card)


def _side(side: Side | None, nominal: float) -> str:
    if side is None:
        return ""
    if side.to is None:
        return "fails at nominal"
    return "none" if side.to == nominal else f"{side.to:g}{' or more' if side.open_end else ''}"
