"""A mapping for a robot that has none, guessed from its tree: which chains are legs and arms, where they bend, how they rest.

Shape decides and names help: a leg is a chain whose end is lowest, an arm one of a mirrored pair that branches off above,
left is +y (or what names call left). Of four legs the feet are the tips of the last bodies. A person may correct the TOML
text of `map_to_toml` and save it.
"""

import re
from dataclasses import dataclass
from functools import reduce

import numpy as np

from motions.errors import InputError
from motions.files import toml_text
from motions.kinematics import Body
from retarget.four_legs import leg_and_core, legs_by_place
from retarget.limb_guess import SLACK, Limb, Pose, bending, find_joints, flat_ankle
from retarget.mapping import RobotMap
from retarget.roles import ALL_ROLES, ARM_PARTS, FOUR_LEGS, LEG_PARTS, SIDES, TWO_LEGS, is_left, legs_of

FOOT_BAND = 0.1  # chain ends this close to the lowest one stand on the ground, as a part of the robot's height
MIRROR_BAND = 0.08  # ends of a left and a right limb lie this near to each other's mirror image, same unit
KNEE_REST, ELBOW_REST, ARM_REST = 0.3, 0.5, 1.3  # [rad] away from straight; arms below horizontal
FOUR_KNEE_REST = 1.6  # of the knees of four legs [rad]
WRIST_STIFFNESS = 4.0
_HEAD = re.compile(r"head|neck|skull", re.IGNORECASE)
_LEFT, _RIGHT = (re.compile(rf"{word}|^[{word[0]}]{{1,2}}_|_{word[0]}$|^{word[0]}l?[A-Z_]", 0) for word in ("left", "right"))


@dataclass(frozen=True)
class _Ends:
    """Chain ends (body ids): of legs in the order of roles, left and right arm or None, head or None."""

    legs: tuple[int, ...]
    arms: tuple[int, int] | None
    head: int | None


def propose_map(body: Body) -> tuple[RobotMap, tuple[str, ...]]:
    """A guessed `RobotMap` and sentences that say what was guessed. Raises `InputError` where neither two legs nor four can
    be told."""
    pose = Pose(body)
    ends = _find_ends(pose)
    legs = FOUR_LEGS if len(ends.legs) == len(FOUR_LEGS) else TWO_LEGS
    bodies: dict[str, str] = {}
    offsets: dict[str, tuple[float, float, float]] = {}
    limits: dict[str, tuple[float, float]] = {}
    rest: dict[str, float] = {}
    stiffness: dict[str, float] = {}
    upright: dict[str, float] = {}
    name = lambda b: body.model.body(b).name  # noqa: E731
    pelvis = reduce(pose.meeting, ends.legs)
    bodies["pelvis"] = name(pelvis)
    arms = ends.arms if ends.arms and all(len(pose.below(pose.meeting(*ends.arms), e)) > 1 for e in ends.arms) else None
    if arms:
        bodies["chest"] = name(pose.meeting(*arms))
    if ends.head is not None:
        bodies["head"] = name(ends.head)
    for side, end in zip(legs, ends.legs):
        pointed, where = legs != TWO_LEGS, f"{body.name}: the {side[:-1]} leg"
        limb = find_joints(pose, pose.below(pelvis, end), end, where, leg=True, pointed=pointed)
        _take(pose, limb, [side + p for p in LEG_PARTS], bodies, offsets)
        upright |= {} if pointed else flat_ankle(pose, limb)
        bent = _settle(pose, limb, limits, rest, FOUR_KNEE_REST if pointed else KNEE_REST)
        _crouch(pose, limb, rest, upright, -0.5 * bent)
    chest = pose.meeting(*arms) if arms else pelvis
    for side, end in zip(SIDES, arms or ()):
        limb = find_joints(pose, pose.below(chest, end), end, f"{body.name}: the {side[0]} arm", leg=False)
        _take(pose, limb, [side + p for p in ARM_PARTS], bodies, offsets)
        _settle(pose, limb, limits, rest, ELBOW_REST)
        _hang(pose, limb, rest)
        stiffness |= {pose.joint_name(j): WRIST_STIFFNESS for j in pose.joints_below(limb.middle)}
    bodies = {role: bodies[role] for role in ALL_ROLES if role in bodies}
    rounded = lambda table: {key: round(float(value), 3) for key, value in table.items()}  # noqa: E731
    notes = _notes(body.name, bodies, arms is not None, ends.head is not None, upright)
    return RobotMap(bodies, offsets, limits, rounded(rest), stiffness, rounded(upright), notes), notes


def _find_ends(pose: Pose) -> _Ends:
    """Which leaves of the tree of hinges end legs, arms and the head."""
    body, low = pose.body, {}
    for leaf in pose.leaves:
        low[leaf] = pose.lowest(leaf)
    if not low:
        raise InputError(f"robot {body.name!r}: no mapping can be proposed for a body without limbs")
    height = max(float(np.ptp(pose.xpos[1:, 2])), 1e-6)
    ground = min(low.values())
    feet = [leaf for leaf in pose.leaves if low[leaf] < ground + FOOT_BAND * height]
    if len(feet) not in (len(TWO_LEGS), len(FOUR_LEGS)):
        named = ", ".join(body.model.body(f).name for f in feet)
        raise InputError(
            f"robot {body.name!r}: no mapping can be proposed: {len(feet)} limb(s) reach the ground ({named}), expected two or "
            "four legs"
        )
    feet = _corners(pose, feet) if len(feet) == len(FOUR_LEGS) else list(_sides(pose, feet[0], feet[1]))
    pose.face_ahead(*([f for f, leg in zip(feet, FOUR_LEGS) if is_left(leg) == side] for side in (True, False)))
    others = [leaf for leaf in pose.leaves if leaf not in feet]
    pairs = []
    for a in others:
        for b in others:
            mirrored = pose.xpos[b] * [1.0, -1.0, 1.0]
            if pose.xpos[a, 1] > 0.02 * height and np.linalg.norm(pose.xpos[a] - mirrored) < MIRROR_BAND * height:
                pairs.append((len(pose.below(pose.meeting(a, b), a)), a, b))
    arms = max(pairs)[1:] if pairs else None
    held = {b for end in arms or () for b in pose.below(pose.meeting(*arms), end)} if arms else set()
    middle = [leaf for leaf in others if not held & set(pose.path(leaf))]
    named = [leaf for leaf in middle if any(_HEAD.search(n) for n in (body.model.body(leaf).name, *pose.joint_names_of(leaf)))]
    return _Ends(tuple(feet), arms, max(named, key=lambda leaf: pose.xpos[leaf, 2]) if named else None)


def _corners(pose: Pose, feet: list[int]) -> list[int]:
    """The ends of four legs in the order of roles: by name, else as they stand around a body that looks to +x."""
    legs = [leg_and_core(pose.body.model.body(foot).name)[0] for foot in feet]
    if set(legs) != set(FOUR_LEGS):
        try:
            legs = legs_by_place(pose.xpos[feet, :2], np.array([1.0, 0.0]))
        except InputError as error:
            raise InputError(f"robot {pose.body.name!r}: no mapping can be proposed: {error}") from error
    return sorted(feet, key=lambda foot: FOUR_LEGS.index(legs[feet.index(foot)]))


def _sides(pose: Pose, a: int, b: int) -> tuple[int, int]:
    """The left and the right one of two limbs' ends: by name, else the one further to +y."""
    names = [pose.body.model.body(x).name for x in (a, b)]
    lower = [n.lower() for n in names]
    for pattern, (x, y) in ((_LEFT, (a, b)), (_RIGHT, (b, a))):
        found = [bool(pattern.search(low) or pattern.search(full)) for low, full in zip(lower, names)]
        if found == [True, False]:
            return x, y
        if found == [False, True]:
            return y, x
    return (a, b) if pose.xpos[a, 1] > pose.xpos[b, 1] else (b, a)


def _take(pose: Pose, limb: Limb, roles: list[str], bodies: dict, offsets: dict) -> None:
    for role, b, point in zip(roles, (limb.near, limb.middle, limb.far), limb.points):
        bodies[role] = pose.body.model.body(b).name
        offset = pose.xmat[b].T @ (point - pose.xpos[b])
        if np.linalg.norm(offset) > 1e-6:
            offsets[role] = tuple(round(float(v), 4) + 0.0 for v in offset)


def _settle(pose: Pose, limb: Limb, limits: dict, rest: dict, bent: float) -> float:
    """The middle hinge may not bend backwards, and rests `bent` [rad]; returns by how much about +y."""
    joint, straight, sign, low, high = bending(pose, limb)
    name = pose.joint_name(joint)
    slack = sign * SLACK[limb.leg]
    new = (max(low, straight - slack), high) if sign > 0 else (low, min(high, straight - slack))
    unlimited = not np.isfinite(pose.body.joint_range[joint - 1]).all()
    if (unlimited or new != (low, high)) and new[1] - new[0] > 0.5:
        limits[name] = (round(new[0], 3), round(new[1], 3))
        low, high = new
    rest[name] = np.clip(straight + sign * bent, low, high)
    return float((rest[name] - straight) * pose.axis(joint)[1])


def _crouch(pose: Pose, limb: Limb, rest: dict, upright: dict, lean: float) -> None:
    """Hip and ankle `lean` [rad] about +y against the knee, by half of it each, so that the sole stays flat."""
    knee = pose.hinge_along(limb.middle, [0, 1, 0])
    for b in (*reversed(pose.below(limb.top, limb.middle)[:-1]), *reversed(pose.below(limb.middle, limb.far))):
        joint = pose.hinge_along(b, [0, 1, 0])
        if joint is None or knee is None or pose.joint_name(joint) in rest:
            continue
        name = pose.joint_name(joint)
        rest[name] = upright.get(name, 0.0) + lean * np.sign(pose.axis(joint)[1])


def _hang(pose: Pose, limb: Limb, rest: dict) -> None:
    """Arms that the model stretches out to the sides rest hanging down."""
    out = limb.points[1] - limb.points[0]
    out = out / np.linalg.norm(out)
    if out[2] < -0.5:
        return
    for b in reversed(pose.below(limb.top, limb.middle)[:-1]):  # the shoulder before a collar bone
        joint = pose.hinge_along(b, [1, 0, 0])
        if joint is not None:
            down = np.cross(pose.axis(joint), out)[2]
            low, high = pose.range_of(joint)
            rest[pose.joint_name(joint)] = np.clip(-np.sign(down) * ARM_REST, low, high)
            return


def _notes(robot: str, bodies: dict[str, str], arms: bool, head: bool, upright: dict) -> tuple[str, ...]:
    said = ", ".join(f"{role} = {body}" for role, body in bodies.items() if not role.startswith(("r_", "fr_", "hr_")))
    four = legs_of(bodies) == FOUR_LEGS
    lacks = " and no ".join(what for what, there in (("arms", arms or four), ("head", head or four)) if not there)
    notes = [f"guessed from the tree of robot {robot!r} (right side alike): {said}"]
    if four:
        notes.append(f"robot {robot!r} has four legs, whose feet are points; its trunk {bodies['pelvis']} stands for the pelvis")
    if lacks:
        notes.append(f"robot {robot!r} seems to have no {lacks}: nothing of it is mapped")
    if upright:
        notes.append(f"its soles are flat with {', '.join(f'{joint} = {angle:.3g}' for joint, angle in upright.items())} rad")
    return (*notes, "which way knees and elbows bend, and how joints rest, is guessed too; `mimic robot init` writes it all down")


def map_to_toml(mapping: RobotMap, comment: str = "") -> str:
    """A mapping as TOML text that reads back as the same."""
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += ["# Role -> body whose origin is that joint, or a point [m] of a body.", "[bodies]"]
    for role, body in mapping.bodies.items():
        offset = mapping.offsets.get(role)
        value = toml_text(body)
        lines.append(f"{role} = {value if offset is None else f'{{ body = {value}, offset = {_row(offset)} }}'}")
    tables = (
        ("upright", "Where the robot stands straight on flat soles [rad], if not at 0.", mapping.upright),
        ("limits", "Narrower than the motors allow [rad].", {k: _row(v) for k, v in mapping.limits.items()}),
        ("rest", "Where redundant joints rest [rad]; the others rest at 0.", mapping.rest),
        ("stiffness", "Pull towards rest, 1 / [rad]; 0.5 where nothing is said.", mapping.stiffness),
    )
    for name, says, table in tables:
        if table:
            lines += ["", f"# {says}", f"[{name}]"]
            lines += [
                f"{toml_text(key)} = {value if isinstance(value, str) else repr(float(value))}" for key, value in table.items()
            ]
    return "\n".join(lines) + "\n"


def _row(values: tuple[float, ...]) -> str:
    return f"[{', '.join(repr(float(v)) for v in values)}]"
