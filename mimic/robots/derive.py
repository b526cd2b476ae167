"""Sensible `Traits` for an MJCF that came without a spec: gains, limits, pose and roles of bodies from the model alone."""

from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from mimic.robots.clean import FLOOR
from mimic.robots.traits import Traits, foot_candidates
from motions.errors import InputError

# Natural frequency [Hz], damping ratio and the error [rad] at which a joint must reach its full torque at the latest,
# for inertias that are the motor's own and for those of the limb that hangs on the joint.
MOTOR_HZ, MOTOR_ZETA, MOTOR_REACH = 10.0, 2.0, 2.0
LIMB_HZ, LIMB_ZETA, LIMB_REACH = 3.0, 1.0, 1.0
GRAVITY_MARGIN = 2.0  # estimated torque limit over the torque that holds the limb out straight
FOOT_BAND = 0.05  # leaf bodies this close to the lowest point are feet, as a part of the standing height
SOLE_BAND = 0.02  # and geoms of a foot this close to its lowest point are its sole, same unit
MERGE = 0.08  # bodies nearer than this to their only child are one joint spread over several, same unit
ANCHOR_NAMES = ("torso", "chest", "trunk", "thorax")
GRAVITY = 9.81


@dataclass(frozen=True)
class _Tree:
    """The jointed bodies of a model (root first), their children among each other, and the standing pose."""

    model: mujoco.MjModel
    data: mujoco.MjData
    bodies: tuple[int, ...]
    children: dict[int, tuple[int, ...]]
    height: float

    def name(self, body: int) -> str:
        return self.model.body(body).name


def derive_traits(model: mujoco.MjModel, path: Path) -> Traits:
    """Traits of `model` (still with the file's own actuators and keyframes); every choice is put in words."""
    qpos, pose_said = _default_qpos(model)
    tree = _tree(model, qpos)
    feet = _feet(tree, path)
    foot_geoms = _foot_geoms(tree, feet)
    qpos[2] -= min(lowest_point(model, tree.data, model.geom(g).id) for g in foot_geoms)
    effort, effort_said = _effort(tree, feet)
    kp, kd, armature, gains_said = _gains(tree, effort)
    tracked, anchor, ends = _roles(tree, feet)
    names = {foot: tree.name(foot) for foot in feet}
    return Traits(
        kp=kp,
        kd=kd,
        effort=effort,
        armature=armature,
        velocity_limit=np.full(len(kp), np.inf),
        corner_velocity=np.full(len(kp), np.inf),
        motor_friction=np.zeros(len(kp)),
        motor_damping=np.zeros(len(kp)),
        default_qpos=qpos,
        tracked_bodies=tuple(tree.name(b) for b in tracked),
        anchor_body=tree.name(anchor),
        end_effectors=tuple(tree.name(b) for b in ends),
        foot_bodies=tuple(names.values()),
        foot_geoms=foot_geoms,
        assumptions=(
            f"all {len(kp)} hinges are actuated; the file's own actuators, damping, springs and joint friction are replaced",
            pose_said,
            *gains_said,
            *effort_said,
            f"the feet are {', '.join(names.values())}, touching the ground by {', '.join(foot_geoms)}",
            f"the anchor is {tree.name(anchor)}; end effectors are {', '.join(tree.name(b) for b in ends)}",
            f"tracked bodies: {', '.join(tree.name(b) for b in tracked)}",
        ),
    )


def lowest_point(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> float:
    """Lowest world z [m] of a geom at the current pose; exact for primitives, the bounding box for the rest."""
    size, down, z = model.geom_size[geom], data.geom_xmat[geom].reshape(3, 3)[2], data.geom_xpos[geom, 2]
    kind = mujoco.mjtGeom(model.geom_type[geom])
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return z - size[0]
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return z - size[0] - size[1] * abs(down[2])
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return z - size[1] * abs(down[2]) - size[0] * float(np.hypot(down[0], down[1]))
    if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        return z - float(np.linalg.norm(down * size))
    centre, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
    return z + float(down @ centre - np.abs(down) @ half)


def _default_qpos(model: mujoco.MjModel) -> tuple[np.ndarray, str]:
    """The keyframe "home", else the first one, else qpos0 inside the joint ranges; its lowest point on the floor."""
    keys = [model.key(i).name for i in range(model.nkey)]
    if keys:
        key = keys.index("home") if "home" in keys else 0
        qpos, said = model.key_qpos[key].copy(), f"default pose: keyframe {keys[key] or key!r}"
        qpos[3:7] /= np.linalg.norm(qpos[3:7])
    else:
        qpos, said = model.qpos0.copy(), "default pose: all joints at zero, or as near as their ranges allow"
        limited = model.jnt_limited[1:].astype(bool)
        qpos[7:] = np.where(limited, np.clip(qpos[7:], *model.jnt_range[1:].T), qpos[7:])
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    lowest = [lowest_point(model, data, g) for g in range(model.ngeom) if model.geom_bodyid[g] > 0]
    if lowest:
        qpos[2] -= min(lowest)
    return qpos, f"{said}, feet on the floor"


def _tree(model: mujoco.MjModel, qpos: np.ndarray) -> _Tree:
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    bodies = tuple(b for b in range(1, model.nbody) if model.body_jntnum[b] > 0)
    children: dict[int, tuple[int, ...]] = {b: () for b in bodies}
    for b in bodies[1:]:
        parent = int(model.body_weldid[model.body_parentid[b]])
        children[parent] = (*children[parent], b)
    ground = data.geom(FLOOR).xpos[2]
    return _Tree(model, data, bodies, children, float(max(data.xipos[1:, 2]) - ground))


def _feet(tree: _Tree, path: Path) -> tuple[int, ...]:
    """Leaf bodies that reach the ground; left before right, front before back."""
    model, data = tree.model, tree.data
    lows: dict[int, tuple[float, int]] = {}  # leaf -> its lowest point and the welded body that has it
    for leaf in (b for b in tree.bodies if not tree.children[b]):
        geoms = [g for g in range(model.ngeom) if model.body_weldid[model.geom_bodyid[g]] == leaf]
        if geoms:
            lows[leaf] = min((lowest_point(model, data, g), int(model.geom_bodyid[g])) for g in geoms)
    ground = min((lowest_point(model, data, g) for g in range(model.ngeom) if model.geom_bodyid[g] > 0), default=0.0)
    feet = [body for low, body in lows.values() if low < ground + FOOT_BAND * tree.height]
    if not feet:
        raise InputError(
            f"{path}: no outermost body reaches the ground at its default pose, so no feet can be told; write a spec file"
        )
    span = max(FOOT_BAND * tree.height, 1e-6)
    return tuple(sorted(feet, key=lambda b: (-round(data.xpos[b, 0] / (4 * span)), -data.xpos[b, 1])))


def _foot_geoms(tree: _Tree, feet: tuple[int, ...]) -> tuple[str, ...]:
    """The geoms of each foot that are near its lowest point, not those further up the limb."""
    chosen = []
    for foot in feet:
        lows = {g: lowest_point(tree.model, tree.data, tree.model.geom(g).id) for g in foot_candidates(tree.model, foot)}
        chosen += [g for g, low in lows.items() if low < min(lows.values()) + SOLE_BAND * tree.height]
    return tuple(chosen)


def _effort(tree: _Tree, feet: tuple[int, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Largest torque per hinge [N m]: the file's limits, else an estimate from gravity."""
    model = tree.model
    effort = np.full(model.njnt - 1, np.nan)
    for j in range(1, model.njnt):
        if model.jnt_actfrclimited[j]:
            effort[j - 1] = np.max(np.abs(model.jnt_actfrcrange[j]))
    for a in range(model.nu):
        if model.actuator_trntype[a] != mujoco.mjtTrn.mjTRN_JOINT or not np.isnan(effort[model.actuator_trnid[a, 0] - 1]):
            continue
        limit = _actuator_limit(model, a)
        if limit is not None:
            effort[model.actuator_trnid[a, 0] - 1] = limit * abs(model.actuator_gear[a, 0])
    unknown = np.isnan(effort) | (effort <= 0)
    said = [f"torque limits of {np.sum(~unknown)} hinges come from the file"] if not unknown.all() else []
    if unknown.any():
        effort[unknown] = _gravity_effort(tree, feet)[unknown]
        said.append(
            f"torque limits of {np.sum(unknown)} hinges ({effort[unknown].min():.3g} to {effort[unknown].max():.3g} N m) are "
            f"{GRAVITY_MARGIN:g} times an estimate of the weight they must bear: {_some_joints(model, unknown)}"
        )
    return effort, tuple(said)


def _actuator_limit(model: mujoco.MjModel, actuator: int) -> float | None:
    """Force limit of one actuator before its gear [N m], or None: its forcerange, or a motor's ctrlrange times gain."""
    if model.actuator_forcelimited[actuator]:
        return float(np.max(np.abs(model.actuator_forcerange[actuator])))
    motor = model.actuator_biastype[actuator] == mujoco.mjtBias.mjBIAS_NONE
    if motor and model.actuator_ctrllimited[actuator]:
        return float(np.max(np.abs(model.actuator_ctrlrange[actuator]))) * abs(model.actuator_gainprm[actuator, 0])
    return None


def _gravity_effort(tree: _Tree, feet: tuple[int, ...]) -> np.ndarray:
    """GRAVITY_MARGIN times the larger of: the limb held out straight; for joints above a foot, the body's weight at a
    lever of a quarter of the leg; a fiftieth of the strongest joint's."""
    model, data = tree.model, tree.data
    mass = model.body_subtreemass
    estimate = np.zeros(model.njnt - 1)
    bearing = {int(model.body_weldid[f]) for f in feet}
    for b in reversed(tree.bodies):
        if b in bearing and model.body_weldid[model.body_parentid[b]] != 0:
            bearing.add(int(model.body_weldid[model.body_parentid[b]]))
    total = mass[tree.bodies[0]]
    for j in range(1, model.njnt):
        b = model.jnt_bodyid[j]
        lever = np.linalg.norm(data.subtree_com[b] - data.xanchor[j])
        estimate[j - 1] = mass[b] * GRAVITY * lever
        if b in bearing and b != tree.bodies[0]:
            estimate[j - 1] = max(estimate[j - 1], total * GRAVITY * 0.25 * data.xpos[tree.bodies[0], 2])
    return GRAVITY_MARGIN * np.maximum(estimate, estimate.max() / 50)


def _gains(tree: _Tree, effort: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """kp, kd, armature: kp = I w^2, kd = 2 zeta I w, with I the armature if there is one, else the limb's inertia.

    I is raised where full torque would need an error above *_REACH: kp >= effort / reach.
    """
    model, data = tree.model, tree.data
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    armature = model.dof_armature[6:].copy()
    motor = armature > 0
    omega = 2 * np.pi * np.where(motor, MOTOR_HZ, LIMB_HZ)
    wanted = np.where(motor, armature, np.diag(inertia)[6:])
    least = effort / np.where(motor, MOTOR_REACH, LIMB_REACH) / omega**2
    effective = np.maximum(wanted, least)
    kp, kd = effective * omega**2, 2 * np.where(motor, MOTOR_ZETA, LIMB_ZETA) * effective * omega
    said = []
    if motor.any():
        said.append(f"gains of {motor.sum()} hinges from their armature at {MOTOR_HZ:g} Hz, damping ratio {MOTOR_ZETA:g}")
    if not motor.all():
        said.append(
            f"gains of {np.sum(~motor)} hinges without armature from the inertia they carry at {LIMB_HZ:g} Hz, "
            f"damping ratio {LIMB_ZETA:g}: {_some_joints(model, ~motor)}"
        )
    raised = least > wanted
    if raised.any():
        said.append(f"gains of {raised.sum()} hinges raised so that full torque needs no more than 1 or 2 rad of error")
    return kp, kd, armature, tuple(said)


def _roles(tree: _Tree, feet: tuple[int, ...]) -> tuple[list[int], int, list[int]]:
    """Tracked bodies, anchor, end effectors. Joints spread over several near bodies are tracked by the last one."""
    model, data = tree.model, tree.data
    ends = [b for b in tree.bodies if not tree.children[b]]
    named = [b for b in tree.bodies if any(word in tree.name(b).lower() for word in ANCHOR_NAMES)]
    anchor = max(named or tree.bodies, key=lambda b: model.body_mass[b])
    tracked = []
    for b in tree.bodies:
        only = tree.children[b][0] if len(tree.children[b]) == 1 else None
        merged = only is not None and np.linalg.norm(data.xpos[only] - data.xpos[b]) < MERGE * tree.height
        if b == tree.bodies[0] or b == anchor or not merged:
            tracked.append(b)
    return tracked, anchor, ends


def _some_joints(model: mujoco.MjModel, which: np.ndarray) -> str:
    names = [model.joint(i + 1).name for i in np.flatnonzero(which)]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
