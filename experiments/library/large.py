"""python experiments/library/large.py FILES... --robot g1 --out DIR [--clips 10 100 1000 10000] [--seconds 14.4]

A library of many clips, as a training has it: writes clips of so many seconds, cut and repeated from the motions given, as files;
reads and packs them, with the priors made (cold) and read from the cache (warm); and times, in control steps of a batch of
environments, what depends on how many clips there are: where episodes start, what failures count, a look-up of the reference.
"""

import argparse
import json
import os
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mimic.mdp import sampling
from mimic.mdp.prior_table import offset_table
from mimic.mdp.priors import Prior
from mimic.presets import make_preset
from mimic.sources import find_robot, read_motions
from motions.library import MotionLibrary, pack
from motions.motion import Motion, save_motion

NUM_ENVS, STEPS, CALLS = 1024, 24, 20


def say(text: str) -> None:
    print(text, flush=True)


def write_clips(sources: list[Motion], folder: Path, count: int, seconds: float) -> list[str]:
    """`count` files of `seconds` each: the sources in turn, each repeated until it is so long."""
    folder.mkdir(parents=True, exist_ok=True)
    long = []
    for source in sources:
        frames = round(seconds * source.fps) + 1
        back_and_forth = np.concatenate([source.qpos, source.qpos[-2:0:-1]])
        long.append(replace(source, qpos=np.resize(back_and_forth, (frames, source.qpos.shape[1])), loop=False))
    paths = [folder / f"{index:05d}.npz" for index in range(count)]
    for motion, path in zip(long, paths, strict=False):
        save_motion(motion, path)
    for index, path in enumerate(paths[len(long) :]):
        shutil.copyfile(paths[index % len(long)], path)
    return [str(path) for path in paths]


def timed[T](function: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    return function(), time.perf_counter() - began


def per_step_us(library: MotionLibrary, config: Any) -> dict[str, float]:
    """Microseconds per control step of all environments: medians of calls of a whole rollout."""
    bins = sampling.make_bins(library, round(config.sampling.bin_s / config.sim.ctrl_dt))
    sampler, device = sampling.init_sampler(bins), library.moved(jnp.asarray)
    keys = jax.random.split(jax.random.key(0), NUM_ENVS)
    places = jax.random.randint(jax.random.key(1), (STEPS, NUM_ENVS), 0, len(library.qpos))
    failed = jax.random.bernoulli(jax.random.key(2), 0.01, (STEPS, NUM_ENVS))
    clip = jax.random.randint(jax.random.key(3), (NUM_ENVS,), 0, library.num_clips)

    @jax.jit
    def adapt(sampler: sampling.SamplerState) -> Any:
        failures = sampling.count_failures(bins, places, failed) / STEPS
        sampler = sampling.update_sampler(sampler, failures, config.sampling)
        probabilities = sampling.bin_probabilities(sampler, bins, config.sampling)
        return sampler, jax.vmap(lambda key: sampling.sample_start(key, probabilities, bins, 0.1))(keys)

    def look_up(qpos: Any, qvel: Any, poses: Any) -> Any:  # as arguments: constants would be copied
        held = replace(device, qpos=qpos, qvel=qvel, poses=poses)

        def one(total: Any, frame: Any) -> Any:
            found = held.lookup(clip, jnp.full(NUM_ENVS, frame))
            return total + found.xpos.sum() + found.xangvel.sum(), None

        return jax.lax.scan(one, 0.0, jnp.arange(STEPS))

    compiled = jax.jit(look_up)
    arrays = device.qpos, device.qvel, device.poses
    times: dict[str, list[float]] = {"starts": [], "lookup": []}
    for _ in range(CALLS + 1):
        times["starts"].append(timed(lambda: jax.block_until_ready(adapt(sampler)))[1])
        times["lookup"].append(timed(lambda: jax.block_until_ready(compiled(*arrays)))[1])
    return {name: 1e6 * float(np.median(values[1:])) / STEPS for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--robot", default="g1")
    parser.add_argument("--quat-order")
    parser.add_argument("--clips", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--seconds", type=float, default=14.4)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    os.environ["MIMIC_CACHE"] = str(args.out / "cache")
    config = make_preset(args.robot)
    robot = find_robot(config, say)
    sources, _ = read_motions(args.files, robot, say, quat_order=args.quat_order)
    prior = Prior.of(robot, config)
    rows = []
    for count in args.clips:
        paths = write_clips(sources, args.out / "clips", count, args.seconds)
        (motions, _), read_s = timed(lambda paths=paths: read_motions(paths, robot, lambda text: None))
        library, pack_s = timed(
            lambda motions=motions: pack(motions, robot.body, robot.tracked_bodies, config.sim.ctrl_dt, poses=config.poses)
        )
        _, cold_s = timed(lambda library=library: offset_table(library, prior))
        offsets, warm_s = timed(lambda library=library: offset_table(library, prior))
        arrays = [library.qpos, library.qvel, *(library.poses or ()), offsets]
        row = {
            "clips": count,
            "frames": len(library.qpos),
            "hours": len(library.qpos) * config.sim.ctrl_dt / 3600,
            "poses": "recomputed" if library.poses is None else "kept",
            "device_mb": sum(array.nbytes for array in arrays) / 1e6,
            "read_s": read_s,
            "pack_s": pack_s,
            "priors_cold_s": cold_s,
            "priors_warm_s": warm_s,
            "built_warm_s": read_s + pack_s + warm_s,
            **{f"{name}_us": value for name, value in per_step_us(library, config).items()},
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        rows.append(row)
        say("  ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()))
    (args.out / "large.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
