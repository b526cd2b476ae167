"""What is kept between processes: compiled programs (a robot's retargeting compiles for half a minute, once) and tables."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """MIMIC_CACHE, or ours in the user's cache folder."""
    caches = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("MIMIC_CACHE", caches / "mimic"))


def enable_compile_cache() -> None:
    """Keep compiled programs in `cache_folder`; JAX's own variables go before.

    Through the environment, so that a command without JAX need not wait for its import.
    """
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "1.0")
    if "jax" in sys.modules:  # it has read its variables already
        import jax

        jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
        seconds = float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)
