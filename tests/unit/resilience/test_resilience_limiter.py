"""Rate limiters: what each strategy promises over any sequence of calls, waiting, keys."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.core import Env, RequestContext, use
from hanse.core.errors import ConfigurationError, InvalidInput
from hanse.core.random import Random
from hanse.resilience import CallRejected, RateConfig, RateLimited, RateLimiter, ResilienceEvent
from hanse.resilience.meter import METERS
from hanse.testing.clock import ManualClock

STRATEGIES = ["token_bucket", "sliding_window", "fixed_window"]


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=150)
@given(
    requests=st.integers(1, 8),
    burst=st.integers(1, 8),
    uses=st.lists(st.tuples(st.floats(0, 4), st.integers(1, 3)), max_size=80),
)
def test_never_more_than_promised(strategy: str, requests: int, burst: int, uses: list[tuple[float, int]]) -> None:
    config = RateConfig(requests, 5.0, strategy, burst=burst)  # type: ignore[arg-type]
    meter, now, taken = METERS[strategy](config), 1000.0, list[tuple[float, int]]()
    for pause, wanted in uses:
        now += pause
        cost = min(wanted, config.most_at_once)
        before = meter.quota(now)
        wait_s = meter.take(now, cost)
        assert (wait_s == 0) == (before.remaining >= cost)
        if not wait_s:
            taken.append((now, cost))
            assert meter.quota(now).remaining == before.remaining - cost
            continue
        probe = METERS[strategy](config)
        probe.load(meter.dump())
        assert probe.take(now + wait_s + 1e-6, cost) == 0, "the wait it names is long enough"
    for first, _ in taken:
        span = [(at, cost) for at, cost in taken if at >= first]
        for last, _ in span:
            total = sum(cost for at, cost in span if at <= last)
            elapsed = last - first
            if strategy == "token_bucket":
                assert total <= burst + elapsed * requests / 5.0 + 1e-3
            elif elapsed < 5.0 - 1e-6 if strategy == "sliding_window" else int(first / 5) == int(last / 5):
                assert total <= requests


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_quota_comes_back(env: Env, clock: ManualClock, strategy: str) -> None:
    limiter = RateLimiter("l", env, RateConfig(5, 10.0, strategy))  # type: ignore[arg-type]
    assert [limiter.take("ada") for _ in range(5)] == [0] * 5
    wait_s = limiter.take("ada")
    assert 0 < wait_s <= 11
    assert limiter.take("bob") == 0, "each key has its own"
    assert (limiter.quota("ada").remaining, limiter.quota("carl").remaining) == (0, 5)
    clock.advance(limiter.quota("ada").reset_s + 1e-6)
    assert limiter.quota("ada").remaining == 5


async def test_refuses_with_the_time_to_wait_and_tells(env: Env) -> None:
    heard: list[ResilienceEvent] = []
    limiter = RateLimiter("l", env, RateConfig(1, 10.0), on_event=heard.append)

    @limiter
    async def answer() -> int:
        return 42

    assert await answer() == 42
    with pytest.raises(RateLimited) as refused:
        async with limiter.guard():
            pytest.fail("must not be entered")
    assert (refused.value.status, refused.value.details["retry_after"]) == (429, 10)
    assert isinstance(heard[0], CallRejected)
    snapshot = limiter.snapshot()
    assert (snapshot.allowed, snapshot.rejected, snapshot.keys) == (1, 1, 1)
    limiter.reset()
    assert await limiter.call(answer.__wrapped__) == 42  # type: ignore[attr-defined]


async def test_waits_for_its_turn_as_long_as_it_may(env: Env, clock: ManualClock) -> None:
    limiter = RateLimiter("l", env, RateConfig(1, 10.0, wait_s=15))
    await limiter.acquire()
    await clock.run(limiter.acquire())
    assert clock.monotonic() == pytest.approx(10)
    with use(RequestContext(deadline=clock.monotonic() + 5)), pytest.raises(RateLimited):
        await limiter.acquire()
    assert clock.monotonic() == pytest.approx(10), "it did not wait for what would come too late"


async def test_a_call_may_count_for_several(env: Env) -> None:
    limiter = RateLimiter("l", env, RateConfig(10, 10.0))
    await limiter.acquire(cost=8)
    with pytest.raises(RateLimited):
        await limiter.acquire(cost=3)
    for cost in (0, 11):
        with pytest.raises(InvalidInput):
            await limiter.acquire(cost=cost)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 5)), max_size=100))
def test_it_remembers_no_more_keys_than_allowed(uses: list[tuple[int, float]]) -> None:
    clock = ManualClock()
    env = Env.build("test", clock=clock, random=Random(1))
    limiter = RateLimiter("l", env, RateConfig(2, 10.0, max_keys=5))
    for key, pause in uses:
        clock.advance(pause)
        limiter.take(str(key))
        assert limiter.snapshot().keys <= 5


def test_a_key_with_nothing_left_outlives_one_that_has_all(env: Env, clock: ManualClock) -> None:
    limiter = RateLimiter("l", env, RateConfig(10, 100.0, max_keys=2))
    limiter.take("old and used up", cost=10)
    limiter.take("young and soon idle")
    clock.advance(15)
    limiter.take("new")
    assert limiter.quota("old and used up").remaining == 1


@pytest.mark.parametrize(
    ("text", "requests", "window_s"),
    [("100/15m", 100, 900), ("1000/1m", 1000, 60), ("5/second", 5, 1), ("7/2 days", 7, 172800), ("9/h", 9, 3600)],
)
def test_a_rate_is_read_as_it_is_written(text: str, requests: int, window_s: float) -> None:
    assert RateConfig.parse(text) == RateConfig(requests, window_s)
    assert RateConfig.parse(text, "sliding_window").strategy == "sliding_window"


def test_nonsense_is_refused() -> None:
    for text in ("100", "x/m", "1/fortnight", "0/m"):
        with pytest.raises(ConfigurationError):
            RateConfig.parse(text)
    for wrong in ({"strategy": "leaky"}, {"window_s": 0}, {"burst": 0}, {"max_keys": 0}):
        with pytest.raises(ConfigurationError):
            RateConfig(**wrong)  # type: ignore[arg-type]
