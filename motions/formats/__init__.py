"""Readers and writers, one file per format; conventions are converted here and nowhere else.

`read_motion_file` reads any of them: a robot's motion (`Motion`) or a captured body's (`SkeletonMotion`).
`write_motion_file` writes what a format can hold.
"""

from motions.formats.amass import read_amass
from motions.formats.asf_amc import read_amc
from motions.formats.bvh import read_bvh, write_bvh
from motions.formats.c3d import read_c3d
from motions.formats.csv import read_csv, write_csv
from motions.formats.deepmimic import read_deepmimic
from motions.formats.fbx import read_fbx
from motions.formats.gltf import read_gltf
from motions.formats.isaac_amp import read_isaac_amp
from motions.formats.laikago import read_laikago
from motions.formats.loco_mujoco import read_loco_mujoco
from motions.formats.mujoco_keyframes import read_keyframe_points, read_keyframes
from motions.formats.poselib import read_poselib
from motions.formats.positions import read_positions
from motions.formats.reading import FORMATS, read_motion_file
from motions.formats.result import ReadResult, match_joints
from motions.formats.robot_pickles import read_robot_pickle
from motions.formats.whole_body_tracking import read_wbt, write_wbt
from motions.formats.writing import WRITERS, write_motion_file

__all__ = [
    "FORMATS",
    "WRITERS",
    "ReadResult",
    "match_joints",
    "read_amass",
    "read_amc",
    "read_bvh",
    "read_c3d",
    "read_csv",
    "read_deepmimic",
    "read_fbx",
    "read_gltf",
    "read_isaac_amp",
    "read_keyframe_points",
    "read_keyframes",
    "read_laikago",
    "read_loco_mujoco",
    "read_motion_file",
    "read_poselib",
    "read_positions",
    "read_robot_pickle",
    "read_wbt",
    "write_bvh",
    "write_csv",
    "write_motion_file",
    "write_wbt",
]
