"""Mirroring: its own inverse, and the mirror image of every body in C MuJoCo."""

import mujoco
import numpy as np
import pytest
from stick import random_qpos, stick_body, stick_walk

from mimic.robots import load_robot
from motions.clips import FOLDER as CLIPS
from motions.edit import mirror, mirror_map
from motions.edit.mirror import mirrored_qpos, opposite_name
from motions.errors import InputError
from motions.kinematics import Body
from motions.motion import load_motion

ROBOTS = {  # name: file, how exactly its two sides mirror each other [m]
    "humanoid": ("", 1e-9),
    "g1": ("unitree_g1/nomesh/g1_mjlab_nomesh.xml", 1e-3),
    "h1": ("unitree_h1/h1_menagerie_nomesh.xml", 1e-3),
    "t1": ("booster_t1/t1_29dof_holosoma_nomesh.xml", 1e-3),
    "op3": ("robotis_op3/playground_nomesh/op3_mjx_feetonly.xml", 0.04),  # its head's frame sits 2 cm beside the middle
    "go2": ("unitree_go2/go2_unitree_rl_mjlab_nomesh.xml", 1e-3),
}


@pytest.fixture
def body(request, shared_robots) -> Body:
    file = ROBOTS[request.param][0]
    if not file:
        return load_robot("humanoid").body
    return Body(request.param, mujoco.MjModel.from_xml_path(str(shared_robots / file)))


def c_kinematics(body: Body, qpos: np.ndarray) -> np.ndarray:
    data, found = mujoco.MjData(body.model), []
    for pose in qpos:
        data.qpos[:] = pose
        mujoco.mj_kinematics(body.model, data)
        found.append(data.xpos.copy())
    return np.array(found)


@pytest.mark.parametrize(("body", "near"), [(name, near) for name, (_, near) in ROBOTS.items()], indirect=["body"])
def test_every_body_stands_where_the_image_of_its_counterpart_stands(body, near):
    image, qpos = mirror_map(body), random_qpos(body, 20)
    seen = c_kinematics(body, qpos) * [1.0, -1.0, 1.0]
    stands = c_kinematics(body, mirrored_qpos(qpos, image))
    assert (image.body >= 0).all()
    np.testing.assert_allclose(stands[:, image.body], seen, atol=near)
    np.testing.assert_allclose(mirrored_qpos(mirrored_qpos(qpos, image), image), qpos, atol=1e-12)
    for i, name in enumerate(body.joint_names):
        assert body.joint_names[image.joint[i]] == opposite_name(name)


def test_a_walk_mirrored_twice_is_the_walk():
    body, walk = load_robot("humanoid").body, load_motion(CLIPS / "walk.npz")
    once = mirror(walk, body)
    assert np.abs(once.qpos - walk.qpos).max() > 0.1
    np.testing.assert_allclose(mirror(once, body).qpos, walk.qpos, atol=1e-12)
    np.testing.assert_allclose(once.qpos[:, 2], walk.qpos[:, 2])


def test_a_crooked_part_is_named():
    with pytest.raises(InputError, match=r"robot 'stick' cannot be mirrored: no counterpart .* torso"):
        mirror(stick_walk(), stick_body())


def test_a_missing_arm_is_named_but_a_fixed_box_is_none():
    def robot(right: str) -> Body:
        return Body(
            "one",
            mujoco.MjModel.from_xml_string(f"""<mujoco><worldbody><body name="base"><freejoint/><geom size=".1"/>
            <body name="left_arm" pos="0 .2 0"><joint name="left" axis="1 0 0"/><geom size=".1"/></body>{right}
            <body name="camera" pos=".1 .05 0"><geom size=".01"/></body></body></worldbody></mujoco>"""),
        )

    with pytest.raises(InputError, match="left_arm"):
        mirror_map(robot(""))
    arm = '<body name="right_arm" pos="0 -.2 0"><joint name="right" axis="{}"/><geom size=".1"/></body>'
    np.testing.assert_array_equal(mirror_map(robot(arm.format("1 0 0"))).sign, [-1, -1])
    np.testing.assert_array_equal(mirror_map(robot(arm.format("-1 0 0"))).sign, [1, 1])
    with pytest.raises(InputError, match="left_arm"):
        mirror_map(robot(arm.format("0 1 0")))


@pytest.mark.parametrize(
    ("name", "other"),
    [("left_knee", "right_knee"), ("RightArm", "LeftArm"), ("L_hip", "R_hip"), ("FL_calf", "FR_calf"), ("torso", "torso"),
     ("lfoot", "lfoot"), ("leftover", "leftover")],
)  # fmt: skip
def test_names_of_the_other_side(name, other):
    assert opposite_name(name) == other
