"""Robots: models with names, gains, default pose and tracked bodies."""

from mimic.robots.robot import Robot, load_robot

__all__ = ["Robot", "load_robot"]
