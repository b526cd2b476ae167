"""What a policy may be told, to and from its file: `mimic.mdp.goals.Terms`, the effector by its body's name, styles by theirs."""

from dataclasses import replace

from mimic.config import GoalConfig
from mimic.deploy.spec import GoalInfo, PolicySpec
from mimic.mdp.goals import Terms, numbers_of
from mimic.mdp.limbs import Effector
from mimic.mdp.styles import style_names


def goal_info(goal: GoalConfig, terms: Terms, tracked_bodies: tuple[str, ...]) -> GoalInfo | None:
    """For the file; None where nothing is told."""
    if goal.kind is None:
        return None
    numbers = numbers_of(goal.kind, goal.styles)
    info = GoalInfo(
        goal.kind, numbers, terms.speed, terms.turn, terms.distance, terms.height, shoulder=terms.shoulder, reach=terms.reach,
        styles=goal.styles,
    )  # fmt: skip
    if terms.effector is None:
        return info
    return replace(info, effector=tracked_bodies[terms.effector.body], tip=terms.effector.tip)


def terms_of(spec: PolicySpec) -> Terms | None:
    """From the file; None of a policy that is told nothing."""
    told = spec.goal
    if told is None:
        return None
    effector = None if told.effector is None else Effector(spec.tracked_bodies.index(told.effector), told.tip)
    drawn = Terms(told.speed, told.turn, told.distance, told.height, effector, told.shoulder, told.reach)
    return drawn._replace(styles=len(style_names(told.styles)))
