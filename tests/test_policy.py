"""The robot's own runtime: what it sends in every state, what leads from one to another, and whom it refuses."""

import ast
import dataclasses
import functools
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from stick import random_qpos, stick_body
from tiny import EFFORT, KD, KP, tiny_motion
from tiny_bundle import standing, tiny_bundle
from tiny_policy import CONFIG, ROBOT

from mimic.deploy import policy as runtime
from mimic.deploy.chain import chain_to
from mimic.deploy.policy import BundleError, Controller, Safety, State
from mimic.deploy.sim2sim import Policy, rollout
from mimic.deploy.sim_robot import SimRobot
from mimic.evaluation.whole_clips import measure

DT = CONFIG.sim.ctrl_dt
SOON = Safety(blend_s=DT)
LOWER, UPPER = -1.0, 1.0  # of every joint of the tiny robot


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("runtime") / "bundle")


@pytest.fixture(autouse=True, scope="module")
def read_once():
    """A bundle is read once for all the controllers of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "read_bundle", functools.cache(runtime.read_bundle))
        yield


class Rig:
    """A controller with a clock, and a robot that stands where it is told to."""

    def __init__(self, bundle: Path, safety: Safety = SOON, **options):
        self.controller = Controller(bundle, safety, **options)
        self.controller.on_change = lambda before, after, reason: self.changes.append((before, after, reason))
        self.changes: list[tuple[State, State, str]] = []
        self.sample = standing(bundle)
        self.now = 0.0

    def step(self, gap: float = DT, absent: bool = False, **changes):
        """One control step later; `changes` to the measurement."""
        self.now += gap
        sample = self.sample | {"time": self.now, "received": self.now} | changes
        return self.controller.step(self.now, None if absent else sample)

    def running(self) -> "Rig":
        while self.step().state is not State.RUN:
            assert self.now < 10
        self.changes.clear()
        return self


def test_it_needs_nothing_of_ours_and_is_short(bundle: Path, tmp_path: Path):
    """The copy in the bundle steps in a process that has never heard of mimic."""
    text = Path(runtime.__file__).read_text()
    assert len(text.splitlines()) <= 300
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) == {"numpy", "onnxruntime"}
    assert (bundle / "policy.py").read_text() == text
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import policy\n"
        "command = policy.Controller(sys.argv[1]).step(0.0, None)\n"
        "assert not {'mimic', 'motions', 'mujoco', 'jax'} & set(sys.modules)\n"
        "print(command.state.name, command.reason)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program, bundle], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "WAIT no message from the robot", done.stderr


@pytest.mark.parametrize("history", [0, 2])
def test_it_does_what_the_policy_does_in_simulation(history: int, tmp_path: Path):
    """Step by step with the sim-robot, whose compass and odometry begin anywhere, against `rollout` of the same policy; with
    a history also with motors whose torque falls with speed."""
    observed = dataclasses.replace(CONFIG.observation, history=history)
    bundle = tiny_bundle(tmp_path, dataclasses.replace(CONFIG, observation=observed))
    policy = Policy.load(bundle / "policy.onnx")
    if history:
        motor = dataclasses.replace(policy.spec.sim, actuator="motor")
        spec = dataclasses.replace(policy.spec, sim=motor, velocity_limit=(0.8,) * 4, corner_velocity=(0.0,) * 4)
        policy = dataclasses.replace(policy, spec=spec)
    run = rollout(policy)
    controller, robot, now = Controller(bundle, SOON), SimRobot(policy, seed=1), 0.0
    asked = []
    while not robot.rows:
        command = controller.step(now, {"time": now, "received": now, **robot.measure()})
        assert command.state < State.HOLD, command.reason
        robot.obey(vars(command))
        if command.state is State.RUN:
            asked.append(command.target + command.torque / command.kp)
        for _ in range(policy.spec.sim.n_substeps):
            robot.step()
        now += DT
    np.testing.assert_allclose(asked, run.targets, atol=1e-4)
    expected = measure(policy, run)
    assert expected["success_height"] == 1
    del expected["nr"], expected["nr_released"]  # a rehearsal has no use for them
    assert robot.rows[0] == pytest.approx(expected, abs=0.05)


def test_where_it_faces_and_stands_does_not_matter(bundle: Path):
    """The same body, its whole world turned by 2 rad and moved by metres: the same commands."""
    turn, here, there = Rotation.from_rotvec([0, 0, 2.0]), Rig(bundle), Rig(bundle)
    there.sample["root_quat"] = (turn * Rotation.from_quat(here.sample["root_quat"], scalar_first=True)).as_quat(
        scalar_first=True
    )
    there.sample["root_pos"] = turn.apply(here.sample["root_pos"]) + np.array([3, -2, 0])
    here.sample["root_linvel"], there.sample["root_linvel"] = np.array([0.3, 0.1, 0.2]), turn.apply([0.3, 0.1, 0.2])
    for _ in range(10):
        np.testing.assert_allclose(here.step().target, there.step().target, atol=2e-5)
    assert there.controller.state is State.RUN


def test_the_anchor_is_found_through_the_joints():
    """Against MuJoCo, on a waist with an oblique axis, an offset and a turned body."""
    body = stick_body()
    data = mujoco.MjData(body.model)
    spec = {"anchor_chain": [dataclasses.asdict(link) for link in chain_to(body, "torso")]}
    for qpos in random_qpos(body, 5):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(body.model, data)
        values = {"root_quat": np.float32(qpos[3:7]), "joint_pos": np.float32(qpos[7:])}
        found = Controller._anchor(SimpleNamespace(spec=spec), values)
        assert abs(found @ data.body("torso").xquat) == pytest.approx(1, abs=1e-6)


def test_a_safe_start_is_slow_and_smooth(bundle: Path):
    rig = Rig(bundle, Safety(blend_s=0.2, blend_speed=0.5, start_error=9))
    found = np.array([0.9, -0.9, 0.3, 0.0])
    commands = [rig.step(joint_pos=found)]
    while commands[-1].state is State.BLEND:
        commands.append(rig.step(joint_pos=found))
    targets = np.array([command.target for command in commands[:-1]])
    np.testing.assert_allclose(targets[0], found, atol=1e-6)
    speed = np.abs(np.diff(targets, axis=0)) / DT
    assert 0.45 < speed.max() <= 0.5 + 1e-4
    assert np.abs(np.diff(speed, axis=0)).max() < 0.05  # no jerk at either end
    np.testing.assert_allclose(targets[-1], rig.sample["joint_pos"], atol=1e-3)
    farthest = np.abs(found - rig.sample["joint_pos"]).max()
    assert len(targets) == pytest.approx(1.5 * farthest / 0.5 / DT, abs=1.5)
    assert [after for _, after, _ in rig.changes] == [State.BLEND, State.RUN]


def test_a_joint_that_does_not_come_along_ends_the_start(bundle: Path):
    rig = Rig(bundle)
    stuck = rig.sample["joint_pos"] + [0, 0, 0.8, 0]
    while rig.step(joint_pos=stuck).state is State.BLEND:
        pass
    assert rig.controller.state is State.DAMP
    assert rig.controller.reason == "hind_left_hip is still 0.80 rad away after the safe start"


BAD = {
    "absent": ({"absent": True}, "no message from the robot"),
    "NaN": ({"joint_pos": [0, math.nan, 0, 0]}, "joint_pos of front_right_hip is nan, beyond 100"),
    "infinite": ({"root_angvel": [0, 0, -math.inf]}, "root_angvel of 2 is -inf, beyond 100"),
    "implausible": ({"joint_vel": [0, 0, 0, 400]}, "joint_vel of hind_right_hip is 400, beyond 100"),
    "size": ({"joint_pos": np.zeros(5)}, "joint_pos has shape (5,), expected (4,)"),
    "no quaternion": ({"root_quat": [0.1, 0, 0, 0]}, "root_quat has length 0.1, expected 1"),
    "no number": ({"root_pos": ["a", 0, 0]}, "could not convert string"),
    "lacking": ({"root_linvel": None}, "root_linvel has shape (), expected (3,)"),
    "not estimated": ({"root_pos": [math.nan] * 3}, "root_pos of 0 is nan, beyond 10000"),
    "time": ({"time": math.nan}, "nan"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_held_then_damped_then_stopped(name: str, bundle: Path):
    bad, says = BAD[name]
    rig = Rig(bundle).running()
    good = rig.step()
    states = []
    for _ in range(200):
        command = rig.step(**bad)
        states.append(command.state)
        if command.state is State.HOLD:
            np.testing.assert_array_equal(command.target, good.target)
            np.testing.assert_array_equal(command.kp, [KP] * 4)
        elif command.state is State.DAMP:
            assert not command.kp.any()
            assert not command.torque.any()
            np.testing.assert_array_equal(command.kd, [KD] * 4)
        else:
            np.testing.assert_array_equal([command.kp, command.kd, command.torque], 0)
    safety = rig.controller.safety
    assert states.count(State.HOLD) * DT == pytest.approx(safety.hold_s, abs=1.01 * DT)
    assert states.count(State.DAMP) * DT == pytest.approx(safety.damp_s, abs=1.01 * DT)
    assert states == sorted(states)
    assert rig.step().state is State.STOP  # good input does not wake it
    assert [after for _, after, _ in rig.changes] == [State.HOLD, State.DAMP, State.STOP]
    assert all(says in reason for _, _, reason in rig.changes), rig.changes


@pytest.mark.parametrize("name", BAD)
def test_it_recovers_from_a_short_fault_and_the_clip_has_gone_on(name: str, bundle: Path):
    rig = Rig(bundle).running()
    frame = rig.step().frame
    for _ in range(3):
        assert rig.step(**BAD[name][0]).state is State.HOLD
    recovered = rig.step()
    assert (recovered.state, recovered.frame) == (State.RUN, frame + 4)
    assert [after for _, after, _ in rig.changes] == [State.HOLD, State.RUN]


def test_old_measurements_and_clocks_that_jump(bundle: Path):
    rig = Rig(bundle, dataclasses.replace(SOON, max_age_s=0.05)).running()
    last = {"time": rig.now, "received": rig.now}
    assert [rig.step(**last).state for _ in range(3)] == [State.RUN, State.RUN, State.HOLD]
    assert "0.060 s old, over 0.05 s" in rig.controller.reason
    assert rig.step().state is State.RUN
    assert rig.step(time=rig.now - 5).state is State.HOLD
    assert "the robot's clock went on by -5.000 s within 0.020 s" in rig.controller.reason
    assert rig.step(time=rig.now - 5).state is State.RUN  # it goes on from there
    assert rig.step(time=rig.now - 4).state is State.HOLD
    assert "the robot's clock went on by 1.020 s within 0.020 s" in rig.controller.reason
    rig = Rig(bundle).running()
    assert rig.step(gap=-3).state is State.HOLD
    assert "the runtime's clock went from" in rig.controller.reason
    assert rig.step().state is State.HOLD  # from before the jump to after it the robot's clock seems to jump, too
    assert rig.step().state is State.RUN


def test_a_runtime_that_stalled_does_not_go_on(bundle: Path):
    rig = Rig(bundle).running()
    assert rig.step(gap=0.2).state is State.RUN  # a few missed steps
    assert rig.step(gap=0.5).state is State.DAMP
    assert rig.controller.reason == "no step for 0.500 s, at most 0.220 s allowed"


@pytest.mark.parametrize("before", ["run", "hold", "asked to stop"])
def test_damping_lasts_as_long_after_a_long_stall(before: str, bundle: Path):
    rig = Rig(bundle).running()
    stall = rig.controller.safety.damp_s + 1
    if before == "hold":
        assert rig.step(absent=True).state is State.HOLD
    elif before == "asked to stop":
        rig.controller.stop("asked to")
    states = [rig.step(gap=stall).state]
    while states[-1] is not State.STOP:
        states.append(rig.step().state)
    assert states.count(State.DAMP) * DT == pytest.approx(rig.controller.safety.damp_s, abs=1.01 * DT)


def test_a_fall_and_a_joint_beyond_its_limit_are_damped_at_once(bundle: Path):
    lean = CONFIG.termination.anchor_angle + 0.1
    rig = Rig(bundle).running()
    assert rig.step(root_quat=[math.cos(lean / 2), math.sin(lean / 2), 0, 0]).state is State.DAMP
    assert rig.controller.reason.startswith("fallen: trunk leans 0.90 rad away from the clip's frame")
    rig = Rig(bundle).running()
    assert rig.step(root_quat=[math.cos(1), 0, 0, math.sin(1)]).state is State.RUN  # a compass that turned is no fall
    beyond = UPPER + rig.controller.safety.limit_margin + 0.05
    assert rig.step(joint_pos=[0, 0, beyond, 0]).state is State.DAMP
    assert rig.controller.reason == "hind_left_hip is at 1.300 rad, 0.300 beyond its limit"


def test_a_network_that_says_nan_is_held_then_damped(bundle: Path):
    rig = Rig(bundle).running()
    good = rig.controller._session
    nan = [np.full(4, np.nan, np.float32)] * len(good.get_outputs())
    rig.controller._session = SimpleNamespace(run=lambda *_: nan)
    commands = [rig.step() for _ in range(20)]
    assert [after for _, after, _ in rig.changes] == [State.HOLD, State.DAMP]
    assert "the network gave a number that is not finite" in rig.controller.reason
    assert np.isfinite([command.target for command in commands]).all()


def test_targets_are_bounded_and_the_rest_is_torque(bundle: Path):
    rig = Rig(bundle).running()
    wanted = np.float32([1.2, -5, 0.5, -1.1])
    good = rig.controller._session.get_outputs()
    rig.controller._session = SimpleNamespace(run=lambda *_: [wanted] * len(good))
    command = rig.step()
    np.testing.assert_allclose(command.target, np.clip(wanted, LOWER, UPPER), atol=2e-6)
    assert np.all((command.target >= LOWER) & (command.target <= UPPER))
    np.testing.assert_allclose(command.torque, [0.2 * KP, -EFFORT, 0, -0.1 * KP], atol=1e-3)


def test_warming_changes_nothing(bundle: Path):
    """Step by step the same commands, to the last bit."""
    warmed, plain = Rig(bundle).running(), Rig(bundle).running()
    for step in range(20):
        warmed.controller.warm()
        changes = {"joint_vel": np.full(4, 0.01 * step)}
        ours, theirs = warmed.step(**changes), plain.step(**changes)
        np.testing.assert_array_equal(ours.target, theirs.target)
        assert (ours.frame, ours.state) == (theirs.frame, theirs.state)


def test_the_end_of_the_clip(bundle: Path, tmp_path: Path):
    frames = len(np.load(bundle / "policy.npz")["qpos"])
    rig = Rig(bundle).running()
    assert [rig.step().frame for _ in range(frames + 20)][-20:] == [frames - 1] * 20
    rig = Rig(bundle, repeat=True).running()
    while rig.step().state is State.RUN:
        pass
    assert rig.controller.state is State.BLEND
    assert rig.running().controller.frame == 0
    loop = tiny_bundle(tmp_path / "loop", motion=dataclasses.replace(tiny_motion(13), loop=True))
    rig = Rig(loop, repeat=True).running()
    length = len(np.load(loop / "policy.npz")["qpos"])
    assert [rig.step().frame for _ in range(2 * length)] == [(1 + i) % length for i in range(2 * length)]


def test_stop_and_a_robot_that_never_spoke(bundle: Path):
    rig = Rig(bundle).running()
    rig.controller.stop("asked to")
    assert rig.step().state is State.DAMP
    rig.controller.stop("asked again")
    assert rig.step().reason == "asked to"
    rig = Rig(bundle)
    assert rig.step(absent=True).state is State.WAIT
    rig.controller.stop("asked to")
    assert rig.step().state is State.STOP


THEIRS = {
    "joint_names": list(ROBOT.joint_names), "control_rate_hz": 50, "joint_lower": [LOWER] * 4, "joint_upper": [UPPER] * 4,
    "effort": [EFFORT] * 4, "kp": [KP] * 4, "kd": [KD] * 4,
}  # fmt: skip
NAMES = ROBOT.joint_names
OTHER = {
    "a joint more": ({"joint_names": [*NAMES, "tail"]}, ["the policy has no joint 'tail'", "4 values of kp for 5 joints"]),
    "a joint less": ({"joint_names": NAMES[1:]}, ["the robot has no joint 'front_left_hip'"]),
    "another joint, too": (
        {"joint_names": ["tail", *NAMES[1:]], "joint_lower": [-9, -1, -1.2, -1], "kp": [KP, 2 * KP, KP, KP]},
        ["no joint 'tail'", "joint_lower of 'hind_left_hip' is -1.2, expected -1", "kp of 'front_right_hip' is 120, expected 60"],
    ),
    "twice": ({"joint_names": [*NAMES, "hind_left_hip"]}, ["names joint 'hind_left_hip' more than once"]),
    "order": ({"joint_names": NAMES[::-1]}, ["joint 0 is 'hind_right_hip', expected 'front_left_hip' (the order differs)"]),
    "rate": ({"control_rate_hz": 100}, ["its control rate is 100 Hz, expected 50 Hz"]),
    "rate 0": ({"control_rate_hz": 0}, ["its control rate is 0 Hz"]),
    "limit": ({"joint_lower": [-1, -1, -1.2, -1]}, ["joint_lower of 'hind_left_hip' is -1.2, expected -1"]),
    "no limit": ({"joint_upper": [math.inf, 1, 1, 1]}, ["joint_upper of 'front_left_hip' is inf, expected 1"]),
    "NaN": ({"joint_upper": [math.nan, 1, 1, 1]}, ["joint_upper of 'front_left_hip' is nan, expected 1"]),
    "several": ({"kp": [KP, 2 * KP, KP, KP], "effort": [1] * 4}, ["kp of 'front_right_hip' is 120, expected 60", "effort of"]),
}


@pytest.mark.parametrize("name", OTHER)
def test_another_robot_is_refused_with_the_differences(name: str, bundle: Path):
    controller = Controller(bundle)
    controller.check_robot(**THEIRS)
    changes, says = OTHER[name]
    with pytest.raises(BundleError) as refused:
        controller.check_robot(**THEIRS | changes)
    for text in says:
        assert text in str(refused.value)


def test_another_order_may_be_wanted(bundle: Path):
    order = [2, 0, 3, 1]
    ours, theirs = Rig(bundle), Rig(bundle)
    names = [ROBOT.joint_names[i] for i in order]
    theirs.controller.check_robot(**THEIRS | {"joint_names": names}, reorder=True)
    pose = ours.sample["joint_pos"] + [0.01, 0.02, 0.03, 0.04]
    for _ in range(5):
        a, b = ours.step(joint_pos=pose), theirs.step(joint_pos=pose[order])
        np.testing.assert_allclose(a.target[order], b.target, atol=1e-6)
    assert b.state is State.RUN


def damaged(folder: Path, kind: str) -> None:
    table = json.loads((folder / "policy.json").read_text())
    match kind:
        case "no folder":
            shutil.rmtree(folder)
        case "no graph":
            (folder / "raw.onnx").unlink()
        case "truncated graph":
            (folder / "raw.onnx").write_bytes((folder / "raw.onnx").read_bytes()[:-100])
        case "another clip":
            (folder / "policy.npz").write_bytes(b"PK")
        case "truncated spec":
            (folder / "policy.json").write_text((folder / "policy.json").read_text()[:-100])
        case "no bundle":
            del table["files"]["raw"]
        case "newer":
            table["schema"] = 99
        case "not a spec":
            table = {"kind": "soup", "schema": 1}
    if kind in ("no bundle", "newer", "not a spec"):
        (folder / "policy.json").write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("no folder", "policy.json: No such file or directory; expected a folder written by `mimic export --bundle`"),
        ("no graph", "raw.onnx: No such file or directory"),
        ("truncated graph", "raw.onnx is not the file that was exported (checksum differs); is it whole?"),
        ("another clip", "policy.npz is not the file that was exported"),
        ("truncated spec", "not a whole bundle: JSONDecodeError"),
        ("no bundle", "not a whole bundle: KeyError: 'raw'"),
        ("newer", "it is 'mimic policy' of schema 99"),
        ("not a spec", "it is 'soup'"),
    ],
)
def test_a_damaged_bundle_is_refused(kind: str, says: str, bundle: Path, tmp_path: Path):
    folder = Path(shutil.copytree(bundle, tmp_path / "copy"))
    damaged(folder, kind)
    with pytest.raises(BundleError) as refused:
        Controller(folder)
    assert says in str(refused.value)


ANYTHING = st.one_of(st.floats(), st.floats(-2, 2), st.none(), st.text(max_size=3), st.integers())
FIELD = st.one_of(st.none(), st.lists(ANYTHING, max_size=6), st.lists(st.floats(-2, 2), min_size=4, max_size=4), ANYTHING)
STEP = st.tuples(
    st.one_of(st.floats(), st.floats(0, 0.1), st.just(DT)),
    st.dictionaries(st.sampled_from([*runtime.FIELDS, "time", "received"]), FIELD, max_size=2),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=25), after=st.booleans(), repeat=st.booleans())
def test_whatever_comes_it_never_sends_nan_nor_leaves_the_limits(steps: list, after: bool, repeat: bool, bundle: Path):
    rig = Rig(bundle, repeat=repeat)
    if after:
        rig.running()
    reached = State.WAIT
    for gap, changes in steps:
        command = rig.step(gap, **changes)
        numbers = np.concatenate([command.target, command.kp, command.kd, command.torque])
        assert np.isfinite(numbers).all()
        assert np.all((command.target >= LOWER) & (command.target <= UPPER))
        assert np.all(np.abs(command.torque) <= EFFORT)
        assert np.all((command.kp == 0) | (command.kp == KP))
        assert not (reached >= State.DAMP and command.state < reached), "damping and stopping are final"
        reached = command.state
