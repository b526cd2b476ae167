"""The targets as positions, which mink is given: of a robot's own motion they are where its bodies are."""

import numpy as np
from commands import call

from mimic.robots import load_robot
from motions.clips import demo_bvh, shipped_clips
from motions.motion import load_motion
from motions.skeleton import Skeleton, SkeletonMotion
from retarget.bench import RetargetBench, role_positions
from retarget.contacts import detect_contacts
from retarget.pipeline import Wanted, capture_of_robot, rig_of
from retarget.quality import world_points
from retarget.scaling import build_targets


def test_role_positions_of_a_robots_own_motion_are_its_bodies():
    body = load_robot("humanoid").body
    motion = load_motion(shipped_clips()["walk"])
    rig = rig_of(body)
    own = capture_of_robot(rig, motion)
    targets, scale = build_targets(own, detect_contacts(own), rig, reach=1.0)
    nobody = SkeletonMotion("own", Skeleton(("root",), (-1,), np.zeros((1, 3))), motion.fps, np.zeros((3, 3)), np.ones((3, 1, 4)))
    found = role_positions(rig, Wanted(nobody, rig, motion.fps, targets, scale))
    assert set(found) == set(rig.roles)
    expected = world_points(rig, motion.qpos)["joints"]
    for role, positions in found.items():
        error = np.linalg.norm(positions - expected[:, rig.role(role)], axis=1)
        assert error.mean() < 0.015, role


def test_the_command_reads_captures_at_the_rate_that_is_given(monkeypatch):
    seen = []

    def bench(sources, body, say, mapping):
        seen.extend(source.fps for source in sources)
        return RetargetBench(0, 0.0, 1.0, 0.0, None, None, ())

    monkeypatch.setattr("retarget.bench.bench_retarget", bench)
    argv = ("--motion", demo_bvh(), "--fps", "25", "--backend", "native", "--device", "cpu")
    assert call("bench", "retarget", "--robot", "humanoid", *argv) == 0
    assert seen == [25.0]
