"""Mocap to robot. Imports motions only; receives a Body."""
