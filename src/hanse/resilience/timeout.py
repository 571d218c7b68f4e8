"""Timeout: a bound on how long a call may take, known to what it calls."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from hanse.core import Env, RequestContext, current, use
from hanse.core.errors import ConfigurationError, DeadlineExceeded
from hanse.resilience.events import CallTimedOut, EventSink
from hanse.resilience.pattern import Pattern, Snapshot

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TimeoutConfig:
    """How long a call may take."""

    timeout_s: float = 5.0
    """Seconds (> 0); less when the request being served has less left."""

    def __post_init__(self) -> None:
        if self.timeout_s <= 0:
            raise ConfigurationError(f"a timeout is above 0 s, not {self.timeout_s}")


@dataclass(frozen=True, slots=True)
class TimeoutSnapshot(Snapshot):
    """A timeout's live state, for people."""

    timeout_s: float
    running: int
    timed_out: int
    """Calls cut off since it was built."""


class Timeout(Pattern):
    """Cancels a call that takes too long.

    Guarantees: inside, `current().deadline` is no later than the end of the timeout, so that retries stop in time and
    the next service is told how long it has.
    """

    __slots__ = ("_running", "_timed_out", "config")

    kind = "timeout"

    def __init__(
        self, name: str, env: Env, config: TimeoutConfig | None = None, *, on_event: EventSink | None = None
    ) -> None:
        super().__init__(name, env, on_event=on_event)
        self.config = config or TimeoutConfig()
        self._running = 0
        self._timed_out = 0

    def guard(self) -> "Bounded":
        """Cancel an `async with` block when its time is up.

        Raises:
            DeadlineExceeded: the block was still running; what it did is unknown.
        """
        return Bounded(self)

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run `operation`, not longer than the timeout; raises as `guard` does."""
        async with self.guard():
            return await operation()

    def snapshot(self) -> TimeoutSnapshot:
        return TimeoutSnapshot(self.name, self.config.timeout_s, self._running, self._timed_out)

    def reset(self) -> None:
        self._timed_out = 0


class Bounded:
    """One call's time."""

    __slots__ = ("_began", "_context", "_limit", "_timeout")

    def __init__(self, timeout: Timeout) -> None:
        self._timeout = timeout

    async def __aenter__(self) -> None:
        timeout, outer = self._timeout, current()
        self._began = now = timeout._env.clock.monotonic()
        end = now + timeout.config.timeout_s
        if outer.deadline is not None and outer.deadline < end:
            end = outer.deadline
        self._limit = asyncio.timeout(max(end - now, 0.0))
        await self._limit.__aenter__()
        self._context = use(RequestContext(outer.correlation_id, end, outer.principal, outer.caller))
        self._context.__enter__()
        timeout._running += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        timeout = self._timeout
        timeout._running -= 1
        self._context.__exit__(None, None, None)
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError as late:
            timeout._timed_out += 1
            clock = timeout._env.clock
            timeout._tell(CallTimedOut(timeout.name, clock.now(), clock.monotonic() - self._began))
            raise DeadlineExceeded(f"{timeout.name} did not end in the time it was given") from late
