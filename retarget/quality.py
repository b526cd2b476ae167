"""The numbers that say whether a retargeted clip may be trusted.

Five percentages after PHUMA (2025): fidelity, joint feasibility, non-floating, non-penetration, non-skating;
then the worst cases they hide, and the checks that a clip passes or fails.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from motions.kinematics import forward_kinematics
from motions.motion import Motion
from motions.rotations import quat_to_matrix
from retarget.examine import Broken, check_all, examine
from retarget.points import Points
from retarget.rig import JOINT_SPEED_RAD_S, Rig
from retarget.roles import SIDES
from retarget.scaling import Targets
from retarget.verdict import Check, passed, spell_verdict

NEAR_M, NEAR_RAD = 0.10, np.deg2rad(10.0)
FLOAT_M = PENETRATION_M = 0.01
SKATE_M_S = 0.10


@dataclass(frozen=True)
class Effort:
    """What a solve took: Gauss-Newton iterations, whether it settled, compilation [s], and the rest of the call [s]."""

    iterations: int = 0
    converged: bool = True
    compile_s: float = 0.0
    solve_s: float = float("nan")


@dataclass(frozen=True)
class QualityReport:
    """Quality of one clip on one robot; percentages are 0 to 100, of frames unless said otherwise.

    fidelity: joints over frames within 10 cm of the scaled target and 10 degrees of the bone's direction.
    joint_feasibility: frames with all joints within 98 % of their range and below 20 rad/s.
    non_floating, non_penetration, non_skating: of a standing foot's frames, those with its lowest point at most 1 cm
    above ground, at most 1 cm below (this one also while it swings), and its standing points slower than 10 cm/s.
    velocity_violations: joints over frames faster than 20 rad/s. jumps: frames after which the root or a joint is elsewhere.
    non_self_collision: frames in which no two parts lie more than 1 cm in each other. com_support_m: distance of the centre of
    mass, seen from above, from the area the body stands on, mean over frames; stable: frames with less than 10 cm of it;
    longest_unstable_s: the longest time without (KungfuBot's filter asks for 3.3 s at most, and stable ends).
    checks: every rule with its bound and the frames that break it; `passed` looks at the gates among them only.
    """

    name: str
    robot: str
    frames: int
    fps: float
    fidelity: float
    joint_feasibility: float
    non_floating: float
    non_penetration: float
    non_skating: float
    worst_penetration_m: float
    worst_body_penetration_m: float
    limit_violations: int
    max_joint_jump_rad: float
    keypoint_error_mm: float
    foot_slide_mm_s: float
    scale: float
    iterations: int
    converged: bool
    compile_s: float
    solve_s: float
    solve_fps: float
    velocity_violations: int = 0
    max_joint_speed_rad_s: float = 0.0
    jumps: tuple[int, ...] = ()
    non_self_collision: float = 100.0
    worst_self_penetration_m: float = 0.0
    com_support_m: float = 0.0
    worst_com_support_m: float = 0.0
    stable: float = 100.0
    longest_unstable_s: float = 0.0
    starts_and_ends_stable: bool = True
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()  # what was guessed about source and robot, for the user

    @property
    def passed(self) -> bool:
        """Whether every gate is passed: floating, sliding, hard limits."""
        return passed(self.checks)

    @property
    def verdict(self) -> str:
        """One line for the user."""
        return spell_verdict(self.name, self.checks)

    def to_dict(self) -> dict:
        """Plain values, for JSON; `checks` by name."""
        plain = asdict(self) | {"jumps": list(self.jumps), "passed": self.passed}
        return plain | {"checks": {check.name: check.to_dict() for check in self.checks}}


def quality_json(reports: Sequence[QualityReport]) -> dict:
    """What is written for machines: `clips`, a row each, and `mean`, over the clips, of every number."""
    rows = [report.to_dict() for report in reports]
    numbers = [key for key, value in (rows[0] if rows else {}).items() if isinstance(value, (int, float))]
    mean = {key: float(np.mean([row[key] for row in rows])) for key in numbers}
    return {"clips": rows, "mean": mean}


def spell_means(reports: Sequence[QualityReport]) -> str:
    """The five percentages, means over the clips, and the worst of the rest, in one line."""
    means = quality_json(reports)["mean"]
    names = {"fidelity": "fidelity", "joint_feasibility": "feasible", "non_floating": "not floating"}
    names |= {"non_penetration": "not sunk", "non_skating": "not skating"}
    deepest = 100.0 * max(report.worst_penetration_m for report in reports)
    return (
        f"mean of {len(reports)} clips: {', '.join(f'{name} {means[key]:.2f} %' for key, name in names.items())}; "
        f"deepest foot {deepest:.2f} cm, {sum(report.limit_violations for report in reports)} limit violations"
    )


_COLUMNS = (
    ("clip", "name", "{}"),
    ("robot", "robot", "{}"),
    ("frames", "frames", "{}"),
    ("fidelity %", "fidelity", "{:.1f}"),
    ("feasible %", "joint_feasibility", "{:.1f}"),
    ("not floating %", "non_floating", "{:.1f}"),
    ("not sunk %", "non_penetration", "{:.1f}"),
    ("not skating %", "non_skating", "{:.1f}"),
    ("deepest cm", "worst_penetration_m", "{:.2f}"),
    ("beyond limits", "limit_violations", "{}"),
    ("jump rad", "max_joint_jump_rad", "{:.3f}"),
    ("parts apart %", "non_self_collision", "{:.1f}"),
    ("unstable s", "longest_unstable_s", "{:.1f}"),
    ("keypoints mm", "keypoint_error_mm", "{:.1f}"),
    ("slide mm/s", "foot_slide_mm_s", "{:.1f}"),
    ("frames/s", "solve_fps", "{:.0f}"),
    ("passed", "passed", "{}"),
)


def quality_table(reports: Sequence[QualityReport]) -> str:
    """The reports as an aligned text table."""
    rows = [[head for head, _, _ in _COLUMNS]]
    for report in reports:
        values = report.to_dict()
        values["worst_penetration_m"] *= 100.0  # its column is in centimetres
        values["passed"] = "yes" if report.passed else "NO"
        rows.append([form.format(values[key]) for _, key, form in _COLUMNS])
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows)


def measure(
    motion: Motion,
    rig: Rig,
    targets: Targets,
    *,
    scale: float = 1.0,
    effort: Effort | None = None,
) -> QualityReport:
    """Measure a motion against the targets it was solved for, by plain forward kinematics."""
    effort = effort or Effort()
    joints, fps = motion.qpos[:, 7:], motion.fps
    placed = forward_kinematics(rig.body, motion.qpos)
    points = points_at(rig, *placed)
    sole_height = points["sole"][..., 2] - rig.sole.radius
    foot_height = np.stack([sole_height[:, rig.sole_foot == i].min(axis=1) for i in range(len(rig.legs))], axis=1)  # [F, L]
    ends, stand = points["heel_toe"], targets.stand > 0.5
    speed = np.linalg.norm(np.diff(ends[..., :2], axis=0), axis=-1) * fps  # [F - 1, E L]
    pinned = stand[1:] & stand[:-1]
    standing, holding, skating = (
        of_ends.reshape(len(of_ends), len(rig.legs), -1).any(axis=2) for of_ends in (stand, pinned, (speed > SKATE_M_S) & pinned)
    )  # [F or F - 1, L]

    want = target_joints(rig, targets)
    error = np.linalg.norm(points["joints"] - want, axis=-1)  # [F, R]
    good = []
    for i, (near, far) in enumerate(rig.bones):
        used = targets.bone_weight[0, i] > 0
        bone = points["joints"][:, rig.role(far)] - points["joints"][:, rig.role(near)]
        cos = np.sum(bone * targets.bone_dir[:, i], axis=1) / np.linalg.norm(bone, axis=1)
        if used:
            good.append((np.arccos(np.clip(cos, -1, 1)) < NEAR_RAD) & (error[:, rig.role(far)] < NEAR_M))
    limits = rig.body.joint_range
    margin = 0.01 * np.where(np.isfinite(limits).all(axis=1), limits[:, 1] - limits[:, 0], 0.0)  # 98 % of the range, centred
    inside = (joints >= limits[:, 0] + margin - 1e-6) & (joints <= limits[:, 1] - margin + 1e-6)
    velocity = np.abs(np.diff(joints, axis=0)) * fps
    slow = np.concatenate([velocity, velocity[-1:]]).max(axis=1) < JOINT_SPEED_RAD_S
    outside = (joints < limits[:, 0] - 1e-6) | (joints > limits[:, 1] + 1e-6)
    violations = int(outside.sum())
    used_roles = [i for i, role in enumerate(rig.roles) if role != "head"]
    found = examine(motion, rig, points, *placed)
    report = QualityReport(
        name=motion.name,
        robot=motion.robot,
        frames=motion.num_frames,
        fps=fps,
        fidelity=_percent(np.stack(good)),
        joint_feasibility=_percent(inside.all(axis=1) & slow),
        non_floating=_percent(foot_height[standing] < FLOAT_M),
        non_penetration=_percent(foot_height > -PENETRATION_M),
        non_skating=_percent(~skating[holding]),
        worst_penetration_m=float(max(0.0, -foot_height.min())),
        worst_body_penetration_m=float(max(0.0, -(points["guard"][..., 2] - rig.guard.radius).min(initial=np.inf))),
        limit_violations=violations,
        max_joint_jump_rad=float(np.abs(np.diff(joints, axis=0)).max()),
        keypoint_error_mm=float(1e3 * error[:, used_roles].mean()),
        foot_slide_mm_s=float(1e3 * np.median(speed[pinned])) if pinned.any() else 0.0,
        scale=float(scale),
        iterations=effort.iterations,
        converged=effort.converged,
        compile_s=effort.compile_s,
        solve_s=effort.solve_s,
        solve_fps=motion.num_frames / effort.solve_s,
        velocity_violations=int((velocity >= JOINT_SPEED_RAD_S).sum()),
        max_joint_speed_rad_s=found.max_joint_speed_rad_s,
        jumps=found.jumps,
        non_self_collision=found.non_self_collision,
        worst_self_penetration_m=found.worst_self_penetration_m,
        com_support_m=found.com_support_m,
        worst_com_support_m=found.worst_com_support_m,
        stable=found.stable,
        longest_unstable_s=found.longest_unstable_s,
        starts_and_ends_stable=found.starts_and_ends_stable,
    )
    broken = Broken(
        floating=(standing & (foot_height >= FLOAT_M)).any(axis=1),
        skating=np.concatenate([[False], skating.any(axis=1)]),
        outside=outside.any(axis=1),
        sunk=(foot_height <= -PENETRATION_M).any(axis=1),
        unlike=~np.stack(good).all(axis=0) if good else np.zeros(motion.num_frames, bool),
        infeasible=~(inside.all(axis=1) & slow),
    )
    return replace(report, checks=check_all(vars(report), broken, found))


def _percent(ok: np.ndarray) -> float:
    return float(100.0 * ok.mean()) if ok.size else 100.0


def world_points(rig: Rig, qpos: np.ndarray) -> dict[str, np.ndarray]:
    """The rig's point sets (`joints`, `heel_toe`, `sole`, `guard`) in the world, each (F, P, 3), by numpy kinematics."""
    return points_at(rig, *forward_kinematics(rig.body, qpos))


def points_at(rig: Rig, xpos: np.ndarray, xquat: np.ndarray) -> dict[str, np.ndarray]:
    """`world_points` of bodies at `xpos` (F, nbody, 3), `xquat` (F, nbody, 4)."""
    xmat, chain = quat_to_matrix(xquat), rig.chain
    first_body = {int(link): b for b, link in reversed(list(enumerate(chain.body_link))) if b > 0}

    def place(points: Points) -> np.ndarray:
        bodies = np.array([first_body[int(link)] for link in points.link], int)
        in_body = np.einsum("pji,pj->pi", chain.body_rot[bodies], points.offset - chain.body_pos[bodies])
        return xpos[:, bodies] + np.einsum("fpij,pj->fpi", xmat[:, bodies], in_body)

    return {name: place(getattr(rig, name)) for name in ("joints", "heel_toe", "sole", "guard")}


def target_joints(rig: Rig, targets: Targets) -> np.ndarray:
    """Where every role joint of the robot should be, (F, R, 3): from the hip centre along the robot's own lengths."""
    rot = {role: targets.frame_rot[:, i] for i, role in enumerate(rig.frame_roles)}
    zero = dict(zip(rig.roles, rig.joint_xyz))
    at = {"pelvis": targets.hip_centre - rot["pelvis"] @ (rig.hip_centre - zero["pelvis"])}
    if "chest" in zero:
        at["chest"] = at["pelvis"] + rot["pelvis"] @ (zero["chest"] - zero["pelvis"])
        if "head" in zero:
            at["head"] = at["chest"] + rot["chest"] @ (zero["head"] - zero["chest"])
    for leg in rig.legs:
        at[leg + "thigh"] = at["pelvis"] + rot["pelvis"] @ (zero[leg + "thigh"] - zero["pelvis"])
    for side in SIDES:
        if side + "upper_arm" in zero:
            base = "chest" if "chest" in zero else "pelvis"
            at[side + "upper_arm"] = at[base] + rot[base] @ (zero[side + "upper_arm"] - zero[base])
    for i, (near, far) in enumerate(rig.bones):
        at[far] = at[near] + rig.bone_length[i] * targets.bone_dir[:, i]
    for i, leg in enumerate(rig.legs):
        at[leg + "foot"] = targets.ankle[:, i]
    return np.stack([at[role] for role in rig.roles], axis=1)
