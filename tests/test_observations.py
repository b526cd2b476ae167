"""Observation terms against scipy, body by body; the same in numpy and JAX; blind to where in the world they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from states import moved, random_state, rotation

from mimic.config import ObservationConfig
from mimic.mdp.limbs import Effector
from mimic.mdp.observations import TERMS, BodyLayout, Observed, observe
from motions.errors import InputError
from motions.kinematics import KinematicState

BODIES, JOINTS, ANCHOR, FUTURE = 4, 3, 2, 2
TIP = (0.1, 0.2, -0.3)
LAYOUT = BodyLayout(ANCHOR, np.array([0.1, -0.2, 0.3]), Effector(1, TIP))


def observed(seed: int = 0) -> Observed:
    rng = np.random.default_rng(seed + 100)
    return Observed(
        state=random_state(seed),
        reference=random_state(seed + 1),
        future=random_state(seed + 2, frames=(FUTURE,)),
        last_action=rng.normal(size=JOINTS),
        phase=rng.uniform(size=()),
        time=rng.uniform(0.0, 10.0, size=()),
        drawn=rng.normal(size=5),
        goal=rng.normal(size=4),
    )


def six(turn: Rotation) -> list[float]:
    """m00 m01 m10 m11 m20 m21."""
    m = turn.as_matrix()
    return [m[0, 0], m[0, 1], m[1, 0], m[1, 1], m[2, 0], m[2, 1]]


def by_hand(o: Observed) -> dict[str, list[float]]:
    """Every term from its docstring, with scipy."""
    s, r = o.state, o.reference
    root, anchor = rotation(s.qpos[3:7]), rotation(s.xquat[ANCHOR])
    hand = s.xpos[1] + rotation(s.xquat[1]).apply(TIP) - s.qpos[:3]
    bodies = range(BODIES)
    future, future_motion = [], []
    for h in range(FUTURE):
        for term, origin in ((future, s.xpos[ANCHOR]), (future_motion, r.xpos[ANCHOR])):
            term += [*o.future.qpos[h, 7:], *anchor.inv().apply(o.future.xpos[h, ANCHOR] - origin)]
            term += six(anchor.inv() * rotation(o.future.xquat[h, ANCHOR]))
    return {
        "command": [*r.qpos[7:], *r.qvel[6:]],
        "motion_anchor_pos_b": list(anchor.inv().apply(r.xpos[ANCHOR] - s.xpos[ANCHOR])),
        "motion_anchor_ori_b": six(anchor.inv() * rotation(r.xquat[ANCHOR])),
        "base_lin_vel": list(root.inv().apply(s.qvel[:3])),
        "base_ang_vel": list(s.qvel[3:6]),
        "projected_gravity": list(root.inv().apply([0, 0, -1])),
        "joint_pos": [s.qpos[7 + j] - (0.1, -0.2, 0.3)[j] for j in range(JOINTS)],
        "joint_vel": list(s.qvel[6:]),
        "actions": list(o.last_action),
        "body_pos_b": [x for b in bodies for x in anchor.inv().apply(s.xpos[b] - s.xpos[ANCHOR])],
        "body_ori_b": [x for b in bodies for x in six(anchor.inv() * rotation(s.xquat[b]))],
        "phase": [float(o.phase)],
        "clip_time": [f(2 * np.pi * o.time / p) for f in (np.sin, np.cos) for p in (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)],
        "joint_errors": [r.qpos[7 + j] - s.qpos[7 + j] for j in range(JOINTS)]
        + [r.qvel[6 + j] - s.qvel[6 + j] for j in range(JOINTS)],
        "anchor_vel_error_b": list(
            anchor.inv().apply([r.xlinvel[ANCHOR] - s.xlinvel[ANCHOR], r.xangvel[ANCHOR] - s.xangvel[ANCHOR]]).ravel()
        ),
        "tracking_errors": tracking_errors_by_hand(s, r),
        "future": future,
        "future_motion": future_motion,
        "randomization": list(o.drawn),
        "root_height": [s.qpos[2]],
        "heading": list(towards(root, o.goal[:2])),
        "location": list(towards(root, o.goal[:2] - s.qpos[:2])),
        "style": list(o.goal),
        "strike": [*towards(root, o.goal[:2] - s.qpos[:2]), o.goal[2] - s.qpos[2], o.goal[3]],
        "reach": [*o.goal[:3], *(o.goal[:3] - [*towards(root, hand[:2]), hand[2]])],
    }


def towards(root: Rotation, flat: np.ndarray) -> np.ndarray:
    """A horizontal vector of the world as a body at `root` has it before it and to its left."""
    return Rotation.from_euler("z", root.as_euler("ZYX")[0]).inv().apply([*flat, 0.0])[:2]


def tracking_errors_by_hand(s: KinematicState, r: KinematicState) -> list[float]:
    """Against the reference turned by the difference in heading and moved under the robot's anchor, keeping its heights."""
    anchor = rotation(s.xquat[ANCHOR])
    turn = Rotation.from_euler("z", (anchor * rotation(r.xquat[ANCHOR]).inv()).as_euler("ZYX")[0])
    origin = [*s.xpos[ANCHOR, :2], r.xpos[ANCHOR, 2]]
    place = [origin + turn.apply(r.xpos[b] - r.xpos[ANCHOR]) - s.xpos[b] for b in range(BODIES)]
    angle = [(turn * rotation(r.xquat[b]) * rotation(s.xquat[b]).inv()).as_rotvec() for b in range(BODIES)]
    return list(anchor.inv().apply([*place, *angle, *(r.xlinvel - s.xlinvel), *(r.xangvel - s.xangvel)]).ravel())


@pytest.mark.parametrize("name", TERMS)
def test_term_by_hand(name: str):
    for seed in (0, 10, 20):
        o = observed(seed)
        np.testing.assert_allclose(TERMS[name](o, LAYOUT), by_hand(o)[name], atol=1e-12)


def test_jax_gives_what_numpy_gives():
    o = observed()
    o = o._replace(reference=o.reference._replace(xquat=o.state.xquat[::-1]))  # half a turn has two logarithms
    o.reference.xquat[ANCHOR] = o.state.xquat[ANCHOR]
    in_jax = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), o)
    together = jax.jit(lambda o: observe(tuple(TERMS), o, LAYOUT))(in_jax)
    assert together.dtype == jnp.float32
    np.testing.assert_allclose(together, observe(tuple(TERMS), o, LAYOUT), atol=5e-5)  # a half turn's axis loses digits


def test_leading_axes_are_robots_side_by_side():
    alone = [observed(seed) for seed in (0, 10, 20)]
    together = jax.tree.map(lambda *parts: np.stack(parts), *alone)
    for name in TERMS:
        shown = observe((name,), together, LAYOUT)
        np.testing.assert_allclose(shown, [observe((name,), one, LAYOUT) for one in alone], atol=1e-14, err_msg=name)
    assert observe((), together, LAYOUT).shape == (3, 0)


def test_order_is_the_order_of_the_names():
    o = observed()
    expected = by_hand(o)
    for names in (("phase", "command"), ("command", "phase", "actions"), ObservationConfig().actor):
        np.testing.assert_allclose(observe(names, o, LAYOUT), [x for name in names for x in expected[name]], atol=1e-12)
    assert observe((), o, LAYOUT).shape == (0,)


def test_an_unknown_term_gets_a_hint():
    with pytest.raises(InputError, match=r"observation term 'joint_posi'. Did you mean 'joint_pos'\?"):
        observe(("command", "joint_posi"), observed(), LAYOUT)


@pytest.mark.parametrize("name", [name for name in TERMS if name != "style"])  # a name is no place
def test_no_term_knows_where_in_the_world_it_is(name: str):
    """The world turned about the vertical and shifted, body, reference and goal alike."""
    o, turn, shift = observed(), Rotation.from_euler("z", 2.1), np.array([3.0, -4.0, 0.5 if name != "root_height" else 0.0])
    for state, yaw in ((o.state, 0.4), (o.reference, 1.3)):  # upright: the heading of a body lying down is no heading
        state.xquat[ANCHOR] = [np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
    future = [moved(type(o.state)(*(part[h] for part in o.future)), turn, shift) for h in range(FUTURE)]
    told = turn.apply(o.goal[:3]) + (shift if name in ("location", "strike") else 0.0)
    elsewhere = o._replace(
        state=moved(o.state, turn, shift),
        reference=moved(o.reference, turn, shift),
        future=type(o.state)(*(np.stack(parts) for parts in zip(*future))),
        goal=o.goal if name == "reach" else np.array([*told, o.goal[3]]),
    )
    np.testing.assert_allclose(TERMS[name](elsewhere, LAYOUT), TERMS[name](o, LAYOUT), atol=1e-12)


def test_a_place_far_away_is_shown_five_metres_away():
    o = observed()
    far = o._replace(goal=o.state.qpos[:2] + 100.0 * o.goal[:2])
    way = TERMS["location"](far, LAYOUT)
    assert np.linalg.norm(way) == pytest.approx(5.0)
    np.testing.assert_allclose(
        way / 5.0, towards(rotation(o.state.qpos[3:7]), o.goal[:2]) / np.linalg.norm(o.goal[:2]), atol=1e-12
    )


def test_a_goal_that_is_not_there_is_named():
    with pytest.raises(InputError, match=r"goal\.kind"):
        observe(("heading",), observed()._replace(goal=None), LAYOUT)


def test_on_the_reference_the_anchor_is_here_and_not_turned():
    state = random_state(5)
    o = observed()._replace(state=state, reference=state)
    np.testing.assert_allclose(TERMS["motion_anchor_pos_b"](o, LAYOUT), 0, atol=1e-12)
    np.testing.assert_allclose(TERMS["motion_anchor_ori_b"](o, LAYOUT), [1, 0, 0, 1, 0, 0], atol=1e-12)


def test_standing_upright_gravity_points_down():
    o = observed()
    o.state.qpos[3:7] = [np.cos(0.4), 0, 0, np.sin(0.4)]
    np.testing.assert_allclose(TERMS["projected_gravity"](o, LAYOUT), [0, 0, -1], atol=1e-12)
