"""A clock that stands still until the test moves it."""

import asyncio
import heapq
from collections.abc import Coroutine
from typing import Any, TypeVar

from hanse.core import Clock

T = TypeVar("T")

_STEPS_UNTIL_QUIET = 40


class ManualClock(Clock):
    """Wall and monotonic time under the test's control; `sleep` waits for the test.

    Args:
        now: Unix time at the start, in seconds.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._offset = now
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0
        self.now = lambda: self._offset + self._elapsed
        self.monotonic = lambda: self._elapsed

    async def sleep(self, seconds: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._count, waiter))
        await waiter

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once. Those whose sleep has ended go on when the event loop runs next."""
        self._elapsed += seconds
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            waiter = heapq.heappop(self._sleepers)[2]
            if not waiter.done():
                waiter.set_result(None)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end; whenever nothing else can happen, let time pass up to the next end of a sleep.

        Raises: what `work` raises; TimeoutError when it waits for something that no sleep will bring.
        """
        task = asyncio.get_running_loop().create_task(work)
        try:
            while not task.done():
                for _ in range(_STEPS_UNTIL_QUIET):
                    await asyncio.sleep(0)
                if task.done():
                    break
                while self._sleepers and self._sleepers[0][2].done():
                    heapq.heappop(self._sleepers)
                if not self._sleepers:
                    raise TimeoutError("nothing left that could wake the work up")
                self.advance(max(self._sleepers[0][0] - self._elapsed, 0.0))
            return task.result()
        finally:
            task.cancel()
