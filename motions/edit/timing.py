"""Editing in time: trim, play faster or slower, smooth."""

from dataclasses import replace

import numpy as np

from motions.edit.cycle import repeat
from motions.edit.travel import move, travel_between
from motions.errors import InputError
from motions.motion import Motion, resample
from motions.rotations import quat_conj, quat_exp, quat_log, quat_mul, quat_unroll

BUTTERWORTH_ORDER = 2  # run forwards and backwards: fourth order, without delay
LOOP_COPIES = 5  # a loop is filtered among this many copies of itself, so that its seam is like any other place
MIN_MEAN_QUAT = 0.3  # length of the low-passed root quaternion from which it still says a direction


def trim(motion: Motion, start_s: float, end_s: float | None = None) -> Motion:
    """The part from `start_s` to `end_s` [s] (None: its end), both frames included. Raises `InputError` where it is empty."""
    end_s = motion.duration_s if end_s is None else end_s
    half_frame_s = 0.5 / motion.fps
    if not 0.0 <= start_s < end_s or start_s > motion.duration_s:
        raise InputError(
            f"motion {motion.name!r}: the part from {start_s:g} s to {end_s:g} s is empty; it lasts {motion.duration_s:.2f} s"
        )
    if end_s > motion.duration_s + half_frame_s:
        raise InputError(f"motion {motion.name!r} lasts {motion.duration_s:.2f} s, so it cannot be cut at {end_s:g} s")
    return motion.trimmed(start_s, end_s)


def speed(motion: Motion, factor: float) -> Motion:
    """Played `factor` times as fast, at the same frame rate, through cubic splines.

    Gravity does not play faster: flights and swings of a motion far from its own speed are none a body could do.
    Raises `InputError` unless `factor` is above 0 and leaves 3 frames.
    """
    if not (np.isfinite(factor) and factor > 0):
        raise InputError(f"speed: the factor is {factor}, expected a number above 0, as 1.2 for a fifth faster")
    return resample(replace(motion, fps=motion.fps * factor), motion.fps)


def smooth(motion: Motion, cutoff_hz: float) -> Motion:
    """Without what is faster than `cutoff_hz`: a Butterworth filter run both ways, so that nothing is delayed.

    Positions and joint angles are filtered as they are. The root's orientation is filtered in rotation vectors about
    its own low-passed course, where they are small and thus nearly linear. A loop stays one. Raises `InputError`
    unless 0 < cutoff < fps / 2, or for a root that turns faster than the cutoff can follow.
    """
    if not (np.isfinite(cutoff_hz) and 0.0 < cutoff_hz < 0.5 * motion.fps):
        raise InputError(
            f"smooth: the cutoff is {cutoff_hz} Hz, expected more than 0 and less than {0.5 * motion.fps:g} Hz, half the "
            f"frame rate of motion {motion.name!r}"
        )
    if not motion.loop:
        return replace(motion, qpos=_filtered(motion, cutoff_hz))
    steps = motion.num_frames - 1
    middle = LOOP_COPIES // 2 * steps
    qpos = _filtered(repeat(motion, LOOP_COPIES), cutoff_hz)[middle : middle + steps + 1]
    return move(replace(motion, qpos=qpos), travel_between(qpos[0], motion.qpos[0]))


def _filtered(motion: Motion, cutoff_hz: float) -> np.ndarray:
    """The smoothed qpos (F, nq)."""
    from scipy.signal import butter, sosfiltfilt

    sos = butter(BUTTERWORTH_ORDER, cutoff_hz, fs=motion.fps, output="sos")
    pad = min(motion.num_frames - 1, int(3 * motion.fps / cutoff_hz))  # until the filter has forgotten the end

    def low_pass(values: np.ndarray) -> np.ndarray:
        return sosfiltfilt(sos, values, axis=0, padlen=pad)

    quat = quat_unroll(motion.qpos[:, 3:7])
    mean = low_pass(quat)
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    if length.min() < MIN_MEAN_QUAT:
        frame = int(np.argmin(length))
        raise InputError(f"motion {motion.name!r}: around frame {frame} the root turns faster than {cutoff_hz:g} Hz can follow")
    mean /= length
    away = quat_log(quat_mul(quat_conj(mean), quat))
    qpos = low_pass(motion.qpos)
    qpos[:, 3:7] = quat_mul(mean, quat_exp(low_pass(away)))
    return qpos


def smooth_step(u: np.ndarray) -> np.ndarray:
    """From 0 to 1 while u does; its steepest is 1.5."""
    u = np.clip(u, 0.0, 1.0)
    return u**2 * (3.0 - 2.0 * u)
