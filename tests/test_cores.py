"""Work shared among processes: the same, in the same order, with what was wrong."""

import os
from functools import partial

import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot

from mimic import sources
from motions import library
from motions.cores import TOGETHER, on_all_cores, workers
from motions.errors import InputError
from motions.motion import save_motion

ROBOT = tiny_robot()


def test_in_order_and_by_others():
    count = 2 * TOGETHER + 1
    assert list(on_all_cores(partial(int, base=2), [f"{i:b}" for i in range(count)])) == list(range(count))
    assert os.getpid() not in list(on_all_cores(_process, range(2))) or workers() == 1


def _process(_: int) -> int:
    return os.getpid()


def test_what_one_raises_is_raised():
    with pytest.raises(ValueError, match="invalid literal"):
        list(on_all_cores(int, ["1", "two"]))


def test_a_library_is_read_and_packed_the_same(tmp_path, monkeypatch):
    paths = [str(tmp_path / f"{i}.npz") for i in range(3)]
    for i, path in enumerate(paths):
        save_motion(tiny_motion().trimmed(0.0, 1.0 + 0.2 * i), path)
    alone = sources.read_motions(paths, ROBOT, print)[0]
    packed = library.pack(alone, ROBOT.body, ROBOT.tracked_bodies, 0.01)
    for module in (sources, library):
        monkeypatch.setattr(module, "WORTH_SHARING", 2)
    shared = sources.read_motions(paths, ROBOT, print)[0]
    repacked = library.pack(shared, ROBOT.body, ROBOT.tracked_bodies, 0.01)
    for name in ("qpos", "qvel", "clip_start", "clip_length"):
        np.testing.assert_array_equal(getattr(repacked, name), getattr(packed, name))
    (tmp_path / "1.npz").write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"1\.npz"):
        sources.read_motions(paths, ROBOT, print)
