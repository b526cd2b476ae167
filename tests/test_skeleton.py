"""Skeletons: forward kinematics against a plain loop over scipy rotations, and the checks of the tree."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motions.skeleton import Skeleton, SkeletonMotion

PARENTS = (-1, 0, 1, 0, 3)


@pytest.fixture
def clip() -> SkeletonMotion:
    rng = np.random.default_rng(0)
    skeleton = Skeleton(tuple("abcde"), PARENTS, rng.normal(size=(5, 3)), ("e",))
    quat = Rotation.random(4 * 5, random_state=1).as_quat(scalar_first=True).reshape(4, 5, 4)
    return SkeletonMotion("clip", skeleton, 30.0, rng.normal(size=(4, 3)), quat)


@pytest.mark.parametrize("with_translations", [False, True])
def test_forward_kinematics_equals_a_plain_loop(clip, with_translations):
    translations = np.random.default_rng(2).normal(size=(4, 5, 3)) if with_translations else None
    clip = SkeletonMotion("clip", clip.skeleton, 30.0, clip.root_pos, clip.local_quat, translations=translations)
    pos, quat = clip.forward_kinematics()
    for frame in range(clip.num_frames):
        place, turn = {}, {}
        for j, parent in enumerate(PARENTS):
            local = Rotation.from_quat(clip.local_quat[frame, j], scalar_first=True)
            offset = clip.skeleton.offsets[j] if translations is None else translations[frame, j]
            place[j] = clip.root_pos[frame] if parent < 0 else place[parent] + turn[parent].apply(offset)
            turn[j] = local if parent < 0 else turn[parent] * local
            np.testing.assert_allclose(pos[frame, j], place[j], atol=1e-12)
            got = Rotation.from_quat(quat[frame, j], scalar_first=True)
            assert (got.inv() * turn[j]).magnitude() < 1e-9


@pytest.mark.parametrize(
    ("parents", "offsets"),
    [((-1, 2, 0), (3, 3)), ((-1, -1, 0), (3, 3)), ((0, 0, 0), (3, 3)), ((-1, 0), (3, 3)), ((-1, 0, 1), (2, 3))],
)
def test_trees_out_of_order_are_refused(parents, offsets):
    with pytest.raises(ValueError, match="parents"):
        Skeleton(("a", "b", "c"), parents, np.zeros(offsets))


def test_index_finds_a_joint(clip):
    assert clip.skeleton.index("d") == 3
