"""What a config must be to be trained with: a rule for every number that could break it, and what fields owe each other."""

import math
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any, NamedTuple

from mimic.config import ROUND, Config
from mimic.mdp.goals import KINDS
from mimic.mdp.limbs import limb_of
from mimic.mdp.observations import OF_REFERENCES, TERMS
from mimic.mdp.sensors import BODY_TERMS
from mimic.mdp.styles import style_names
from mimic.robots import Robot
from mimic.robots.stability import stability_warning
from motions.errors import InputError, unknown_name

LONGEST_DELAY_S = 1.0  # a policy that acts on what was a second ago tracks nothing
STEEPEST_TILT = math.pi / 8  # [rad] of each axis: floors that are not level; and 1 - 2 sin^2 of more than pi/4 has no root


class Rule(NamedTuple):
    expected: str
    holds: Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _least(bound: float) -> Rule:
    return Rule(f"at least {bound:g}, and finite", lambda v: bound <= v < math.inf)


def _delay(sim_dt: float) -> Rule:
    most = int(LONGEST_DELAY_S / sim_dt) if sim_dt > 0 else 0
    return Rule(
        f"whole numbers of physics steps from 0 to {most} ({LONGEST_DELAY_S:g} s), the smaller first",
        lambda v: all(map(_whole, v)) and 0 <= v[0] <= v[1] <= most,
    )


COUNT = Rule("at least 1, and whole", lambda v: _whole(v) and v >= 1)
NATURAL = Rule("a whole number of 0 or more", lambda v: _whole(v) and v >= 0)
NATURALS = Rule("whole numbers of 0 or more", lambda v: all(map(NATURAL.holds, v)))
POSITIVE = Rule("a number above 0, and finite", lambda v: 0.0 < v < math.inf)
AMOUNT = Rule("a largest value of 0 or more, and finite", lambda v: 0.0 <= v < math.inf)
BOUND = Rule("a bound of 0 or more", lambda v: v >= 0.0)  # an infinite one bounds nothing
WEIGHT = Rule("a finite number", math.isfinite)
WEIGHTS = Rule(
    "finite numbers of 0 or more, one above 0", lambda v: not v or (all(map(AMOUNT.holds, v)) and any(w > 0 for w in v))
)
SHARE = Rule("a share from 0 to 1", lambda v: 0.0 <= v <= 1.0)
SPREAD = Rule("a share from 0 to below 1", lambda v: 0.0 <= v < 1.0)
DECAY = Rule("a number between 0 and 1, as .999, or None", lambda v: 0.0 < v < 1.0)
LOOSENESS = Rule("a factor of 1 or more, and finite", lambda v: 1.0 <= v < math.inf)
CAP = Rule("1 (starts by length alone) or more", lambda v: v >= 1.0)
SPAN = Rule("two numbers of 0 or more, the smaller first", lambda v: 0.0 <= v[0] <= v[1] < math.inf)
FACTORS = Rule("finite factors above 0, the smaller first", lambda v: 0.0 < v[0] <= v[1] < math.inf)
LED = Rule("0, or at least 1 s, and finite", lambda v: v == 0.0 or 1.0 <= v < math.inf)
TILT = Rule(f"from 0 to {STEEPEST_TILT:.3g} rad: it stands for a floor that is not level", lambda v: 0.0 <= v <= STEEPEST_TILT)


def _each(rule: Rule, *names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, rule)


# Section to field to rule; "sigma_*" are all fields that begin so, unless a longer name fits. The value None fits every rule.
RULES: dict[str, dict[str, Rule]] = {
    "": _each(COUNT, "cycles", "num_envs", "env_steps", "tracker_steps", "student_steps")
    | {"weights": WEIGHTS, "evaluate_every_s": POSITIVE, "led_s": LED, "falls": NATURAL, "switches": NATURAL},
    "sim": _each(COUNT, "n_substeps", "iterations", "ls_iterations", "contacts_per_env", "constraints_per_env")
    | {"sim_dt": _least(1e-6), "friction": AMOUNT},
    "action": {"scale": POSITIVE},
    "observation": {"history": NATURAL, "future_frames": NATURALS},
    "reward": {"soft_limit": POSITIVE, "contact_force": AMOUNT, "sigma_*": POSITIVE, "*": WEIGHT},
    "termination": _each(BOUND, "anchor_*", "end_effector_height", "below_clips"),
    "sampling": {"uniform_failures": POSITIVE, "cap": CAP} | _each(SHARE, "uniform", "from_start", "decay"),
    "curriculum": {"tolerance_decay": DECAY, "tolerance_falls": POSITIVE, "loose_bounds": LOOSENESS, "tighten_share": SHARE},
    "reset": {"*": AMOUNT},
    "randomize": _each(FACTORS, "friction", "mass", "inertia", "armature", "kp", "kd", "effort")
    | _each(SHARE, "nominal_share", "varied_share", "varied_by_falls", "start_level", "ramp_share")
    | _each(AMOUNT, "com", "joint_friction", "joint_damping", "encoder_bias", "target_offset", "torque_noise")
    | {"spread": SPREAD, "gravity_tilt": TILT, "ramp_falls": BOUND},
    "randomize.noise": {"*": AMOUNT},
    "randomize.push": _each(AMOUNT, "linvel", "angvel", "force", "force_s"),
    "randomize.throw": _each(SPAN, "mass", "speed"),
    "ppo": _each(COUNT, "rollout_length", "num_epochs", "num_minibatches")
    | _each(POSITIVE, "learning_rate", "critic_learning_rate", "value_clip", "desired_kl", "clip_ratio")
    | _each(SHARE, "discount", "gae_lambda", "anneal_share", "average_decay")
    | _each(AMOUNT, "symmetry_coef", "entropy_coef", "std_rate", "min_std")
    | {"noise_correlation": SPREAD},
    "search": _each(COUNT, "practice", "generations_per_practice", "before", "horizon", "spacing", "generations")
    | _each(COUNT, "library", "kept", "trusted", "updates")
    | _each(POSITIVE, "spread", "least_spread", "otherwise", "noise", "learning_rate")
    | {"samples": Rule("at least 8, and whole", lambda v: _whole(v) and v >= 8), "enough": SPREAD},
    "goal": {"interval_s": POSITIVE, "speed": SPAN, "distance": SPAN, "height": SPAN, "reach": SPAN, "turn": AMOUNT},
    "style": _each(COUNT, "window", "updates", "replay")
    | _each(AMOUNT, "grad_penalty", "logit_reg", "weight_decay")
    | {"learning_rate": POSITIVE, "clip": POSITIVE, "batch": Rule("at least 2, and whole", lambda v: _whole(v) and v >= 2)},
    "distill": {"updates": COUNT, "kept_rollouts": COUNT, "learning_rate": POSITIVE, "noise": POSITIVE, "mixed_share": SHARE},
}


def check_config(config: Config) -> None:
    """Raise `InputError` for numbers and names that cannot be trained with: the field, its value, and what was expected."""
    for section, rules in RULES.items():
        part = config
        for name in filter(None, section.split(".")):
            part = getattr(part, name)
        for name, rule in _ruled(vars(part), rules):
            _check(f"{section}.{name}".lstrip("."), getattr(part, name), rule)
    control_step = _least(config.sim.ctrl_dt)
    _check("sampling.bin_s", config.sampling.bin_s, control_step)
    _check("sampling.episode_s", config.sampling.episode_s, control_step)
    for name in ("push", "throw"):  # at most one of each in a control step
        _check(f"randomize.{name}.interval_s", getattr(config.randomize, name).interval_s, control_step)
    for name in ("action_delay", "observation_delay"):
        _check(f"randomize.{name}", getattr(config.randomize, name), _delay(config.sim.sim_dt))
    _check_terms(config)
    _check_together(config)


def check_fits(config: Config, robot: Robot) -> None:
    """Raise `InputError` for what `config` names and `robot` lacks."""
    bodies = robot.body.body_names[1:]  # without the world
    for name in config.randomize.push.bodies:
        if name not in bodies:
            raise unknown_name(f"body in randomize.push.bodies for the robot {robot.name!r}:", name, bodies)
    for name in config.randomize.throw.bodies:
        if name not in robot.tracked_bodies:
            raise unknown_name("tracked body in randomize.throw.bodies", name, robot.tracked_bodies)
    if config.goal.effector is not None and config.goal.effector not in robot.tracked_bodies:
        raise unknown_name("tracked body in goal.effector", config.goal.effector, robot.tracked_bodies)
    if config.goal.effector is not None and config.goal.kind == "reach":
        limb_of(robot.body, robot.default_qpos, config.goal.effector, robot.end_effectors)
    for name in config.termination.may_touch:
        if name not in robot.tracked_bodies:
            raise unknown_name("tracked body in termination.may_touch", name, robot.tracked_bodies)


def worst_draw_warning(config: Config, robot: Robot) -> tuple[str, ...]:
    """What to tell the user of gains that are stable on the model and not on every robot that is drawn: one line, or none."""
    if stability_warning(robot.model, robot.default_qpos):
        return ()  # said when the robot was loaded
    drawn, model = config.randomize, copy(robot.model)
    light = drawn.mass[0] * (1.0 - drawn.spread)
    model.actuator_gainprm[:, 0] *= drawn.kp[1] * (1.0 + drawn.spread)
    model.actuator_biasprm[:, 2] *= drawn.kd[0] * (1.0 - drawn.spread)
    model.dof_armature[:] *= drawn.armature[0] * (1.0 - drawn.spread)
    model.body_mass[:] *= light
    model.body_inertia[:] *= light * drawn.inertia[0] * (1.0 - drawn.spread)
    lines = stability_warning(model, robot.default_qpos)
    return tuple(f"{line}; so at the worst draw of randomize.kp, kd, armature, mass, inertia and spread" for line in lines)


def _ruled(names: Any, rules: dict[str, Rule]) -> Iterator[tuple[str, Rule]]:
    """Every field with its rule: of its own name, else of the longest beginning."""
    for name in names:
        beginnings = [key for key in rules if key.endswith("*") and name.startswith(key[:-1])]
        rule = rules.get(name) or rules.get(max(beginnings, key=len, default=""))
        if rule is not None:
            yield name, rule


def _check(name: str, value: Any, rule: Rule) -> None:
    """`rule` for a number, a pair as one, or for each of a vector's three."""
    if value is None:
        return
    if isinstance(value, tuple) and len(value) == 3 and rule is AMOUNT:
        for axis, part in zip("xyz", value, strict=True):
            _check(f"{name}[{axis}]", part, rule)
    elif not rule.holds(value):
        shown = " .. ".join(map(str, value)) if isinstance(value, tuple) else value
        raise InputError(f"{name} is {shown}, expected {rule.expected}")


def _check_terms(config: Config) -> None:
    observation = config.observation
    for name in (*observation.actor, *observation.critic, *observation.history_terms):
        if name not in TERMS:
            raise unknown_name("observation term", name, TERMS)
    if observation.history and not observation.history_terms:
        raise InputError(
            f"observation.history is {observation.history} and observation.history_terms is empty, expected terms to remember"
        )
    if "randomization" in observation.history_terms:
        raise InputError(
            f"observation.history_terms is {', '.join(observation.history_terms)}, expected it without randomization: what is "
            "drawn stays the same through an episode, and no robot knows it"
        )
    shown = (*observation.actor, *(observation.history_terms if observation.history else ()))
    clean = [name for name in BODY_TERMS if name in shown]
    if clean and not observation.true_state and (any(vars(config.randomize.noise).values()) or config.randomize.encoder_bias):
        raise InputError(
            f"observation.actor has {', '.join(clean)}, which the noise and the bias of the joints do not reach: a policy would "
            "see what no robot can. Expected terms of joints, root and anchor only, observation.true_state, or no noise"
        )


def _check_search(config: Config) -> None:
    search = config.search
    if config.init_from is None:
        raise InputError("learner is search, which needs a policy that falls: mimic harden RUN")
    if config.num_envs % search.samples:
        raise InputError(f"num_envs is {config.num_envs}, expected a multiple of search.samples ({search.samples})")
    if search.practice % ROUND or search.practice < search.before:
        raise InputError(f"search.practice is {search.practice}, expected a multiple of {ROUND}, and at least search.before")
    if search.horizon < search.before:
        raise InputError(f"search.horizon is {search.horizon}, expected at least search.before ({search.before})")
    if config.ppo.symmetry in ("augment", "loss"):
        raise InputError(
            f"ppo.symmetry is {config.ppo.symmetry}, expected none or network: ways out are learnt as they were found"
        )


def _all_terms(config: Config) -> tuple[str, ...]:
    observation = config.observation
    return (*observation.actor, *observation.critic, *(observation.history_terms if observation.history else ()))


def _check_free(config: Config) -> None:
    """What a policy that follows no clip may see and do."""
    if config.teacher is not None:
        raise InputError("follow is false, expected true: a student practises along its teacher's clips")
    if config.learner == "search":
        raise InputError("follow is false, expected true: ways out of falls lead back to a clip")
    if config.style.judges == "difference" and config.reward.style:
        raise InputError("style.judges is difference, which is to a reference, and follow is false: expected motion, or follow")
    if config.action.prior != "default":
        raise InputError(f"action.prior is {config.action.prior}, expected default: follow is false, there is no reference")
    seen = [name for name in _all_terms(config) if name in OF_REFERENCES]
    if seen:
        raise InputError(
            f"the observation has {', '.join(seen)}, of a reference, and follow is false: expected terms of the robot"
        )
    held = ("anchor_height", "anchor_angle", "anchor_gravity", "end_effector_height")
    kept = [name for name in held if getattr(config.termination, name) is not None]
    if kept:
        raise InputError(
            f"termination has {', '.join(kept)}, of a reference, and follow is false: expected none, and termination.below_clips"
        )


def _check_goal(config: Config) -> None:
    kind = config.goal.kind
    if config.reward.goal and kind is None:
        raise InputError(f"reward.goal is {config.reward.goal:g}, and goal.kind is none: there is nothing to be paid for")
    shown = [name for name in _all_terms(config) if name in KINDS and name != kind]
    if shown:
        raise InputError(f"the observation has {', '.join(shown)}, and goal.kind is {kind}: there is no such goal to be seen")
    if kind is not None and KINDS[kind].once and not config.follow:
        raise InputError(f"goal.kind is {kind} and follow is false: what a clip does once is for policies that follow one")
    if kind == "style":
        _check_styles(config)
    elif config.goal.styles:
        raise InputError(f"goal.styles is {', '.join(config.goal.styles)} and goal.kind {kind}: expected style, or none of these")
    if kind is not None and kind not in config.observation.actor:
        raise InputError(f"goal.kind is {kind}, and observation.actor lacks the term {kind}: the policy would not be told")


def _check_styles(config: Config) -> None:
    names = style_names(config.goal.styles)
    if len(names) < 2:
        raise InputError(
            f"goal.styles is {', '.join(names) or 'empty'}, expected two or more to be told apart: LABEL or LABEL=PART"
        )
    if config.reward.goal:
        raise InputError(f"reward.goal is {config.reward.goal:g} and goal.kind style, for which reward.style pays: expected 0")
    if not config.follow and not config.reward.style:
        raise InputError("goal.kind is style and reward.style 0: nothing pays for the style that is told")
    if config.ppo.symmetry != "none":
        raise InputError(f"ppo.symmetry is {config.ppo.symmetry} and goal.kind style: the mirror image of one may be another")


def _check_style(config: Config) -> None:
    style = config.style
    if style.actions and style.judges == "difference":
        raise InputError("style.actions is true and style.judges difference, of states alone: expected motion, or no actions")


def _earned(config: Config) -> list[str]:
    """Rewards that can be earned: style and goal, and where a reference is followed those of being there, which have widths."""
    fields = vars(config.reward)
    return [name for name in fields if (config.follow and f"sigma_{name}" in fields) or name in ("style", "goal")]


def _check_together(config: Config) -> None:
    """What fields owe each other."""
    _check_goal(config)
    _check_style(config)
    if not config.follow:
        _check_free(config)
    earned = _earned(config)
    if not any(getattr(config.reward, name) > 0.0 for name in earned):
        raise InputError(f"no reward is above 0 ({', '.join(earned)}): there is nothing to learn")
    if config.learner == "search":
        _check_search(config)
    sim, sampling, ppo = config.sim, config.sampling, config.ppo
    if ppo.paired and config.num_envs % 2:
        raise InputError(f"num_envs is {config.num_envs}, expected an even number: environments explore in pairs (ppo.paired)")
    if sampling.cap is not None and sampling.uniform_failures is None and sampling.uniform == 0.0:
        raise InputError(f"sampling.uniform is {sampling.uniform:g}, expected a share above 0: what a cap cuts off needs a place")
    if config.reward.undesired_contacts and not (sim.contact_forces and sim.collisions == "all"):
        raise InputError(
            f"reward.undesired_contacts is {config.reward.undesired_contacts:g}, which needs every body to touch and to feel it: "
            f"sim.contact_forces true and sim.collisions all, got {sim.contact_forces} and {sim.collisions}"
        )
    if config.falls and sim.collisions != "all":
        raise InputError(
            f"falls is {config.falls} and sim.collisions {sim.collisions}: expected all, for bodies that lie on the ground"
        )
    if config.steps_per_iteration % ppo.num_minibatches:
        raise InputError(
            f"num_envs x rollout_length = {config.num_envs} x {ppo.rollout_length} does not divide into "
            f"{ppo.num_minibatches} minibatches: choose num_envs divisible by {ppo.num_minibatches}"
        )
