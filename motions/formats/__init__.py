"""Readers and writers, one file per format; conventions are converted here and nowhere else."""
