"""Mocap to robot. Imports motions only; receives a Body."""

from retarget.pipeline import retarget

__all__ = ["retarget"]
