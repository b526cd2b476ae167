"""The body of `mimic sim-robot`, the rehearsal partner of `mimic serve`: sensors, motors and physics in plain MuJoCo.

Its compass and its odometry have origins of their own, as on a robot. Its root is held until the runtime says RUN, and again
while it says BLEND. From when it is let go, what the body does is compared with the clip.
"""

from typing import Any

import mujoco
import numpy as np

from mimic.deploy.messages import COMMAND_FIELDS
from mimic.deploy.policy import State
from mimic.deploy.sim2sim import Policy
from mimic.deploy.simulation import read_state
from mimic.metrics import clip_metrics
from mimic.robots.actuators import limit_torques
from motions.kinematics import KinematicState, shifted, turned
from motions.rotations import quat_conj, quat_mul, quat_rotate, yaw_quat


class SimRobot:
    """The simulated robot of a policy. It has no clock of its own: whoever calls `step` does.

    `from_default`: held in the default pose, and let go at rest; else it is let go in the clip's first frame, moving as that
    does. seed: of where its compass and its odometry begin.
    """

    def __init__(self, policy: Policy, *, from_default: bool = False, seed: int = 0):
        self.policy, self.model, self.from_default = policy, policy.model, from_default
        self.data = mujoco.MjData(self.model)
        self.clip = policy.reference(policy.motion)
        self.held = True
        self.command: dict[str, Any] = {name: np.zeros(len(policy.spec.joint_names)) for name in COMMAND_FIELDS}
        self.command |= {"state": int(State.WAIT), "frame": 0}
        self.rows: list[dict[str, Any]] = []
        self.states: list[KinematicState] = []
        self._steps = 0  # physics steps since it was let go
        self._gravity, self._effort = self.model.opt.gravity.copy(), np.array(policy.spec.effort)
        half, x, y = np.random.default_rng(seed).uniform([-np.pi / 2, -1, -1], [np.pi / 2, 1, 1])
        self._turn, self._shift = np.array([np.cos(half), 0.0, 0.0, np.sin(half)]), np.array([x, y, 0.0])
        self._place()
        if from_default:
            self.data.qpos[7:], self.data.qvel[:] = policy.spec.default_joints, 0.0
        self._hold(True)

    def description(self) -> dict[str, Any]:
        """What a hello says."""
        spec, limits = self.policy.spec, self.policy.body.joint_range
        lower, upper = ([float(limit) if np.isfinite(limit) else None for limit in column] for column in limits.T)
        return {
            "joint_names": list(spec.joint_names), "joint_lower": lower, "joint_upper": upper, "effort": list(spec.effort),
            "control_rate_hz": 1.0 / spec.ctrl_dt,
        }  # fmt: skip

    def measure(self) -> dict[str, np.ndarray]:
        """What the sensors say: joints and gyroscope as they are, the rest by its compass and its odometry."""
        qpos, qvel = self.data.qpos, self.data.qvel
        return {
            "joint_pos": qpos[7:],
            "joint_vel": qvel[6:],
            "root_quat": quat_mul(self._turn, qpos[3:7]),
            "root_angvel": qvel[3:6],
            "root_pos": quat_rotate(self._turn, qpos[:3]) + self._shift,
            "root_linvel": quat_rotate(self._turn, qvel[:3]),
        }

    def obey(self, command: dict[str, Any]) -> None:
        """Take a command to the motors. RUN lets the robot go; BLEND after that holds it again."""
        began_again = command["state"] == State.RUN and command["frame"] < self.command["frame"]
        self.command = command
        if self.held and command["state"] == State.RUN:
            self._hold(False)
            self._steps, self.states = 0, [self._state()]
        elif began_again:  # a clip that loops
            self._finish()
            self._steps, self.states = 0, [self._state()]
        elif not self.held and command["state"] == State.BLEND:
            self._finish()
            joints = self.data.qpos[7:].copy()
            self._place()
            if self.from_default:
                self.data.qpos[7:], self.data.qvel[:] = joints, 0.0
            self._hold(True)
        model = self.model  # torque = clip(kp (target - q) - kd qdot + torque, -effort, effort)
        model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 0] = command["kp"], command["torque"]
        model.actuator_biasprm[:, 1], model.actuator_biasprm[:, 2] = -command["kp"], -command["kd"]
        self.data.ctrl[:] = command["target"]

    def damp(self) -> None:
        """What a robot does by itself when no command comes any more."""
        nothing = {name: np.zeros_like(self.command["kp"]) for name in ("kp", "torque")}
        self.obey(self.command | nothing | {"state": int(State.DAMP)})

    def step(self) -> None:
        """One physics step."""
        if self.held and not self.from_default:
            return
        curve = self.policy.spec.curve
        if curve is not None:
            limit_torques(self.model, self.data, self._effort, *curve)
        mujoco.mj_step(self.model, self.data)
        if self.held:
            self.data.qpos[:7], self.data.qvel[:6] = self.clip.qpos[0, :7], 0.0
            return
        self._steps += 1
        if self._steps % self.policy.spec.sim.n_substeps == 0 and self.states:
            self.states.append(self._state())
            if len(self.states) == len(self.clip.qpos):
                self._finish()

    def finish(self) -> None:
        """To call at the end: a row for what was begun, unless it was going well when it was cut short."""
        if self.states and (not self.rows or self.command["state"] != State.RUN):
            self._finish()

    def _finish(self) -> None:
        """The row of what was recorded since the robot was let go."""
        spec = self.policy.spec
        if self.states:
            states = KinematicState(*(np.stack(column) for column in zip(*self.states, strict=True)))
            reference = KinematicState(*(part[: len(self.states)] for part in self.clip))
            row = clip_metrics(
                self.policy.motion.name, len(self.clip.qpos), laid_on(states, reference, spec.anchor), reference,
                anchor=spec.anchor, end_effectors=spec.end_effector_indices, termination=spec.termination,
            )  # fmt: skip
            self.rows.append(row)
        self.states = []

    def _state(self) -> KinematicState:
        return read_state(self.model, self.data, self.policy.tracked_ids)

    def _place(self) -> None:
        """At the clip's first frame."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = self.clip.qpos[0], self.clip.qvel[0]

    def _hold(self, held: bool) -> None:
        """A held robot weighs nothing and touches nothing: it comes to its first pose wherever the ground is."""
        self.held = held
        contact = int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
        flags = self.model.opt.disableflags
        self.model.opt.disableflags = flags | contact if held else flags & ~contact
        self.model.opt.gravity[:] = 0.0 if held else self._gravity


def laid_on(states: KinematicState, reference: KinematicState, anchor: int) -> KinematicState:
    """`states` (F, ...) turned and moved as a whole so that they begin facing, and standing, where the reference does.

    What a robot that went through a looping clip before is compared with; one that was just let go is there already.
    """
    turn = yaw_quat(quat_mul(reference.xquat[0, anchor], quat_conj(states.xquat[0, anchor])))
    at = quat_rotate(turn, states.qpos[:, :3])  # the way there is turned too, and each state about its own root
    at += (reference.qpos[0, :3] - at[0]) * np.array([1, 1, 0], np.float32)
    return shifted(turned(states, np.broadcast_to(turn, (len(at), 4))), at - states.qpos[:, :3])
