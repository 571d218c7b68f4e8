"""Rounds of ours and the peer's in turn, so that a busy moment of the machine hits both."""

import statistics
from collections.abc import Callable


def alternate(ours: Callable[[], float], peer: Callable[[], float], *, rounds: int) -> tuple[list[float], list[float]]:
    """Run both `rounds` times, in turn; the figures in the order they were measured."""
    first, second = list[float](), list[float]()
    for _ in range(rounds):
        first.append(ours())
        second.append(peer())
    return first, second


def median(figures: list[float]) -> float:
    return statistics.median(figures)


def percentile(figures: list[float], share: float) -> float:
    """The nearest-rank percentile.

    Args:
        figures: at least one.
        share: 0 to 1, such as 0.99.
    """
    ordered = sorted(figures)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
