"""What a policy may be told, to and from its file: `mimic.mdp.goals.Terms`, the effector by its body's name."""

from mimic.deploy.spec import GoalInfo, PolicySpec
from mimic.mdp.goals import KINDS, Terms
from mimic.mdp.limbs import Effector


def goal_info(kind: str, terms: Terms, tracked_bodies: tuple[str, ...]) -> GoalInfo:
    """For the file."""
    drawn, effector = terms._asdict(), terms.effector
    if effector is not None:
        drawn |= {"effector": tracked_bodies[effector.body], "tip": effector.tip}
    return GoalInfo(kind=kind, numbers=KINDS[kind].numbers, **drawn)


def terms_of(spec: PolicySpec) -> Terms | None:
    """From the file; None of a policy that is told nothing."""
    told = spec.goal
    if told is None:
        return None
    effector = None if told.effector is None else Effector(spec.tracked_bodies.index(told.effector), told.tip)
    return Terms(told.speed, told.turn, told.distance, told.height, effector, told.shoulder, told.reach)
