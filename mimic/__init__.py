"""Mimic: from a motion-capture file to a measured, deployable physics-based controller."""

__version__ = "0.1.0"
