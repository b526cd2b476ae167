"""The contact sheet of a retargeted clip: its size, its bones against forward kinematics, its two halves."""

import mujoco
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation
from stick import stick_body, stick_walk

from mimic.view.contact_sheet import _bone_model, _from_z, retarget_sheet
from motions.clips import demo_bvh
from motions.errors import InputError
from motions.formats import read_bvh


@pytest.fixture(scope="module")
def source():
    return read_bvh(demo_bvh())


def test_bones_lie_between_their_joints(source):
    pos, _ = source.forward_kinematics()
    model, qpos = _bone_model(source, pos[:5])
    ends = []
    for bone in range(model.ngeom):
        q = qpos[3, 7 * bone : 7 * bone + 7]
        axis = Rotation.from_quat(q[3:], scalar_first=True).apply([0, 0, model.geom_size[bone, 1]])
        ends.append([q[:3] - axis, q[:3] + axis])
    down = np.array([0.0, 0.0, pos[3, :, 2].min() - np.array(ends)[..., 2].min()])
    pairs = [(p, j) for j, p in enumerate(source.skeleton.parents) if p >= 0]
    for near, far in ends:
        gaps = [np.linalg.norm(near + down - pos[3, p]) + np.linalg.norm(far + down - pos[3, j]) for p, j in pairs]
        assert min(gaps) < 0.01


def test_turns_from_z_are_scipys():
    directions = np.random.default_rng(0).normal(size=(50, 3))
    directions[:2] = [[0, 0, 1], [0, 0, -2]]
    turned = Rotation.from_quat(_from_z(directions), scalar_first=True).apply([0, 0, 1])
    np.testing.assert_allclose(turned, directions / np.linalg.norm(directions, axis=1, keepdims=True), atol=1e-9)


def test_a_sheet_shows_skeleton_and_robot(source, tmp_path):
    body, walk = stick_body(), stick_walk()
    name = retarget_sheet(
        tmp_path / "new" / "sheet.png",
        body.model,
        walk,
        source,
        poses=4,
        columns=2,
        size=(60, 80),
        failing=(0,),
        renderer="raster",
    )
    image = np.asarray(Image.open(tmp_path / "new" / "sheet.png").convert("RGB")).astype(int)
    assert name == "raster"
    assert image.shape == (26 + 2 * 80 + 4, 2 * 120 + 4, 3)
    blue = (image[..., 2] - image[..., 0] > 60).reshape(image.shape[:2])
    left, right = blue[26:106, :60], blue[26:106, 60:120]
    assert left.sum() > 50 > 5 >= right.sum()
    red = image[26:40, 60:120, 0] - image[26:40, 60:120, 2] > 60
    assert red.any()  # the first time, whose frame fails
    alone = retarget_sheet(tmp_path / "alone.png", body.model, walk, None, poses=3, size=(60, 80), renderer="raster")
    assert alone == "raster"


def test_what_cannot_be_drawn(source, tmp_path):
    with pytest.raises(InputError, match=r"ends in \.png"):
        retarget_sheet(tmp_path / "sheet.jpg", stick_body().model, stick_walk(), source)
    mjcf = "<mujoco><worldbody><body><freejoint/><geom size='1'/></body></worldbody></mujoco>"
    other = mujoco.MjModel.from_xml_string(mjcf)
    with pytest.raises(InputError, match="14 columns"):
        retarget_sheet(tmp_path / "sheet.png", other, stick_walk(), source)
