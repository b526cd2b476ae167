"""Whether the joints' PD gains are stable at the physics time step, and up to which gain they would be.

The integrator (implicitfast) takes the damping D = diag(kd) implicitly and the stiffness K = diag(kp) explicitly. About a pose,
with M the joint-space inertia (armature included), h the time step and dq the distance to the target, one step is
    (M + h D) v' = M v - h K dq,    dq' = dq + h v'.
A mode with step factor z, dq' = z dq, obeys (z - 1)^2 M + z (z - 1) h D + z h^2 K = 0; D >= 0 keeps |z| <= 1 until a real root
passes z = -1, where h^2 K = 4 M + 2 h D. So it is stable while no eigenvalue of (4 M + 2 h D)^-1 h^2 K is above 1. For one
joint of inertia I: kp <= 4 I / h^2 + 2 kd / h.
"""

from typing import NamedTuple

import mujoco
import numpy as np

SHARE = 0.1  # a joint is named with an unstable mode if it has at least this part of the mode's squared length


class UnstableJoint(NamedTuple):
    """kp [N m/rad], and the largest one [N m/rad] that would be stable with the gains of the mode lowered alike."""

    joint: str
    kp: float
    stable_kp: float


def unstable_joints(model: mujoco.MjModel, qpos: np.ndarray) -> list[UnstableJoint]:
    """The hinges whose gains make the body swing up by itself at the model's time step, about the pose `qpos` (nq), in the air.

    `model` has one position actuator per hinge, in order, as `load_robot` makes them. Torque limits, which in the end bound
    the swinging, do not count, and neither do contacts.
    """
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    kp, kd = model.actuator_gainprm[:, 0], -model.actuator_biasprm[:, 2]
    h, damping = model.opt.timestep, np.zeros(model.nv)
    damping[6:] = kd
    resistance = np.linalg.inv(4 * inertia + 2 * h * np.diag(damping))[6:, 6:]  # the root's six coordinates have no gains
    root = h * np.sqrt(kp)
    values, modes = np.linalg.eigh(root[:, None] * resistance * root)
    excess = np.where(modes**2 >= SHARE, values, 0.0).max(axis=1)  # per joint, of the modes it takes part in
    return [UnstableJoint(model.joint(1 + i).name, float(kp[i]), float(kp[i] / excess[i])) for i in np.flatnonzero(excess > 1)]


def stability_warning(model: mujoco.MjModel, qpos: np.ndarray) -> tuple[str, ...]:
    """What to tell the user of unstable gains, worst joint first: one line, or none."""
    found = sorted(unstable_joints(model, qpos), key=lambda joint: joint.stable_kp / joint.kp)
    if not found:
        return ()
    worst = ", ".join(f"{joint.joint} kp {joint.kp:.4g} (stable up to {joint.stable_kp:.4g})" for joint in found[:4])
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    step_ms = 1e3 * model.opt.timestep
    return (f"warning: unstable gains for a physics step of {step_ms:g} ms, lower them or the step (sim.sim_dt): {worst}{more}",)
