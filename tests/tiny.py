"""A tiny robot that stands by itself, and a clip for it: a table on four one-joint legs that sways."""

from pathlib import Path

import mujoco
import numpy as np

from mimic.robots import Robot
from motions.kinematics import Body
from motions.motion import Motion

LEGS = ("front_left", "front_right", "hind_left", "hind_right")
KP, KD, EFFORT = 60.0, 2.0, 30.0


def tiny_mjcf() -> str:
    """Only the feet touch, and only the floor."""
    legs, motors = "", ""
    for name, x, y in zip(LEGS, (0.2, 0.2, -0.2, -0.2), (0.15, -0.15, 0.15, -0.15)):
        legs += f"""
        <body name="{name}" pos="{x} {y} 0">
          <joint name="{name}_hip" axis="0 1 0" range="-1 1"/>
          <geom name="{name}_foot" class="foot" fromto="0 0 0 0 0 -.3"/>
        </body>"""
        motors += f"""
        <general name="{name}_hip" joint="{name}_hip" gainprm="{KP}" biastype="affine" biasprm="0 -{KP} -{KD}"
          forcerange="-{EFFORT} {EFFORT}"/>"""
    return f"""<mujoco model="tiny">
      <compiler angle="radian"/>
      <option timestep=".005" integrator="implicitfast" jacobian="dense"/>
      <default>
        <joint armature=".01" damping=".1"/>
        <geom contype="0" conaffinity="0"/>
        <default class="foot"><geom type="capsule" size=".03" density="500" conaffinity="1"/></default>
      </default>
      <worldbody>
        <geom name="floor" type="plane" size="0 0 1" contype="1"/>
        <body name="trunk" pos="0 0 .33"><freejoint/><geom type="box" size=".25 .15 .05" mass="6"/>{legs}
        </body>
      </worldbody>
      <actuator>{motors}
      </actuator>
    </mujoco>"""


def tiny_robot() -> Robot:
    mjcf = tiny_mjcf()
    model = mujoco.MjModel.from_xml_string(mjcf)
    default = np.array([0, 0, 0.33, 1, 0, 0, 0, 0.1, 0.1, -0.1, -0.1])
    per_joint = np.ones(4)
    return Robot(
        name="tiny",
        body=Body("tiny", model, LEGS[:2]),
        model=model,
        mjcf=mjcf,
        kp=KP * per_joint,
        kd=KD * per_joint,
        effort=EFFORT * per_joint,
        armature=0.01 * per_joint,
        velocity_limit=np.inf * per_joint,
        corner_velocity=np.inf * per_joint,
        motor_friction=0.0 * per_joint,
        motor_damping=0.0 * per_joint,
        default_qpos=default,
        tracked_bodies=("trunk", *LEGS),
        anchor_body="trunk",
        end_effectors=LEGS[2:],
        foot_geoms=tuple(f"{leg}_foot" for leg in LEGS),
        source=Path("tiny.xml"),
    )


def tiny_motion(frames: int = 121, fps: float = 60.0) -> Motion:
    """The trunk sways and turns a little while the legs swing in pairs."""
    t = np.arange(frames) / fps
    qpos = np.zeros((frames, 11))
    qpos[:, 0] = 0.03 * np.sin(3 * t)
    qpos[:, 2] = 0.325
    yaw = 0.1 * np.sin(2 * t)
    qpos[:, 3], qpos[:, 6] = np.cos(yaw / 2), np.sin(yaw / 2)
    for leg in range(4):
        qpos[:, 7 + leg] = 0.12 * np.sin(3 * t + leg)
    return Motion("sway", "tiny", fps, qpos, tuple(f"{leg}_hip" for leg in LEGS), source="made here", licence="Apache-2.0")
