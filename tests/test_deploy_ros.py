"""The ROS-side contract: one graph with the clip inside, read by a controller written from its description."""

import dataclasses
import json
from pathlib import Path

import mujoco
import numpy as np
import onnxruntime
import pytest
from scipy.spatial.transform import Rotation
from tiny_policy import CONFIG, MOTION, ROBOT, random_network

from mimic.config import ActionConfig, Config
from mimic.deploy.export import ROS_TERMS, export_policy, export_ros_contract
from mimic.deploy.sim2sim import Policy, rollout
from mimic.deploy.simulation import read_state
from motions.errors import InputError
from motions.kinematics import finite_difference_qvel, kinematic_state
from motions.motion import resample


class Reader:
    """The controller that reads the contract, written from its description: metadata, obs, target, feedback.

    lead: how far its time_step is ahead of the frame it observes; the ROS controller's is 1, since it runs the graph
    once with an empty observation at reset and observes the reference that this run gave out.
    """

    def __init__(self, path: Path, lead: int) -> None:
        self.session = onnxruntime.InferenceSession(str(path))
        self.outputs = [o.name for o in self.session.get_outputs()]
        meta = self.session.get_modelmeta().custom_metadata_map
        self.default = np.array([float(x) for x in meta["default_joint_pos"].split(",")])
        self.scale = np.array([float(x) for x in meta["action_scale"].split(",")])
        self.names = meta["observation_names"].split(",")
        self.anchor = meta["body_names"].split(",").index(meta["anchor_body_name"])
        self.model = ROBOT.model
        self.data = mujoco.MjData(self.model)
        self.ids = ROBOT.body.body_ids(tuple(meta["body_names"].split(",")))
        self.last_action, self.time_step = np.zeros(4), 0
        size = self.session.get_inputs()[0].shape[1]
        self.run(np.zeros(size))
        if lead == 0:
            self.last_action, self.time_step = np.zeros(4), 0

    def run(self, obs: np.ndarray) -> None:
        feed = {"obs": obs[None].astype(np.float32), "time_step": np.array([[self.time_step]], np.float32)}
        self.out = dict(zip(self.outputs, self.session.run(None, feed)))
        self.time_step += 1
        self.last_action = self.out["actions"][0].astype(float)

    def reference_for(self, lead: int) -> dict[str, np.ndarray]:
        """What it observes: the last run's outputs (lead 1), or a look at the frame of its own time_step (lead 0)."""
        if lead == 1:
            return self.out
        feed = {
            "obs": np.zeros(self.session.get_inputs()[0].shape, np.float32),
            "time_step": np.array([[self.time_step]], np.float32),
        }
        return dict(zip(self.outputs, self.session.run(None, feed)))

    def observation(self, reference: dict[str, np.ndarray]) -> np.ndarray:
        q, qd = self.data.qpos, self.data.qvel
        root = Rotation.from_quat(q[3:7], scalar_first=True).inv()
        body = self.ids[self.anchor]
        anchor = Rotation.from_quat(self.data.xquat[body], scalar_first=True).inv()
        ori = anchor * Rotation.from_quat(reference["body_quat_w"][0, self.anchor], scalar_first=True)
        terms = {
            "command": np.concatenate([reference["joint_pos"][0], reference["joint_vel"][0]]),
            "motion_anchor_pos_b": anchor.apply(reference["body_pos_w"][0, self.anchor] - self.data.xpos[body]),
            "motion_anchor_ori_b": ori.as_matrix()[:, :2].ravel(),
            "base_lin_vel": root.apply(qd[:3]),
            "base_ang_vel": qd[3:6],
            "joint_pos": q[7:] - self.default,
            "joint_vel": qd[6:],
            "actions": self.last_action,
        }
        return np.concatenate([terms[name] for name in self.names])

    def control(self, lead: int) -> np.ndarray:
        mujoco.mj_kinematics(self.model, self.data)
        self.run(self.observation(self.reference_for(lead)))
        return self.default + self.scale * self.last_action


@pytest.mark.parametrize("lead", [0, 1])
@pytest.mark.parametrize(
    "action", [ActionConfig(), ActionConfig(feed_forward="velocity"), ActionConfig(prior="default")], ids=str
)
def test_ros_reader_moves_the_robot_as_the_native_runtime_does(lead: int, action: ActionConfig, tmp_path: Path):
    """Closed loop, every target, to beyond the end of the clip."""
    config = dataclasses.replace(CONFIG, action=action)
    network = random_network(config)
    policy = Policy.load(export_policy(*network, config, ROBOT, MOTION, tmp_path / "native.onnx"))
    path = export_ros_contract(*network, config, ROBOT, MOTION, tmp_path / "ros.onnx")
    run = rollout(policy)
    reader = Reader(path, lead)
    reader.data.qpos[:], reader.data.qvel[:] = run.states.qpos[0], run.states.qvel[0]
    assert len(run.targets) == 100
    for step in range(100):
        target = reader.control(lead)
        np.testing.assert_allclose(target, run.targets[step], atol=2e-4, err_msg=f"step {step}")
        reader.data.ctrl[:] = target
        mujoco.mj_step(reader.model, reader.data, config.sim.n_substeps)
    clip = policy.reference(MOTION)
    priors = policy.priors(clip)
    for step in range(100, 104):  # past the end the last frame stays
        state = read_state(reader.model, reader.data, policy.tracked_ids)
        last_action = (
            (reader.last_action * reader.scale + reader.default) - policy.target(priors, 100, np.zeros(4))
        ) / reader.scale
        expected = policy.target(
            priors, step, policy.act(policy.observation(state, clip, step, last_action.astype(np.float32))[0])
        )
        np.testing.assert_allclose(reader.control(lead), expected, atol=2e-4, err_msg=f"step {step}")


def test_ros_outputs_and_metadata(tmp_path: Path):
    path = export_ros_contract(*random_network(CONFIG), CONFIG, ROBOT, MOTION, tmp_path / "ros.onnx")
    session = onnxruntime.InferenceSession(str(path))
    assert {i.name: i.shape for i in session.get_inputs()} == {"obs": [1, 35], "time_step": [1, 1]}
    clip = resample(MOTION, 50)
    qvel = finite_difference_qvel(clip.qpos, 50)
    state = kinematic_state(ROBOT.body, clip.qpos, qvel, ROBOT.body.body_ids(ROBOT.tracked_bodies))
    for time_step, frame in ((0, 0), (37, 37), (100, 100), (5000, 100), (-3, 0)):
        feed = {"obs": np.zeros((1, 35), np.float32), "time_step": np.array([[time_step]], np.float32)}
        out = dict(zip((o.name for o in session.get_outputs()), session.run(None, feed)))
        np.testing.assert_allclose(out["joint_pos"][0], clip.qpos[frame, 7:], atol=1e-6)
        np.testing.assert_allclose(out["joint_vel"][0], qvel[frame, 6:], atol=1e-5)
        for name, part in (("pos", "xpos"), ("quat", "xquat"), ("lin_vel", "xlinvel"), ("ang_vel", "xangvel")):
            np.testing.assert_allclose(out[f"body_{name}_w"][0], getattr(state, part)[frame], atol=1e-5)
    meta = session.get_modelmeta().custom_metadata_map
    assert meta["joint_names"].split(",") == list(ROBOT.joint_names)
    assert [float(x) for x in meta["joint_stiffness"].split(",")] == ROBOT.kp.tolist()
    assert meta["observation_names"].split(",") == list(ROS_TERMS)
    assert json.loads(meta["mimic"])["action"]["feed_forward"] == "dynamics"


def test_ros_numbers_keep_full_precision(tmp_path: Path):
    robot = dataclasses.replace(ROBOT, kp=np.full(4, 40.17923847137318))
    path = export_ros_contract(*random_network(CONFIG), CONFIG, robot, MOTION, tmp_path / "ros.onnx")
    assert (
        onnxruntime.InferenceSession(str(path))
        .get_modelmeta()
        .custom_metadata_map["joint_stiffness"]
        .startswith("40.17923847137318,")
    )


def test_ros_contract_refuses_terms_it_does_not_know(tmp_path: Path):
    with pytest.raises(InputError, match="projected_gravity"):
        export_ros_contract(*random_network(Config()), Config(), ROBOT, MOTION, tmp_path / "ros.onnx")
    assert not (tmp_path / "ros.onnx").exists()
