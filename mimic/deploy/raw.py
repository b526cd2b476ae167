"""The graph for those who build no observation: raw robot state in, joint targets out, the clip inside.

The observation in it is recorded from `mimic.mdp.observations` itself, its body poses from `motions.kinematics`.
"""

import numpy as np
import onnx

from mimic.deploy.graph import assemble
from mimic.deploy.recorded import GraphWriter, argument
from mimic.deploy.spec import PolicySpec
from mimic.deploy.told import terms_of
from mimic.mdp.goals import KINDS
from mimic.mdp.observations import BodyLayout, Observed, observe
from mimic.mdp.striking import strike_of, turned_to
from motions.kinematics import Body, KinematicState, kinematic_state
from motions.rotations import Array, namespace

ESTIMATED = ("root_pos", "root_linvel")  # what no sensor of a robot measures: asked for only where a term depends on it
_STEADY = 1e-9  # double precision: an observation that moves less than this does not depend on what was moved


class RawObserver:
    """The observation of one policy as a function of raw robot state; numpy or `Recorded`, without batch axes.

    Raw state, by name: joint_pos (J,) [rad], joint_vel (J,) [rad/s], root_quat (4,) wxyz, root_angvel (3,) [rad/s] in the
    root's frame, root_pos (3,) [m] and root_linvel (3,) [m/s] in the world, last_action (J,); goal (G,), where it is told one.
    """

    def __init__(self, spec: PolicySpec, body: Body, clip: KinematicState):
        """clip: the reference states (F, ...) at the control rate, float32."""
        self.spec, self.body, self.clip = spec, body, clip
        self._tracked_ids = body.body_ids(spec.tracked_bodies)
        told = terms_of(spec)
        self._effector = None if told is None else told.effector
        self._layout = BodyLayout(spec.anchor, np.array(spec.default_joints), self._effector)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The raw state that this policy depends on, in the graph's order."""
        joints = len(self.spec.joint_names)
        needed = {"joint_pos": (joints,), "joint_vel": (joints,), "root_quat": (4,), "root_angvel": (3,)}
        needed |= {name: (3,) for name in ESTIMATED if self._depends_on(name)}
        return needed | {"last_action": (joints,)} | self._told

    @property
    def _told(self) -> dict[str, tuple[int, ...]]:
        return {} if self.spec.goal is None else {"goal": (len(self.spec.goal.numbers),)}

    def __call__(self, raw: dict[str, Array], frame: Array) -> tuple[Array, Array]:
        """The terms of now (N,), and those of them that are remembered (H,), with the cursor at `frame` (integer, ())."""
        xp = namespace(raw["joint_pos"])
        absent = np.zeros(3, raw["joint_pos"].dtype)
        qpos = xp.concatenate([raw.get("root_pos", absent), raw["root_quat"], raw["joint_pos"]])
        qvel = xp.concatenate([raw.get("root_linvel", absent), raw["root_angvel"], raw["joint_vel"]])
        last = len(self.clip.qpos) - 1
        now = self.at(frame)
        ahead = self.at(now[None] + np.array(self.spec.future_frames, np.int64))
        goal = raw.get("goal")
        observed = Observed(
            state=kinematic_state(self.body, qpos, qvel, self._tracked_ids),
            reference=self._aimed(KinematicState(*(xp.take(part, now, axis=0) for part in self.clip)), now, goal),
            future=self._aimed(KinematicState(*(xp.take(part, ahead, axis=0) for part in self.clip)), ahead, goal),
            last_action=raw["last_action"],
            phase=xp.take(np.float32(np.arange(last + 1) / max(last, 1)), now, axis=0),
            drawn=np.zeros(0, np.float32),
            time=(frame.astype(np.float64) * self.spec.ctrl_dt).astype(np.float32),
            goal=goal,
        )
        return observe(self.spec.terms, observed, self._layout), observe(self.spec.history_terms, observed, self._layout)

    def _aimed(self, frames: KinematicState, number: Array, goal: Array | None) -> KinematicState:
        """Frames as they are followed: on the way to the target, where there is one."""
        if goal is None or self.spec.goal is None or not KINDS[self.spec.goal.kind].once:
            return frames
        assert self._effector is not None
        strike = strike_of(self.clip, self._effector.body)
        target = goal[None, :2] if number.ndim else goal[:2]
        return turned_to(frames, number.astype(np.float32), strike, target, self.spec.ctrl_dt)

    def at(self, frame: Array) -> Array:
        """`frame`, held within the clip."""
        xp = namespace(frame)
        return xp.maximum(xp.minimum(frame, np.array(len(self.clip.qpos) - 1)), np.array(0))

    def _depends_on(self, name: str) -> bool:
        """Whether the observation, of now or remembered, moves with the raw quantity `name`: tried out in double precision."""
        rng = np.random.default_rng(0)
        joints = len(self.spec.joint_names)
        sizes = {"joint_pos": joints, "joint_vel": joints, "root_quat": 4, "root_angvel": 3, "last_action": joints}
        raw = {key: rng.normal(size=size) for key, size in (sizes | dict.fromkeys(ESTIMATED, 3) | self._told).items()}
        raw["root_quat"] /= np.linalg.norm(raw["root_quat"])
        frame = np.asarray(len(self.clip.qpos) // 2)
        before, after = (np.concatenate(self(state, frame)) for state in (raw, raw | {name: rng.normal(size=3)}))
        return bool(np.abs(after - before).max() > _STEADY)


def raw_model(
    network: onnx.ModelProto, spec: PolicySpec, body: Body, clip: KinematicState, priors: np.ndarray, metadata: dict[str, str]
) -> onnx.ModelProto:
    """`network` (input obs, output actions, as `policy_model` makes it) between raw robot state and joint targets.

    Inputs: the `RawObserver.shapes` of this policy as float32, and frame, an int64 scalar; with an observation history also
    history (n H,), the remembered terms of the last n steps, the most recent first, and first, a boolean scalar: true at the
    first step, where history is not looked at. Outputs target (J,) [rad], action (J,), and history (n H,) for the next step.
    """
    observer = RawObserver(spec, body, clip)
    inputs = {name: argument(name, shape) for name, shape in observer.shapes.items()}
    frame = inputs["frame"] = argument("frame", (), np.int64)
    obs, remembered = observer({name: inputs[name] for name in observer.shapes}, frame)
    writer, outputs = GraphWriter(), {}
    if spec.history:
        size = spec.history * remembered.shape[0]
        given, first = argument("history", (size,)), argument("first", (), bool)
        inputs |= {"history": given, "first": first}
        xp = namespace(given)
        history = xp.where(first, xp.concatenate([remembered] * spec.history), given)
        obs = xp.concatenate([obs, history])
        outputs["next_history"] = xp.concatenate([remembered, history[: size - remembered.shape[0]]])
    action = argument("actions", (1, len(spec.joint_names)))[0]
    prior = namespace(frame).take(priors, observer.at(frame + 1), axis=0)
    outputs |= {"target": prior + np.array(spec.action_scale) * action, "action": action}
    writer.write(obs[None], "obs")
    writer.graph.node.extend(network.graph.node)
    writer.graph.initializer.extend(network.graph.initializer)
    for name, value in outputs.items():
        writer.write(value, name)
    return assemble(writer.graph, inputs, outputs, metadata)
