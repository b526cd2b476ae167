"""Mocap to robot. Imports motions only; receives a Body."""

from retarget.batch import Outcome, retarget_many
from retarget.pipeline import assess, ground, retarget
from retarget.quality import QualityReport, quality_json, quality_table, spell_means

__all__ = [
    "Outcome",
    "QualityReport",
    "assess",
    "ground",
    "quality_json",
    "quality_table",
    "retarget",
    "retarget_many",
    "spell_means",
]
