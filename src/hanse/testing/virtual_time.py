"""An event loop on virtual time: whenever nothing else can happen, the clock jumps to the next timer.

Unlike `ManualClock` it also drives `asyncio.timeout` and everything else that asks the loop for the time.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from hanse.core import Clock, Env
from hanse.core.random import Random

T = TypeVar("T")

_START = 1_700_000_000.0


class _IdleSelector(selectors.BaseSelector):
    """Lets time pass instead of waiting."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.elapsed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing left that could wake anybody up")
        self.elapsed_s += max(timeout, 0.0)
        return self._real.select(0)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._idle = _IdleSelector()
        super().__init__(self._idle)

    def time(self) -> float:
        return self._idle.elapsed_s


class VirtualClock(Clock):
    """The clock of a virtual loop; starts at 0 monotonic."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.monotonic = loop.time
        self.now = lambda: _START + loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run_virtual(scenario: Callable[[Env], Coroutine[Any, Any, T]], *, seed: int = 7) -> T:
    """Run `scenario(env)` in a loop of its own on virtual time, with a node seeded by `seed`.

    Raises: what the scenario raises; RuntimeError when everybody waits for something that no timer will bring.
    """
    loop = _VirtualLoop()
    env = Env.build("virtual", clock=VirtualClock(loop), random=Random(seed))

    async def whole() -> T:
        try:
            return await scenario(env)
        finally:
            await env.scope.close()

    try:
        return loop.run_until_complete(whole())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
