"""Timings of the paths that must be fast. `make bench` runs them; no test asserts a time."""
