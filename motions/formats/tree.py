"""A skeleton from moving points: which joints are linked, how the body rests, and the rotations that carry its bones."""

import numpy as np

from motions.formats.units import RawAnimation
from motions.rotations import quat_conj, quat_mul, quat_rotate
from motions.skeleton import Skeleton, SkeletonMotion

MAX_FRAMES = 400  # frames looked at for bone lengths
PATH_WEIGHT = 0.01  # pull towards short ways to the root, over the spread of a bone's length
EXACT_PART = 0.003  # bones of constant length are kept if no joint is missed by more than this part of the body


def rigid_tree(pos: np.ndarray, root: int) -> list[int]:
    """Parents (J,) of the tree that grows from `root` along links of constant length; pos (F, J, 3).

    Each step adds the joint with the least (standard deviation of the link + PATH_WEIGHT x way to the root).
    """
    pos = pos[np.unique(np.linspace(0, len(pos) - 1, MAX_FRAMES).astype(int))]
    parents, way = [-1] * pos.shape[1], np.zeros(pos.shape[1])
    cost, newest = np.full(pos.shape[1], np.inf), root  # cost: of the best link found to each joint outside the tree
    outside = np.ones(pos.shape[1], dtype=bool)
    for _ in range(pos.shape[1] - 1):
        outside[newest] = False
        length = np.linalg.norm(pos - pos[:, newest : newest + 1], axis=-1)  # [F', J]
        reach = way[newest] + length.mean(axis=0)
        link = length.std(axis=0) + PATH_WEIGHT * reach
        for joint in np.flatnonzero(outside & (link < cost)):
            parents[joint], cost[joint], way[joint] = newest, link[joint], reach[joint]
        newest = int(np.argmin(np.where(outside, cost, np.inf)))
    return parents


def tree_order(parents: list[int]) -> list[int]:
    """Joint numbers with parents before children, depth first; joints that no root leads to are left out."""
    order: list[int] = []
    stack = [j for j, parent in enumerate(parents) if parent == -1][:1]
    while stack:
        joint = stack.pop()
        order.append(joint)
        stack += reversed([j for j, parent in enumerate(parents) if parent == joint])
    return order


def straightest_rest(pos: np.ndarray, parents: list[int], names: list[str], notes: list[str]) -> np.ndarray:
    """Rest joint positions (J, 3): the frame in which the root is highest over the lowest joint, with mean bone lengths.

    Turned to face +x by the pair of left and right joints (by name) nearest to the root; without one it faces as it does.
    """
    frame = int(np.argmax(pos[:, 0, 2] - pos[..., 2].min(axis=1)))
    pose = pos[frame]
    rest = np.zeros_like(pose)
    for j, parent in enumerate(parents[1:], start=1):
        step = pose[j] - pose[parent]
        length = float(np.linalg.norm(pos[:, j] - pos[:, parent], axis=1).mean())
        rest[j] = rest[parent] + step * (length / max(float(np.linalg.norm(step)), 1e-12))
    lower = [name.lower() for name in names]
    tall = float(np.ptp(rest, axis=0).max())
    pairs = [(j, lower.index(n.replace("left", "right"))) for j, n in enumerate(lower) if n.replace("left", "right") in lower]
    pairs = [(a, b) for a, b in pairs if np.linalg.norm(rest[a] - rest[b]) > 0.02 * tall]
    near = min(pairs, key=lambda pair: float(np.linalg.norm(rest[list(pair)], axis=1).sum()), default=(0, 0))
    left = (rest[near[0]] - rest[near[1]])[:2]
    size = float(np.linalg.norm(left))
    if size < 1e-9:
        notes.append("no left and right in the joint names: the rest pose faces as the body does, not +x")
        return rest
    cos, sin = left[1] / size, left[0] / size  # turns `left` to +y
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return rest @ turn.T


def pose_from_points(pos: np.ndarray, skeleton: Skeleton, notes: list[str]) -> RawAnimation:
    """Rotations that carry the rest offsets to `pos` (F, J, 3).

    A joint with bones in several directions takes the best fit to all of them (Kabsch 1976), one with a single bone
    the shortest turn from its parent's rotation, a last joint its parent's rotation. Where constant bone lengths
    would miss a joint, `translations` keep it exactly in place.
    """
    frames, joints = pos.shape[:2]
    bone = np.linalg.norm(skeleton.offsets, axis=1) > 1e-4 * np.ptp(pos[0], axis=0).max()  # [J] others sit on their parent
    children: list[list[int]] = [[] for _ in range(joints)]
    for j in range(joints - 1, 0, -1):
        children[skeleton.parents[j]] += [j] if bone[j] else children[j]
    quat = np.zeros((frames, joints, 4))
    quat[..., 0] = 1.0
    for j in range(joints):
        parent = skeleton.parents[j]
        above = quat[:, parent] if j else quat[:, 0]
        bones, steps = skeleton.offsets[children[j]], pos[:, children[j]] - pos[:, j : j + 1]
        if j == 0 and not _spread_out(bones):  # a root with one bone: what lies two bones away tells its turn
            far = [c for child in children[0] for c in children[child]]
            bones = np.concatenate([bones, skeleton.offsets[far] + skeleton.offsets[[skeleton.parents[c] for c in far]]])
            steps = np.concatenate([steps, pos[:, far] - pos[:, :1]], axis=1)
        if _spread_out(bones):
            quat[:, j] = _best_turn(bones, steps)
        elif len(bones):
            longest = int(np.argmax(np.linalg.norm(bones, axis=1)))
            turned = quat_rotate(above, np.broadcast_to(bones[longest], (frames, 3)))
            quat[:, j] = quat_mul(_shortest_turn(turned, steps[:, longest]), above)
        else:
            quat[:, j] = above
    above = quat[:, list(skeleton.parents)]
    above[:, 0] = [1.0, 0.0, 0.0, 0.0]
    local = quat_mul(quat_conj(above), quat)
    rigid = SkeletonMotion("", skeleton, 1.0, pos[:, 0], local).forward_kinematics()[0]
    missed = float(np.linalg.norm(rigid - pos, axis=-1).max())
    if missed <= EXACT_PART * float(np.ptp(pos[0], axis=0).max()):
        return RawAnimation(skeleton, pos[:, 0], local, None)
    notes.append("bones change their length or spread: joints are kept in place by translations in every frame")
    translations = quat_rotate(quat_conj(above), pos - pos[:, list(skeleton.parents)])
    return RawAnimation(skeleton, pos[:, 0], local, translations)


def _spread_out(bones: np.ndarray) -> bool:
    """Whether bone vectors (n, 3) point in clearly different directions."""
    if len(bones) < 2:
        return False
    size = np.linalg.svd(bones, compute_uv=False)
    return bool(size[1] > 0.1 * size[0])


def _best_turn(bones: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(F, 4): the rotations that bring bones (n, 3) closest to steps (F, n, 3) in the least-squares sense."""
    from scipy.spatial.transform import Rotation  # at call time: reading other files must not wait for scipy

    u, _, vt = np.linalg.svd(np.einsum("fni,nj->fij", steps, bones))
    u[..., 2] *= np.linalg.det(u @ vt)[:, None]
    return Rotation.from_matrix(u @ vt).as_quat(scalar_first=True)


def _shortest_turn(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(F, 4): the smallest rotations that turn directions a (F, 3) into b (F, 3); opposite ones turn about any axis."""
    a = a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-12)
    b = b / np.maximum(np.linalg.norm(b, axis=1, keepdims=True), 1e-12)
    quat = np.concatenate([1.0 + np.sum(a * b, axis=1, keepdims=True), np.cross(a, b)], axis=1)
    size = np.linalg.norm(quat, axis=1)
    for f in np.flatnonzero(size < 1e-6):
        axis = np.cross(a[f], np.eye(3)[np.argmin(np.abs(a[f]))])
        quat[f] = [0.0, *(axis / np.linalg.norm(axis))]
    return quat / np.linalg.norm(quat, axis=1, keepdims=True)
