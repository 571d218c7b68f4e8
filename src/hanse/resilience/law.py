"""How an adaptive limit finds its value: from the latencies of a short window to the next limit."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from hanse.core.errors import ConfigurationError

_LEAST_GRADIENT = 0.5
_BASELINE_DOWN = 0.3
_BASELINE_UP = 0.1
_DRAIN_WINDOWS = 10
_FIRST_PROBE_WINDOWS = 10


@dataclass(frozen=True, slots=True)
class AdaptiveConfig:
    """How an adaptive limit moves, and what each priority may use of it."""

    algorithm: Literal["gradient", "aimd"] = "gradient"
    """`gradient`: from the ratio of unloaded to present latency; `aimd`: from a latency that is not to be exceeded."""
    initial: int = 20
    minimum: int = 4
    maximum: int = 1000
    window_s: float = 0.1
    """The limit moves at most that often …"""
    window_calls: int = 10
    """… and after that many calls."""
    tolerance: float = 1.5
    """`gradient`: how many times the unloaded latency is fine (≥ 1)."""
    latency_target_s: float = 0.1
    """`aimd`: mean latency above which the limit falls."""
    decrease: float = 0.9
    """By what the limit is multiplied when calls time out or, with `aimd`, exceed the target (0–1)."""
    baseline_s: float = 30.0
    """`gradient`: how long an unloaded latency is believed; then, under load, it is measured anew at the minimum."""
    shares: tuple[float, float, float] = (0.5, 0.9, 1.0)
    """What part of the limit calls of LOW, NORMAL and HIGH priority may use."""
    retry_after_s: float = 1.0
    """What a caller that was shed is told to wait."""

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.initial <= self.maximum:
            raise ConfigurationError(f"an adaptive limit needs 1 ≤ minimum ≤ initial ≤ maximum, not {self}")
        if self.algorithm not in ("gradient", "aimd"):
            raise ConfigurationError(f'algorithm is "gradient" or "aimd", not "{self.algorithm}"')
        if self.window_s <= 0 or self.window_calls < 1 or self.latency_target_s <= 0 or self.baseline_s <= 0:
            raise ConfigurationError(f"an adaptive limit's times and window_calls are above 0, not {self}")
        if self.tolerance < 1 or not 0 < self.decrease < 1:
            raise ConfigurationError(f"an adaptive limit needs tolerance ≥ 1 and 0 < decrease < 1, not {self}")
        low, normal, high = self.shares
        if not 0 < low <= normal <= high <= 1:
            raise ConfigurationError(f"shares rise from LOW to HIGH between 0 and 1, not {self.shares}")


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen since the limit last moved."""

    at: float
    """Its end, on the monotonic clock."""
    latency_s: float
    """Mean of the calls that ended in it (> 0)."""
    peak: int
    """Most calls under way at once."""
    dropped: bool
    """A call timed out in it."""


class Law(ABC):
    """Gives the next limit; `AdaptiveLimit` keeps it between minimum and maximum."""

    @abstractmethod
    def next(self, limit: float, seen: Window) -> float:
        """The limit after this window."""

    @property
    def baseline_s(self) -> float:
        """The latency that counts as unloaded; 0 while unknown."""
        return 0.0


class Aimd(Law):
    """One more while latency is within the target and the limit is used, a share less when it is not.

    Source: D. Chiu, R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance", 1989.
    """

    def __init__(self, config: AdaptiveConfig) -> None:
        self._config = config

    def next(self, limit: float, seen: Window) -> float:
        if seen.dropped or seen.latency_s > self._config.latency_target_s:
            return limit * self._config.decrease
        return limit + 1 if seen.peak * 2 >= limit else limit


class Gradient(Law):
    """Follows the ratio of unloaded to present latency, with √limit as room for a queue.

    The unloaded latency falls quickly with what is seen, rises slowly while few calls are under way, and is measured
    anew at the minimum when the load has been high for `baseline_s`: else a limit that is too high would come to look
    normal.
    Source: Netflix, concurrency-limits (Gradient); Envoy, adaptive concurrency filter (minimum latency, headroom).
    """

    def __init__(self, config: AdaptiveConfig) -> None:
        self._config = config
        self._baseline_s = 0.0
        self._stale_at = 0.0
        self._resume: float | None = None
        self._draining = 0

    @property
    def baseline_s(self) -> float:
        return self._baseline_s

    def next(self, limit: float, seen: Window) -> float:
        config = self._config
        if self._resume is not None:
            return self._measure(seen)
        if not self._baseline_s:
            self._baseline_s = seen.latency_s
            self._stale_at = seen.at + _FIRST_PROBE_WINDOWS * config.window_s
        elif seen.latency_s < self._baseline_s:
            self._baseline_s += _BASELINE_DOWN * (seen.latency_s - self._baseline_s)
        elif seen.peak * 4 <= limit or seen.peak <= config.minimum:
            self._baseline_s += _BASELINE_UP * (seen.latency_s - self._baseline_s)
            self._stale_at = seen.at + config.baseline_s
        used = seen.peak * 2 >= limit
        if used and seen.at >= self._stale_at:
            self._resume, self._draining = limit, _DRAIN_WINDOWS
            return float(config.minimum)
        if seen.dropped:
            return limit * config.decrease
        gradient = config.tolerance * self._baseline_s / seen.latency_s
        target = limit * min(max(gradient, _LEAST_GRADIENT), 1.0) + sqrt(limit)
        if not used and target > limit:
            return limit
        return limit + _BASELINE_DOWN * (target - limit)

    def _measure(self, seen: Window) -> float:
        """At the minimum: once the calls of before have ended, take the latency for the unloaded one."""
        assert self._resume is not None
        self._draining -= 1
        if seen.peak > self._config.minimum and self._draining > 0:
            return float(self._config.minimum)
        self._baseline_s = seen.latency_s
        self._stale_at = seen.at + self._config.baseline_s
        resume, self._resume = self._resume, None
        return resume
