"""How a rate is counted for one key: three strategies with one contract, free of clocks and of where state is kept.

`now` is in seconds on a clock of the caller's that does not go back; a meter that is given an earlier time than
before (clocks of several machines) takes it for the same moment.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import ceil, floor

from hanse.resilience.rate import Quota, RateConfig

_INSTANT_S = 1e-6


class Meter(ABC):
    """The state of one key."""

    __slots__ = ()

    @abstractmethod
    def take(self, now: float, cost: int) -> float:
        """Take `cost` (1 to `most_at_once`). Returns 0 when taken, else the seconds (> 0) until it could be."""

    @abstractmethod
    def quota(self, now: float) -> Quota:
        """What is left."""

    @abstractmethod
    def dump(self) -> list[float]:
        """The state as numbers."""

    @abstractmethod
    def load(self, state: Sequence[float]) -> None:
        """Take over a state that was dumped under the same config; another one is taken for empty."""


class TokenBucket(Meter):
    """One number: the time at which the bucket will be full again.

    Guarantees: in any span of t seconds at most `burst + t × requests / window_s`.
    Source: GCRA, ITU-T I.371, annex A (virtual scheduling).
    """

    __slots__ = ("_burst", "_depth_s", "_full_at", "_per_call_s")

    def __init__(self, config: RateConfig) -> None:
        self._burst = config.most_at_once
        self._per_call_s = config.window_s / config.requests
        self._depth_s = self._burst * self._per_call_s
        self._full_at = 0.0

    def take(self, now: float, cost: int) -> float:
        full_at = (self._full_at if self._full_at > now else now) + cost * self._per_call_s
        wait_s = full_at - now - self._depth_s
        if wait_s > _INSTANT_S:
            return wait_s
        self._full_at = full_at
        return 0.0

    def quota(self, now: float) -> Quota:
        reset_s = max(self._full_at - now, 0.0)
        left = floor((self._depth_s - reset_s) / self._per_call_s + _INSTANT_S)
        return Quota(self._burst, max(left, 0), reset_s)

    def dump(self) -> list[float]:
        return [self._full_at]

    def load(self, state: Sequence[float]) -> None:
        self._full_at = state[0] if len(state) == 1 else 0.0


class FixedWindow(Meter):
    """A count that begins anew with each window."""

    __slots__ = ("_count", "_requests", "_window", "_window_s")

    def __init__(self, config: RateConfig) -> None:
        self._requests = config.requests
        self._window_s = config.window_s
        self._window = 0
        self._count = 0

    def take(self, now: float, cost: int) -> float:
        window = int(now / self._window_s)
        if window > self._window:
            self._window, self._count = window, 0
        if self._count + cost > self._requests:
            return max((self._window + 1) * self._window_s - now, _INSTANT_S)
        self._count += cost
        return 0.0

    def quota(self, now: float) -> Quota:
        if int(now / self._window_s) > self._window or not self._count:
            return Quota(self._requests, self._requests, 0.0)
        return Quota(self._requests, self._requests - self._count, max((self._window + 1) * self._window_s - now, 0.0))

    def dump(self) -> list[float]:
        return [self._window, self._count]

    def load(self, state: Sequence[float]) -> None:
        self._window, self._count = (int(state[0]), int(state[1])) if len(state) == 2 else (0, 0)


class SlidingWindow(Meter):
    """Counts in buckets; those that the window still touches count in full.

    Guarantees: at most `requests` in any span of `window_s`. The price: a call is held against its key for up to
    `window_s / buckets` longer.
    """

    __slots__ = ("_at", "_bucket_s", "_counts", "_requests", "_total")

    def __init__(self, config: RateConfig) -> None:
        self._requests = config.requests
        self._bucket_s = config.window_s / config.buckets
        self._counts = [0] * (config.buckets + 1)
        self._at = 0
        self._total = 0

    def take(self, now: float, cost: int) -> float:
        at = int(now / self._bucket_s)
        if at > self._at:
            self._advance(at)
        if self._total + cost > self._requests:
            return self._wait_s(now, self._total + cost - self._requests)
        self._counts[self._at % len(self._counts)] += cost
        self._total += cost
        return 0.0

    def quota(self, now: float) -> Quota:
        at = int(now / self._bucket_s)
        if at > self._at:
            self._advance(at)
        reset_s = self._wait_s(now, self._total) if self._total else 0.0
        return Quota(self._requests, self._requests - self._total, reset_s)

    def dump(self) -> list[float]:
        return [self._at, *self._counts]

    def load(self, state: Sequence[float]) -> None:
        size = len(self._counts)
        fits = len(state) == size + 1
        self._at = int(state[0]) if fits else 0
        self._counts = [int(count) for count in state[1:]] if fits else [0] * size
        self._total = sum(self._counts)

    def _advance(self, at: int) -> None:
        size = len(self._counts)
        for bucket in range(max(self._at + 1, at - size + 1), at + 1):
            self._total -= self._counts[bucket % size]
            self._counts[bucket % size] = 0
        self._at = at

    def _wait_s(self, now: float, excess: int) -> float:
        """Until `excess` calls have fallen out; a bucket falls out when it is `size` buckets old."""
        size = len(self._counts)
        for bucket in range(self._at - size + 1, self._at + 1):
            excess -= self._counts[bucket % size]
            if excess <= 0:
                return max((bucket + size) * self._bucket_s - now, _INSTANT_S)
        return ceil(size) * self._bucket_s


METERS: dict[str, type[TokenBucket | FixedWindow | SlidingWindow]] = {
    "token_bucket": TokenBucket,
    "fixed_window": FixedWindow,
    "sliding_window": SlidingWindow,
}
"""By the name of the strategy."""
