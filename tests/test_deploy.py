"""Export and runtime: the ONNX graphs against loops, the runtime against the trainer's task, and damaged files."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.spatial.transform import Rotation
from tiny_policy import CONFIG, MOTION, ROBOT, exported, random_network

from mimic.config import ActionConfig, Config, NetworkConfig, ObservationConfig
from mimic.deploy.export import export_policy, make_spec
from mimic.deploy.graph import Layers, policy_model
from mimic.deploy.sim2sim import Policy, rollout
from mimic.deploy.simulation import read_state
from mimic.deploy.spec import read_spec, write_spec
from mimic.learning.networks import actor_layers, make_networks
from mimic.mdp.inverse_dynamics import reference_torques
from mimic.sim.native import NativePhysics
from mimic.tasks.tracking import Tracking
from motions.errors import InputError
from motions.kinematics import kinematic_state
from motions.library import pack
from motions.motion import load_motion, resample

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def policy_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("policy"))


def loops(layers: Layers, mean: np.ndarray, std: np.ndarray, clip: float, obs: np.ndarray) -> list[float]:
    """One observation through the network, neuron by neuron."""
    x = [min(max((float(o) - float(m)) / float(s), -clip), clip) for o, m, s in zip(obs, mean, std)]
    for i, (kernel, bias) in enumerate(layers):
        y = [sum(x[a] * float(kernel[a, b]) for a in range(len(x))) + float(bias[b]) for b in range(len(bias))]
        x = y if i == len(layers) - 1 else [v if v > 0 else float(np.exp(v)) - 1 for v in y]
    return x


def test_graph_equals_the_network_in_loops():
    layers, mean, std = random_network(CONFIG)
    session = onnxruntime.InferenceSession(policy_model(layers, mean, std, 2.0, {}).SerializeToString())
    obs = 3 * np.random.default_rng(1).normal(size=(5, len(mean))).astype(np.float32)
    actions = session.run(None, {"obs": obs})[0]
    np.testing.assert_allclose(actions, [loops(layers, mean, std, 2.0, o) for o in obs], atol=1e-6)


def test_graph_equals_the_trainers_actor():
    """A G1-sized actor in flax, on observations as large as the clip lets through."""
    networks = make_networks(NetworkConfig(), 29, actor_size=163)
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda key: networks.init(key, 300), jax.random.key(0))  # an orthogonal init is slow to compile
    params = jax.tree.map(lambda w: jnp.asarray(rng.normal(size=w.shape, scale=w.shape[0] ** -0.5), jnp.float32), shapes)
    obs = np.random.default_rng(2).normal(size=(64, 163), scale=4).astype(np.float32)
    model = policy_model(actor_layers(params), np.zeros(163), np.ones(163), 10.0, {})
    actions = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"obs": obs})[0]
    expected = networks.policy(params, jnp.clip(obs, -10, 10))[0]
    np.testing.assert_allclose(actions, expected, atol=1e-5, rtol=1e-5)


def test_file_suits_old_runtimes(policy_path: Path):
    model = onnx.load(policy_path, load_external_data=False)
    assert model.ir_version <= 8
    assert [opset.version for opset in model.opset_import] == [15]
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    assert [i.name for i in model.graph.input] == ["obs"]
    assert [o.name for o in model.graph.output] == ["actions"]


def test_spec_says_everything(policy_path: Path):
    table = json.loads(policy_path.with_suffix(".json").read_text())
    assert table["joint_names"] == list(ROBOT.joint_names)
    assert table["kp"] == [60.0] * 4
    assert table["action_scale"] == [0.25 * 30 / 60] * 4
    assert table["control_rate_hz"] == 50
    assert table["observation_size"] == 8 + 3 + 6 + 3 + 3 + 4 + 4 + 4
    assert [(t["name"], t["start"], t["size"]) for t in table["observation"]][:3] == [
        ("command", 0, 8), ("motion_anchor_pos_b", 8, 3), ("motion_anchor_ori_b", 11, 6),
    ]  # fmt: skip
    assert all("[" in t["meaning"] for t in table["observation"] if t["name"] not in ("actions", "motion_anchor_ori_b"))
    assert table["motion"]["licence"] == "Apache-2.0"
    assert table["provenance"]["git_commit"] == "abc"
    assert "qdot_ref" in table["action_formula"]


def test_spec_round_trip(tmp_path: Path, policy_path: Path):
    spec = read_spec(policy_path.with_suffix(".json"))
    write_spec(spec, tmp_path / "again.json")
    assert read_spec(tmp_path / "again.json") == spec
    assert dataclasses.replace(spec, files={}) == make_spec(CONFIG, ROBOT, MOTION, {"git_commit": "abc"})


def test_carried_clip_is_a_motion_with_its_states(policy_path: Path):
    """The npz is our own format at the control rate; its extra arrays are what the runtime computes."""
    path = policy_path.with_suffix(".npz")
    motion = load_motion(path)
    np.testing.assert_allclose(motion.qpos, resample(MOTION, 50).qpos, atol=1e-6)
    with np.load(path) as data:
        for name, values in Policy.load(policy_path).reference(motion)._asdict().items():
            np.testing.assert_allclose(data[name], values, atol=2e-5, err_msg=name)


def test_state_equals_forward_kinematics():
    """Positions and origin velocities of MuJoCo's engine against our own kinematics, after a step has made them stale."""
    rng = np.random.default_rng(3)
    data = mujoco.MjData(ROBOT.model)
    data.qpos[:] = np.concatenate([[0.1, 0.2, 2], [0.5, -0.5, 0.1, 0.7], rng.normal(size=4)])
    data.qpos[3:7] /= np.linalg.norm(data.qpos[3:7])
    data.qvel[:] = rng.normal(size=10)
    mujoco.mj_step(ROBOT.model, data)
    ids = ROBOT.body.body_ids(ROBOT.tracked_bodies)
    expected = kinematic_state(ROBOT.body, data.qpos.copy(), data.qvel.copy(), ids)
    for name, values in read_state(ROBOT.model, data, ids)._asdict().items():
        np.testing.assert_allclose(values, getattr(expected, name), atol=1e-5, err_msg=name)


CONFIGS = {
    "default": Config(),
    "contract": CONFIG,
    "absolute": dataclasses.replace(CONFIG, action=ActionConfig(prior="default", scale=0.4)),
    "future": Config(observation=ObservationConfig(actor=("future", "phase", "body_pos_b", "actions"), future_frames=(1, 5, 40))),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_runtime_is_the_trainers_task(name: str, tmp_path: Path):
    """Same observations, targets and states as `Tracking` on native physics, step by step."""
    config = CONFIGS[name]
    policy = Policy.load(exported(tmp_path, config))
    run = rollout(policy)
    library = pack([MOTION], ROBOT.body, ROBOT.tracked_bodies, config.sim.ctrl_dt)
    task = Tracking(config, ROBOT, NativePhysics(ROBOT, config.sim.n_substeps, nthread=1), library)
    chance, curriculum = task.chance(jax.random.key(0)), task.init_curriculum()
    step, observe = jax.jit(task.step), jax.jit(task.observe)
    env = task.reset_to(jnp.int32(0), jnp.int32(0))
    for f in range(40):
        np.testing.assert_allclose(observe(env)[0], run.observations[f], atol=5e-4, err_msg=f"frame {f}")
        env, _ = step(env, run.actions[f], chance, curriculum)
        np.testing.assert_allclose(env.physics.kinematics.xpos, run.states.xpos[f + 1], atol=1e-4, err_msg=f"frame {f}")
    assert len(run.states.qpos) == run.frames == 101
    assert policy.observation(env.physics.kinematics, policy.reference(MOTION), 100, run.actions[0])[0].dtype == np.float32


def test_vectors_replay(policy_path: Path):
    """Whoever rewrites the runtime can check each stage: here the stages are written out anew."""
    policy = Policy.load(policy_path)
    clip = policy.reference(policy.motion)
    with np.load(policy_path.with_suffix(".test_vectors.npz")) as data:
        v = dict(data)
    with np.load(policy_path.with_suffix(".npz")) as data:  # what an action of zero asks for, for those without inverse dynamics
        priors = data["prior_targets"]
    torques = reference_torques(ROBOT.model, clip.qpos, clip.qvel, 50.0, CONFIG.sim.friction)
    by_hand = clip.qpos[:, 7:] + 2 / 60 * clip.qvel[:, 6:] + np.clip(torques, -ROBOT.effort, ROBOT.effort) / 60
    np.testing.assert_allclose(priors, by_hand, atol=1e-6)
    assert len(v["obs"]) == 100
    assert not v["last_action"][0].any()
    ids = ROBOT.body.body_ids(ROBOT.tracked_bodies)
    state = kinematic_state(ROBOT.body, v["qpos"], v["qvel"], ids)
    for i in (0, 1, 50, 99):
        f = v["frame"][i]
        turn = Rotation.from_quat(state.xquat[i, 0], scalar_first=True).inv()
        root = Rotation.from_quat(v["qpos"][i, 3:7], scalar_first=True).inv()
        anchor = turn * Rotation.from_quat(clip.xquat[f, 0], scalar_first=True)
        expected = [
            clip.qpos[f, 7:], clip.qvel[f, 6:], turn.apply(clip.xpos[f, 0] - state.xpos[i, 0]), anchor.as_matrix()[:, :2].ravel(),
            root.apply(v["qvel"][i, :3]), v["qvel"][i, 3:6], v["qpos"][i, 7:] - [0.1, 0.1, -0.1, -0.1], v["qvel"][i, 6:],
            v["last_action"][i],
        ]  # fmt: skip
        np.testing.assert_allclose(v["obs"][i], np.concatenate(expected), atol=1e-5)
        np.testing.assert_allclose(policy.act(v["obs"][i]), v["action"][i], atol=1e-6)
        after = min(f + 1, 100)
        target = priors[after] + 0.125 * v["action"][i]
        np.testing.assert_allclose(v["target"][i], target, atol=1e-6)


def test_runtime_needs_no_jax(policy_path: Path):
    program = (
        "import sys\n"
        "from mimic.play import play\n"
        "result = play(sys.argv[1])\n"
        "assert result.clips[0]['frames'] == 101\n"
        "loaded = [name for name in ('jax', 'flax', 'brax', 'onnx') if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(policy_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "E_mpbpe" in done.stdout


def test_a_control_step_is_quick(policy_path: Path):
    """A G1-sized network and the tiny robot's observation; the figure is 1 ms, the bound allows for a busy machine."""
    layers, mean, std = random_network(CONFIG, hidden=(512, 256, 128))
    policy = Policy.load(policy_path)
    network = policy_model(layers, mean, std, 10.0, {}).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    policy = dataclasses.replace(policy, session=onnxruntime.InferenceSession(network, options))
    assert np.median(rollout(policy).step_ms) < 3.0


# Bad input


@pytest.fixture
def copy_of_policy(policy_path: Path, tmp_path: Path) -> Path:
    for file in policy_path.parent.iterdir():
        shutil.copy(file, tmp_path)
    return tmp_path / "policy.onnx"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(path: Path, change) -> None:
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))


@pytest.mark.parametrize("suffix", [".onnx", ".json", ".xml", ".npz"])
def test_missing_file(copy_of_policy: Path, suffix: str):
    copy_of_policy.with_suffix(suffix).unlink()
    with pytest.raises(InputError, match=f"policy\\{suffix}"):
        Policy.load(copy_of_policy)


@pytest.mark.parametrize("suffix", [".onnx", ".json", ".xml", ".npz"])
def test_truncated_file(copy_of_policy: Path, suffix: str):
    truncate(copy_of_policy.with_suffix(suffix))
    with pytest.raises(InputError, match=f"policy\\{suffix}"):
        Policy.load(copy_of_policy)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.update(kind="something"), "not a policy spec"),
        (lambda t: t.update(schema=99), "schema 99"),
        (lambda t: t.update(stiffness=[1]), "unknown key.*stiffness"),
        (lambda t: t.pop("kd"), "kd"),
        (lambda t: t.update(kp=[1.0, 2.0]), "kp must hold 4"),
        (lambda t: t.update(kp=["a"] * 4), "kp must hold 4"),
        (lambda t: t.update(anchor_body="head"), "head"),
        (lambda t: t["observation"][1].update(start=5), "starts at 5"),
        (lambda t: t["observation"][1].update(sise=5), "sise"),
        (lambda t: t["action"].update(prior="nothing"), "nothing"),
        (lambda t: t.update(sim=3), "sim"),
        (lambda t: t.update(observation=[]), "inputs and outputs"),
        (lambda t: t["files"].pop("model"), "lacks model"),
        (lambda t: t.update(joint_names=["a", "b", "c", "d"]), "joints are not the policy's"),
    ],
)
def test_wrong_spec(copy_of_policy: Path, change, says: str):
    edit(copy_of_policy.with_suffix(".json"), change)
    with pytest.raises(InputError, match=says):
        Policy.load(copy_of_policy)


def test_another_policys_network(copy_of_policy: Path):
    other = policy_model(*random_network(CONFIG, hidden=(8,)), 10.0, {})
    onnx.save(other, copy_of_policy)
    with pytest.raises(InputError, match="not the network"):
        Policy.load(copy_of_policy)


def test_motion_of_another_robot(policy_path: Path):
    policy = Policy.load(policy_path)
    wrong = dataclasses.replace(MOTION, joint_names=("a", "b", "c", "d"))
    with pytest.raises(InputError, match="does not fit robot"):
        rollout(policy, wrong)


def test_unwritable_and_misnamed_output(tmp_path: Path):
    network = random_network(CONFIG)
    with pytest.raises(InputError, match=r"must end in \.onnx"):
        export_policy(*network, CONFIG, ROBOT, MOTION, tmp_path / "policy.pt")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        export_policy(*network, CONFIG, ROBOT, MOTION, tmp_path / "file" / "policy.onnx")
    (tmp_path / "policy.xml").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        export_policy(*network, CONFIG, ROBOT, MOTION, tmp_path / "policy.onnx")
