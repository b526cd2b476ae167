"""A stick biped with awkward kinematics (oblique axes, joints off the body origin, turned bodies) and its walk."""

import mujoco
import numpy as np

from motions.kinematics import Body
from motions.motion import Motion

FEET = ("left_foot", "right_foot")


def stick_body() -> Body:
    """7 hinges; depth-first and breadth-first orders differ; the hip body carries two joints."""
    legs = ""
    for side, y in (("left", 0.1), ("right", -0.1)):
        legs += f"""
        <body name="{side}_thigh" pos="0 {y} 0">
          <joint name="{side}_hip_x" axis="1 0 0" range="-1 1"/>
          <joint name="{side}_hip_y" axis="0 1 0" pos="0 0 .01" range="-2 2"/>
          <geom type="capsule" size=".03" fromto="0 0 0 0 0 -.4"/>
          <body name="{side}_shin" pos="0 0 -.4">
            <joint name="{side}_knee" axis="0 1 0" range="-2 2"/>
            <geom type="capsule" size=".03" fromto="0 0 0 0 0 -.4"/>
            <body name="{side}_foot" pos="0 0 -.4"><geom type="sphere" size=".04"/></body>
          </body>
        </body>"""
    mjcf = f"""<mujoco><compiler angle="radian"/><worldbody>
      <body name="pelvis" pos="0 0 .85" quat="1 0 0 0"><freejoint/><geom size=".1"/>{legs}
        <body name="torso" pos=".02 0 .1" quat=".9 .1 .2 .3">
          <joint name="waist" axis="1 2 3" pos=".01 .02 .03" ref=".2"/>
          <geom type="capsule" size=".05" fromto="0 0 0 0 0 .3"/>
        </body>
      </body></worldbody></mujoco>"""
    return Body("stick", mujoco.MjModel.from_xml_string(mjcf), FEET)


def random_qpos(body: Body, frames: int, seed: int = 0) -> np.ndarray:
    """Unrelated poses (frames, nq) with unit root quaternions."""
    qpos = np.random.default_rng(seed).normal(size=(frames, body.model.nq))
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    return qpos


def stick_walk(yaw: float = 0.0, frames: int = 60, fps: float = 30.0, speed_m_s: float = 1.0) -> Motion:
    """A walk towards `yaw` [rad] whose stance foot hardly slides: the feet are moved back as the body moves on."""
    body = stick_body()
    t = np.arange(frames) / fps
    qpos = np.tile(body.model.qpos0, (frames, 1))
    step_s, half_stride = 0.5, 0.25 * speed_m_s
    phase = (t / step_s) % 2.0  # [0, 1) left foot stands, [1, 2) right
    for side, shift in (("left", 0.0), ("right", 1.0)):
        p = (phase + shift) % 2.0
        ahead = np.where(p < 1.0, half_stride * (1.0 - 2.0 * p), half_stride * (2.0 * (p - 1.0) - 1.0))
        bend = np.where(p < 1.0, 0.0, 0.6 * np.sin(np.pi * (p - 1.0)))
        for name, value in ((f"{side}_hip_y", -np.arctan2(ahead, 0.8) - bend), (f"{side}_knee", 2.0 * bend)):
            qpos[:, 7 + body.joint_names.index(name)] = value
    qpos[:, 0], qpos[:, 1] = np.cos(yaw) * speed_m_s * t, np.sin(yaw) * speed_m_s * t
    qpos[:, 3], qpos[:, 6] = np.cos(yaw / 2), np.sin(yaw / 2)
    return Motion("stick_walk", "stick", fps, qpos, body.joint_names, source="made here", licence="Apache-2.0")
