"""Hedge: when a call is slow, send the same once more and take the answer that comes first."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hanse.core import Env
from hanse.core.errors import ConfigurationError
from hanse.resilience.budget import RetryBudget
from hanse.resilience.events import EventSink, Hedged
from hanse.resilience.pattern import Pattern, Snapshot

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HedgeConfig:
    """When copies are sent, and how many."""

    delay_s: float = 0.1
    """How long the copies sent so far may take before one more is sent; best near the 95th percentile of latency."""
    max_hedges: int = 1
    """Copies besides the first (≥ 1)."""

    def __post_init__(self) -> None:
        if self.delay_s < 0 or self.max_hedges < 1:
            raise ConfigurationError(f"a hedge needs delay_s ≥ 0 and max_hedges ≥ 1, not {self}")


@dataclass(frozen=True, slots=True)
class HedgeSnapshot(Snapshot):
    """A hedge's live state, for people."""

    hedged: int
    """Copies sent since it was built."""
    won: int
    """Calls that a copy answered first."""


class Hedge(Pattern):
    """Races copies of one call. Only for operations that are idempotent: several may take effect.

    A failure ends the race only when nothing else is under way: to repeat failures is the work of `Retry`.

    Args:
        name, env, config, on_event: see `Pattern`.
        budget: shared bound on copies; None for no bound.

    Guarantees: when `call` returns or raises, the copies that lost are cancelled.
    Source: J. Dean, L. A. Barroso, "The Tail at Scale", CACM 56(2), 2013.
    """

    __slots__ = ("_hedged", "_won", "budget", "config")

    kind = "hedge"

    def __init__(
        self,
        name: str,
        env: Env,
        config: HedgeConfig | None = None,
        *,
        budget: RetryBudget | None = None,
        on_event: EventSink | None = None,
    ) -> None:
        super().__init__(name, env, on_event=on_event)
        self.config = config or HedgeConfig()
        self.budget = budget
        self._hedged = 0
        self._won = 0

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run `operation`, more than once if it is slow; the error of the last copy to fail is raised."""
        if self.budget is not None:
            self.budget.deposit()
        race = _Race(self._env, self.name, operation)
        race.send()
        try:
            while True:
                more = race.sent <= self.config.max_hedges
                ended = await race.wait(self.config.delay_s if more else None)
                if ended is None:
                    if self.budget is None or self.budget.withdraw():
                        self._hedged += 1
                        self._tell(Hedged(self.name, self._env.clock.now(), race.sent))
                        race.send()
                    else:
                        ended = await race.wait(None)
                if ended is not None and (ended.error is None or not race.running):
                    self._won += ended.error is None and ended.number > 1
                    return ended.result()
        finally:
            race.end()

    def snapshot(self) -> HedgeSnapshot:
        return HedgeSnapshot(self.name, self._hedged, self._won)

    def reset(self) -> None:
        self._hedged = self._won = 0


class _Ended(Generic[T]):
    """How a copy ended."""

    def __init__(self, number: int, value: T | None, error: Exception | None) -> None:
        self.number = number
        self.error = error
        self._value = value

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self._value  # type: ignore[return-value]  # it is a T, which may be None


class _Race(Generic[T]):
    """Copies of one operation under way."""

    def __init__(self, env: Env, name: str, operation: Callable[[], Awaitable[T]]) -> None:
        self.sent = 0
        self._env = env
        self._name = name
        self._operation = operation
        self.running: list[asyncio.Task[_Ended[T]]] = []

    def send(self) -> None:
        self.sent += 1
        self.running.append(self._env.scope.spawn(self._copy(self.sent), name=f"{self._name}/hedge"))

    async def wait(self, seconds: float | None) -> _Ended[T] | None:
        """The first to end of those under way; None when none does within `seconds`."""
        await asyncio.wait(self.running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in self.running:  # in the order in which they were sent
            if task.done():
                self.running.remove(task)
                return task.result()
        return None

    def end(self) -> None:
        for task in self.running:
            task.cancel()

    async def _copy(self, number: int) -> _Ended[T]:
        try:
            return _Ended(number, await self._operation(), None)
        except Exception as error:
            return _Ended(number, None, error)
