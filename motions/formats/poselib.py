"""poselib's `.npy` motions (Isaac Gym's AMP, ASE): a pickled skeleton tree with rotations, read without running anything.

Keys: `rotation` (F, J, 4) **xyzw**, relative to the parent if `is_local`, else to the world; `root_translation` (F, 3);
`skeleton_tree` with `node_names`, `parent_indices`, `local_translation` (J, 3); `fps`. Arrays lie under `arr`.
Axes and unit are the exporter's: z up and metres for MJCF bodies, but recognised from the body all the same.
"""

from pathlib import Path
from typing import Any

import numpy as np

from motions.errors import InputError
from motions.formats.captured import captured_motion, check_tree, unit_quats
from motions.formats.pickles import read_object_npy
from motions.formats.units import RawAnimation, choose_axes, guess_scale
from motions.formats.values import choose_fps, finite_numbers
from motions.rotations import quat_conj, quat_mul
from motions.skeleton import SkeletonMotion

KEYS = ("rotation", "root_translation", "skeleton_tree", "is_local", "fps")
TREE_KEYS = ("node_names", "parent_indices", "local_translation")


def is_poselib(content: Any) -> bool:
    """Whether an object read from an `.npy` is a motion of poselib's."""
    return isinstance(content, dict) and "skeleton_tree" in content


def read_poselib(path: str | Path, fps: float | None = None, scale: float | None = None) -> SkeletonMotion:
    """Read such a motion. `fps` [Hz] and `scale` [m per unit] overrule what the file says or is taken to say.

    Raises `InputError` for a pickle that asks for more than arrays, missing keys or shapes that disagree.
    """
    path = Path(path)
    content = read_object_npy(path)
    if not is_poselib(content):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected poselib's dictionary with {', '.join(KEYS)}")
    missing = [key for key in KEYS if key not in content]
    tree = content["skeleton_tree"]
    missing += [key for key in TREE_KEYS if not isinstance(tree, dict) or key not in tree]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; a poselib motion has {', '.join((*KEYS, *TREE_KEYS))}")
    names = [str(name) for name in tree["node_names"]] if isinstance(tree["node_names"], list | tuple) else []
    offsets = _array(tree, "local_translation", (len(names), 3), path)
    parents = [int(parent) for parent in _array(tree, "parent_indices", (len(names),), path)]
    offsets[0:1] = 0.0  # of the root, which `root_translation` places
    skeleton = check_tree(path, names, parents, offsets)
    notes: list[str] = []
    quat = _array(content, "rotation", (None, len(names), 4), path)[..., [3, 0, 1, 2]]
    if not len(quat):
        raise InputError(f"{path}: no frame")
    quat = unit_quats(quat, path, notes)
    if not content["is_local"]:
        quat[:, 1:] = quat_mul(quat_conj(quat[:, list(parents[1:])]), quat[:, 1:].copy())
    root_pos = _array(content, "root_translation", (len(quat), 3), path)
    said = float(finite_numbers(np.reshape(content["fps"], -1), (1,), path, "fps")[0])
    fps = choose_fps(path, fps, said, notes)
    raw = RawAnimation(skeleton, root_pos, quat, None)
    if scale is None:
        scale, sentence = guess_scale(raw, path)
        notes.append(sentence)
    axes, sentence = choose_axes(raw)
    return captured_motion(path, raw, axes, scale, fps, [*notes, sentence])


def _array(content: dict, key: str, shape: tuple[int | None, ...], path: Path) -> np.ndarray:
    value = content[key]
    return finite_numbers(value["arr"] if isinstance(value, dict) and "arr" in value else value, shape, path, key)
