"""Mocap to robot. Imports motions only; receives a Body."""

from retarget.pipeline import ground, retarget
from retarget.quality import QualityReport, quality_table

__all__ = ["QualityReport", "ground", "quality_table", "retarget"]
