"""Compiled programs are kept between processes: a robot's retargeting compiles for half a minute, once."""

import os
import sys
from pathlib import Path


def enable_compile_cache() -> None:
    """Keep compiled programs in MIMIC_CACHE or the user's cache folder; JAX's own variables go before.

    Through the environment, so that a command without JAX need not wait for its import.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = Path(os.environ.get("MIMIC_CACHE", caches / "mimic"))
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "1.0")
    if "jax" in sys.modules:  # it has read its variables already
        import jax

        jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
        seconds = float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)
