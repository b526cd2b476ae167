"""Errors of motions that may be elsewhere, face elsewhere, and run at another pace: against a plain loop over all paths."""

from pathlib import Path

import numpy as np
import pytest

import motions.clips
from mimic.evaluation.alignment import _distances, aligned_error
from mimic.robots import load_robot
from motions.kinematics import KinematicState, in_heading_frame, shifted, turned
from motions.library import pack
from motions.motion import load_motion

CLIPS = Path(motions.clips.__file__).parent

ROBOT = load_robot("humanoid")
CLIP = pack([load_motion(CLIPS / "walk.npz")], ROBOT.body, ROBOT.tracked_bodies, 0.02).frames  # 216 frames


def frames(index) -> KinematicState:
    return KinematicState(*(part[index] for part in CLIP))


def test_place_heading_start_and_pace_do_not_count():
    turn = np.tile([np.cos(0.7), 0, 0, np.sin(0.7)], (60, 1)).astype(np.float32)
    some = frames(slice(30, 90))
    moved = turned(shifted(some, np.tile(np.float32([4, 2, 0]), (60, 1))), turn)
    assert aligned_error(moved, CLIP) < 1e-6
    assert aligned_error(frames(np.arange(20, 140, 2)), CLIP) < 1e-6
    assert aligned_error(frames(np.repeat(np.arange(20, 60), 2)), CLIP) < 1e-6
    around = np.concatenate([np.arange(190, 216), np.arange(30)])
    assert aligned_error(frames(around), CLIP) < 1e-6


def test_standing_still_is_an_error():
    assert aligned_error(frames(np.full(60, 10)), CLIP) > 0.02


def test_it_is_the_best_of_all_paths():
    rng = np.random.default_rng(0)
    state, reference = frames(np.sort(rng.choice(100, 6))), frames(np.arange(0, 60, 12))
    cost = _distances(in_heading_frame(state), in_heading_frame(reference))
    best = np.inf

    def follow(step: int, at: int, total: float, stayed: bool) -> None:
        nonlocal best
        total += cost[step, at]
        if step == len(cost) - 1:
            best = min(best, total)
            return
        for advance in (1, 2) if stayed else (0, 1, 2):
            follow(step + 1, (at + advance) % cost.shape[1], total, advance == 0)

    for start in range(cost.shape[1]):
        follow(0, start, 0.0, False)
    assert aligned_error(state, reference) == pytest.approx(best / len(cost), rel=1e-6)
