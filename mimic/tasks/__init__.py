"""Environments, one per file."""
