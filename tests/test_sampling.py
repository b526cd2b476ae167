"""Adaptive start sampling: bins counted by hand, typed probabilities, histograms of many starts, a loop for failures."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from mimic.config import SamplingConfig
from mimic.mdp.sampling import (
    Bins,
    SamplerState,
    bin_probabilities,
    capped,
    count_failures,
    init_sampler,
    make_bins,
    sample_start,
    update_sampler,
)
from motions.library import MotionLibrary

LENGTHS = (101, 4, 61)  # frames of three clips
STARTS = np.array([0, 101, 105], np.int32)


def bins_of(bin_frames: int, weights: tuple[float, ...] = (1, 1, 1)) -> Bins:
    """Of a library of no frames: only where its clips lie is asked for."""
    places = STARTS, np.array(LENGTHS, np.int32), np.array(weights, np.float32)
    return make_bins(MotionLibrary(None, None, None, *places, None, None), bin_frames)  # type: ignore[arg-type]


BINS = bins_of(25)
TWO = Bins(*(np.array(x, np.int32) for x in ([0, 0], [0, 30], [30, 10], [0, 30])), np.array([0.75, 0.25], np.float32))
CONFIG = SamplingConfig()


def test_bins_by_hand():
    """100, 3 and 60 frames can be started from: 4 bins, 1 bin, and 60/25 = 2.4, so 2 bins of 30."""
    assert BINS.clip.tolist() == [0, 0, 0, 0, 1, 2, 2]
    assert BINS.first.tolist() == [0, 25, 50, 75, 0, 0, 30]
    assert BINS.length.tolist() == [25, 25, 25, 25, 3, 30, 30]
    assert BINS.packed_first.tolist() == [0, 25, 50, 75, 101, 105, 135]


def test_shares_by_hand():
    """As long as they are, times the weight of their clip: 25, 25, 25, 25, 0, 2 x 30, 2 x 30 of 220."""
    np.testing.assert_allclose(BINS.share, np.array([25, 25, 25, 25, 3, 30, 30]) / 163, rtol=1e-6)
    weighted = bins_of(25, (1, 0, 2)).share
    np.testing.assert_allclose(weighted, np.array([25, 25, 25, 25, 0, 60, 60]) / 220, rtol=1e-6)


@pytest.mark.parametrize("cap", [None, 2.0])
def test_a_clip_without_weight_never_starts(cap: float | None):
    bins = bins_of(25, (1, 0, 2))
    failures = jnp.array([0.0, 0.0, 0.0, 3.0, 0.0, 1.0, 0.0])
    found = bin_probabilities(SamplerState(failures), bins, SamplingConfig(cap=cap))
    assert found[4] == 0
    assert found.sum() == pytest.approx(1.0, abs=1e-6)
    assert cap is None or (found <= cap * bins.share + 1e-6).all()


@pytest.mark.parametrize("bin_frames", [1, 7, 25, 1000])
def test_bins_hold_every_frame_but_each_clips_last_once(bin_frames: int):
    bins = bins_of(bin_frames)
    frames = [(c, f + i) for c, f, n in zip(bins.clip, bins.first, bins.length) for i in range(n)]
    assert frames == [(c, f) for c, length in enumerate(LENGTHS) for f in range(length - 1)]
    assert bins.length.max() <= 1.5 * bin_frames


def test_probabilities_by_hand():
    """Two bins of 30 and 10 frames, failures 1 and 3, 10 % uniform: .9/4 + .1*3/4 and .9*3/4 + .1/4."""
    found = bin_probabilities(SamplerState(jnp.array([1.0, 3.0])), TWO, SamplingConfig(uniform=0.1))
    np.testing.assert_allclose(found, [0.3, 0.7], atol=1e-6)
    without_failures = bin_probabilities(init_sampler(TWO), TWO, SamplingConfig(uniform=0.1))
    np.testing.assert_allclose(without_failures, [0.75, 0.25], atol=1e-6)


def test_uniform_starts_that_weigh_as_much_as_some_failures():
    """p ~ failures + .5 length/sum: 1 + .375 and 3 + .125 of 4.5; with no failures left all starts are uniform."""
    config = SamplingConfig(uniform_failures=0.5)
    for failures, expected in (([1.0, 3.0], [1.375 / 4.5, 3.125 / 4.5]), ([0.0, 0.0], [0.75, 0.25])):
        np.testing.assert_allclose(bin_probabilities(SamplerState(jnp.array(failures)), TWO, config), expected, atol=1e-6)


@pytest.mark.parametrize("failures", [[0, 0, 0, 0, 0, 0, 0], [0, 5, 0, 0, 1, 0, 2], [0, 0, 0, 0, 0, 0, 1e-9]])
def test_starts_are_distributed_as_asked(failures: list[float]):
    """A chi-square test over all single frames that can be started from."""
    probabilities = bin_probabilities(SamplerState(jnp.array(failures, jnp.float32)), BINS, CONFIG)
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-6)
    keys = jax.random.split(jax.random.key(7), 40_000)
    clips, frames = jax.jit(jax.vmap(sample_start, (0, None, None)))(keys, probabilities, BINS)
    counts = {(c, f): 0 for c, length in enumerate(LENGTHS) for f in range(length - 1)}
    for start in zip(clips.tolist(), frames.tolist()):
        counts[start] += 1  # a KeyError here is a start on a last frame, or outside its clip
    expected = [40_000 * p / n for p, n in zip(np.asarray(probabilities, float), BINS.length) for _ in range(n)]
    expected = np.array(expected) * 40_000 / sum(expected)
    assert chisquare(list(counts.values()), expected).pvalue > 1e-3


@pytest.mark.parametrize("cap", [1.0, 1.5, 3.0, 20.0])
def test_a_cap_fills_bins_like_water(cap: float):
    """Against a level found by bisection: what is poured in is min(bound, level p), and it is 1 in all."""
    rng = np.random.default_rng(int(10 * cap))
    for _ in range(20):
        failures = np.where(rng.random(7) < 0.5, rng.exponential(size=7) ** 3, 0.0)
        free = np.asarray(bin_probabilities(SamplerState(jnp.asarray(failures, jnp.float32)), BINS, CONFIG), float)
        bounds = cap * BINS.length / BINS.length.sum()
        low, high = 0.0, 1e6
        for _ in range(200):
            level = (low + high) / 2
            low, high = (level, high) if np.minimum(bounds, level * free).sum() < 1.0 else (low, level)
        config = dataclasses.replace(CONFIG, cap=cap)
        found = np.asarray(bin_probabilities(SamplerState(jnp.asarray(failures, jnp.float32)), BINS, config), float)
        np.testing.assert_allclose(found, np.minimum(bounds, high * free), atol=1e-6)
        assert found.sum() == pytest.approx(1.0, abs=1e-6)
        assert (found <= bounds * (1 + 1e-6)).all()
        per_frame, fuller = found / BINS.length, np.argsort(free / BINS.length)
        assert (np.diff(per_frame[fuller]) >= -1e-8).all()  # nothing overtakes what failed more
        if (free <= bounds).all():
            np.testing.assert_allclose(found, free, atol=1e-6)


def test_a_cap_by_hand():
    """Four equal bins, one with .85, at most .5 each: what it loses makes the others .5/3."""
    found = capped(jnp.array([0.05, 0.85, 0.05, 0.05]), jnp.full(4, 0.5))
    np.testing.assert_allclose(found, [0.5 / 3, 0.5, 0.5 / 3, 0.5 / 3], rtol=1e-6)


def test_a_bin_without_probability_is_never_drawn():
    probabilities = jnp.array([0, 0, 0.5, 0, 0, 0, 0.5])
    keys = jax.random.split(jax.random.key(1), 2000)
    clips, frames = jax.vmap(sample_start, (0, None, None))(keys, probabilities, BINS)
    assert {(int(c), int(f) // 25) for c, f in zip(clips, frames)} <= {(0, 2), (2, 1), (2, 2)}


def test_a_share_of_starts_is_on_first_frames():
    """Half of them; the others keep their places. Clips are drawn as without it."""
    probabilities = jnp.array([0, 0, 0.5, 0, 0, 0, 0.5])  # no bin that holds a first frame
    keys = jax.random.split(jax.random.key(1), 4000)
    clips, frames = jax.vmap(sample_start, (0, None, None, None))(keys, probabilities, BINS, 0.5)
    for clip, bin_index in ((0, 2), (2, 6)):
        drawn = frames[clips == clip]
        assert len(drawn) == pytest.approx(2000, abs=4 * np.sqrt(4000 * 0.25))
        assert (drawn == 0).sum() == pytest.approx(len(drawn) / 2, abs=4 * np.sqrt(len(drawn) * 0.25))
        elsewhere = drawn[drawn > 0]
        assert set(elsewhere.tolist()) <= set(range(BINS.first[bin_index], BINS.first[bin_index] + BINS.length[bin_index]))


def test_failures_are_counted_as_a_loop_does():
    rng = np.random.default_rng(0)
    place, failed = rng.integers(0, sum(LENGTHS), size=(24, 50)), rng.random((24, 50)) < 0.3
    place[0, :3] = [100, 104, 165]  # the last frames, which belong to the last bins of their clips
    failed[0, :3] = True
    expected = [0] * len(BINS.clip)
    for p, f in zip(place.ravel(), failed.ravel()):
        if f:
            clip = max(c for c in range(3) if STARTS[c] <= p)
            inside = [b for b in range(7) if BINS.clip[b] == clip and BINS.packed_first[b] <= p]
            expected[inside[-1]] += 1
    found = count_failures(BINS, jnp.asarray(place), jnp.asarray(failed))
    assert found.tolist() == expected
    assert sum(expected) == failed.sum()


def test_average_by_hand():
    sampler = SamplerState(jnp.array([1.0, 0.0]))
    updated = update_sampler(sampler, jnp.array([0.0, 4.0]), SamplingConfig(decay=0.9))
    np.testing.assert_allclose(updated.failures, [0.9, 0.4], atol=1e-7)
