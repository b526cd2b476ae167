"""Limbs: where they begin and end, how far they reach; and the place of a body's point, against scipy."""

import numpy as np
import pytest
from states import random_state, rotation
from tiny import tiny_robot

from mimic.mdp.limbs import Effector, highest_end, limb_of
from mimic.robots import load_robot
from motions.errors import InputError

ROBOT = load_robot("humanoid")
PARTS = ROBOT.body, ROBOT.default_qpos


def test_an_arm_begins_at_the_shoulder_and_ends_in_the_hand():
    """By the file: shoulder, upper arm and hand of our humanoid, whose elbow bends to 2.8 rad at most."""
    limb = limb_of(*PARTS, "right_forearm", ROBOT.end_effectors)
    assert limb.shoulder == pytest.approx((0.0, -0.2, 0.15 + 0.298))
    assert limb.tip == pytest.approx((0.0, 0.0, -0.272))
    upper, lower = 0.298, 0.272
    bent = np.sqrt(upper**2 + lower**2 + 2 * upper * lower * np.cos(ROBOT.body.model.joint("right_elbow").range[1]))
    assert limb.span == pytest.approx((bent, upper + lower), abs=0.005)


def test_a_leg_is_a_limb_and_what_bears_others_is_none():
    assert limb_of(*PARTS, "left_foot", ROBOT.end_effectors).shoulder == pytest.approx((0.0, 0.085, 0.0))
    half = limb_of(*PARTS, "right_upper_arm", ROBOT.end_effectors)
    assert half.span[1] < 0.298, "the hand hangs on it, and it is no more than the upper arm"
    with pytest.raises(InputError, match="'pelvis', which no joint moves"):
        limb_of(*PARTS, "pelvis", ROBOT.end_effectors)
    tiny = tiny_robot()
    with pytest.raises(InputError, match="'trunk', which no joint moves"):
        limb_of(tiny.body, tiny.default_qpos, "trunk", tiny.end_effectors)


def test_hands_are_what_is_highest():
    assert highest_end(*PARTS, ROBOT.end_effectors) == "left_forearm"
    assert highest_end(*PARTS, ROBOT.end_effectors[::-1]) == "right_forearm", "the first of those as high"


@pytest.mark.parametrize("tip", [(0.0, 0.0, 0.0), (0.1, -0.2, 0.3)])
def test_the_place_of_a_bodys_point(tip: tuple[float, float, float]):
    state, effector = random_state(3), Effector(2, tip)
    place = state.xpos[2] + rotation(state.xquat[2]).apply(tip)
    np.testing.assert_allclose(effector.place(state), place, atol=1e-12)
    yaw = rotation(state.qpos[3:7]).as_euler("ZYX")[0]
    away = place - state.qpos[:3]
    ahead = [np.cos(yaw) * away[0] + np.sin(yaw) * away[1], np.cos(yaw) * away[1] - np.sin(yaw) * away[0], away[2]]
    np.testing.assert_allclose(effector.from_root(state), ahead, atol=1e-12)
