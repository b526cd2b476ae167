"""Goals: drawn where they may be, read off clips, paid for in full where they are met; and when a robot is told another."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tiny import tiny_motion, tiny_robot

from mimic.checks import check_config
from mimic.config import Config, GoalConfig, RewardConfig, TerminationConfig, from_dict
from mimic.mdp.goals import HIT_M, KINDS, Terms, find_terms, numbers_of, shown_speeds
from mimic.mdp.limbs import Effector
from mimic.mdp.striking import Strike, strike_moment, strike_of, swiftest, turned_to
from mimic.presets import make_preset
from mimic.tasks.goals import Goals
from motions.errors import InputError
from motions.kinematics import KinematicState, finite_difference_qvel
from motions.library import pack
from motions.rotations import quat_conj, quat_log, quat_mul

ROBOT = tiny_robot()
LIBRARY = pack([tiny_motion(121), tiny_motion(31)], ROBOT.body, ROBOT.tracked_bodies, 0.02)
SHOWN = shown_speeds(LIBRARY, 0.02)
STATE = KinematicState(*(part[40] for part in LIBRARY.frames))
TERMS = Terms((0.5, 2.0), 0.6, (1.0, 4.0), (0.2, 0.5), Effector(1))
U = np.random.default_rng(0).uniform(-1, 1, (2000, 4))


def terms_of(goal: GoalConfig) -> Terms:
    robot = ROBOT.body, ROBOT.default_qpos, ROBOT.tracked_bodies, ROBOT.end_effectors
    return find_terms(goal, LIBRARY, *robot, 0.02)


def many(state: KinematicState) -> KinematicState:
    return KinematicState(*(np.broadcast_to(part, (len(U), *part.shape)) for part in state))


def test_headings_are_drawn_within_speeds_and_turns():
    turned = STATE._replace(qpos=STATE.qpos.copy())
    turned.qpos[3:7] = Rotation.from_euler("ZYX", [2.0, 0.3, -0.2]).as_quat(scalar_first=True)
    goals = KINDS["heading"].draw(U, many(turned), TERMS)
    speed, angle = np.linalg.norm(goals, axis=1), np.arctan2(goals[:, 1], goals[:, 0]) - 2.0
    assert (speed.min(), speed.max()) == pytest.approx((0.5, 2.0), abs=0.02)
    assert (angle.min(), angle.max()) == pytest.approx((-0.6, 0.6), abs=0.02)


def test_places_are_drawn_all_around():
    goals = KINDS["location"].draw(U, many(STATE), TERMS) - STATE.qpos[:2]
    distance = np.linalg.norm(goals, axis=1)
    assert (distance.min(), distance.max()) == pytest.approx((1.0, 4.0), abs=0.02)
    assert np.abs(goals.mean(axis=0)).max() < 0.1


@pytest.mark.parametrize(("kind", "rate"), [("heading", 2.5), ("location", 0.5)])
def test_rewards_are_whole_at_the_goal(kind: str, rate: float):
    there = STATE.qvel[:2] if kind == "heading" else STATE.qpos[:2]
    reward = KINDS[kind].reward
    assert reward(there, STATE, TERMS) == 1.0
    assert reward(there + np.array([0.3, -0.4]), STATE, TERMS) == pytest.approx(np.exp(-rate * 0.25), rel=1e-6)


def test_a_clip_was_told_what_it_does_next():
    goals = Goals(Config(goal=GoalConfig(kind="heading")), ROBOT, LIBRARY)  # half a second is 25 frames
    place = np.asarray(LIBRARY.qpos[:, :2])
    for frame, first in ((0, 0), (30, 30), (75, 75), (90, 75)):
        here = goals.library.lookup(jnp.array(0), jnp.array(frame))
        told = goals.begun(jax.random.key(0), jnp.array(0), jnp.array(frame), here)
        np.testing.assert_allclose(told, (place[first + 25] - place[first]) / 0.5, atol=1e-5)
    here = goals.library.lookup(jnp.array(1), jnp.array(3))
    short = goals.next(jnp.zeros(2), goals.chance(jax.random.key(0)), jnp.array(1), jnp.array(3), here)
    np.testing.assert_allclose(short, (place[101 + 25] - place[101]) / 0.5, atol=1e-5)  # of 26 frames


def test_a_clip_was_told_places_that_it_came_to():
    """Another one every three seconds; the last where it ends."""
    long = pack([replace(tiny_motion(31), fps=5.0)], ROBOT.body, ROBOT.tracked_bodies, 0.02)  # 6 s, 301 frames
    goals = Goals(Config(goal=GoalConfig(kind="location")), ROBOT, long)
    place = np.asarray(long.qpos[:, :2])
    for frame, there in ((0, 150), (60, 150), (149, 150), (150, 300), (299, 300), (300, 300)):
        here = goals.library.lookup(jnp.array(0), jnp.array(frame))
        told = goals.begun(jax.random.key(0), jnp.array(0), jnp.array(frame), here)
        np.testing.assert_allclose(told, place[there], atol=1e-5)


@pytest.mark.parametrize("kind", ["heading", "location"])
def test_a_robot_that_stands_and_faces_elsewhere_was_told_the_same_from_there(kind):
    goals = Goals(Config(goal=GoalConfig(kind=kind)), ROBOT, LIBRARY)
    clip, frame = jnp.array(0), jnp.array(30)
    here = goals.library.lookup(clip, frame)
    turn, shift = Rotation.from_euler("z", 0.9), np.array([2.0, -1.0, 0.0])
    away = here._replace(
        qpos=jnp.concatenate(
            [
                jnp.asarray(turn.apply(here.qpos[:3]) + shift),
                jnp.asarray((turn * Rotation.from_quat(here.qpos[3:7], scalar_first=True)).as_quat(scalar_first=True)),
                here.qpos[7:],
            ]
        )
    )
    told, expected = (goals.begun(jax.random.key(0), clip, frame, state) for state in (away, here))
    moved = turn.apply([*expected, 0.0]) + (shift if kind == "location" else 0.0)
    np.testing.assert_allclose(told, moved[:2], atol=1e-5)


def test_free_robots_are_told_something_else_at_random_times():
    config = Config(follow=False, goal=GoalConfig(kind="heading", interval_s=0.5, speed=(1.0, 1.0)))
    goals = Goals(config, ROBOT, LIBRARY)
    state, clip = jax.tree.map(jnp.asarray, STATE), jnp.array(0)

    def one(goal: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        after = goals.next(goal, goals.chance(key), clip, clip, state)
        return after, (after != goal).any()

    first = goals.begun(jax.random.key(1), clip, clip, state)
    assert jnp.linalg.norm(first) == pytest.approx(1.0, rel=1e-5)
    _, changed = jax.lax.scan(one, first, jax.random.split(jax.random.key(0), 5000))
    assert changed.mean() == pytest.approx(0.02 / 0.5, abs=0.01)


def test_speeds_are_what_the_clips_show():
    place = np.asarray(LIBRARY.qpos[:, :2])
    speeds = [np.linalg.norm(place[i + 25] - place[i]) / 0.5 for i in (*range(76), 101)]
    low, high = SHOWN
    assert (low, high) == pytest.approx(tuple(np.quantile(speeds, (0.02, 0.98))), rel=1e-5)
    assert not Goals(replace(Config(), goal=GoalConfig(kind="heading")), ROBOT, LIBRARY).doubt
    asked = Goals(replace(Config(), goal=GoalConfig(kind="heading")), ROBOT, LIBRARY).terms.speed
    assert asked == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("factors", "doubted"), [((1.0, 1.0), False), ((0.8, 1.2), False), ((0.5, 1.0), True), ((1.0, 1.5), True)]
)
def test_speeds_beyond_the_clips_are_doubted_with_what_they_show(factors: tuple[float, float], doubted: bool):
    low, high = SHOWN
    goal = GoalConfig(kind="heading", speed=(factors[0] * low, factors[1] * high))
    doubt = Goals(replace(Config(), goal=goal), ROBOT, LIBRARY).doubt
    assert bool(doubt) == doubted
    if doubted:
        assert f"from {low:.2f} to {high:.2f}" in doubt


FREE = TerminationConfig(None, None, None, None, below_clips=0.1)
STYLE = RewardConfig(0, 0, 0, 0, 0, 0, style=1.0, goal=1.0)
STRIKE = Config(goal=GoalConfig(kind="strike", distance=(0.1, 0.3), height=(0.2, 0.5), turn=0.5))


def test_targets_are_drawn_about_where_the_clip_strikes():
    terms = TERMS._replace(distance=(0.1, 0.3), turn=0.5)
    goals = KINDS["strike"].draw(U, many(STATE), terms)
    way, hand = goals[:, :2] - STATE.qpos[:2], STATE.xpos[1, :2] - STATE.qpos[:2]
    distance = np.linalg.norm(way, axis=1)
    assert (distance.min(), distance.max()) == pytest.approx((0.1, 0.3), abs=0.01)
    assert (goals[:, 2].min(), goals[:, 2].max()) == pytest.approx((0.2, 0.5), abs=0.01)
    turn = np.angle((way[:, 0] + 1j * way[:, 1]) / (hand[0] + 1j * hand[1]))
    assert (turn.min(), turn.max()) == pytest.approx((-0.5, 0.5), abs=0.01)
    assert not goals[:, 3].any()


def test_a_target_is_struck_once_and_pays_in_full_from_then_on():
    kind, target = KINDS["strike"], np.r_[STATE.xpos[1], 0.0]
    near, far, hit = np.array([0.8 * HIT_M, 0, 0, 0]), np.array([0, 0, 1.1 * HIT_M, 0]), np.array([0, 0, 0, 1.0])
    near, far = target + near, target + far
    assert kind.met(near, STATE, TERMS)[3] == 1.0
    assert kind.met(far, STATE, TERMS)[3] == 0.0
    assert kind.met(far + hit, STATE, TERMS)[3] == 1.0
    assert kind.reward(far, STATE, TERMS) == pytest.approx(np.exp(-4 * (1.1 * HIT_M) ** 2), rel=1e-5)
    assert kind.reward(far + hit, STATE, TERMS) == 1.0


def test_who_strikes_and_when_is_what_the_clips_show():
    frames = LIBRARY.frames
    speed = np.linalg.norm(frames.xlinvel - frames.qvel[:, None, :3], axis=-1)
    assert swiftest(frames, [1, 2]) == 1 + int(speed[:, 1:3].max(axis=0).argmax())
    assert strike_moment(frames, 2) == int(speed[:, 2].argmax())
    named = GoalConfig(kind="strike", effector=ROBOT.tracked_bodies[2])
    assert terms_of(named).effector == Effector(2)
    with pytest.raises(InputError, match="effector"):
        terms_of(replace(named, effector="tail"))


@pytest.mark.parametrize("direction", [0.0, 1.0, -2.5])
def test_a_clip_turns_to_its_target_on_the_way(direction: float):
    """From where it begins, past the strike in that direction; its velocities are the differences of its poses."""
    dt, striker = 0.001, 1
    clip = pack([tiny_motion(121)], ROBOT.body, ROBOT.tracked_bodies, dt).frames
    middle = len(clip.qpos) // 2
    hand = clip.xpos[middle, striker, :2] - clip.qpos[middle, :2]
    strike = Strike(np.asarray(middle), clip.qpos[middle, :2], np.arctan2(hand[1], hand[0]))
    target = strike.place + 0.7 * np.array([np.cos(strike.direction + direction), np.sin(strike.direction + direction)])
    numbers = np.arange(len(clip.qpos))
    turned = turned_to(clip, numbers, strike, np.broadcast_to(target, (len(numbers), 2)), dt)
    np.testing.assert_allclose(turned.qpos[0], clip.qpos[0], atol=1e-6)
    np.testing.assert_allclose(turned.qpos[:, 7:], clip.qpos[:, 7:])
    np.testing.assert_allclose(turned.xpos[..., 2], clip.xpos[..., 2], atol=1e-6)
    way = turned.xpos[strike.moment, striker, :2] - turned.qpos[strike.moment, :2]
    assert np.dot(way, target - strike.place) == pytest.approx(np.linalg.norm(way) * 0.7, rel=1e-4)
    moved = turned_to(clip, numbers, strike, np.broadcast_to(target, (len(numbers), 2)), dt)
    differences = finite_difference_qvel(moved.qpos.astype(float), 1 / dt)
    for frame in (50, int(strike.moment) - 20, int(strike.moment) + 60):
        np.testing.assert_allclose(turned.qvel[frame], differences[frame], atol=2e-2)
        speed = (turned.xpos[frame + 1].astype(float) - turned.xpos[frame - 1]) / (2 * dt)
        np.testing.assert_allclose(turned.xlinvel[frame], speed, atol=2e-2)
        spin = quat_log(quat_mul(turned.xquat[frame + 1], quat_conj(turned.xquat[frame - 1]))) / (2 * dt)
        np.testing.assert_allclose(turned.xangvel[frame], spin, atol=3e-2)


def test_what_is_followed_is_aimed_in_training():
    goals = Goals(STRIKE, ROBOT, LIBRARY)
    clip, number = jnp.array(1), jnp.array(9)
    goal = goals.begun(jax.random.key(3), clip, number, STATE)
    strike = strike_of(LIBRARY.at(slice(int(LIBRARY.clip_start[1]), None)), goals.terms.effector.body)
    frame = goals.library.lookup(clip, number)
    expected = turned_to(jax.tree.map(np.asarray, frame), np.asarray(9), strike, np.asarray(goal[:2]), 0.02)
    for found, wanted in zip(goals.aimed(frame, clip, number, goal), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    walking = Goals(Config(goal=GoalConfig(kind="heading")), ROBOT, LIBRARY)
    assert walking.aimed(frame, clip, number, jnp.zeros(2)) is frame


def test_an_episode_keeps_its_target_and_begins_with_it_struck_where_the_clip_has_struck():
    goals = Goals(STRIKE, ROBOT, LIBRARY)
    clip, key = jnp.array(0), jax.random.key(3)
    moment = int(goals.strikes.moment[0])
    assert moment == strike_moment(LIBRARY.at(slice(0, int(LIBRARY.clip_length[0]))), goals.terms.effector.body)
    before, after = (goals.begun(key, clip, jnp.array(frame), STATE) for frame in (moment, moment + 1))
    np.testing.assert_array_equal(before[:3], after[:3])
    assert (before[3], after[3]) == (0.0, 1.0)
    away = STATE._replace(xpos=STATE.xpos + 9.0)
    kept = goals.next(before, goals.chance(jax.random.key(5)), clip, jnp.array(0), away)
    np.testing.assert_array_equal(kept, before)
    there = STATE._replace(xpos=jnp.broadcast_to(before[:3], STATE.xpos.shape))
    assert goals.next(before, goals.chance(key), clip, jnp.array(0), there)[3] == 1.0
    assert goals.reward(before, there) == 1.0


def test_a_strike_is_for_followers():
    with pytest.raises(InputError, match="for policies that follow"):
        check_config(replace(make_preset("humanoid_strike"), follow=False, termination=FREE, reward=STYLE))


REACH = GoalConfig(kind="reach", effector="front_left")
STYLES = ("sway", "yaws")
ARM = terms_of(REACH)


def test_points_are_drawn_in_a_shell_about_the_shoulder_before_the_robot():
    terms = ARM._replace(reach=(0.2, 0.3), turn=0.8, shoulder=(0.1, -0.2, 0.3))
    away = KINDS["reach"].draw(U, many(STATE), terms) - np.array(terms.shoulder)
    distance = np.linalg.norm(away, axis=1)
    assert (distance.min(), distance.max()) == pytest.approx((0.2, 0.3), abs=0.002)
    angle = np.arccos(away[:, 0] / distance)
    assert angle.max() == pytest.approx(0.8, abs=0.01)
    assert np.mean(angle < 0.4) == pytest.approx((1 - np.cos(0.4)) / (1 - np.cos(0.8)), abs=0.04), "by the cone's surface"
    assert np.abs(away[:, 1:].mean(axis=0)).max() < 0.01, "to all sides"
    assert KINDS["reach"].draw(U, many(STATE), terms._replace(turn=9.0))[:, 0].min() < -0.15, "all around, at most"


def test_a_limb_of_a_robot_says_how_far_points_are():
    """The tiny robot's leg: its foot's middle is 15 cm from the hip that is its shoulder."""
    assert ARM.effector == Effector(1, (0.0, 0.0, -0.15))
    assert ARM.shoulder == pytest.approx((0.2, 0.15, 0.0))
    assert ARM.reach == pytest.approx((0.5 * 0.15, 0.9 * 0.15))
    assert terms_of(replace(REACH, reach=(0.1, 0.12))).reach == (0.1, 0.12)
    assert terms_of(GoalConfig(kind="reach")).effector == Effector(3, (0.0, 0.0, -0.15)), "the first of its end effectors"


def test_a_hand_that_is_there_is_paid_in_full():
    kind = KINDS["reach"]
    there = ARM.effector.from_root(STATE)
    assert kind.reward(there, STATE, ARM) == 1.0
    assert kind.reward(there + np.array([0.0, 0.1, 0.0]), STATE, ARM) == pytest.approx(np.exp(-10 * 0.01), rel=1e-5)
    assert kind.met(there, STATE, ARM) is there


def test_a_clip_was_told_where_its_hand_was_when_the_next_second_was_full():
    goals = Goals(Config(goal=REACH), ROBOT, LIBRARY)  # 121 frames at 60 Hz: 2 s, 101 frames
    clip = LIBRARY.at(slice(0, 101))
    for frame, there in ((0, 50), (49, 50), (50, 100), (99, 100)):
        here = goals.library.lookup(jnp.array(0), jnp.array(frame))
        turned = here._replace(qpos=here.qpos.at[3:7].set(jnp.array([0.6, 0.0, 0.0, 0.8])).at[:2].add(3.0))
        for state in (here, turned):  # it goes along with the robot, wherever that is and faces
            told = goals.begun(jax.random.key(0), jnp.array(0), jnp.array(frame), state)
            then = KinematicState(*(np.asarray(part)[there] for part in clip))
            np.testing.assert_allclose(told, ARM.effector.from_root(then), atol=1e-5)


@pytest.mark.parametrize(("reach", "doubted"), [((0.15, 0.15), False), ((0.1, 0.15), True), ((0.15, 0.4), True)])
def test_points_that_no_limb_gets_to_are_doubted_with_what_it_does(reach: tuple[float, float], doubted: bool):
    doubt = Goals(Config(goal=replace(REACH, reach=reach)), ROBOT, LIBRARY).doubt
    assert bool(doubt) == doubted
    if doubted:
        assert "front_left gets from 0.15 to 0.15 m away" in doubt


def test_every_kind_says_what_its_numbers_are_and_what_a_file_holds():
    for name, kind in KINDS.items():
        terms = terms_of(replace(REACH, kind=name, styles=STYLES))
        goal = kind.draw(np.zeros(4, np.float32), STATE, terms)
        assert goal.shape == (len(numbers_of(name, STYLES)),)
        assert bool(kind.columns) != kind.once, "what is drawn once is not told by files"
        if kind.done is not None:  # a style is said by its name
            assert kind.done(STATE, terms).shape == (len(kind.numbers) - kind.once,)
            assert len(kind.columns) in (0, len(kind.numbers))


def test_what_strikes_was_called_otherwise_in_older_files():
    goal = from_dict(GoalConfig, {"kind": "strike", "striker": "trunk"})
    assert goal == GoalConfig(kind="strike", effector="trunk")
    with pytest.raises(InputError, match="key in config 'striking'"):
        from_dict(GoalConfig, {"striking": "trunk"})
