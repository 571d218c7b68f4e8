"""The distributed limiter against stores that are slow, away, contended, and against callers that go away."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.core import Env
from hanse.core.errors import ConfigurationError, Unavailable
from hanse.resilience import (
    DistributedRateLimiter,
    MemoryRateStore,
    RateConfig,
    RateLimited,
    ResilienceEvent,
    SharedConfig,
    StoreAway,
)
from hanse.resilience.store import Stored
from hanse.testing.virtual_time import run_virtual


class Moody(MemoryRateStore):
    """Takes its time, and may be away or always contended."""

    def __init__(self, env: Env, *, pause_s: float = 0.0) -> None:
        super().__init__()
        self.env, self.pause_s = env, pause_s
        self.away = self.contended = False
        self.asked = 0

    async def load(self, key: str) -> Stored | None:
        await self._turn()
        return await super().load(key)

    async def save(self, key: str, state: bytes, revision: int, ttl_s: float) -> int | None:
        await self._turn()
        return None if self.contended else await super().save(key, state, revision, ttl_s)

    async def _turn(self) -> None:
        self.asked += 1
        await self.env.clock.sleep(self.pause_s)
        if self.away:
            raise Unavailable("no connection")


async def allowed(limiter: DistributedRateLimiter, calls: int, key: str = "") -> int:
    """How many of `calls` at the same time are let through."""
    results = await asyncio.gather(*(limiter.acquire(key) for _ in range(calls)), return_exceptions=True)
    assert all(result is None or isinstance(result, RateLimited) for result in results)
    return sum(result is None for result in results)


@pytest.mark.parametrize(("when_away", "expected"), [("open", 9), ("closed", 0), ("local", 5)])
def test_what_happens_while_the_store_is_away(when_away: str, expected: int) -> None:
    async def scenario(env: Env) -> None:
        heard: list[ResilienceEvent] = []
        store = Moody(env)
        store.away = True
        sharing = SharedConfig(when_away=when_away)  # type: ignore[arg-type]
        limiter = DistributedRateLimiter("l", env, RateConfig(5, 3600.0), store, sharing, on_event=heard.append)
        assert await allowed(limiter, 9) == expected
        asked = store.asked
        assert await allowed(limiter, 9) == (9 if when_away == "open" else 0)
        assert store.asked == asked, "nobody asks it for a while"
        assert limiter.snapshot().store == "away"
        assert [type(event) for event in heard if isinstance(event, StoreAway)] == [StoreAway]
        store.away = False
        await env.clock.sleep(1.1)
        assert await allowed(limiter, 9) == 5
        assert limiter.snapshot().store == "connected"

    run_virtual(scenario)


def test_a_slow_store_delays_a_call_no_longer_than_said() -> None:
    async def scenario(env: Env) -> None:
        limiter = DistributedRateLimiter("l", env, None, Moody(env, pause_s=60), SharedConfig(when_away="open"))
        await limiter.acquire()
        assert env.clock.monotonic() == pytest.approx(0.25)

    run_virtual(scenario)


def test_contention_ends() -> None:
    async def scenario(env: Env) -> None:
        store = Moody(env)
        store.contended = True
        limiter = DistributedRateLimiter("l", env, None, store, SharedConfig(when_away="closed", attempts=3))
        with pytest.raises(RateLimited):
            await limiter.acquire()
        assert store.asked == 6

    run_virtual(scenario)


def test_callers_of_one_replica_share_a_write_and_a_used_up_quota_needs_none() -> None:
    async def scenario(env: Env) -> None:
        store = Moody(env, pause_s=0.01)
        limiter = DistributedRateLimiter("l", env, RateConfig(50, 3600.0), store)
        assert await allowed(limiter, 100) == 50
        assert store.asked == 3, "one load, one write for the first, one for all who came meanwhile"
        assert await allowed(limiter, 100) == 0
        assert store.asked == 3
        assert limiter.quota().remaining == 0

    run_virtual(scenario)


def test_waits_for_its_turn() -> None:
    async def scenario(env: Env) -> None:
        limiter = DistributedRateLimiter("l", env, RateConfig(1, 10.0, wait_s=15), MemoryRateStore())
        async with limiter.guard():
            pass
        await limiter.acquire()
        assert env.clock.monotonic() == pytest.approx(10, abs=0.01)

    run_virtual(scenario)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["token_bucket", "sliding_window", "fixed_window"]),
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 0.05), st.booleans()), min_size=1, max_size=40),
)
def test_never_more_than_the_quota_however_callers_come_and_go(
    strategy: str, calls: list[tuple[int, float, bool]]
) -> None:
    async def scenario(env: Env) -> None:
        store, config = Moody(env, pause_s=0.02), RateConfig(10, 1e6, strategy)  # type: ignore[arg-type]
        sharing = SharedConfig(when_away="closed", store_timeout_s=5, attempts=50, trust_s=0.05)
        limiters = [DistributedRateLimiter("l", env, config, store, sharing) for _ in range(3)]
        tasks = []
        for replica, pause, leaves in calls:
            task = env.scope.spawn(limiters[replica].acquire(), name="call")
            env.scope.on_error = lambda name, error: None
            tasks.append((task, leaves))
            await env.clock.sleep(pause)
            if leaves:
                task.cancel()
        await asyncio.wait([task for task, _ in tasks])
        got = sum(not task.cancelled() and task.exception() is None for task, _ in tasks)
        left = sum(not task.cancelled() for task, _ in tasks)
        assert got <= 10
        if left == len(tasks):
            assert got == min(10, len(tasks)), "without cancellation nothing is lost"
        for task, _ in tasks:
            assert task.cancelled() or task.exception() is None or isinstance(task.exception(), RateLimited)

    run_virtual(scenario)


def test_nonsense_is_refused() -> None:
    for wrong in ({"when_away": "maybe"}, {"store_timeout_s": 0}, {"attempts": 0}, {"trust_s": -1}):
        with pytest.raises(ConfigurationError):
            SharedConfig(**wrong)  # type: ignore[arg-type]


def test_who_goes_away_takes_nothing_from_those_who_stay() -> None:
    async def scenario(env: Env) -> None:
        sharing = SharedConfig(when_away="closed", store_timeout_s=5)
        limiter = DistributedRateLimiter("l", env, RateConfig(2, 1e6), Moody(env, pause_s=0.1), sharing)
        first = env.scope.spawn(limiter.acquire(), name="first")
        await env.clock.sleep(0.05)
        waiting = env.scope.spawn(limiter.acquire(), name="waiting")
        await env.clock.sleep(0.01)
        waiting.cancel()
        await first
        saving = env.scope.spawn(limiter.acquire(), name="saving")
        await env.clock.sleep(0.05)
        saving.cancel()
        await asyncio.wait([saving])
        await limiter.acquire()
        with pytest.raises(RateLimited):
            await limiter.acquire()

    run_virtual(scenario)
