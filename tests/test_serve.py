"""The server and the simulated robot at the two ends of a socket: what they agree on, what they refuse, what they report."""

import dataclasses
import json
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import mujoco
import numpy as np
import pytest
from commands import call, refusal
from scipy.spatial.transform import Rotation
from tiny import tiny_motion
from tiny_bundle import tiny_bundle
from tiny_policy import CONFIG

from mimic.deploy.check import Check
from mimic.deploy.messages import BYE, REFUSAL, STATE_FIELDS, decode, encode_hello, encode_state, encode_text
from mimic.deploy.policy import BundleError, Controller, Safety, State
from mimic.deploy.radio import Radio, RobotProcess
from mimic.deploy.rehearsal import told_of_machine
from mimic.deploy.serve import Server
from mimic.deploy.sim2sim import Policy
from mimic.deploy.sim_robot import SimRobot, laid_on
from mimic.deploy.simulation import read_state
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.motion import load_motion

FRAMES = 31  # at the control rate: 0.6 s
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("serve") / "bundle", motion=tiny_motion(37))


def quiet(text: str) -> None:
    pass


class Serving:
    """A server in a thread of this process, and a socket to speak to it as a robot would."""

    def __init__(self, bundle: Path, log=None):
        self.server = Server(Controller(bundle, Safety(blend_s=0.04)), HOST, 0, log=log)
        self.policy = Policy.load(bundle / "policy.onnx")
        self.robot = SimRobot(self.policy)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(self.server.address)
        self.socket.settimeout(5)
        self.served = self.error = None
        self.sequence = 0

    def __enter__(self) -> "Serving":
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def _run(self) -> None:
        try:
            self.served = self.server.run(None, quiet)
        except BundleError as error:
            self.error = error

    def __exit__(self, *_: object) -> None:
        self.send(encode_text(BYE, 7, 10_000, 0.0, "the test is over"))
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.send(data)

    def hello(self, **changes) -> None:
        self.sequence += 1
        self.send(encode_hello(7, self.sequence, time.monotonic(), self.robot.description() | changes))

    def state(self, **changes) -> None:
        self.sequence += 1
        measured = {name: np.asarray(value) for name, value in (self.robot.measure() | changes).items()}
        self.send(encode_state(7, self.sequence, time.monotonic(), measured))

    def answer(self):
        return decode(self.socket.recv(60_000))


def test_noise_is_counted_and_changes_nothing(bundle: Path):
    with Serving(bundle) as rig:
        rig.send(b"noise")
        rig.hello()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for _ in range(10):
                rig.state()
                good = encode_state(7, rig.sequence + 1, time.monotonic(), rig.robot.measure())
                for data in (good[:-5], good[:60], good.replace(b"MIMC", b"MIMD"), b""):
                    rig.send(data)
                rig.send(encode_state(7, 1, 0.0, rig.robot.measure()))
                rig.send(encode_state(8, 10**6, 0.0, rig.robot.measure()))
                stranger.sendto(encode_state(7, 2**63, 0.0, rig.robot.measure()), rig.server.address)  # of the robot's session
                command = rig.answer().content
                assert command["state"] <= State.HOLD
                assert np.isfinite(command["target"]).all()
    refused = rig.served.packets["refused"]
    assert {kind: refused[kind] for kind in ("damaged", "foreign", "replayed", "session", "sender")} == {
        "damaged": 20, "foreign": 10, "replayed": 10, "session": 10, "sender": 10,
    }  # fmt: skip
    assert refused["truncated"] == 11
    assert rig.served.ended == "the robot left: the test is over"
    assert rig.served.packets["lost"] == 10_000 - 12


def test_another_robot_is_refused_and_told_why(bundle: Path):
    with Serving(bundle) as rig:
        rig.hello(joint_lower=[-2.0, -1, -1, -1], control_rate_hz=500.0)
        packet = rig.answer()
    assert packet.kind == REFUSAL
    assert packet.content["text"] == str(rig.error)
    assert "its control rate is 500 Hz, expected 50 Hz" in str(rig.error)
    assert "joint_lower of 'front_left_hip' is -2, expected -1" in str(rig.error)
    assert rig.served is None


def test_a_robot_that_falls_silent_is_held_damped_and_stopped(bundle: Path, tmp_path: Path):
    path = tmp_path / "log.jsonl"
    with path.open("w") as log, Serving(bundle, log) as rig:
        rig.server.controller.safety = Safety(blend_s=0.04, damp_s=0.1, max_age_s=0.5, hold_s=0.5)
        rig.hello()
        told = State.WAIT
        while told != State.RUN:
            rig.state()
            told = rig.answer().content["state"]
        rig.thread.join(20)  # it leaves by itself
        assert rig.served.by_fault
    changes = [change["to"] for change in rig.served.changes]
    assert [change for change in changes if change not in ("BLEND", "RUN")] == ["HOLD", "DAMP", "STOP"]
    assert "old, over 0.5 s; held for" in rig.served.ended
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["to"] for line in lines if "to" in line] == changes
    assert sum("state" in line for line in lines) == len(rig.served.late_ms)


def test_a_link_delays_and_loses_to_order():
    link = Radio(0.01, 0.2, np.random.default_rng(0))
    for i in range(1000):
        link.put(b"%d" % i, now=0.001 * i)
    assert link.due(0.0099) == []
    arrived = link.due(0.5)
    assert arrived == sorted(arrived, key=int)
    assert max(map(int, arrived)) <= 490
    assert len(arrived) + len(link.due(9)) == 1000 - link.lost
    assert 150 < link.lost < 250
    assert link.next_due == float("inf")


def test_held_until_it_may_run_and_again(bundle: Path):
    policy = Policy.load(bundle / "policy.onnx")
    first = policy.motion.qpos[0]
    robot = SimRobot(policy, from_default=True)
    command = {"state": int(State.BLEND), "frame": 0, "target": first[7:], "kp": np.array(policy.spec.kp),
               "kd": np.array(policy.spec.kd), "torque": np.zeros(4)}  # fmt: skip
    np.testing.assert_allclose(robot.data.qpos[7:], policy.spec.default_joints)
    for _ in range(200):
        robot.obey(command)
        robot.step()
    np.testing.assert_allclose(robot.data.qpos, first, atol=2e-3)  # it weighs nothing: no joint sags
    robot.obey(command | {"state": int(State.RUN)})
    for _ in range(40):
        robot.step()
    assert np.abs(robot.data.qpos[:7] - first[:7]).max() > 1e-4
    robot.obey(command)
    np.testing.assert_allclose(robot.data.qpos[:7], first[:7], atol=1e-9)
    assert robot.held


def test_a_looping_clip_is_judged_from_where_it_began_again(bundle: Path, tmp_path: Path):
    """The next time around the whole world may be turned and moved: the errors are those of the first time."""
    policy = Policy.load(bundle / "policy.onnx")
    clip = policy.reference(policy.motion)
    turn = Rotation.from_rotvec([0, 0, 1.0])
    data, states = mujoco.MjData(policy.model), []
    for qpos, qvel in zip(clip.qpos, clip.qvel):
        data.qpos[:], data.qvel[:] = qpos, qvel
        data.qpos[:3] = turn.apply(qpos[:3]) + np.array([4, 5, 0])
        data.qpos[3:7] = (turn * Rotation.from_quat(qpos[3:7], scalar_first=True)).as_quat(scalar_first=True)
        data.qvel[:3] = turn.apply(qvel[:3])
        states.append(read_state(policy.model, data, policy.tracked_ids))
    moved = KinematicState(*(np.stack(column) for column in zip(*states)))
    for name, values in laid_on(moved, clip, policy.spec.anchor)._asdict().items():
        expected = getattr(clip, name)
        same = np.sum(values * expected, axis=-1, keepdims=True) if name == "xquat" else values
        np.testing.assert_allclose(same, np.ones_like(same) if name == "xquat" else expected, atol=1e-4, err_msg=name)


def reports(out: Path) -> tuple[dict, dict]:
    return json.loads((out / "serve.json").read_text()), json.loads((out / "robot.json").read_text())


def test_two_processes_track_the_clip(bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture):
    """The whole rehearsal as a user types it; how punctual it was is not judged here: other things run on this machine."""
    out = tmp_path / "rehearsal"
    for _ in range(3):  # a machine that stands still for a fifth of a second rightly ends one
        call("rehearse", bundle, "--out", out, "--blend-s", "0.1", "--latency-ms", "5")
        served, lived = reports(out)
        if not served["by_fault"]:
            break
    says = capfd.readouterr().out
    assert [change["to"] for change in served["changes"]][:2] == ["BLEND", "RUN"]
    assert served["ended"] == "the robot left: the clip is over"
    (row,) = lived["passes"]
    assert (row["completed_frames"], row["success_height"]) == (FRAMES, 1)
    assert row["e_mpbpe_mm"] < 20
    assert served["packets"]["refused"] == {}
    assert lived["packets"]["dropped_to_order"]["to_runtime"] >= served["packets"]["lost"]
    assert re.search("tracking +1 of 1 times from the clip's first frame to its last", says)
    assert load_motion(out / "robot.npz").num_frames >= FRAMES
    lines = [json.loads(line) for line in (out / "serve.jsonl").read_text().splitlines()]
    assert sum("state" in line for line in lines) == served["steps"]
    assert len(lines[-1]["target"]) == 4


def test_what_a_busy_machine_fails_is_not_laid_at_the_policy():
    ok, late = Check("tracking", True, ""), Check("jitter", False, "99 % within 7 ms, expected 2")
    fallen = Check("tracking", False, "0 of 1 times")
    told = told_of_machine([late, Check("steps", False, "3 missed"), fallen], 3.94, 2)
    assert told is not None
    assert told.startswith("jitter, steps: that is this machine, not the policy")
    assert "load on it was 3.9 on 2 cores" in told
    assert told_of_machine([ok, fallen], 3.94, 2) is None


@pytest.mark.slow
def test_a_rehearsal_on_a_quiet_machine_is_punctual(bundle: Path, tmp_path: Path):
    assert call("rehearse", bundle, "--out", tmp_path, "--duration", "20", "--blend-s", "0.2") == 0
    served, lived = reports(tmp_path)
    assert served["missed_steps"] == 0
    assert served["jitter_ms"]["p99"] <= 2
    assert served["step_ms"]["p99"] <= 1
    assert len(lived["passes"]) > 10


def test_another_robots_bundle_is_refused_on_the_command_line(bundle: Path, tmp_path: Path):
    """Two real processes, of two policies."""
    faster = dataclasses.replace(CONFIG, sim=dataclasses.replace(CONFIG.sim, n_substeps=2))
    other = tiny_bundle(tmp_path / "other", config=faster, motion=tiny_motion(37))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "mimic"]
    with subprocess.Popen([*command, "serve", bundle, "--port", port], stderr=subprocess.PIPE, text=True) as server:
        robot = subprocess.run([*command, "sim-robot", other, "--port", port], capture_output=True, text=True, timeout=60)
        said = server.communicate(timeout=60)[1]
    for code, text in ((server.returncode, said), (robot.returncode, robot.stderr)):
        assert code == 2
        assert "its control rate is 100 Hz, expected 50 Hz" in text
        assert "Traceback" not in text


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["serve", "{}/nothing"], "policy.json: No such file or directory; expected a folder written by `mimic export --bundle`"),
        (["serve", "{}", "--duration", "-1"], "--duration -1: expected a number above 0"),
        (["serve", "{}", "--blend-s", "nan"], "--blend-s nan: expected a number above 0"),
        (["serve", "{}", "--port", "99999"], "--port 99999: expected 0 to 65535"),
        (["serve", "{}", "--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
        (["serve", "{}", "--log", "{}"], "is a folder, expected a file to write"),
        (["sim-robot", "{}/nothing"], "no such policy file"),
        (["sim-robot", "{}", "--loss", "1"], "--loss 1: expected a part, from 0 to below 1"),
        (["sim-robot", "{}", "--latency-ms", "-3"], "--latency-ms -3: expected 0 to 1000"),
        (["sim-robot", "{}", "--seed", "-3"], "--seed -3: expected 0 or more"),
        (["rehearse", "{}/nothing"], "expected a folder written by `mimic export --bundle`"),
        (["rehearse", "{}", "--loss", "nan"], "--loss nan: expected a part"),
    ],
)
def test_bad_input(argv: list[str], says: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert says in refusal(capsys, *(part.format(bundle) for part in argv))


def test_a_robot_that_nobody_answers_gives_up(bundle: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mimic.deploy.radio.PATIENCE_S", 0.05)
    with pytest.raises(InputError, match=r"no runtime answered within 0.05 s; start `mimic serve BUNDLE`"):
        RobotProcess(SimRobot(Policy.load(bundle / "policy.onnx")), HOST, 9, latency_s=0, loss=0, seed=0).run(None)


def test_a_port_that_is_taken(bundle: Path):
    controller = Controller(bundle)
    with (
        Server(controller, HOST, 0) as first,
        pytest.raises(InputError, match=r"Address already in use; name another with --port"),
    ):
        Server(controller, *first.address)
    assert set(STATE_FIELDS) >= set(controller.needs)
