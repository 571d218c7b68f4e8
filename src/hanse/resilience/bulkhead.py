"""Bulkhead: a bound on calls under way, so that one slow upstream can't take all of a service's capacity."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from hanse.core import Env, current
from hanse.core.errors import ConfigurationError
from hanse.resilience.errors import BulkheadFull
from hanse.resilience.events import CallRejected, EventSink
from hanse.resilience.pattern import Pattern, Snapshot

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BulkheadConfig:
    """How many calls may run, and how many may wait for a place."""

    limit: int = 256
    """Calls under way at the same time (≥ 1)."""
    queue: int = 0
    """Calls that may wait for a place (≥ 0); 0 refuses at once."""
    wait_s: float = 1.0
    """The longest a call waits for a place."""

    def __post_init__(self) -> None:
        if self.limit < 1 or self.queue < 0 or self.wait_s < 0:
            raise ConfigurationError(f"a bulkhead needs limit ≥ 1, queue ≥ 0 and wait_s ≥ 0, not {self}")


@dataclass(frozen=True, slots=True)
class BulkheadSnapshot(Snapshot):
    """A bulkhead's live state, for people."""

    running: int
    waiting: int
    rejected: int
    """Calls refused since it was built."""
    limit: int = 0
    queue: int = 0


class Bulkhead(Pattern):
    """Counts calls under way in one event loop.

    Guarantees: never more than `limit` at once; who waits is served in order of arrival; a place that becomes free
    goes to the first who waits, never to a newcomer.
    """

    __slots__ = ("_limit", "_rejected", "_waiters", "config", "running")

    kind = "bulkhead"

    def __init__(
        self, name: str, env: Env, config: BulkheadConfig | None = None, *, on_event: EventSink | None = None
    ) -> None:
        super().__init__(name, env, on_event=on_event)
        self.config = config or BulkheadConfig()
        self.running = 0
        self._limit = self.config.limit
        self._rejected = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    def try_acquire(self) -> bool:
        """Take a place if one is free. True obliges the caller to `release`."""
        if self.running < self._limit:
            self.running += 1
            return True
        return False

    def release(self) -> None:
        """Give a place back. Exactly once for each place taken."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():  # done: its task was cancelled and has not run since
                waiter.set_result(None)
                return
        self.running -= 1

    async def acquire(self, wait_s: float | None = None) -> None:
        """Take a place, waiting for one if the config allows it.

        Args:
            wait_s: bound on the wait, if shorter than the config's and than what is left of the request being served.

        Raises:
            BulkheadFull: no place, and no place in the queue or none became free in time.
        """
        if self.try_acquire():
            return
        config = self.config
        if len(self._waiters) >= config.queue:
            raise self.refuse("no place free" if not config.queue else "the queue is full")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        bound_s = config.wait_s if wait_s is None else min(wait_s, config.wait_s)
        inherited = current().deadline
        if inherited is not None:
            bound_s = min(bound_s, max(inherited - self._env.clock.monotonic(), 0.0))
        try:
            async with asyncio.timeout(bound_s):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self.release()  # the place was handed over in the very moment in which the wait ended
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            if isinstance(error, TimeoutError):
                raise self.refuse("no place became free in time") from None
            raise

    def refuse(self, reason: str) -> BulkheadFull:
        """Count a refusal and tell it; returns the error to raise."""
        self._rejected += 1
        if self.on_event is not None:
            self.on_event(CallRejected(self.name, self._env.clock.now(), reason))
        return BulkheadFull(f"{self.name} is busy: {reason}", limit=self._limit)

    @asynccontextmanager
    async def place(self, wait_s: float | None = None) -> AsyncIterator[None]:
        """Hold a place inside the block; raises as `acquire` does."""
        await self.acquire(wait_s)
        try:
            yield
        finally:
            self.release()

    def guard(self) -> "Place":
        """Hold a place inside `async with`; raises as `acquire` does."""
        return Place(self)

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run `operation` in a place; raises as `acquire` does."""
        if self.running < self._limit:
            self.running += 1
        else:
            await self.acquire()
        try:
            return await operation()
        finally:
            if self._waiters:
                self.release()
            else:
                self.running -= 1

    def snapshot(self) -> BulkheadSnapshot:
        return BulkheadSnapshot(
            self.name, self.running, len(self._waiters), self._rejected, self._limit, self.config.queue
        )

    def reset(self) -> None:
        self._rejected = 0


class Place:
    """One call's place."""

    __slots__ = ("_bulkhead",)

    def __init__(self, bulkhead: Bulkhead) -> None:
        self._bulkhead = bulkhead

    async def __aenter__(self) -> None:
        if not self._bulkhead.try_acquire():
            await self._bulkhead.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bulkhead.release()
