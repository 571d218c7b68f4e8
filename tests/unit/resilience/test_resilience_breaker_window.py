"""The breaker's rolling window, its bounds on time, forced states, and its three ways of use."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.core import Env
from hanse.core.errors import DeadlineExceeded, NotFound, Unavailable
from hanse.core.random import Random
from hanse.resilience import (
    BreakerConfig,
    BreakerOpen,
    BreakerState,
    BulkheadFull,
    CallRejected,
    CallTimedOut,
    CircuitBreaker,
    ResilienceEvent,
)
from hanse.resilience.rolling import RollingWindow
from hanse.testing.clock import ManualClock
from hanse.testing.virtual_time import run_virtual

SHARE_ONLY = BreakerConfig(failure_threshold=0, error_percentage=50, request_volume_threshold=10)


def report(breaker: CircuitBreaker, outcomes: str) -> None:
    for outcome in outcomes:
        permit = breaker.acquire()
        breaker.failure(permit) if outcome == "x" else breaker.success(permit)


def test_the_share_of_failures_opens_it_once_there_are_enough_calls(env: Env) -> None:
    breaker = CircuitBreaker("b", env, SHARE_ONLY)
    report(breaker, "x.x.x.x.")
    assert breaker.state is BreakerState.CLOSED, "8 calls are too few"
    report(breaker, ".x")
    assert breaker.state is BreakerState.OPEN


def test_below_the_share_it_stays_closed(env: Env) -> None:
    breaker = CircuitBreaker("b", env, SHARE_ONLY)
    report(breaker, "x.." * 30)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.snapshot().error_percentage == pytest.approx(100 / 3)
    assert breaker.snapshot().calls == 90


def test_old_failures_fall_out_of_the_window(env: Env, clock: ManualClock) -> None:
    breaker = CircuitBreaker("b", env, SHARE_ONLY)
    report(breaker, "xxxxxxxxx")
    clock.advance(10)
    report(breaker, "x........")
    assert breaker.state is BreakerState.CLOSED
    assert (breaker.snapshot().calls, breaker.snapshot().errors) == (9, 1)


def test_after_it_closed_it_counts_anew(env: Env, clock: ManualClock) -> None:
    breaker = CircuitBreaker("b", env, SHARE_ONLY)
    report(breaker, "x" * 10)
    clock.advance(2)
    report(breaker, ".")
    assert breaker.state is BreakerState.CLOSED
    report(breaker, "x" * 9)
    assert breaker.state is BreakerState.CLOSED


@settings(max_examples=200)
@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60),
)
def test_the_window_holds_what_happened_in_its_span(buckets: int, calls: list[tuple[float, bool]]) -> None:
    now, window, history = 0.0, RollingWindow(6.0, buckets, 0.0), list[tuple[float, bool]]()
    for pause, failed in calls:
        now += pause
        if now >= window.end:
            window.advance(now)
        window.fresh_calls += 1
        window.fresh_failures += failed
        history.append((now, failed))
        counted, failures = window.counts(now)
        bucket_s = 6.0 / buckets
        assert sum(at > now - 6 + bucket_s + 1e-6 for at, _ in history) <= counted
        assert counted <= sum(at > now - 6 - 1e-6 for at, _ in history)
        assert sum(bad for at, bad in history if at > now - 6 + bucket_s + 1e-6) <= failures <= counted


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(".x"), st.floats(0, 2)), max_size=80), st.integers(0, 4))
def test_it_is_open_exactly_when_a_threshold_was_reached(uses: list[tuple[str, float]], threshold: int) -> None:
    clock = ManualClock()
    config = BreakerConfig(failure_threshold=threshold, request_volume_threshold=5, rolling_window_s=1e9)
    breaker = CircuitBreaker("b", Env.build("test", clock=clock, random=Random(1)), config)
    calls = errors = row = 0
    for outcome, pause in uses:
        clock.advance(pause)
        report(breaker, outcome)
        calls, errors, row = calls + 1, errors + (outcome == "x"), row + 1 if outcome == "x" else 0
        reached = (0 < threshold <= row) or (outcome == "x" and calls >= 5 and errors * 2 >= calls)
        assert (breaker.state is BreakerState.OPEN) == reached
        if reached:
            return


def test_a_slow_success_counts_as_a_failure(env: Env) -> None:
    breaker = CircuitBreaker("b", env, BreakerConfig(failure_threshold=1, slow_call_s=1))
    breaker.success(breaker.acquire(), took_s=1.0)
    assert breaker.state is BreakerState.CLOSED
    breaker.success(breaker.acquire(), took_s=1.1)
    assert breaker.state is BreakerState.OPEN


def test_a_call_that_takes_too_long_is_cut_off_and_counts() -> None:
    heard: list[ResilienceEvent] = []

    async def scenario(env: Env) -> None:
        breaker = CircuitBreaker("b", env, BreakerConfig(failure_threshold=1, timeout_s=3), on_event=heard.append)
        with pytest.raises(DeadlineExceeded):
            await breaker.call(lambda: env.clock.sleep(10))
        assert env.clock.monotonic() == pytest.approx(3)
        assert breaker.state is BreakerState.OPEN
        await env.clock.sleep(2)
        async with breaker.guard():
            await env.clock.sleep(2.9)
        assert breaker.state is BreakerState.CLOSED

    run_virtual(scenario)
    assert [event.after_s for event in heard if isinstance(event, CallTimedOut)] == [pytest.approx(3)]


def test_a_slow_call_is_timed_in_every_way_of_use() -> None:
    async def scenario(env: Env) -> None:
        for use in ("call", "guard", "decorator"):
            breaker = CircuitBreaker("b", env, BreakerConfig(failure_threshold=1, slow_call_s=1))
            if use == "call":
                await breaker.call(lambda: env.clock.sleep(2))
            elif use == "guard":
                async with breaker.guard():
                    await env.clock.sleep(2)
            else:
                await breaker(env.clock.sleep)(2)
            assert breaker.state is BreakerState.OPEN, use

    run_virtual(scenario)


async def test_the_fallback_answers_refusals_and_failures_that_count(env: Env) -> None:
    seen: list[str] = []

    async def cached(error: Exception) -> str:
        seen.append(type(error).__name__)
        return "cached"

    breaker = CircuitBreaker("b", env, BreakerConfig(failure_threshold=1), fallback=cached)

    async def fails(error: Exception) -> str:
        raise error

    with pytest.raises(NotFound):
        await breaker.call(lambda: fails(NotFound("no such thing")))
    assert await breaker.call(lambda: fails(Unavailable("down"))) == "cached"
    assert await breaker.call(lambda: fails(AssertionError("must not be called"))) == "cached"
    assert seen == ["Unavailable", "BreakerOpen"]


async def test_refusals_of_other_patterns_say_nothing(env: Env, clock: ManualClock) -> None:
    breaker = CircuitBreaker("b", env, BreakerConfig(failure_threshold=1))

    async def full() -> None:
        raise BulkheadFull("busy")

    with pytest.raises(BulkheadFull):
        await breaker.call(full)
    assert breaker.snapshot().failures == 0
    breaker.trip()
    clock.advance(2)
    with pytest.raises(BulkheadFull):
        await breaker.call(full)
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.admits(), "the probe's place is free again"


async def test_a_refusal_is_told(env: Env) -> None:
    heard: list[ResilienceEvent] = []
    breaker = CircuitBreaker("b", env, on_event=heard.append)
    breaker.trip()
    with pytest.raises(BreakerOpen):
        async with breaker.guard():
            pytest.fail("must not be entered")
    assert isinstance(heard[-1], CallRejected)


def test_forced_states_hold_until_reset(env: Env, clock: ManualClock) -> None:
    breaker = CircuitBreaker("b", env, BreakerConfig(failure_threshold=1))
    breaker.force_open()
    clock.advance(1e6)
    assert (breaker.acquire(), breaker.admits()) == (0, False)
    assert breaker.snapshot().forced
    assert breaker.snapshot().retry_after_s == breaker.config.recovery_timeout_max_s
    breaker.force_closed()
    report(breaker, "x" * 100)
    assert breaker.state is BreakerState.CLOSED
    breaker.reset()
    assert not breaker.snapshot().forced
    assert breaker.snapshot().failures == 0
    report(breaker, "x")
    assert breaker.state is BreakerState.OPEN


async def test_guards_overlap(env: Env) -> None:
    breaker = CircuitBreaker("b", env, BreakerConfig(failure_threshold=2))

    async def one(fails: bool) -> None:
        async with breaker.guard():
            await asyncio.sleep(0)
            if fails:
                raise OSError("gone")

    await asyncio.gather(one(True), one(True), one(False), return_exceptions=True)
    assert breaker.state is BreakerState.OPEN


def test_the_short_names_are_taken_too() -> None:
    short = BreakerConfig(failures=2, recovery_s=3, recovery_max_s=4, probes=5, successes=6)
    assert short == BreakerConfig(
        failure_threshold=2,
        recovery_timeout_s=3,
        recovery_timeout_max_s=4,
        half_open_probes=5,
        success_threshold=6,
    )


async def test_a_late_success_of_an_older_period_is_of_no_account(env: Env, clock: ManualClock) -> None:
    breaker = CircuitBreaker("b", env, BreakerConfig(failure_threshold=2))
    go_on = asyncio.Event()

    async def late() -> None:
        await go_on.wait()

    older = asyncio.create_task(breaker.call(late))
    await asyncio.sleep(0)
    breaker.trip()
    clock.advance(2)
    report(breaker, ".x")
    go_on.set()
    await older
    report(breaker, "x")
    assert breaker.state is BreakerState.OPEN
