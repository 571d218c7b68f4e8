"""Timeout: a bound on how long a call may take, known to what it calls."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from hanse.core import Env, current, use
from hanse.core.errors import ConfigurationError, DeadlineExceeded
from hanse.resilience.deadline import Deadline
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

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[Deadline]:
        """Cancel the block when its time is up.

        Raises:
            DeadlineExceeded: the block was still running; what it did is unknown.
        """
        clock = self._env.clock
        began = clock.monotonic()
        deadline = Deadline.within(clock, self.config.timeout_s)
        self._running += 1
        try:
            async with deadline.enforce(self.name):
                with use(replace(current(), deadline=deadline.at)):
                    yield deadline
        except DeadlineExceeded:
            if deadline.passed:
                self._timed_out += 1
                self._tell(CallTimedOut(self.name, clock.now(), clock.monotonic() - began))
            raise
        finally:
            self._running -= 1

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run `operation`, not longer than the timeout; raises as `guard` does."""
        async with self.guard():
            return await operation()

    def snapshot(self) -> TimeoutSnapshot:
        return TimeoutSnapshot(self.name, self.config.timeout_s, self._running, self._timed_out)

    def reset(self) -> None:
        self._timed_out = 0
