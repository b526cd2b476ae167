"""A gamepad's events, as the kernel would write them, through a pipe."""

import os
import struct
from pathlib import Path

import pytest

from mimic.live.gamepad import AXIS, BUTTON, INITIAL, Gamepad, first_gamepad


@pytest.fixture
def pad(tmp_path: Path):
    """The device, and where its events are written."""
    path = tmp_path / "js0"
    os.mkfifo(path)
    pad = Gamepad(path)
    events = os.open(path, os.O_WRONLY)
    yield pad, events
    pad.close()
    os.close(events)


def event(kind: int, number: int, value: int) -> bytes:
    return struct.pack("=IhBB", 1234, value, kind, number)


def test_sticks_are_shares_and_buttons_are_told_once(pad):
    device, events = pad
    os.write(events, event(AXIS | INITIAL, 1, 0) + event(AXIS, 0, 32767) + event(AXIS, 1, -32768) + event(BUTTON, 3, 1))
    assert device.read() == [3]
    assert device.axes == {0: 1.0, 1: -1.0}
    os.write(events, event(BUTTON, 3, 0) + event(AXIS, 0, 1500))
    assert device.read() == [], "a button that is let go is not pressed"
    assert device.axes[0] == 0.0, "a stick that is let go is in its middle"


def test_how_buttons_stand_at_first_is_no_press(pad):
    device, events = pad
    os.write(events, event(BUTTON | INITIAL, 2, 1))
    assert device.read() == []


def test_an_event_may_come_in_two_parts(pad):
    device, events = pad
    whole = event(BUTTON, 1, 1)
    os.write(events, whole[:5])
    assert device.read() == []
    os.write(events, whole[5:])
    assert device.read() == [1]


def test_the_first_that_can_be_opened_is_taken(tmp_path: Path):
    assert first_gamepad(tmp_path) is None
    (tmp_path / "js0").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "js1")
    found = first_gamepad(tmp_path)
    assert found is not None
    found.close()
