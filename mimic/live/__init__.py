"""A policy at work before a browser: watched, pushed, told what to do, given another body."""
