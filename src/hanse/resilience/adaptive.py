"""Adaptive concurrency limit: as many calls at once as can be served without queueing, found from their latency."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from hanse.core import Env
from hanse.core.errors import OutcomeUnknown
from hanse.resilience.errors import Overloaded
from hanse.resilience.events import CallRejected, EventSink, LimitChanged
from hanse.resilience.law import AdaptiveConfig, Aimd, Gradient, Law, Window
from hanse.resilience.pattern import Pattern, Snapshot
from hanse.resilience.priority import Priority

T = TypeVar("T")

_LEAST_LATENCY_S = 1e-6
_NORMAL = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class AdaptiveSnapshot(Snapshot):
    """An adaptive limit's live state, for people."""

    limit: int
    running: int
    baseline_s: float
    """The latency taken for unloaded; 0 while unknown."""
    latency_s: float
    """Mean latency of the last window; 0 before the first."""
    rejected: dict[str, int]
    """Calls shed since it was built, by priority."""


class AdaptiveLimit(Pattern):
    """Sheds what exceeds the capacity, the least important first.

    For a hot path, without a coroutine of its own:

        if not limit.try_acquire(priority):
            raise limit.refuse(priority)
        …
        limit.release(took_s)     # or drop() after a timeout, abandon() when the time says nothing

    Guarantees: calls of a priority other than CRITICAL start only while fewer than their share of the limit are
    under way; CRITICAL ones always; nothing waits; a refusal takes microseconds; the limit stays between `minimum`
    and `maximum`.
    """

    __slots__ = (
        "_calls", "_dropped", "_latency_s", "_law", "_limit", "_monotonic", "_peak", "_places", "_shed", "_sum_s",
        "_window_end", "config", "running",
    )  # fmt: skip

    kind = "adaptive"

    def __init__(
        self, name: str, env: Env, config: AdaptiveConfig | None = None, *, on_event: EventSink | None = None
    ) -> None:
        super().__init__(name, env, on_event=on_event)
        self.config = config or AdaptiveConfig()
        self.running = 0
        """Calls under way."""
        self._monotonic = env.clock.monotonic
        self._shed = [0] * len(Priority)
        self._law: Law
        self._limit: float
        self._places: tuple[int, int, int, int]
        self._peak = 0
        self.reset()

    @property
    def limit(self) -> int:
        """Calls that may be under way at once, CRITICAL ones aside."""
        return int(self._limit)

    def try_acquire(self, priority: Priority = _NORMAL) -> bool:
        """Take a place if this priority has one. True obliges the caller to `release`, `drop` or `abandon`."""
        running = self.running
        if running < self._places[priority]:
            self.running = running = running + 1
            if running > self._peak:
                self._peak = running
            return True
        return False

    def refuse(self, priority: Priority = _NORMAL) -> Overloaded:
        """Count a call as shed and tell it; returns the error to raise."""
        self._shed[priority] += 1
        if self.on_event is not None:
            self.on_event(CallRejected(self.name, self._env.clock.now(), f"{self.running} calls are under way"))
        return Overloaded(f"{self.name} has more calls than it can serve", retry_after=self.config.retry_after_s)

    def release(self, took_s: float) -> None:
        """Give a place back after a call that was served.

        Args:
            took_s: how long it took, from `try_acquire` on.
        """
        self.running -= 1
        self._calls += 1
        self._sum_s += took_s
        if self._calls >= self.config.window_calls:
            now = self._monotonic()
            if now >= self._window_end:
                self._move(now)

    def drop(self, took_s: float) -> None:
        """Give a place back after a call that was not served in time: a sign of overload."""
        self._dropped = True
        self.release(took_s)

    def abandon(self) -> None:
        """Give a place back after a call whose duration says nothing (refused early, cancelled by the caller)."""
        self.running -= 1

    def guard(self, priority: Priority = _NORMAL) -> "Admission":
        """Hold a place inside `async with`; raises Overloaded instead of entering."""
        return Admission(self, priority)

    async def call(self, operation: Callable[[], Awaitable[T]], *, priority: Priority = _NORMAL) -> T:
        """Run `operation` within the limit.

        Raises:
            Overloaded: nothing was called.
        """
        async with self.guard(priority):
            return await operation()

    def snapshot(self) -> AdaptiveSnapshot:
        shed = {priority.name.lower(): self._shed[priority] for priority in Priority}
        return AdaptiveSnapshot(self.name, self.limit, self.running, self._law.baseline_s, self._latency_s, shed)

    def reset(self) -> None:
        self._law = Aimd(self.config) if self.config.algorithm == "aimd" else Gradient(self.config)
        self._latency_s = 0.0
        self._set(float(self.config.initial))
        self._open_window(self._monotonic())

    def _open_window(self, now: float) -> None:
        self._calls, self._sum_s, self._dropped = 0, 0.0, False
        self._peak = self.running
        self._window_end = now + self.config.window_s

    def _move(self, now: float) -> None:
        config, before = self.config, self.limit
        self._latency_s = max(self._sum_s / self._calls, _LEAST_LATENCY_S)
        wanted = self._law.next(self._limit, Window(now, self._latency_s, self._peak, self._dropped))
        self._set(min(max(wanted, float(config.minimum)), float(config.maximum)))
        self._open_window(now)
        if self.limit != before and self.on_event is not None:
            self.on_event(LimitChanged(self.name, self._env.clock.now(), before, self.limit, self._latency_s))

    def _set(self, limit: float) -> None:
        self._limit = limit
        low, normal, high = (max(int(limit * share), 1) for share in self.config.shares)
        self._places = (low, normal, high, sys.maxsize)


class Admission:
    """One call's place; what ends the block tells the limit how it went."""

    __slots__ = ("_began", "_limit", "_priority")

    def __init__(self, limit: AdaptiveLimit, priority: Priority) -> None:
        self._limit = limit
        self._priority = priority
        self._began = 0.0

    async def __aenter__(self) -> None:
        if not self._limit.try_acquire(self._priority):
            raise self._limit.refuse(self._priority)
        self._began = self._limit._monotonic()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        limit = self._limit
        if kind is None:
            limit.release(limit._monotonic() - self._began)
        elif isinstance(error, TimeoutError | OutcomeUnknown):
            limit.drop(limit._monotonic() - self._began)
        else:
            limit.abandon()
