"""Timeout, fallback, hedge, retried blocks; pipelines of all, and the registry that shows them."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.core import Env, RequestContext, current, use
from hanse.core.errors import ConfigurationError, Conflict, DeadlineExceeded, InvalidInput, NotFound, Unavailable
from hanse.resilience import (
    AdaptiveConfig,
    BreakerConfig,
    BreakerState,
    BudgetConfig,
    Bulkhead,
    BulkheadConfig,
    BulkheadFull,
    CircuitBreaker,
    Fallback,
    FallbackConfig,
    FellBack,
    Hedge,
    HedgeConfig,
    Hedged,
    Pipeline,
    PipelineConfig,
    RateConfig,
    ResilienceEvent,
    ResilienceRegistry,
    Retry,
    RetryBudget,
    RetryPolicy,
    Timeout,
    TimeoutConfig,
    transient,
)
from hanse.testing.clock import ManualClock
from hanse.testing.virtual_time import run_virtual


async def cached(error: Exception) -> str:
    return f"cached: {type(error).__name__}"


def failing(*errors: Exception) -> Callable[[], Awaitable[str]]:
    left = list(errors)

    async def operation() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return operation


def test_a_timeout_cuts_off_and_tells_the_inside_how_long_it_has() -> None:
    async def scenario(env: Env) -> None:
        timeout = Timeout("t", env, TimeoutConfig(timeout_s=2))

        async def slow() -> None:
            assert current().deadline == pytest.approx(env.clock.monotonic() + 2)
            await env.clock.sleep(9)

        with pytest.raises(DeadlineExceeded):
            await timeout.call(slow)
        assert env.clock.monotonic() == pytest.approx(2)
        assert current().deadline is None
        assert (timeout.snapshot().timed_out, timeout.snapshot().running) == (1, 0)
        with use(RequestContext(deadline=env.clock.monotonic() + 1)), pytest.raises(DeadlineExceeded):
            await timeout(env.clock.sleep)(9)
        assert env.clock.monotonic() == pytest.approx(3)
        with pytest.raises(TimeoutError, match="its own"):
            await timeout.call(failing(TimeoutError("its own")))

    run_virtual(scenario)


def test_retries_stop_within_the_timeout_around_them() -> None:
    async def scenario(env: Env) -> None:
        retry = Retry("r", env, RetryPolicy(max_attempts=0, base_delay_s=1, jitter="none", backoff_factor=1))
        with pytest.raises(Unavailable):
            await Timeout("t", env, TimeoutConfig(timeout_s=2.5)).call(
                lambda: retry.call(failing(*[Unavailable("down")] * 9))
            )
        assert env.clock.monotonic() == pytest.approx(2), "it did not sleep past the deadline"

    run_virtual(scenario)


def test_a_block_is_repeated() -> None:
    async def scenario(env: Env) -> None:
        retry = Retry("r", env, RetryPolicy(max_attempts=3))
        operation = failing(Unavailable("a"), Unavailable("b"))
        numbers = []
        async for attempt in retry.attempts():
            async with attempt:
                numbers.append(attempt.number)
                assert await operation() == "done"
        assert numbers == [1, 2, 3]
        with pytest.raises(Unavailable, match="c"):
            operation = failing(*[Unavailable("c")] * 3)
            async for attempt in retry.attempts():
                async with attempt:
                    await operation()
        with pytest.raises(Conflict):
            async for attempt in retry.attempts():
                async with attempt:
                    raise Conflict("no")
        assert (retry.snapshot().retried, retry.snapshot().given_up) == (4, 1)

    run_virtual(scenario)


def test_gives_up_when_asked_to_wait_too_long() -> None:
    async def scenario(env: Env) -> None:
        retry = Retry("r", env, RetryPolicy(max_retry_after_s=5))
        with pytest.raises(Unavailable):
            await retry.call(failing(Unavailable("down", retry_after=6)))
        assert env.clock.monotonic() == 0

    run_virtual(scenario)


async def test_a_fallback_answers_for_what_may_pass_and_hides_no_bug(env: Env) -> None:
    heard: list[ResilienceEvent] = []
    fallback = Fallback("f", env, cached, on_event=heard.append)
    assert await fallback.call(failing()) == "done"
    for error in (Unavailable("x"), DeadlineExceeded("x"), ConnectionResetError(), TimeoutError()):
        assert transient(error)
        assert await fallback.call(failing(error)) == f"cached: {type(error).__name__}"
    for error in (Conflict("x"), KeyError("bug")):
        with pytest.raises(type(error)):
            await fallback.call(failing(error))
    assert fallback.snapshot().used == 4
    assert all(isinstance(event, FellBack) for event in heard)
    assert await Fallback("f", env, cached, FallbackConfig((KeyError,))).call(failing(KeyError())) == "cached: KeyError"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 3), st.booleans()), min_size=4, max_size=4),
    st.floats(0, 1),
    st.integers(1, 3),
    st.integers(0, 4),
)
def test_a_hedge_takes_the_first_good_answer(
    copies: list[tuple[float, bool]], delay_s: float, most: int, budget: int
) -> None:
    heard: list[ResilienceEvent] = []

    async def scenario(env: Env) -> None:
        started: list[float] = []
        running = 0

        async def operation() -> int:
            nonlocal running
            number = len(started)
            started.append(env.clock.monotonic())
            running += 1
            try:
                await env.clock.sleep(copies[number][0])
            finally:
                running -= 1
            if not copies[number][1]:
                raise Unavailable(str(number))
            return number

        purse = RetryBudget(BudgetConfig(ratio=0, reserve=budget))
        hedge = Hedge("h", env, HedgeConfig(delay_s=delay_s, max_hedges=most), budget=purse, on_event=heard.append)
        try:
            winner = await hedge.call(operation)
        except Unavailable:
            assert not any(good for _, good in copies[: len(started)])
        else:
            ends = [at + copies[number][0] for number, at in enumerate(started) if copies[number][1]]
            assert started[winner] + copies[winner][0] <= min(ends) + 1e-6
            assert env.clock.monotonic() <= min(ends) + 1e-6
        assert 1 <= len(started) <= 1 + min(most, budget)
        assert hedge.snapshot().hedged == len(started) - 1 == len(heard)
        for earlier, later in pairwise(started):
            assert later - earlier >= delay_s - 1e-6
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not running, "the losers are cancelled"

    run_virtual(scenario)
    assert all(isinstance(event, Hedged) for event in heard)


def test_a_cancelled_hedge_leaves_nothing_behind() -> None:
    async def scenario(env: Env) -> None:
        ended = 0

        async def operation() -> None:
            nonlocal ended
            try:
                await env.clock.sleep(100)
            finally:
                ended += 1

        task = env.scope.spawn(Hedge("h", env, HedgeConfig(delay_s=1)).call(operation), name="call")
        await env.clock.sleep(5)
        task.cancel()
        await asyncio.wait([task])
        await env.clock.sleep(0.1)
        assert ended == 2

    run_virtual(scenario)


EVERYTHING = PipelineConfig(
    fallback=FallbackConfig(),
    timeout=TimeoutConfig(timeout_s=10),
    limiter=RateConfig(100, 60.0),
    bulkhead=BulkheadConfig(limit=10),
    retry=RetryPolicy(max_attempts=4, base_delay_s=0.1),
    hedge=HedgeConfig(delay_s=1.5),
    breaker=BreakerConfig(failure_threshold=5),
    adaptive=AdaptiveConfig(),
    attempt_timeout=TimeoutConfig(timeout_s=1),
    budget=BudgetConfig(),
)


def test_the_order_is_that_of_the_fields() -> None:
    async def scenario(env: Env) -> None:
        pipeline = Pipeline.build("p", env, EVERYTHING, answer=cached)
        assert [pattern.kind for pattern in pipeline.patterns] == [
            "fallback", "timeout", "limiter", "bulkhead", "retry", "hedge", "breaker", "adaptive", "timeout",
        ]  # fmt: skip
        assert await pipeline.call(failing(Unavailable("a"), Unavailable("b"))) == "done"
        retry, breaker = pipeline.patterns[4], pipeline.patterns[6]
        assert isinstance(retry, Retry)
        assert isinstance(breaker, CircuitBreaker)
        assert (retry.retried, breaker.snapshot().calls) == (2, 3), "the breaker sees each attempt"

    run_virtual(scenario)


def test_a_pipeline_survives_what_it_is_made_for() -> None:
    async def scenario(env: Env) -> None:
        pipeline = Pipeline.build("p", env, EVERYTHING, answer=cached, retryable=transient)

        @pipeline
        async def stalls() -> str:
            await env.clock.sleep(1000)
            return "never"

        answer = await stalls()
        assert answer.startswith("cached: ")
        assert env.clock.monotonic() <= 10
        for _ in range(3):
            await stalls()
        [breaker] = [p for p in pipeline.patterns if isinstance(p, CircuitBreaker)]
        assert breaker.state is not BreakerState.CLOSED
        state = pipeline.snapshot().as_json()
        assert orjson.loads(orjson.dumps(state))["patterns"][0]["kind"] == "fallback"
        pipeline.reset()
        assert breaker.state is BreakerState.CLOSED

    run_virtual(scenario)


async def test_the_order_given_by_hand_is_kept(env: Env, clock: ManualClock) -> None:
    breaker, retry = CircuitBreaker("b", env, BreakerConfig(failure_threshold=1)), Retry("r", env, RetryPolicy(0, 0.0))
    await clock.run(Pipeline("p", env, [breaker, retry]).call(failing(Unavailable("a"))))
    assert breaker.snapshot().errors == 0, "outside of the retry it sees the call as a whole"
    with pytest.raises(ConfigurationError):
        Pipeline("p", env, [breaker, breaker])
    with pytest.raises(ConfigurationError):
        Pipeline.build("p", env, PipelineConfig(fallback=FallbackConfig()))
    with pytest.raises(ConfigurationError):
        Pipeline.build("p", env, PipelineConfig(budget=BudgetConfig()))


async def test_a_bulkhead_in_all_its_ways(env: Env) -> None:
    bulkhead = Bulkhead("b", env, BulkheadConfig(limit=1))

    @bulkhead
    async def held() -> None:
        with pytest.raises(BulkheadFull):
            async with bulkhead.guard():
                pytest.fail("must not be entered")

    await held()
    async with bulkhead.guard():
        with pytest.raises(BulkheadFull):
            await bulkhead.call(held)
    assert (bulkhead.running, bulkhead.snapshot().rejected) == (0, 2)
    bulkhead.reset()
    assert bulkhead.snapshot().rejected == 0


def test_the_registry_lists_finds_and_steers(env: Env) -> None:
    registry = ResilienceRegistry(env)
    users = registry.breaker("users")
    assert registry.breaker("users") is users
    pipeline = registry.add(Pipeline.build("orders", env, PipelineConfig(retry=RetryPolicy(), breaker=BreakerConfig())))
    instances = [CircuitBreaker("users/1", env), CircuitBreaker("users/2", env)]

    def source() -> list[CircuitBreaker]:
        return instances

    registry.add_source(source)
    assert [(p.kind, p.name) for p in registry.list()] == [
        ("breaker", "orders"), ("breaker", "users"), ("breaker", "users/1"), ("breaker", "users/2"),
        ("retry", "orders"),
    ]  # fmt: skip
    assert orjson.loads(orjson.dumps(registry.snapshot("retry")))[0]["max_attempts"] == 3
    assert registry.force("users/1", "open") is instances[0]
    assert registry.snapshot("breaker")[2]["state"] == "open"
    registry.force("orders", "open")
    assert registry.reset("users/1") == (instances[0],)
    assert instances[0].state is BreakerState.CLOSED
    registry.force("users", "closed")
    assert users.snapshot().forced
    registry.reset_all("breaker")
    assert not any(state["forced"] or state["state"] != "closed" for state in registry.snapshot("breaker"))
    instances.pop()
    registry.remove(pipeline)
    registry.remove_source(source)
    registry.remove_source(source)
    assert [p.name for p in registry.list()] == ["users"]
    with pytest.raises(NotFound):
        registry.find("orders")
    with pytest.raises(NotFound):
        registry.force("nobody", "open")
    with pytest.raises(InvalidInput):
        registry.force("users", "ajar")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        registry.add(CircuitBreaker("users", env))
