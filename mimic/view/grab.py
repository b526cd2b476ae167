"""A spectator's hands in the browser: what is dragged is pulled, and a box is thrown from where one looks on."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mimic.view.browser import WORLD, Figure, Window

STRING_RGB, BOX_RGB = (220, 120, 30), (150, 110, 60)


class Grab:
    """Drags upon the bodies of `figure`, and what is seen of hands. side_m: of the box. ask: lets the hands do something, when
    it is their turn."""

    def __init__(self, window: Window, figure: Figure, side_m: float, ask: Callable[[Callable[[Any], None]], None]) -> None:
        self.window, self.ask = window, ask
        scene = window.server.scene
        self.string = scene.add_arrows(
            f"{WORLD}/string", np.zeros((1, 2, 3), np.float32), STRING_RGB, shaft_radius=0.008, head_radius=0.025,
            head_length=0.06, visible=False,
        )  # fmt: skip
        self.box = scene.add_box(f"{WORLD}/box", color=BOX_RGB, dimensions=(side_m, side_m, side_m), visible=False)
        for body, mesh in figure.parts:
            mesh.on_drag("left")(self._dragger(body))

    def controls(self) -> None:
        """For the box: how heavy, how fast, and a button and a key that throw it."""
        gui = self.window.server.gui
        mass = gui.add_slider("Box [kg]", 0.5, 10.0, 0.5, 3.0)
        speed = gui.add_slider("Box [m/s]", 2.0, 10.0, 0.5, 6.0)

        def throw(event: Any) -> None:
            if event.client is not None:
                side, fast, heavy = self.window.in_world(event.client.camera.position), speed.value, mass.value
                self.ask(lambda hands: hands.throw(side, fast, heavy))

        gui.add_button("Throw a box", hint="key B, from where you stand; and any part of the robot can be dragged").on_click(
            throw
        )
        gui.add_command("Throw a box", hotkey="B").on_trigger(throw)

    def show(self, hands: Any) -> None:
        """Of `mimic.live.hands.Hands`: draw the box once it was thrown, and the string of a pull."""
        self.box.visible = hands.thrown
        if hands.thrown:
            pose = hands.box_pose.copy()
            self.box.position, self.box.wxyz = pose[:3], pose[3:]
        if hands.held is not None:
            self.string.points = hands.string[None].astype(np.float32)
        self.string.visible = hands.held is not None

    def _dragger(self, body: int) -> Callable[[Any], Any]:
        async def drag(event: Any) -> None:  # those that are awaited come in order
            grip, place = self.window.in_world(event.start_position), self.window.in_world(event.end_position)
            if event.phase == "start":
                self.ask(lambda hands: hands.hold(body, grip))
            elif event.phase == "update":
                self.ask(lambda hands: hands.pull(place))
            else:
                self.ask(lambda hands: hands.let_go())

        return drag
