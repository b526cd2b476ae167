"""Pure functions of two kinematic states: observations, rewards, terminations, resets, sampling."""
