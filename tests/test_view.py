"""Pictures and plots: against MuJoCo's ray casts and camera, and ffmpeg's decoder."""

import sys
from pathlib import Path

import imageio_ffmpeg
import mujoco
import numpy as np
import pytest
from PIL import Image

from mimic.metrics import METRICS
from mimic.view import gl
from mimic.view.camera import Camera, view_azimuth
from mimic.view.meshes import thin_meshes
from mimic.view.plots import plot_errors, plot_joints, plot_learning
from mimic.view.raster import RasterRenderer, cast, pose_of
from mimic.view.renderer import make_renderer
from mimic.view.shapes import Polyhedron, geom_shape
from mimic.view.stage import BACKGROUND, make_stage
from mimic.view.video import contact_sheet, picture, write_video
from motions.errors import InputError

SIZE = (160, 120)
WALKER = """
<mujoco>
  <worldbody>
    <geom type="plane" size="5 5 1"/>
    <body name="torso" pos="0 0 1"><freejoint/>
      <geom type="capsule" size=".12" fromto="0 0 0 0 0 .4"/>
      <geom type="sphere" size=".11" pos="0 0 .65"/>
      <geom type="box" size=".15 .2 .1" pos="0 0 -.15" group="3"/>
      <body pos="0 .1 -.2"><joint axis="0 1 0"/><geom type="cylinder" size=".06 .3" pos="0 0 -.3"/></body>
      <body pos="0 -.1 -.2"><joint axis="0 1 0"/><geom type="ellipsoid" size=".07 .09 .32" pos="0 0 -.3" euler="10 20 0"/></body>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(WALKER)


@pytest.fixture(scope="module")
def walk(model: mujoco.MjModel) -> np.ndarray:
    """20 frames at 10 Hz: 1.9 m along y, legs swinging; (20, nq)."""
    qpos = np.tile(model.qpos0, (20, 1))
    qpos[:, 1] = 0.1 * np.arange(20)
    qpos[:, 7], qpos[:, 8] = 0.5 * np.sin(np.arange(20)), -0.5 * np.sin(np.arange(20))
    return qpos


@pytest.fixture
def camera() -> Camera:
    return Camera(np.array([0.1, -0.05, 0.8]), 2.6, 130.0, -15.0)


def _decoded(path: Path) -> tuple[dict, np.ndarray]:
    """An mp4's description and its frames (F, H, W, 3)."""
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    width, height = meta["size"]
    return meta, np.array([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])


def test_camera_is_mujocos(model: mujoco.MjModel, camera: Camera):
    scene = mujoco.MjvScene(model, maxgeom=10)
    data = mujoco.MjData(model)
    mujoco.mjv_updateCamera(model, data, camera.to_mujoco(), scene)
    eyes = [(eye.pos, eye.forward, eye.up) for eye in scene.camera]
    pos, forward, up = (np.mean(parts, axis=0) for parts in zip(*eyes))
    np.testing.assert_allclose(pos, camera.position, atol=1e-5)
    np.testing.assert_allclose([up, forward], camera.axes[1:], atol=1e-5)


def test_rays_go_through_their_pixels(camera: Camera):
    rays = camera.rays(SIZE)
    for row, column in ((0, 0), (60, 80), (119, 12)):
        pixel, depth = camera.project(camera.position + 1.7 * rays[row, column], SIZE)
        np.testing.assert_allclose(pixel, [column + 0.5, row + 0.5], atol=1e-3)
        assert depth == pytest.approx(1.7, abs=1e-5)


def test_the_view_is_from_the_front_of_the_way(walk: np.ndarray):
    forward = Camera(np.zeros(3), 1.0, view_azimuth(walk), 0.0).axes[2]
    assert forward[1] < -0.3  # it walks along +y, so the camera looks back along -y


def test_software_hits_are_mujocos_ray_casts(camera: Camera):
    """Depth and geom of every 4th pixel against mj_ray, for every kind of primitive."""
    model = mujoco.MjModel.from_xml_string(WALKER.replace('group="3"', ""))
    stage = make_stage(model)
    data = mujoco.MjData(model)
    data.qpos[7:] = [0.4, -0.3]
    data.qpos[3:7] = [0.9, 0.1, -0.2, 0.3]
    mujoco.mj_forward(model, data)
    shapes = {int(geom): geom_shape(model, geom) for geom in stage.geoms}
    rays = camera.rays(SIZE)
    layer = cast(pose_of(data, stage.geoms), shapes, rays, camera)
    inside = wrong = 0
    found = np.zeros(1, np.int32)
    for row in range(0, SIZE[1], 4):
        for column in range(0, SIZE[0], 4):
            ray = rays[row, column].astype(float)
            length = np.linalg.norm(ray)
            distance = mujoco.mj_ray(model, data, camera.position, ray / length, None, 1, -1, found)
            geom = found[0] if distance >= 0 and model.geom_bodyid[found[0]] > 0 else -1
            inside += geom >= 0
            same = geom == layer.geom[row, column]
            wrong += not same or (geom >= 0 and abs(layer.depth[row, column] * length - distance) > 3e-3)
    assert inside > 60
    assert wrong <= 0.05 * inside  # outlines and edges may be off by a pixel


def test_software_normals_are_the_slopes_of_the_depth(camera: Camera):
    """On a sphere the normal at a hit points away from the centre."""
    model = mujoco.MjModel.from_xml_string(WALKER)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    sphere = int(np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_SPHERE)[0])
    rays = camera.rays(SIZE)
    layer = cast(pose_of(data, [sphere]), {sphere: geom_shape(model, sphere)}, rays, camera)
    hit = layer.geom == sphere
    points = camera.position + layer.depth[hit][:, None] * rays[hit]
    normals = layer.normal[hit] / np.linalg.norm(layer.normal[hit], axis=1, keepdims=True)
    np.testing.assert_allclose(normals, (points - data.geom_xpos[sphere]) / model.geom_size[sphere, 0], atol=5e-3)


def test_software_picture_shows_the_robot_where_it_is(model: mujoco.MjModel, camera: Camera):
    renderer = RasterRenderer(make_stage(model), SIZE)
    empty = renderer.render(None, None, camera)
    image = renderer.render(model.qpos0, None, camera)
    assert np.ptp(empty) > 30, "no floor"
    rows, columns = np.nonzero(np.abs(image.astype(int) - empty).sum(-1) > 90)
    centre, top = camera.project(np.array([[0, 0, 1.65], [0, 0, 1.76]]), SIZE)[0]
    assert abs(rows.min() - top[1]) <= 2  # the head's top
    head = rows < centre[1]
    assert abs(columns[head].mean() - centre[0]) <= 2


def test_visual_geoms_are_drawn_if_there_are_any(model: mujoco.MjModel):
    stage = make_stage(model)
    assert set(model.geom_type[stage.geoms]) == {2, 3, 4, 5}  # not the box of group 3, not the plane
    only_contacts = mujoco.MjModel.from_xml_string(
        WALKER.replace("<geom type=", '<geom group="3" type=').replace(' group="3"/>', "/>")
    )
    assert len(make_stage(only_contacts).geoms) == 5


def test_a_robot_that_its_file_makes_invisible_is_drawn():
    """As files do whose meshes are gone: what is left is all there is to see; MuJoCo's own scene skips the transparent."""
    hidden = mujoco.MjModel.from_xml_string(WALKER.replace("<geom type=", '<geom rgba="1 0 0 0" type='))
    stage = make_stage(hidden)
    assert len(stage.geoms) >= 5
    assert (stage.model.geom_rgba[stage.geoms, 3] == 1).all()
    assert (hidden.geom_rgba[stage.geoms, 3] == 0).any()  # the caller's model stays as it is


@pytest.mark.parametrize("overlay", ["beside", "over"])
def test_video_decodes_to_the_frames_asked_for(tmp_path: Path, model: mujoco.MjModel, walk: np.ndarray, overlay: str):
    path = tmp_path / "new" / "walk.mp4"
    name = write_video(path, model, walk, walk, 10.0, size=SIZE, overlay=overlay, renderer="raster", every=2, title="walk")
    assert name == "raster"
    meta, frames = _decoded(path)
    assert meta["size"] == SIZE
    assert meta["fps"] == 5.0
    assert meta["codec"] == "h264"
    assert meta["pix_fmt"].startswith("yuv420p")
    assert len(frames) == 10
    assert frames.std(axis=(1, 2)).min() > 10
    assert [p.name for p in path.parent.iterdir()] == ["walk.mp4"]
    blue = (frames[..., 2].astype(int) - frames[..., 0] > 60).mean()
    assert (blue > 0.02) == (overlay == "beside"), "a ghost that is exact is hidden by the robot, beside it is seen"


def test_video_without_reference(tmp_path: Path, model: mujoco.MjModel, walk: np.ndarray):
    write_video(tmp_path / "a.mp4", model, walk, None, 10.0, size=SIZE, renderer="raster")
    assert len(_decoded(tmp_path / "a.mp4")[1]) == 20


def test_a_video_that_fails_leaves_nothing(tmp_path: Path, model: mujoco.MjModel, walk: np.ndarray):
    with pytest.raises(ValueError, match="differ in shape"):
        write_video(tmp_path / "a.mp4", model, walk, walk[:-1], 10.0, size=SIZE, renderer="raster")
    with pytest.raises(InputError, match=r"ends in \.mp4"):
        write_video(tmp_path / "a.gif", model, walk, None, 10.0, size=SIZE, renderer="raster")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write in"):
        write_video(tmp_path / "file" / "a.mp4", model, walk, None, 10.0, size=SIZE, renderer="raster")
    (tmp_path / "file").unlink()
    with pytest.raises(ValueError, match="even"):
        write_video(tmp_path / "a.mp4", model, walk, None, 10.0, size=(161, 120), renderer="raster")
    assert not list(tmp_path.iterdir())


def test_contact_sheet_and_picture(tmp_path: Path, model: mujoco.MjModel, walk: np.ndarray):
    assert (
        contact_sheet(tmp_path / "s.png", model, walk, walk, 10.0, frames=6, columns=3, size=SIZE, renderer="raster") == "raster"
    )
    assert Image.open(tmp_path / "s.png").size == (480, 240)
    picture(tmp_path / "p.png", model, walk[0], size=SIZE, renderer="raster")
    assert Image.open(tmp_path / "p.png").size == SIZE


def test_no_opengl_is_found_and_said(monkeypatch: pytest.MonkeyPatch, model: mujoco.MjModel):
    gl.find_gl.cache_clear()
    monkeypatch.setenv("MUJOCO_GL", "off")
    try:
        assert gl.find_gl() is None
        assert make_renderer(model, SIZE).name == "raster"
    finally:
        gl.find_gl.cache_clear()


@pytest.mark.parametrize("program", ["import os; os.abort()", "import time; time.sleep(60)", "print('blank')"])
def test_a_driver_that_crashes_or_hangs_is_survived(monkeypatch: pytest.MonkeyPatch, program: str):
    gl.find_gl.cache_clear()
    monkeypatch.setattr(gl, "_PROBE", program)
    monkeypatch.setattr(gl, "_PROBE_TIMEOUT_S", 0.5)
    try:
        assert gl.find_gl() is None
    finally:
        gl.find_gl.cache_clear()


def test_unknown_renderer_gets_a_hint(model: mujoco.MjModel):
    with pytest.raises(InputError, match="Did you mean 'raster'"):
        make_renderer(model, SIZE, "raste")


def test_opengl_and_software_draw_the_same_robot(model: mujoco.MjModel, camera: Camera, walk: np.ndarray):
    found = gl.find_gl()
    if found is None:
        pytest.skip("no OpenGL context works here")
    pose = model.qpos0.copy()
    ghost = pose + np.array([0.5, 0.5, 0, 0, 0, 0, 0, 0, 0])
    masks = []
    for name in (found.context, "raster"):
        renderer = make_renderer(model, SIZE, name)
        assert renderer.name == name
        plain, robot, both = (
            renderer.render(*poses, camera).astype(int) for poses in ((None, None), (pose, None), (pose, ghost))
        )
        renderer.close()
        red = np.abs(np.diff(robot - plain, axis=-1)).sum(-1) > 40  # the robot is coloured, its shadow is grey
        assert np.all(np.abs(both - robot)[red].mean(0) < 12), "the ghost stands elsewhere"
        masks += [red, np.diff(both - robot, axis=-1).sum(-1) > 25]
    for opengl, software in zip(masks[:2], masks[2:]):
        assert software.sum() > 300
        assert (opengl & software).sum() / (opengl | software).sum() > 0.8


def test_two_opengl_renderers_do_not_disturb_each_other(model: mujoco.MjModel, camera: Camera, walk: np.ndarray):
    """A contact sheet draws captured skeleton and robot in turn."""
    found = gl.find_gl()
    if found is None:
        pytest.skip("no OpenGL context works here")
    xml = '<mujoco><worldbody><body><freejoint/><geom type="capsule" size=".1 .3"/></body></worldbody></mujoco>'
    bone = mujoco.MjModel.from_xml_string(xml)
    actors = [(bone, bone.qpos0), (model, walk[0])]
    alone = []
    for one, pose in actors:
        renderer = make_renderer(one, SIZE, found.context)
        alone.append(renderer.render(pose, None, camera))
        renderer.close()
    both = [make_renderer(one, SIZE, found.context) for one, _ in actors]
    for _ in range(2):
        for renderer, (_, pose), expected in zip(both, actors, alone):
            assert np.array_equal(renderer.render(pose, None, camera), expected)
    for renderer in both:
        renderer.close()


def test_the_floor_fades_into_the_background(model: mujoco.MjModel, camera: Camera):
    image = RasterRenderer(make_stage(model), SIZE).render(None, None, camera)
    np.testing.assert_allclose(image[0, :, :], np.broadcast_to(255 * BACKGROUND, (SIZE[0], 3)), atol=1)


def _ball(radius: float, n: int = 24) -> mujoco.MjModel:
    """A robot of one mesh: a sphere of n x n vertices."""
    theta, phi = np.meshgrid(np.linspace(0.05, np.pi - 0.05, n), np.linspace(0, 2 * np.pi, n, endpoint=False))
    points = radius * np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1).reshape(-1, 3)
    faces = [
        face
        for i in range(n)
        for j in range(n - 1)
        for a, b, c, d in [(i * n + j, i * n + j + 1, (i + 1) % n * n + j + 1, (i + 1) % n * n + j)]
        for face in ((a, b, c), (a, c, d))
    ]
    numbers = " ".join(f"{value:.5f}" for value in points.ravel()), " ".join(str(i) for face in faces for i in face)
    return mujoco.MjModel.from_xml_string(
        f'<mujoco><asset><mesh name="ball" vertex="{numbers[0]}" face="{numbers[1]}"/></asset><worldbody>'
        '<body pos="0 0 1"><freejoint/><geom type="mesh" mesh="ball"/></body></worldbody></mujoco>'
    )


def test_a_mesh_becomes_its_hull():
    shape = geom_shape(_ball(0.2), 0)
    assert isinstance(shape, Polyhedron)
    first = shape.corners[[face[0] for face in shape.faces]]
    inside = np.einsum("fi,fci->fc", shape.normals, shape.corners[None] - first[:, None])
    assert inside.max() < 1e-6, "a corner lies outside a face"
    assert np.all(np.linalg.norm(shape.corners, axis=1) == pytest.approx(0.2, rel=0.02))


def test_thin_meshes_keep_their_shape():
    model = _ball(0.2)
    before, count = model.mesh_vert.copy(), int(model.mesh_facenum[0])
    left = thin_meshes(model, 0.06)
    assert 20 < left < 0.4 * count
    used = model.mesh_vert[np.unique(model.mesh_face[:left])]
    np.testing.assert_array_equal(model.mesh_vert, before)
    gaps = np.linalg.norm(before[:, None] - used[None], axis=-1).min(axis=1)
    assert gaps.max() < 0.06 * np.sqrt(3)


def test_plots(tmp_path: Path, walk: np.ndarray):
    rows = [
        {
            "env_steps": 1000 * i,
            "error/e_mpbpe_mm": 100 / i,
            "error/e_g_mpbpe_mm": 200 / i,
            "rollout/falls_per_s": 1 / i,
            "rollout/reward": i,
        }
        for i in range(1, 40)
    ]
    errors = {metric.key: np.linspace(1, 2, 20) for metric in METRICS}
    made = [
        plot_learning(tmp_path / "learning.png", rows),
        plot_learning(tmp_path / "first.png", rows[:1]),
        plot_errors(tmp_path / "errors.png", errors, 50.0, completed=12, title="walk"),
        plot_joints(tmp_path / "joints.png", walk, walk + 0.1, ("left_leg_joint", "right_leg_joint"), 50.0),
    ]
    for path in made:
        assert np.asarray(Image.open(path).convert("L")).std() > 5
    assert plot_learning(tmp_path / "learning.svg", rows).read_text().startswith("<?xml")
    assert "matplotlib.pyplot" not in sys.modules
