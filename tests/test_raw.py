"""The raw-state graph: recorded operations against numpy, every observation term against C MuJoCo, history against a loop."""

import dataclasses

import mujoco
import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.spatial.transform import Rotation
from stick import random_qpos, stick_body, stick_walk
from tiny import tiny_robot

from mimic.config import Config, GoalConfig, ObservationConfig
from mimic.deploy import recorded
from mimic.deploy.export import make_spec
from mimic.deploy.graph import assemble, policy_model
from mimic.deploy.raw import raw_model
from mimic.deploy.sim2sim import frame_of
from mimic.deploy.simulation import read_state
from mimic.deploy.spec import PolicySpec
from mimic.mdp.goals import KINDS
from mimic.mdp.limbs import Effector, limb_of
from mimic.mdp.observations import TERMS, BodyLayout, Observed, observe
from mimic.robots import Robot
from motions import rotations
from motions.kinematics import KinematicState
from motions.library import pack

BODY = stick_body()
JOINTS = len(BODY.joint_names)
AHEAD = (1, 7, 80, -3)


def stick_robot() -> Robot:
    tiny = tiny_robot()
    per_joint = {f.name: np.ones(JOINTS) for f in dataclasses.fields(Robot) if isinstance(getattr(tiny, f.name), np.ndarray)}
    per_joint["default_qpos"] = np.concatenate([BODY.model.qpos0[:7], 0.1 * np.arange(JOINTS)])
    return dataclasses.replace(
        tiny, name="stick", body=BODY, model=BODY.model, tracked_bodies=("pelvis", "torso", "right_shin", "left_foot"),
        anchor_body="torso", end_effectors=("left_foot",), **per_joint,
    )  # fmt: skip


ROBOT, WALK = stick_robot(), stick_walk()
CLIP = pack([WALK], BODY, ROBOT.tracked_bodies, 0.02).frames
IDS = BODY.body_ids(ROBOT.tracked_bodies)


def spec_of(*terms: str, **more) -> PolicySpec:
    goal = GoalConfig(kind=next((term for term in terms if term in KINDS), None))  # type: ignore[arg-type]
    return make_spec(Config(observation=ObservationConfig(actor=terms, future_frames=AHEAD, **more), goal=goal), ROBOT, WALK)


def mirror_network(size: int) -> onnx.ModelProto:
    """actions = the first J numbers of obs, unchanged."""
    kernel = np.eye(size, JOINTS, dtype=np.float32)
    return policy_model([(kernel, np.zeros(JOINTS, np.float32))], np.zeros(size), np.ones(size), 100.0, {})


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


class RawGraph:
    """A raw graph of `spec` that also gives out the observation it built."""

    def __init__(self, spec: PolicySpec, priors: np.ndarray):
        model = raw_model(mirror_network(spec.observation_size), spec, BODY, CLIP, priors, {})
        model.graph.output.add().name = "obs"
        self.session = session_of(model)
        self.inputs = [i.name for i in self.session.get_inputs()]

    def __call__(self, **raw) -> dict[str, np.ndarray]:
        names = [o.name for o in self.session.get_outputs()]
        feed = {name: np.asarray(value) for name, value in raw.items() if name in self.inputs}
        return dict(zip(names, self.session.run(None, feed)))


def random_raw(seed: int) -> tuple[dict[str, np.ndarray], KinematicState]:
    """A raw state, and the full state of it by C MuJoCo."""
    rng = np.random.default_rng(seed)
    data = mujoco.MjData(BODY.model)
    data.qpos[:] = random_qpos(BODY, 1, seed)[0].astype(np.float32)
    data.qvel[:] = rng.normal(size=BODY.model.nv).astype(np.float32)
    state = read_state(BODY.model, data, IDS)
    raw = {
        "root_pos": state.qpos[:3], "root_quat": state.qpos[3:7], "joint_pos": state.qpos[7:],
        "root_linvel": state.qvel[:3], "root_angvel": state.qvel[3:6], "joint_vel": state.qvel[6:],
        "last_action": rng.normal(size=JOINTS).astype(np.float32),
    }  # fmt: skip
    return raw, state


def expected_terms(names: tuple[str, ...], raw: dict, state: KinematicState, frame: int) -> np.ndarray:
    """By the observation functions in numpy on MuJoCo's state."""
    last = len(CLIP.qpos) - 1
    observed = Observed(
        state=state,
        reference=frame_of(CLIP, frame),
        future=KinematicState(*(part[[min(max(min(frame, last) + k, 0), last) for k in AHEAD]] for part in CLIP)),
        last_action=raw["last_action"],
        phase=np.float32(min(frame, last) / last),
        time=np.float32(frame * 0.02),
        drawn=np.zeros(0, np.float32),
        goal=raw.get("goal"),
    )
    limb = limb_of(BODY, ROBOT.default_qpos, "left_foot", ROBOT.end_effectors)
    effector = Effector(ROBOT.tracked_bodies.index("left_foot"), limb.tip)
    return observe(names, observed, BodyLayout(1, ROBOT.default_qpos[7:].astype(np.float32), effector))


@pytest.mark.parametrize("term", [name for name in TERMS if name != "randomization"])  # no robot can know that
def test_every_term_is_built_from_raw_state(term: str):
    graph = RawGraph(spec_of(term, "actions"), CLIP.qpos[:, 7:])
    last = len(CLIP.qpos) - 1
    for seed, frame in enumerate((0, 5, last - 1, last, last + 30)):
        raw, state = random_raw(seed)
        if term in KINDS:
            raw["goal"] = np.random.default_rng(seed).normal(size=len(KINDS[term].numbers)).astype(np.float32)
        out = graph(**raw, frame=frame)
        np.testing.assert_allclose(out["obs"][0], expected_terms((term, "actions"), raw, state, frame), atol=2e-5)


@pytest.mark.parametrize(
    ("terms", "unknown"),
    [
        (("command", "joint_pos", "projected_gravity", "base_ang_vel", "motion_anchor_ori_b"), {"root_pos", "root_linvel"}),
        (("body_pos_b", "body_ori_b", "clip_time"), {"root_pos", "root_linvel"}),  # relative: no matter where the root is
        (("base_lin_vel",), {"root_pos"}),
        (("motion_anchor_pos_b",), {"root_linvel"}),
        (("tracking_errors",), set()),
    ],
)
def test_only_what_the_terms_need_is_asked_for(terms: tuple[str, ...], unknown: set[str]):
    graph = RawGraph(spec_of(*terms, "joint_vel"), CLIP.qpos[:, 7:])
    everything = {
        "joint_pos", "joint_vel", "root_quat", "root_angvel", "root_pos", "root_linvel", "last_action", "frame",
    }  # fmt: skip
    assert set(graph.inputs) == everything - unknown


def test_what_only_the_history_needs_is_asked_for():
    graph = RawGraph(spec_of("joint_vel", history=2, history_terms=("base_lin_vel",)), CLIP.qpos[:, 7:])
    assert "root_linvel" in graph.inputs
    assert "root_pos" not in graph.inputs
    raw, state = random_raw(0)
    out = graph(**raw, frame=3, history=np.zeros(6, np.float32), first=True)
    np.testing.assert_allclose(out["next_history"][:3], expected_terms(("base_lin_vel",), raw, state, 3), atol=1e-5)


def test_target_aims_at_the_next_frame():
    priors = np.random.default_rng(0).normal(size=CLIP.qpos[:, 7:].shape).astype(np.float32)
    spec = spec_of("joint_vel")
    graph = RawGraph(spec, priors)
    raw, _ = random_raw(0)
    for frame, row in ((0, 1), (7, 8), (len(priors) - 2, -1), (len(priors) - 1, -1), (10**6, -1), (-9, 0)):
        out = graph(**raw, frame=frame)
        np.testing.assert_allclose(out["action"], raw["joint_vel"], atol=1e-6)
        np.testing.assert_allclose(out["target"], priors[row] + spec.action_scale * raw["joint_vel"], atol=1e-6)


def test_history_is_what_was_seen_before():
    """Five steps against a list of what was seen, remembered by the caller; the garbage given at the first step is not used."""
    names, depth = ("joint_pos", "actions"), 3
    graph = RawGraph(spec_of("joint_vel", *names, history=depth, history_terms=names), CLIP.qpos[:, 7:])
    size = 2 * JOINTS
    history, seen = np.full(depth * size, np.nan, np.float32), []
    for step in range(5):
        raw, state = random_raw(step)
        raw["last_action"] *= step > 0
        out = graph(**raw, frame=10 + step, history=history, first=step == 0)
        seen.insert(0, expected_terms(names, raw, state, 10 + step))
        before = [seen[min(k, len(seen) - 1)] for k in range(1, depth + 1)]
        np.testing.assert_allclose(out["obs"][0, JOINTS:], np.concatenate([seen[0], *before]), atol=1e-5)
        history = out["next_history"]
        assert history.shape == (depth * size,)


def test_file_suits_old_runtimes():
    spec = spec_of("tracking_errors", "clip_time")
    model = raw_model(mirror_network(spec.observation_size), spec, BODY, CLIP, CLIP.qpos[:, 7:], {"robot": "stick"})
    assert model.ir_version <= 8
    assert [opset.version for opset in model.opset_import] == [15]
    assert {p.key: p.value for p in model.metadata_props} == {"robot": "stick"}


ROTATIONS = {
    "quat_log": ((5, 4),), "quat_exp": ((5, 3),), "yaw_quat": ((5, 4),),
    "quat_to_rot6d": ((2, 5, 4),), "quat_mul": ((4,), (3, 4)), "quat_to_matrix": ((2, 4),),
    "quat_rotate": ((1, 4), (6, 3)), "slerp": ((5, 4), (5, 4), (5,)),
}  # fmt: skip


@pytest.mark.parametrize("name", ROTATIONS)
def test_recorded_rotations_equal_numpy(name: str):
    function, rng = getattr(rotations, name), np.random.default_rng(0)
    values = [rng.normal(size=shape).astype(np.float32) for shape in ROTATIONS[name]]
    for value in values:
        if value.shape[-1] == 4:
            value /= np.linalg.norm(value, axis=-1, keepdims=True)
            np.atleast_2d(value)[..., -1, :] = [1, 0, 0, 0]  # and the identity, where branches meet
    np.testing.assert_allclose(run_recorded(function, *values), function(*values), atol=1e-6)


def run_recorded(function, *values: np.ndarray) -> np.ndarray:
    inputs = {f"x{i}": recorded.argument(f"x{i}", value.shape, value.dtype) for i, value in enumerate(values)}
    result = function(*inputs.values())
    writer = recorded.GraphWriter()
    writer.write(result, "y")
    feed = dict(zip(inputs, values))
    return session_of(assemble(writer.graph, inputs, {"y": result}, {})).run(None, feed)[0]


@pytest.mark.parametrize(("name", "most"), [("quat_mul", 6), ("quat_rotate", 10)])
def test_a_rotation_is_few_operators(name: str, most: int):
    """Each costs a small network's robot a microsecond: what is written out by components would have forty."""
    sizes = {"quat_mul": 4, "quat_rotate": 3}
    writer = recorded.GraphWriter()
    writer.write(getattr(rotations, name)(recorded.argument("a", (4,)), recorded.argument("b", (sizes[name],))), "y")
    assert 1 < len(writer.graph.node) <= most


INDEXED = {
    "entry": lambda x: x[1, ..., 2], "negative": lambda x: x[-1],
    "slice": lambda x: x[1:, :, ::2], "new axis": lambda x: x[:, None],
    "indices": lambda x: x[:, np.array([3, 0, 3])], "reshaped": lambda x: x[:2].reshape(-1, 5), "empty": lambda x: x[..., :0, 1:],
    "of parts": lambda x: rotations.namespace(x).concatenate([x, np.ones((1, 4, 5), np.float32), x])[2:5],
    "of a stack": lambda x: rotations.namespace(x).stack([x, 2 * x, 3 - x], axis=1)[:, np.array([2, 0])],
    "of one of it": lambda x: rotations.namespace(x).stack([x[0], x[1] / 2], axis=-1)[..., 1],
}  # fmt: skip


@pytest.mark.parametrize("name", INDEXED)
def test_recorded_indexing_equals_numpy(name: str):
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    if name == "empty":
        assert INDEXED[name](recorded.argument("x", x.shape)).shape == INDEXED[name](x).shape
        return
    np.testing.assert_array_equal(run_recorded(INDEXED[name], x), INDEXED[name](x))


def test_recorded_arctan2_in_every_quadrant():
    y, x = (part.ravel().astype(np.float32) for part in np.meshgrid([-2, -1e-20, 0, 1e-20, 3], [-2, -1e-20, 0, 1e-20, 3]))
    np.testing.assert_allclose(run_recorded(lambda a, b: rotations.namespace(a).arctan2(a, b), y, x), np.arctan2(y, x), atol=1e-6)


def test_anchor_chain_is_the_torsos_pose():
    """Against MuJoCo, on a waist that is off the body's origin, oblique, and zero at .2 rad."""
    links = spec_of("joint_pos").anchor_chain
    data = mujoco.MjData(BODY.model)
    for qpos in random_qpos(BODY, 4):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(BODY.model, data)
        pos, turn = qpos[:3], Rotation.from_quat(qpos[3:7], scalar_first=True)
        for link in links:
            pos = pos + turn.apply(link.pos)
            turn = turn * Rotation.from_quat(link.quat, scalar_first=True)
            if link.joint is not None:
                turn = turn * Rotation.from_rotvec(qpos[7 + link.joint] * np.array(link.axis))
        torso = data.body("torso")
        np.testing.assert_allclose(pos, torso.xpos, atol=1e-12)
        np.testing.assert_allclose(turn.as_matrix().ravel(), torso.xmat, atol=1e-12)
