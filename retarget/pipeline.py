"""`retarget`: one captured motion onto one robot, with the numbers that say whether to trust it."""

import time
from pathlib import Path

from motions.kinematics import Body
from motions.motion import Motion
from motions.skeleton import SkeletonMotion
from retarget.capture import capture
from retarget.contacts import detect_contacts
from retarget.mapping import RobotMap, map_robot, map_source
from retarget.rig import build_rig
from retarget.scaling import build_targets
from retarget.solve import Weights, solve

MAX_FPS = 60.0
_RIGS = {}


def _rig(body, mapping):
    key = (id(body.model), str(mapping))
    if key not in _RIGS:
        _RIGS[key] = build_rig(body, map_robot(body, mapping))
    return _RIGS[key]


def retarget(source: SkeletonMotion, body: Body, *, mapping: RobotMap | str | Path | None = None, fps: float | None = None, weights: Weights = Weights(), iterations: int = 20):
    fps = min(source.fps, MAX_FPS) if fps is None else fps
    rig = _rig(body, mapping)
    human = capture(source, map_source(source.skeleton), fps)
    contacts = detect_contacts(human)
    targets, scale = build_targets(human, contacts, rig)
    t=time.time()
    solution = solve(rig, targets, fps, weights, iterations)
    dt=time.time()-t
    motion = Motion(source.name, body.name, fps, solution.qpos, body.joint_names, source=source.source, licence=source.licence)
    return motion, (rig, human, contacts, targets, solution, dt)
