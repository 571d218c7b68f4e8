"""Rate limiter: a bound on calls per time and key."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar

from hanse.core import Env, current
from hanse.core.errors import InvalidInput
from hanse.resilience.errors import RateLimited
from hanse.resilience.events import CallRejected, EventSink
from hanse.resilience.meter import METERS, Meter
from hanse.resilience.pattern import Pattern
from hanse.resilience.rate import LimiterSnapshot, Quota, RateConfig

T = TypeVar("T")

_SWEEP_SHARE = 10


class Limiter(Pattern):
    """What a local and a distributed rate limiter have in common.

    A key is whom the limit is for: a user, an address, an API key; the empty one is everybody together.
    """

    __slots__ = ("_allowed", "_rejected", "config")

    kind = "limiter"

    def __init__(
        self, name: str, env: Env, config: RateConfig | None = None, *, on_event: EventSink | None = None
    ) -> None:
        super().__init__(name, env, on_event=on_event)
        self.config = config or RateConfig()
        self._allowed = 0
        self._rejected = 0

    @abstractmethod
    async def acquire(self, key: str = "", cost: int = 1) -> None:
        """Take `cost` from the quota of `key`, waiting up to `wait_s` and the request's deadline.

        Args:
            cost: how many calls this one counts for (≥ 1).

        Raises:
            RateLimited: it would take longer; `details["retry_after"]` says how long.
            InvalidInput: `cost` is more than the key can ever take.
        """

    @abstractmethod
    def quota(self, key: str = "") -> Quota:
        """What `key` has left, as far as this process knows."""

    def guard(self, key: str = "", cost: int = 1) -> "Turn":
        """Enter an `async with` block when it is one's turn; raises as `acquire` does."""
        return Turn(self, key, cost)

    async def call(self, operation: Callable[[], Awaitable[T]], *, key: str = "", cost: int = 1) -> T:
        """Run `operation` when it is its turn; raises as `acquire` does."""
        await self.acquire(key, cost)
        return await operation()

    def refuse(self, key: str, wait_s: float) -> RateLimited:
        """Count a refusal and tell it; returns the error to raise."""
        self._rejected += 1
        if self.on_event is not None:
            self.on_event(CallRejected(self.name, self._env.clock.now(), f"the limit of {key or 'all'} is used up"))
        return RateLimited(f"{self.name} allows no more calls at present", retry_after=wait_s)

    def check_cost(self, cost: int) -> None:
        """Raises InvalidInput for what can never be taken."""
        if not 1 <= cost <= self.config.most_at_once:
            raise InvalidInput(f"{self.name} allows 1 to {self.config.most_at_once} at once, not {cost}")

    def patience_s(self) -> float:
        """How long a call may wait now."""
        inherited = current().deadline
        if inherited is None or not self.config.wait_s:
            return self.config.wait_s
        return min(self.config.wait_s, inherited - self._env.clock.monotonic())


class RateLimiter(Limiter):
    """A rate limiter of one process.

        if wait_s := limiter.take(key):     # without a coroutine: 0 when allowed
            raise limiter.refuse(key, wait_s)

    Guarantees: those of its strategy (see `RateConfig`), per key, as long as the key is remembered; those who wait
    are not served in any order.
    """

    __slots__ = ("_make", "_meters", "_monotonic")

    def __init__(
        self, name: str, env: Env, config: RateConfig | None = None, *, on_event: EventSink | None = None
    ) -> None:
        super().__init__(name, env, config, on_event=on_event)
        self._monotonic = env.clock.monotonic
        self._make = METERS[self.config.strategy]
        self._meters: dict[str, Meter] = {}

    def take(self, key: str = "", cost: int = 1) -> float:
        """Take `cost` from the quota of `key`. Returns 0 when taken, else the seconds until it could be."""
        meter = self._meters.get(key)
        if meter is None:
            meter = self._remember(key)
        if cost != 1:
            self.check_cost(cost)
        wait_s = meter.take(self._monotonic(), cost)
        if not wait_s:
            self._allowed += 1
        return wait_s

    async def acquire(self, key: str = "", cost: int = 1) -> None:
        wait_s = self.take(key, cost)
        if wait_s:
            await self._wait(key, cost, wait_s)

    async def call(self, operation: Callable[[], Awaitable[T]], *, key: str = "", cost: int = 1) -> T:
        wait_s = self.take(key, cost)
        if wait_s:
            await self._wait(key, cost, wait_s)
        return await operation()

    def quota(self, key: str = "") -> Quota:
        meter = self._meters.get(key) or self._make(self.config)
        return meter.quota(self._monotonic())

    def snapshot(self) -> LimiterSnapshot:
        config = self.config
        return LimiterSnapshot(
            self.name,
            config.strategy,
            config.requests,
            config.window_s,
            len(self._meters),
            self._allowed,
            self._rejected,
        )

    def reset(self) -> None:
        self._meters.clear()

    async def _wait(self, key: str, cost: int, wait_s: float) -> None:
        end = self._monotonic() + self.patience_s()
        while wait_s:
            if self._monotonic() + wait_s > end:
                raise self.refuse(key, wait_s)
            await self._env.clock.sleep(wait_s)
            wait_s = self.take(key, cost)

    def _remember(self, key: str) -> Meter:
        if len(self._meters) >= self.config.max_keys:
            self._sweep()
        meter = self._meters[key] = self._make(self.config)
        return meter

    def _sweep(self) -> None:
        """Make room for a tenth of the keys, so that it costs little per new key."""
        now = self._monotonic()
        for key, meter in list(self._meters.items()):
            if not meter.quota(now).reset_s:
                del self._meters[key]
        spare = max(self.config.max_keys // _SWEEP_SHARE, 1)
        for key in list(self._meters)[: max(len(self._meters) - self.config.max_keys + spare, 0)]:
            del self._meters[key]


class Turn:
    """One call's turn."""

    __slots__ = ("_cost", "_key", "_limiter")

    def __init__(self, limiter: Limiter, key: str, cost: int) -> None:
        self._limiter = limiter
        self._key = key
        self._cost = cost

    async def __aenter__(self) -> None:
        await self._limiter.acquire(self._key, self._cost)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
