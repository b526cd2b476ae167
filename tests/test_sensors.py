"""What is measured: sizes of the noise, the encoders' bias, delays; against numpy written anew."""

import numpy as np
from scipy.spatial.transform import Rotation, Slerp
from states import random_state

from mimic.config import NoiseConfig
from mimic.mdp.sensors import delayed, measured, noise_size
from motions.kinematics import KinematicState

JOINTS = 3
RNG = np.random.default_rng(0)


def rotation(quat: np.ndarray) -> Rotation:
    return Rotation.from_quat(quat, scalar_first=True)


def test_without_noise_and_bias_the_state_is_what_it_is():
    state = random_state(0)
    found = measured(state, np.zeros(JOINTS), RNG.uniform(-1, 1, noise_size(JOINTS)), NoiseConfig())
    for a, b in zip(found, state):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_each_noise_is_where_and_as_large_as_it_says():
    state, noise = random_state(1), RNG.uniform(-1, 1, noise_size(JOINTS))
    bias = np.array([0.1, -0.2, 0.3])
    config = NoiseConfig(0.25, 0.05, 0.5, 0.2, 0.01, 0.6)
    found, root = measured(state, bias, noise, config), rotation(state.qpos[3:7])
    shift = root.apply(0.25 * noise[:3])
    np.testing.assert_allclose(found.qpos[:3] - state.qpos[:3], shift, atol=1e-12)
    turn = rotation(found.qpos[3:7]) * root.inv()
    moved = state.qpos[:3] + shift + turn.apply(state.xpos - state.qpos[:3])
    np.testing.assert_allclose(found.xpos, moved, atol=1e-9)
    for now, before in ((found.xlinvel, state.xlinvel), (found.xangvel, state.xangvel)):
        np.testing.assert_allclose(now, turn.apply(before), atol=1e-9)
    np.testing.assert_allclose(turn.as_rotvec(), 0.05 * noise[3:6], atol=1e-9)
    for a, b in zip(found.xquat, state.xquat):
        np.testing.assert_allclose((rotation(a) * rotation(b).inv()).as_rotvec(), 0.05 * noise[3:6], atol=1e-9)
    own = rotation(found.qpos[3:7]).inv().apply(found.qvel[:3])
    np.testing.assert_allclose(own - root.inv().apply(state.qvel[:3]), 0.5 * noise[6:9], atol=1e-9)
    np.testing.assert_allclose(found.qvel[3:6] - state.qvel[3:6], 0.2 * noise[9:12], atol=1e-12)
    np.testing.assert_allclose(found.qpos[7:] - state.qpos[7:], bias + 0.01 * noise[12:15], atol=1e-12)
    np.testing.assert_allclose(found.qvel[6:] - state.qvel[6:], 0.6 * noise[15:], atol=1e-12)


def test_delays_of_whole_and_half_steps():
    """Neighbouring states: near each other, as they are in time."""
    states, rng = [random_state(2)], np.random.default_rng(3)
    for _ in range(2):
        last = states[-1]
        turned = (Rotation.from_rotvec(0.1 * rng.normal(size=3)) * rotation(last.qpos[3:7])).as_quat(scalar_first=True)
        qpos = np.concatenate([last.qpos[:3] + 0.1, -turned, last.qpos[7:] - 0.2])  # the other sign of the same rotation
        states.append(KinematicState(qpos, *(part + 0.01 * rng.normal(size=part.shape) for part in last[1:])))
    stacked = KinematicState(*(np.stack(parts) for parts in zip(*states)))
    for steps, expected in ((0.0, states[0]), (1.0, states[1]), (2.0, states[2])):
        found = delayed(stacked, np.asarray(steps))
        np.testing.assert_allclose(found.qpos[7:], expected.qpos[7:], atol=1e-12)
        np.testing.assert_allclose(abs(found.qpos[3:7] @ expected.qpos[3:7]), 1.0, atol=1e-12)
        np.testing.assert_allclose(found.qvel, expected.qvel, atol=1e-12)
    half = delayed(stacked, np.asarray(1.5))
    np.testing.assert_allclose(half.qpos[7:], (states[1].qpos[7:] + states[2].qpos[7:]) / 2, atol=1e-12)
    slerp = Slerp([0, 1], Rotation.concatenate([rotation(states[1].qpos[3:7]), rotation(states[2].qpos[3:7])]))
    np.testing.assert_allclose((rotation(half.qpos[3:7]) * slerp(0.5).inv()).magnitude(), 0.0, atol=1e-6)
