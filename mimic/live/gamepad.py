"""A gamepad, as Linux tells of it in /dev/input/js*: read where `mimic view` runs, for a page cannot be asked by the server."""

import os
import struct
from contextlib import suppress
from pathlib import Path

EVENT = struct.Struct("IhBB")  # time [ms], value, kind, number (linux/joystick.h)
BUTTON, AXIS = 0x01, 0x02
INITIAL = 0x80  # with the kind: how things stand when the device is opened
FULL = 32767
DEAD = 0.12  # a stick that is let go is not quite in its middle


class Gamepad:
    """axes: of the sticks in [-1, 1], right and down positive, by number. Events are taken when `read` is called."""

    def __init__(self, path: str | Path) -> None:
        """Raises OSError where it cannot be opened."""
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.axes: dict[int, float] = {}
        self._rest = b""

    def read(self) -> list[int]:
        """Take what has happened: the numbers of the buttons that were pressed. Raises OSError where it was pulled out."""
        pressed = []
        with suppress(BlockingIOError):  # that was all
            while data := os.read(self._file, 64 * EVENT.size):
                self._rest += data
        whole = len(self._rest) // EVENT.size * EVENT.size
        events, self._rest = self._rest[:whole], self._rest[whole:]
        for _, value, kind, number in EVENT.iter_unpack(events):
            if kind & ~INITIAL == AXIS:
                share = max(-1.0, value / FULL)
                self.axes[number] = 0.0 if abs(share) < DEAD else share
            elif kind == BUTTON and value:
                pressed.append(number)
        return pressed

    def close(self) -> None:
        os.close(self._file)


def first_gamepad(folder: Path = Path("/dev/input")) -> Gamepad | None:
    """The first one that may be read, if any is plugged in."""
    for path in sorted(folder.glob("js*")):
        try:
            return Gamepad(path)
        except OSError:
            continue
    return None
