"""Short clips that come with the package: npz on our humanoid, and one BVH on a plain human skeleton. See NOTICE."""

from pathlib import Path

FOLDER = Path(__file__).parent


def shipped_clips() -> dict[str, Path]:
    """Name to npz file."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.npz"))}


def demo_bvh() -> Path:
    """The mocap file that `mimic demo` starts from."""
    return next(iter(sorted(FOLDER.glob("*.bvh"))))
