"""The learners' part of the configuration tree (`mimic.config`)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class NetworkConfig:
    hidden: tuple[int, ...] = (256, 256, 128)
    """Layer widths of actor and critic alike."""
    init_std: float = 0.3
    """First standard deviation of the action noise."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What their layers compute in while they are trained; bfloat16 is meant for GPUs and TPUs: on a CPU it gains little."""


@dataclass(frozen=True)
class PPOConfig:
    rollout_length: int = 24
    num_epochs: int = 4
    num_minibatches: int = 4
    learning_rate: float = 5e-4
    """First step size; then adapted per minibatch to keep the KL divergence near `desired_kl`."""
    min_learning_rate: float = 1e-6
    max_learning_rate: float = 3e-3
    desired_kl: float = 0.03
    anneal_share: float = 0.5
    """Over this last part of the training the desired KL divergence falls linearly to a twentieth: what is learnt settles."""
    critic_learning_rate: float | None = 1e-3
    """Step size of the critic, which no trust region limits; None: the actor's."""
    critic_lead: int = 0
    """Iterations in which the critic learns alone, where the policy begins with another run's and the critic with nothing."""
    value_clip: float | None = None
    """Largest change of a value from the one of the rollout that lowers the critic's loss; None: any."""
    std_rate: float = 10.0
    """Step size of the action noise's standard deviation, in the actor's: at the same one it hardly moves."""
    min_std: float = 0.0
    """Least standard deviation of the action noise, after every update. Above 0 a policy goes on exploring, and learns to bear
    errors of its actions, such as those of a student that learns from it. (DART, Laskey et al. 2017)"""
    discount: float = 0.95
    gae_lambda: float = 0.8
    clip_ratio: float = 0.2
    entropy_coef: float = 0.001
    max_grad_norm: float = 1.0
    paired: bool = True
    """Let environments 2 i and 2 i + 1 begin each rollout in one state and explore it with opposite noise."""
    noise_correlation: float = 0.0
    """Correlation of the action noise from one control step to the next: what acts for longer explores further."""
    average_decay: float = 0.99
    """Decay per minibatch of the running average of the weights, which is what is evaluated and exported."""
    symmetry: Literal["none", "augment", "loss", "network"] = "none"
    """Left-right symmetry of the policy, for robots that have one. augment: learn from the mirror image of every sample too;
    loss: add |pi(M o) - M pi(o)|^2, with M the mirror image; network: pi(o) = (f(o) + M f(M o)) / 2, symmetric as it is built."""
    symmetry_coef: float = 1.0
    """Weight of that loss."""


@dataclass(frozen=True)
class StyleConfig:
    """The discriminator, which learns to tell the clips from the robot; the robot is paid by `reward.style` for deceiving it."""

    judges: Literal["motion", "difference"] = "motion"
    """motion: a window of how the body moves, wherever the reference is (AMP). difference: how it differs from the reference
    (ADD), for which `follow` must be true."""
    loss: Literal["least_squares", "cross_entropy"] = "least_squares"
    """least_squares: D is drawn to 1 and -1, the reward is max(0, 1 - (D - 1)^2 / 4). (AMP) cross_entropy: D is a logit, the
    reward -log(1 - sigmoid(D)). (GAIL)"""
    window: int = 4
    """Control steps that it sees together; of a difference always one."""
    actions: bool = False
    """Whether it sees the action that led to the newest of them, too (GAIL of states and actions). A demonstration's is what
    the tracker of the clips sent its motors: needs `begin` tracker."""
    hidden: tuple[int, ...] = (256, 128)
    learning_rate: float = 1e-4
    updates: int = 4
    """Steps down its loss in each iteration."""
    batch: int = 512
    """Windows of the robot, and as many of the clips, in each of these; half of the robot's are from `replay`."""
    grad_penalty: float = 5.0
    """Weight of its squared gradient at the clips' windows; of a difference, at the robot's."""
    logit_reg: float = 0.01
    """Weight of the squared weights of its last layer."""
    weight_decay: float = 1e-4
    """Weight of the squared weights of all its layers."""
    replay: int = 20_000
    """Windows of the robot's past that are kept."""
    clip: float = 10.0
    """Bound on its normalized input."""


@dataclass(frozen=True)
class DistillConfig:
    """How a student learns from its teacher (`mimic distill`); rollouts, the size of minibatches, gradient clipping, the last
    part of a falling step size and the average of the weights are as `ppo` says."""

    learning_rate: float = 1e-3
    mixed_share: float = 0.3
    """Over this first part of the training the teacher acts in ever fewer of the control steps: in all, then in none."""
    updates: int = 64
    """Steps down the loss after each rollout, each on a minibatch of all that is kept."""
    kept_rollouts: int = 32
    """Rollouts that are learnt from, the newest included."""
    noise: float = 0.1
    """Standard deviation of the noise on the student's actions while it practises: it is shown its way back, too."""


@dataclass(frozen=True)
class SearchConfig:
    """Ways out of falls, searched and learnt (`mimic harden`); minibatches, gradient clipping, the last part of a falling step
    size and the average of the weights are as `ppo` says."""

    practice: int = 180
    """Control steps of all environments in which falls are gathered, of each iteration; a multiple of `ROUND`."""
    generations_per_practice: int = 12
    """Generations of samples that follow: of `num_envs` samples together, each `horizon` control steps long."""
    before: int = 45
    """Control steps before a fall at which its search begins, and over which the policy's actions are offset."""
    horizon: int = 70
    """Control steps from there on in which there must be no fall."""
    spacing: int = 5
    """Control steps between the knots of the offsets."""
    samples: int = 64
    """Samples of a fall in each generation."""
    generations: int = 10
    """Generations after which a fall is given up."""
    spread: float = 0.5
    """First standard deviation of the offsets at the knots [action] ..."""
    least_spread: float = 0.07
    """... and the least one."""
    enough: float = 0.3
    """Share of a generation's samples (of a first one, of those about the best guess) that must not fall for their fall to count
    as avoided."""
    library: int = 1024
    """Ways out that are remembered, to begin from where a fall is similar."""
    noise: float = 0.05
    """Standard deviation of the noise on actions in practice."""
    kept: int = 150_000
    """Control steps that are remembered, of the practice and of the ways out each."""
    trusted: int = 20_000
    """Control steps of ways out that must be known before they weigh as much as the practice."""
    updates: int = 400
    """Minibatches learnt from in each iteration."""
    otherwise: float = 0.15
    """Root mean square difference over the joints to its first actions above which the policy has learnt another way; where it
    is less, and does not fall, it is held to them."""
    learning_rate: float = 3e-4

    @property
    def knots(self) -> int:
        return self.before // self.spacing + 1
