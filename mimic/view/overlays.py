"""Drawn over a robot: contact forces, centre of mass and what it stands on, and its bodies in the colours of their errors."""

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np

from mimic.view.acting import Acting
from mimic.view.browser import WORLD, Figure, Window

FORCE_RGB, COM_RGB, STANDS_RGB, TIPS_RGB = (20, 120, 60), (30, 30, 36), (40, 160, 90), (210, 60, 40)
WEIGHT_M = 0.6  # how long the arrow of a force of the robot's weight is
ABOVE_M = 0.004  # what lies on the ground is drawn above it
FULL_MM = 100.0  # the error from which on bodies are of the last colour
SHADES = np.array([(90, 100, 112), (244, 200, 66), (200, 40, 40)])  # of no error, half and all of FULL_MM
STEPS = 16  # different colours: a body's is sent where it changes
LEGEND = (
    '<div style="display:flex;align-items:center;gap:.5em;font-size:.8em;padding:0 .75em"><span>0 mm</span><span style="flex:1;'
    f'height:.7em;background:linear-gradient(90deg,{",".join("rgb({},{},{})".format(*shade) for shade in SHADES)})"></span>'
    f"<span>{FULL_MM:.0f} mm and more</span></div>"
)


class ActingLayer:
    """Two checkboxes, and what they show. Nothing is computed for what is off."""

    def __init__(self, window: Window, model: mujoco.MjModel, *, forces: bool) -> None:
        scene, gui = window.server.scene, window.server.gui
        self.weight = float(model.body_subtreemass[1] * np.linalg.norm(model.opt.gravity))
        self.forces_on = gui.add_checkbox("Contact forces", False) if forces else None
        self.support_on = gui.add_checkbox("Balance", False, hint="the centre of mass, and the area the robot stands on")
        under, none = f"{WORLD}/acting", np.zeros((1, 2, 3), np.float32)
        self.arrows = scene.add_arrows(
            f"{under}/forces", none, FORCE_RGB, shaft_radius=0.008, head_radius=0.022, head_length=0.05, visible=False
        )
        self.area = scene.add_line_segments(f"{under}/support", none, STANDS_RGB, thickness=0.012, visible=False)
        self.com = scene.add_icosphere(f"{under}/com", radius=0.035, color=COM_RGB, visible=False)
        self.plumb = scene.add_line_segments(f"{under}/plumb", none, COM_RGB, thickness=0.006, visible=False)
        self.mark = scene.add_icosphere(f"{under}/mark", radius=0.03, color=STANDS_RGB, visible=False)

    def show(self, now: Callable[[], Acting]) -> None:
        """Draw what is asked for."""
        forces, support = self.forces_on is not None and self.forces_on.value, self.support_on.value
        acting = now() if forces or support else None
        sticks = np.zeros((0, 2, 3)) if acting is None else self._sticks(acting)
        _draw(self.arrows, sticks if forces else sticks[:0])
        edges = np.zeros((0, 2, 3))
        if acting is not None and support:
            corners = np.column_stack([acting.support, np.full(len(acting.support), acting.floor_z + ABOVE_M)])
            edges = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1) if len(corners) > 1 else edges
            below = np.array([*acting.com[:2], acting.floor_z])
            self.com.position, self.mark.position = acting.com, below
            self.plumb.points = np.array([[acting.com, below]], np.float32)
            self.mark.color = STANDS_RGB if acting.balanced else TIPS_RGB
            self.area.colors = np.array(self.mark.color, np.uint8)
        _draw(self.area, edges)
        for part in (self.com, self.mark, self.plumb):
            part.visible = support

    def _sticks(self, acting: Acting) -> np.ndarray:
        """From the contact along the force (N, 2, 3)."""
        strong = np.linalg.norm(acting.forces, axis=1) > 0.005 * self.weight  # what is shorter has no direction to see
        points, forces = acting.points[strong], acting.forces[strong]
        return np.stack([points, points + forces * WEIGHT_M / self.weight], axis=1)


class ErrorLayer:
    """A checkbox: bodies in the colours of how far they are from where the reference has them. A body that is not compared has
    the colour of the next compared one towards the root."""

    def __init__(self, window: Window, figure: Figure, bodies: tuple[str, ...]) -> None:
        self.figure, self.now = figure, [-1] * len(figure.parts)
        self.own = [mesh.color for _, mesh in figure.parts]
        model = figure.model
        compared = {model.body(name).id: index for index, name in enumerate(bodies)}
        self.index = [_nearest(model, body, compared) for body, _ in figure.parts]
        self.on = window.server.gui.add_checkbox("Errors as colours", False)
        self.legend = window.server.gui.add_html(LEGEND, visible=False)
        self.on.on_update(lambda _: setattr(self.legend, "visible", self.on.value))

    def show(self, now: Callable[[], np.ndarray]) -> None:
        """Colour the bodies by their errors (K,) [mm]; those of the model where it is off."""
        steps = [-1] * len(self.index)
        if self.on.value:
            shares = np.nan_to_num(now() / FULL_MM, nan=1.0, posinf=1.0)
            steps = [-1 if index is None else round((STEPS - 1) * min(float(shares[index]), 1.0)) for index in self.index]
        for part, (before, step) in enumerate(zip(self.now, steps, strict=True)):
            if before != step:
                self.figure.parts[part][1].color = self.own[part] if step < 0 else shade(step / (STEPS - 1))
        self.now = steps


def shade(share: float) -> tuple[int, int, int]:
    """The colour of a share of `FULL_MM` in [0, 1]."""
    red, green, blue = (round(float(np.interp(share, (0.0, 0.5, 1.0), SHADES[:, part]))) for part in range(3))
    return red, green, blue


def _nearest(model: mujoco.MjModel, body: int, compared: dict[int, int]) -> int | None:
    while body > 0 and body not in compared:
        body = int(model.body_parentid[body])
    return compared.get(body)


def _draw(node: Any, segments: np.ndarray) -> None:
    """Segments (N, 2, 3), or nothing: a node without any is one that a browser cannot draw."""
    if len(segments):
        node.points = segments.astype(np.float32)
    node.visible = bool(len(segments))
