"""What gravity shows of an anchor's tilt, against scipy; the other rules are tested with the metrics that use them."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from states import random_state

from mimic.config import HEIGHT_RULE, TerminationConfig
from mimic.mdp.terminations import fallen

GRAVITY = TerminationConfig(anchor_height=math.inf, anchor_angle=None, anchor_gravity=0.8, end_effector_height=math.inf)


def test_the_rule_of_evaluations_has_not_changed():
    assert (HEIGHT_RULE.anchor_height, HEIGHT_RULE.anchor_angle, HEIGHT_RULE.anchor_gravity) == (0.25, 0.8, None)
    assert HEIGHT_RULE.end_effector_height == 0.25


@pytest.mark.parametrize(
    ("axis", "degrees", "expected"), [("x", 78, False), ("x", 79, True), ("y", -79, True), ("z", 180, False), ("x", 180, True)]
)
def test_a_tilt_of_which_gravity_shows_enough(axis: str, degrees: float, expected: bool):
    """cos 78.46 degrees = 1 - .8."""
    reference = random_state(0)
    reference.xquat[0] = [1, 0, 0, 0]
    state = reference._replace(xquat=reference.xquat.copy())
    state.xquat[0] = Rotation.from_euler(axis, degrees, degrees=True).as_quat(scalar_first=True)
    assert bool(fallen(state, reference, 0, [], GRAVITY)) == expected


def test_any_two_orientations_by_scipy():
    state, reference = random_state(1, frames=(300,)), random_state(2, frames=(300,))

    def gravity_z(quat: np.ndarray) -> np.ndarray:
        return Rotation.from_quat(quat, scalar_first=True).inv().apply([0.0, 0.0, -1.0])[:, 2]

    expected = np.abs(gravity_z(state.xquat[:, 2]) - gravity_z(reference.xquat[:, 2])) > 0.8
    assert 50 < expected.sum() < 250
    np.testing.assert_array_equal(fallen(state, reference, 2, [], GRAVITY), expected)


def test_nan_has_fallen():
    state = random_state(0)
    assert bool(fallen(state._replace(xquat=state.xquat * np.nan), state, 0, [], GRAVITY))
