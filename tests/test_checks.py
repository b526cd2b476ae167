"""What cannot be trained with: every message names the field, the value and what was expected."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_motion, tiny_robot

from mimic.checks import check_config, worst_draw_warning
from mimic.config import (
    Config,
    CurriculumConfig,
    NoiseConfig,
    ObservationConfig,
    PPOConfig,
    PushConfig,
    RandomizeConfig,
    ResetConfig,
    RewardConfig,
    SamplingConfig,
    SimConfig,
    TerminationConfig,
    ThrowConfig,
)
from mimic.presets import PRESETS
from mimic.robots.stability import unstable_joints
from mimic.runs import create_run
from motions.errors import InputError

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_trained(name: str):
    check_config(PRESETS[name]())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_envs": 0}, "num_envs is 0, expected at least 1"),
        ({"env_steps": -5}, "env_steps is -5"),
        ({"num_envs": 3, "ppo": PPOConfig(paired=True)}, "num_envs is 3, expected an even number"),
        ({"num_envs": 6, "ppo": PPOConfig(rollout_length=3)}, "6 x 3 does not divide into 4 minibatches"),
        ({"ppo": PPOConfig(num_epochs=0)}, "ppo.num_epochs is 0"),
        ({"sim": SimConfig(contacts_per_env=0)}, "sim.contacts_per_env is 0, expected at least 1"),
        ({"sim": SimConfig(constraints_per_env=-1)}, "sim.constraints_per_env is -1, expected at least 1"),
        ({"ppo": PPOConfig(value_clip=-1.0)}, "ppo.value_clip is -1"),
        ({"ppo": PPOConfig(symmetry_coef=-1.0)}, "ppo.symmetry_coef is -1.0, expected .* 0 or more"),
        ({"curriculum": CurriculumConfig(tolerance_decay=1.0)}, "curriculum.tolerance_decay is 1.*, expected .* between 0 and 1"),
        ({"curriculum": CurriculumConfig(loose_bounds=0.5)}, "curriculum.loose_bounds is 0.5, expected a factor of 1 or more"),
        ({"curriculum": CurriculumConfig(tighten_share=-1.0)}, "curriculum.tighten_share is -1.*, expected a share"),
        ({"sampling": SamplingConfig(cap=0.9)}, "sampling.cap is 0.9, expected 1 .* or more"),
        ({"sampling": SamplingConfig(cap=2.0, uniform=0.0)}, "sampling.uniform is 0, expected a share above 0"),
        ({"sampling": SamplingConfig(uniform_failures=0.0)}, "sampling.uniform_failures is 0.*, expected a number above 0"),
        ({"sampling": SamplingConfig(episode_s=0.01)}, "sampling.episode_s is 0.01, expected at least 0.02"),
        ({"sampling": SamplingConfig(episode_s=INF)}, "sampling.episode_s is inf, expected .* finite"),
        ({"termination": TerminationConfig(anchor_height=-0.1)}, "termination.anchor_height is -0.1, expected a bound of 0"),
        ({"termination": TerminationConfig(anchor_angle=NAN)}, "termination.anchor_angle is nan"),
        ({"termination": TerminationConfig(end_effector_height=NAN)}, "termination.end_effector_height is nan"),
        ({"reward": RewardConfig(sigma_body_pos=0.0)}, "reward.sigma_body_pos is 0.0, expected a number above 0"),
        ({"reward": RewardConfig(sigma_anchor_ori=-1.0)}, "reward.sigma_anchor_ori is -1.0"),
        ({"reward": RewardConfig(body_pos=NAN)}, "reward.body_pos is nan, expected a finite number"),
        ({"reward": RewardConfig(undesired_contacts=-0.1)}, "needs every body .* sim.contact_forces true and sim.collisions all"),
        (
            {"reward": RewardConfig(undesired_contacts=-0.1), "sim": SimConfig(contact_forces=True)},
            "reward.undesired_contacts is -0.1, .* got True and feet",
        ),
        ({"observation": ObservationConfig(critic=("phases",))}, r"unknown observation term 'phases'. Did you mean 'phase'\?"),
        ({"observation": ObservationConfig(history=-1)}, "observation.history is -1, expected a whole number of 0 or more"),
        (
            {"observation": ObservationConfig(future_frames=(5, -1))},
            "observation.future_frames is 5 .. -1, expected whole numbers",
        ),
        (
            {"observation": ObservationConfig(history=2, history_terms=())},
            "observation.history is 2 and .*history_terms is empty",
        ),
        (
            {"observation": ObservationConfig(history_terms=("randomization",))},
            "history_terms is randomization, .* no robot knows",
        ),
        ({"reset": ResetConfig(joints=-0.1)}, "reset.joints is -0.1, expected .* 0 or more"),
        ({"reset": ResetConfig(linvel=(0.0, NAN, 0.0))}, r"reset.linvel\[y\] is nan"),
        ({"reset": ResetConfig(pos=(0.0, 0.0, INF))}, r"reset.pos\[z\] is inf"),
    ],
)
def test_numbers_and_names_that_make_no_sense(changes: dict[str, Any], says: str):
    with pytest.raises(InputError, match=says):
        check_config(dataclasses.replace(Config(), **changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mass": (1.2, 0.8)}, "randomize.mass is 1.2 .. 0.8, expected finite factors"),
        ({"mass": (-0.5, 1.0)}, "factors above 0"),
        ({"mass": (1.0, INF)}, "randomize.mass is 1.0 .. inf, expected finite factors"),
        ({"friction": (INF, INF)}, "randomize.friction is inf .. inf"),
        ({"com": (0.0, -0.1, 0.0)}, r"randomize.com\[y\] is -0.1"),
        ({"com": (INF, 0.0, 0.0)}, r"randomize.com\[x\] is inf, expected .* finite"),
        ({"encoder_bias": -0.1}, "randomize.encoder_bias is -0.1"),
        ({"encoder_bias": INF}, "randomize.encoder_bias is inf"),
        ({"gravity_tilt": NAN}, "randomize.gravity_tilt is nan"),
        ({"gravity_tilt": 2.0}, "randomize.gravity_tilt is 2.0, expected from 0 to 0.393 rad: it stands for a floor"),
        ({"noise": NoiseConfig(joint_vel=-1.0)}, "randomize.noise.joint_vel is -1"),
        ({"nominal_share": 1.5}, "randomize.nominal_share is 1.5, expected a share"),
        ({"spread": 1.0}, "randomize.spread is 1.0, expected a share from 0 to below 1"),
        ({"ramp_falls": -1.0}, "randomize.ramp_falls is -1.0, expected .* 0 or more"),
        ({"ramp_falls": NAN}, "randomize.ramp_falls is nan"),
        ({"action_delay": (4, 2)}, "randomize.action_delay is 4 .. 2, expected whole numbers"),
        ({"action_delay": (0.5, 7.5)}, "randomize.action_delay is 0.5 .. 7.5, expected whole numbers of physics steps"),
        ({"action_delay": (0, 201)}, r"randomize.action_delay is 0 .. 201, expected .* from 0 to 200 \(1 s\)"),
        ({"observation_delay": (-1, 2)}, "randomize.observation_delay is -1 .. 2"),
        ({"encoder_bias": 0.01}, "observation.actor has tracking_errors, which the noise and the bias"),
        ({"noise": NoiseConfig(base_ang_vel=0.2)}, "observation.actor has tracking_errors"),
        ({"push": PushConfig(interval_s=0.0)}, "randomize.push.interval_s is 0.0, expected at least 0.02"),
        ({"push": PushConfig(interval_s=0.01)}, "randomize.push.interval_s is 0.01, expected at least 0.02"),
        ({"push": PushConfig(linvel=(-1.0, 0.0, 0.0))}, r"randomize.push.linvel\[x\] is -1.0"),
        ({"push": PushConfig(angvel=(0.0, 0.0, NAN))}, r"randomize.push.angvel\[z\] is nan"),
        ({"throw": ThrowConfig(mass=(2.0, 1.0))}, "randomize.throw.mass is 2.0 .. 1.0, expected two numbers of 0 or more"),
        ({"throw": ThrowConfig(speed=(-1.0, 1.0))}, "randomize.throw.speed is -1.0 .. 1.0"),
        ({"throw": ThrowConfig(interval_s=0.01)}, "randomize.throw.interval_s is 0.01, expected at least 0.02"),
    ],
)
def test_draws_that_cannot_be(changes: dict[str, Any], says: str):
    with pytest.raises(InputError, match=says):
        check_config(dataclasses.replace(Config(), randomize=RandomizeConfig(**changes)))


def test_a_ball_at_a_body_the_robot_does_not_track_costs_nothing(tmp_path: Path):
    config = Config(robot="tiny", randomize=RandomizeConfig(throw=ThrowConfig(mass=(1.0, 2.0), bodies=("trunks",))))
    with pytest.raises(InputError, match=r"randomize.throw.bodies 'trunks'. Did you mean 'trunk'\?"):
        create_run(tmp_path / "run", config, tiny_robot(), (tiny_motion(),))
    assert not (tmp_path / "run").exists()


def test_a_shove_of_a_body_the_robot_lacks_costs_nothing(tmp_path: Path):
    config = Config(robot="tiny", randomize=RandomizeConfig(push=PushConfig(force=9.0, bodies=("trunks",))))
    with pytest.raises(InputError, match=r"randomize.push.bodies .*'tiny'.* 'trunks'. Did you mean 'trunk'\?"):
        create_run(tmp_path / "run", config, tiny_robot(), (tiny_motion(),))
    assert not (tmp_path / "run").exists()


def test_gains_that_only_a_draw_makes_unstable_are_told_of():
    """On both sides of the gain that the model bears; a spread of 5 % crosses it."""
    robot = tiny_robot()
    model = robot.model.__copy__()
    model.actuator_gainprm[:, 0] *= 1000
    bearable = min(joint.stable_kp for joint in unstable_joints(model, robot.default_qpos)) / robot.kp[0]

    def told(**changes: Any) -> tuple[str, ...]:
        return worst_draw_warning(Config(randomize=RandomizeConfig(**changes)), robot)

    assert told() == told(kp=(0.5, 0.98 * bearable)) == ()
    (line,) = told(kp=(0.5, 0.98 * bearable), spread=0.05)
    assert "unstable gains" in line
    assert "worst draw of randomize" in line
    assert told(kp=(0.5, 0.98 * bearable), armature=(0.5, 1.0))
    assert told(kp=(0.5, 1.02 * bearable))
