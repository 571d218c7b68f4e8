"""The small harness that all benchmarks share: rounds, percentiles, processes, load, report."""
