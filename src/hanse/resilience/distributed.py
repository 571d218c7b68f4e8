"""Distributed rate limiter: one quota for all replicas, kept in a store by compare-and-set."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import orjson

from hanse.core import Env
from hanse.core.errors import ConfigurationError, HanseError, Unavailable
from hanse.resilience.events import EventSink, StoreAway
from hanse.resilience.limiter import Limiter, RateLimiter
from hanse.resilience.meter import METERS, Meter
from hanse.resilience.rate import LimiterSnapshot, Quota, RateConfig
from hanse.resilience.store import RateStore

WhenAway = Literal["open", "closed", "local"]

_CONTENTION_S = 0.005


@dataclass(frozen=True, slots=True)
class SharedConfig:
    """How a limiter gets along with its store."""

    when_away: WhenAway = "local"
    """While the store does not answer: `open` lets everything through, `closed` refuses everything, `local` gives
    each replica the whole quota for itself."""
    store_timeout_s: float = 0.25
    """The longest a call waits for the store (> 0)."""
    away_s: float = 1.0
    """After a failure of the store, how long nobody asks it."""
    attempts: int = 8
    """How often a count is written anew because another replica was faster (≥ 1)."""
    trust_s: float = 0.5
    """How long a quota that was seen used up is taken for used up without asking."""

    def __post_init__(self) -> None:
        if self.when_away not in get_args(WhenAway):
            raise ConfigurationError(f"when_away is one of {', '.join(get_args(WhenAway))}, not {self.when_away!r}")
        if self.store_timeout_s <= 0 or min(self.away_s, self.trust_s) < 0 or self.attempts < 1:
            raise ConfigurationError(f"a shared limit needs store_timeout_s > 0 and attempts ≥ 1, not {self}")


class _Ticket:
    """One call that asks."""

    __slots__ = ("cost", "wait_s")

    def __init__(self, cost: int) -> None:
        self.cost = cost
        self.wait_s: float | None = None
        """The answer: 0 when taken, else seconds to wait; None until decided."""


class _Line:
    """The calls of this replica that ask for one key, and what is known of its quota."""

    __slots__ = ("lock", "meter", "revision", "seen_at", "tickets")

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.lock = asyncio.Lock()
        self.tickets: list[_Ticket] = []
        self.revision: int | None = None
        """Of the state in `meter`; None when that may be wrong."""
        self.seen_at = 0.0


class DistributedRateLimiter(Limiter):
    """A rate limiter whose quota all replicas share; the contract is that of `RateLimiter`.

    Calls of this replica that ask at the same time are decided together, in one write; a quota that is used up is
    known without asking. Replicas are told apart by nothing, and need clocks that agree to a fraction of the window.

    Args:
        name: also part of the keys in the store: limiters of the same name share their quota.
        env: the node's seams.
        config: of the rate.
        store: shared, started by the caller.
        sharing: how to get along with it.
        on_event: gets `CallRejected` and `StoreAway`.

    Guarantees: while the store answers, those of the strategy, over all replicas; a call whose outcome in the store
    is unknown counts as taken there. While it does not: what `when_away` says, at most `store_timeout_s` late.
    """

    __slots__ = ("_away", "_away_until", "_lines", "_local", "_store", "sharing")

    def __init__(
        self,
        name: str,
        env: Env,
        config: RateConfig | None,
        store: RateStore,
        sharing: SharedConfig | None = None,
        *,
        on_event: EventSink | None = None,
    ) -> None:
        super().__init__(name, env, config, on_event=on_event)
        self.sharing = sharing or SharedConfig()
        self._store = store
        self._local = RateLimiter(name, env, self.config)
        self._lines: dict[str, _Line] = {}
        self._away = False
        self._away_until = 0.0

    async def acquire(self, key: str = "", cost: int = 1) -> None:
        self.check_cost(cost)
        clock = self._env.clock
        end: float | None = None
        while wait_s := await self._take(key, cost):
            now = clock.monotonic()
            end = now + self.patience_s() if end is None else end
            if now + wait_s > end:
                raise self.refuse(key, wait_s)
            await clock.sleep(wait_s)
        self._allowed += 1

    def quota(self, key: str = "") -> Quota:
        line = self._lines.get(key)
        meter = METERS[self.config.strategy](self.config) if line is None else line.meter
        return meter.quota(self._env.clock.now())

    def snapshot(self) -> LimiterSnapshot:
        config = self.config
        return LimiterSnapshot(
            self.name,
            config.strategy,
            config.requests,
            config.window_s,
            len(self._lines),
            self._allowed,
            self._rejected,
            "away" if self._away else "connected",
        )

    def reset(self) -> None:
        """Forget what this replica knows, and ask the store at once; the shared counts stay (see `clear`)."""
        self._lines = {key: line for key, line in self._lines.items() if line.tickets}
        self._local.reset()
        self._away_until = 0.0

    async def clear(self, key: str = "") -> None:
        """Give `key` its full quota again, for all replicas. Raises as `RateStore.clear` does."""
        await self._store.clear(self._stored_as(key))
        self._lines.pop(key, None)

    async def _take(self, key: str, cost: int) -> float:
        clock = self._env.clock
        if clock.monotonic() < self._away_until:
            return self._decide_alone(key, cost)
        line = self._line(key)
        if line.revision is not None and clock.monotonic() - line.seen_at < self.sharing.trust_s:
            now = clock.now()
            if line.meter.quota(now).remaining < cost:
                return line.meter.take(now, cost)
        ticket = _Ticket(cost)
        line.tickets.append(ticket)
        try:
            async with line.lock:
                if ticket.wait_s is None:
                    await self._decide_together(key, line)
        finally:
            if ticket in line.tickets:
                line.tickets.remove(ticket)
        assert ticket.wait_s is not None
        return ticket.wait_s

    async def _decide_together(self, key: str, line: _Line) -> None:
        """Answer all who ask for this key; who comes meanwhile is answered by the next."""
        asking = list(line.tickets)
        try:
            async with asyncio.timeout(self.sharing.store_timeout_s):
                answers = await self._count(key, line, asking)
        except (HanseError, TimeoutError) as error:
            line.revision = None
            self._store_failed(error)
            answers = [self._decide_alone(key, ticket.cost) for ticket in asking]
        except BaseException:
            line.revision = None
            raise
        else:
            self._away = False
        for ticket, wait_s in zip(asking, answers, strict=True):
            ticket.wait_s = wait_s
        line.tickets = [ticket for ticket in line.tickets if ticket.wait_s is None]

    async def _count(self, key: str, line: _Line, asking: Sequence[_Ticket]) -> list[float]:
        name, clock = self._stored_as(key), self._env.clock
        for attempt in range(self.sharing.attempts):
            if attempt:
                await clock.sleep(self._env.random.random() * _CONTENTION_S * attempt)
            if line.revision is None:
                stored = await self._store.load(name)
                line.meter.load([] if stored is None else orjson.loads(stored.state))
                line.revision = 0 if stored is None else stored.revision
            now = clock.now()
            answers = [line.meter.take(now, ticket.cost) for ticket in asking]
            line.seen_at = clock.monotonic()
            if all(answers):
                return answers
            state = orjson.dumps(line.meter.dump())
            line.revision = await self._store.save(name, state, line.revision, self._keep_s(line.meter, now))
            if line.revision is not None:
                return answers
        raise Unavailable(f"too many replicas count for {self.name} at the same time")

    def _decide_alone(self, key: str, cost: int) -> float:
        if self.sharing.when_away == "local":
            return self._local.take(key, cost)
        return 0.0 if self.sharing.when_away == "open" else max(self.sharing.away_s, _CONTENTION_S)

    def _store_failed(self, error: Exception) -> None:
        self._away_until = self._env.clock.monotonic() + self.sharing.away_s
        if not self._away:
            self._away = True
            self._tell(StoreAway(self.name, self._env.clock.now(), str(error) or "no answer in time"))

    def _line(self, key: str) -> _Line:
        line = self._lines.get(key)
        if line is None:
            if len(self._lines) >= self.config.max_keys:
                self._lines = {key: line for key, line in self._lines.items() if line.tickets}
            line = self._lines[key] = _Line(METERS[self.config.strategy](self.config))
        return line

    def _keep_s(self, meter: Meter, now: float) -> float:
        return meter.quota(now).reset_s + self.config.window_s

    def _stored_as(self, key: str) -> str:
        return f"{self.name}/{key}"
