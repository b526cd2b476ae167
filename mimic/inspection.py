"""`mimic inspect`: what is in a motion, a robot or a run."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mimic.robots import Robot, load_robot
from motions.errors import InputError
from motions.kinematics import finite_difference_qvel
from motions.motion import Motion
from motions.skeleton import SkeletonMotion

ROBOT_SUFFIXES = (".xml", ".toml")


def inspect_path(path: str, robot_name: str | None = None, **of_file: Any) -> dict[str, Any]:
    """Print what is in `path`: a run folder, a robot (name or file) or a motion file, read as `of_file` says
    (`motions.formats.read_motion_file`). Returns it, for JSON.

    Raises `InputError` for anything else.
    """
    console = Console()
    place = Path(path)
    if place.is_dir():
        return _inspect_run(place, console)
    if place.suffix.lower() in ROBOT_SUFFIXES or (not place.exists() and not place.suffix):
        return inspect_robot(load_robot(path))
    from motions.formats import read_motion_file

    robot = load_robot(robot_name) if robot_name else None
    found = read_motion_file(path, robot=robot.body if robot else None, **of_file)
    for note in found.notes:
        console.print(f"note: {note}", markup=False)
    if isinstance(found.motion, SkeletonMotion):
        facts = _inspect_skeleton(found.motion, console)
    else:
        facts = _inspect_motion(found.motion, robot, console)
    return facts | {"notes": list(found.notes)}


def described(motion: Motion | SkeletonMotion) -> tuple[float, str]:
    """Its length [s], and what it is, in a few words."""
    seconds = (motion.num_frames - 1) / motion.fps
    frames = f"{motion.num_frames} frames at {motion.fps:g} Hz, {seconds:.1f} s"
    if isinstance(motion, SkeletonMotion):
        return seconds, f"a captured skeleton of {len(motion.skeleton.joint_names)} joints, {frames}; it is retargeted first"
    return seconds, f"a motion of {motion.robot}, {frames}"


def _rows(title: str, rows: list[tuple[str, str]], console: Console) -> dict[str, Any]:
    """Print the rows, and return them."""
    table = Table(title=title, show_header=False)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))  # "[m]" is a unit, not a style
    console.print(table)
    return {"what": title, **dict(rows)}


def _inspect_motion(motion: Motion, robot: Robot | None, console: Console) -> dict[str, Any]:
    qvel = finite_difference_qvel(motion.qpos, motion.fps)
    joints = motion.qpos[:, 7:]
    step = np.abs(np.diff(joints, axis=0))
    worst = np.unravel_index(np.argmax(step), step.shape) if step.size else (0, 0)
    speed = np.linalg.norm(qvel[:, :3], axis=1)
    rows = [
        ("robot", motion.robot),
        ("frames", f"{motion.num_frames} at {motion.fps:g} Hz, {motion.duration_s:.2f} s{', loops' if motion.loop else ''}"),
        ("joints", ", ".join(motion.joint_names)),
        ("root height [m]", f"{motion.qpos[:, 2].min():.3f} to {motion.qpos[:, 2].max():.3f}"),
        ("root travel [m]", f"{np.linalg.norm(motion.qpos[-1, :2] - motion.qpos[0, :2]):.2f}, speed up to {speed.max():.2f} m/s"),
        ("joint speed [rad/s]", f"up to {np.abs(qvel[:, 6:]).max():.1f}"),
        ("longest joint step", f"{step[worst]:.3f} rad at frame {worst[0]}, {motion.joint_names[int(worst[1])]}"),
        ("source", motion.source or "not said"),
        ("licence", motion.licence or "not said"),
    ]
    if robot is not None:
        low, high = robot.body.joint_range.T
        outside = (joints < low - 1e-3) | (joints > high + 1e-3)
        rows.append(("beyond joint limits", f"{outside.any(axis=1).mean():.1%} of the frames"))
    return _rows(f"motion {motion.name}", rows, console)


def _inspect_skeleton(motion: SkeletonMotion, console: Console) -> dict[str, Any]:
    pos, _ = motion.forward_kinematics()
    rows = [
        ("frames", f"{motion.num_frames} at {motion.fps:g} Hz, {(motion.num_frames - 1) / motion.fps:.2f} s"),
        ("joints", f"{len(motion.skeleton.joint_names)}: {', '.join(motion.skeleton.joint_names)}"),
        ("height [m]", f"lowest point {pos[..., 2].min():.3f}, highest {pos[..., 2].max():.3f}"),
        ("root travel [m]", f"{np.linalg.norm(motion.root_pos[-1, :2] - motion.root_pos[0, :2]):.2f}"),
        ("source", motion.source or "not said"),
        ("licence", motion.licence or "not said"),
    ]
    return _rows(f"captured motion {motion.name}", rows, console)


def inspect_robot(robot: Robot) -> dict[str, Any]:
    """Print what is understood of a robot. Returns it, for JSON."""
    model, console = robot.model, Console()
    facts = _rows(
        f"robot {robot.name}",
        [
            ("file", str(robot.source)),
            ("mass", f"{model.body_subtreemass[1]:.2f} kg in {model.nbody - 1} bodies"),
            ("tracked bodies", ", ".join(robot.tracked_bodies)),
            ("anchor, end effectors", f"{robot.anchor_body}; {', '.join(robot.end_effectors)}"),
            ("feet", f"{', '.join(robot.foot_bodies)}; geoms {', '.join(robot.foot_geoms)}"),
            *((f"assumed {number}", text) for number, text in enumerate(robot.assumptions, start=1)),
        ],
        console,
    )
    low, high = robot.body.joint_range.T
    ranges = [f"{lowest:.2f} .. {highest:.2f}" for lowest, highest in zip(low, high, strict=True)]
    columns = {"range": ranges, "default": robot.default_qpos[7:], "kp": robot.kp, "kd": robot.kd}
    columns["armature"] = robot.armature
    facts["joints"] = _joint_table("joints [rad, N m, kg m^2]", robot, columns, console)
    motors = {"effort": robot.effort, "full up to": robot.corner_velocity, "zero from": robot.velocity_limit}
    columns = motors | {"friction": robot.motor_friction, "damping": robot.motor_damping}
    facts["motors"] = _joint_table("motors: torque [N m], full up to and zero from a speed [rad/s]", robot, columns, console)
    return facts


def _joint_table(title: str, robot: Robot, columns: dict[str, Any], console: Console) -> dict[str, dict[str, Any]]:
    """Two tables of few columns and without lines, rather than one, leave room for the names of the joints. Returns the rows."""
    table = Table("joint", *columns, title=escape(title), box=None)
    for name, *values in zip(robot.joint_names, *columns.values(), strict=True):
        table.add_row(name, *(value if isinstance(value, str) else f"{value:.4g}" for value in values))
    console.print(table)
    return {
        name: {column: values[i] if isinstance(values[i], str) else float(values[i]) for column, values in columns.items()}
        for i, name in enumerate(robot.joint_names)
    }


def _inspect_run(folder: Path, console: Console) -> dict[str, Any]:
    import json

    from mimic.progress import SHOWN
    from mimic.runs import CONFIG, open_run, read_metrics

    if not (folder / CONFIG).exists():
        raise InputError(f"{folder} is neither a run folder nor a motion or robot file")
    run = open_run(folder)
    record = json.loads((folder / CONFIG).read_text())
    rows = [
        ("robot, clips", f"{run.robot.name}; {', '.join(m.name for m in run.motions)}"),
        ("commit", record["git_commit"] or "unknown"),
        ("machine", ", ".join(str(v) for v in record["machine"].values())),
        ("started", record["started"]),
    ]
    if run.metrics_path.exists() and (metrics := read_metrics(run.metrics_path)):
        last = metrics[-1]
        rows.append(("trained", f"{last['env_steps'] / 1e6:.2f} M of {run.config.env_steps / 1e6:.2f} M env-steps"))
        rows.append(("last rollout", ", ".join(form.format(last[name]) for name, form in SHOWN.items() if name in last)))
    return _rows(f"run {folder}", rows, console)
