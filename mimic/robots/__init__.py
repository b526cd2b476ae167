"""Robots: models with names, gains, default pose and tracked bodies."""
