"""Benchmarks: each prints ours, a named peer doing the same work, and the ratio, measured in one run.

`python -m bench` runs all, `python -m bench B11 --json` one. They never fail a test suite; a ratio that falls short of
the one wanted says `short`.
"""
