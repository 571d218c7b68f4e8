"""The adaptive limit: promises to each priority, and how it finds a capacity that nobody told it."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.core import Env
from hanse.core.errors import ConfigurationError, DeadlineExceeded
from hanse.core.random import Random
from hanse.resilience import (
    AdaptiveConfig,
    AdaptiveLimit,
    CallRejected,
    LimitChanged,
    Overloaded,
    Priority,
    ResilienceEvent,
)
from hanse.resilience.law import Gradient, Window
from hanse.testing.clock import ManualClock
from hanse.testing.virtual_time import run_virtual


def test_the_least_important_are_shed_first_and_the_critical_never(env: Env) -> None:
    limit = AdaptiveLimit("a", env, AdaptiveConfig(initial=10, shares=(0.5, 0.8, 1.0)))
    taken = dict.fromkeys(Priority, 0)
    for priority in Priority:
        while taken[priority] < 20 and limit.try_acquire(priority):
            taken[priority] += 1
    assert list(taken.values()) == [5, 3, 2, 20]
    assert limit.running == 30


def test_a_refusal_says_when_to_come_back_and_is_told(env: Env) -> None:
    heard: list[ResilienceEvent] = []
    limit = AdaptiveLimit("a", env, AdaptiveConfig(retry_after_s=3), on_event=heard.append)
    error = limit.refuse(Priority.LOW)
    assert (error.status, error.details["retry_after"]) == (503, 3)
    assert isinstance(heard[0], CallRejected)
    assert limit.snapshot().rejected == {"low": 1, "normal": 0, "high": 0, "critical": 0}


async def test_a_guarded_block_reports_how_it_ended(env: Env, clock: ManualClock) -> None:
    limit = AdaptiveLimit("a", env, AdaptiveConfig(window_calls=1, initial=10))
    for error in (KeyError("a bug"), asyncio.CancelledError()):
        clock.advance(1)
        with pytest.raises(type(error)):
            async with limit.guard():
                raise error
    assert limit.snapshot().latency_s == 0, "neither says anything about the load"
    with pytest.raises(DeadlineExceeded):
        async with limit.guard():
            clock.advance(2)
            raise DeadlineExceeded("late")
    assert limit.snapshot().latency_s == 2
    assert limit.limit == 9
    assert limit.running == 0


async def test_refuses_without_calling(env: Env) -> None:
    limit = AdaptiveLimit("a", env, AdaptiveConfig(initial=1, minimum=1))

    @limit
    async def hold() -> None:
        with pytest.raises(Overloaded):
            await limit.call(lambda: pytest.fail("must not be called"))

    await hold()


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["gradient", "aimd"]),
    st.lists(
        st.tuples(st.sampled_from(Priority), st.sampled_from(["release", "drop", "abandon", "keep"]), st.floats(0, 5)),
        max_size=200,
    ),
)
def test_any_use_keeps_the_promises(algorithm: str, uses: list[tuple[Priority, str, float]]) -> None:
    clock = ManualClock()
    config = AdaptiveConfig(algorithm=algorithm, initial=6, minimum=2, maximum=12, window_calls=2)  # type: ignore[arg-type]
    limit = AdaptiveLimit("a", Env.build("test", clock=clock, random=Random(1)), config)
    kept = 0
    for priority, how, seconds in uses:
        before = limit.running
        admitted = limit.try_acquire(priority)
        share = (*config.shares, float("inf"))[priority]
        assert admitted == (before < max(int(limit._limit * share), 1) if share <= 1 else True)
        clock.advance(seconds)
        if admitted and how == "keep":
            kept += 1
        elif admitted:
            limit.abandon() if how == "abandon" else getattr(limit, how)(seconds)
        assert config.minimum <= limit.limit <= config.maximum
        assert limit.running == kept


class Server:
    """Serves `workers` calls at once, each for `service_s`; the rest waits in its queue."""

    def __init__(self, env: Env, workers: int, service_s: float) -> None:
        self.env = env
        self.places = asyncio.Semaphore(workers)
        self.service_s = service_s

    async def __call__(self) -> None:
        async with self.places:
            await self.env.clock.sleep(self.service_s)


async def goodput(env: Env, limit: AdaptiveLimit | None, server: Server, *, rate: float, seconds: float) -> float:
    """Calls a second that end within 0.5 s, at `rate` arrivals a second."""
    good = 0

    async def one() -> None:
        nonlocal good
        began = env.clock.monotonic()
        try:
            await (server() if limit is None else limit.call(server, priority=Priority.HIGH))
        except Overloaded:
            return
        good += env.clock.monotonic() - began <= 0.5

    end = env.clock.monotonic() + seconds
    while env.clock.monotonic() < end:
        env.scope.spawn(one(), name="one")
        await env.clock.sleep(env.random.expovariate(rate))
    return good / seconds


@pytest.mark.parametrize("workers", [1, 20])
def test_at_five_times_the_capacity_the_goodput_stays(workers: int) -> None:
    async def scenario(env: Env) -> tuple[float, float]:
        server = Server(env, workers, 0.01 * workers)  # capacity: 100 a second
        limit = AdaptiveLimit("a", env)
        shed = await goodput(env, limit, server, rate=500, seconds=60)
        unprotected = await goodput(env, None, Server(env, workers, 0.01 * workers), rate=500, seconds=20)
        return shed, unprotected

    shed, unprotected = run_virtual(scenario)
    assert shed >= 80
    assert unprotected < 20, "the scenario must be one that needs shedding"


def test_it_follows_a_server_that_slows_down_and_recovers() -> None:
    async def scenario(env: Env) -> None:
        server = Server(env, 20, 0.1)
        heard: list[ResilienceEvent] = []
        limit = AdaptiveLimit("a", env, on_event=heard.append)
        assert await goodput(env, limit, server, rate=400, seconds=60) >= 150
        server.places = asyncio.Semaphore(4)
        await goodput(env, limit, server, rate=400, seconds=30)
        assert await goodput(env, limit, server, rate=400, seconds=60) >= 30, "of 40 that it can now"
        server.places = asyncio.Semaphore(20)
        await goodput(env, limit, server, rate=400, seconds=30)
        assert await goodput(env, limit, server, rate=400, seconds=60) >= 150
        assert any(isinstance(event, LimitChanged) for event in heard)

    run_virtual(scenario)


def test_a_baseline_that_was_measured_under_load_is_measured_anew() -> None:
    config, limit, now = AdaptiveConfig(), 20.0, 0.0
    law = Gradient(config)
    for _ in range(2000):
        now += config.window_s
        peak = int(limit)  # always in use; one worker of 10 ms, so that the latency is all queue
        limit = max(law.next(limit, Window(now, 0.01 * peak, peak, False)), float(config.minimum))
    assert limit < 25
    assert law.baseline_s < 0.06


def test_aimd_keeps_to_its_latency() -> None:
    async def scenario(env: Env) -> float:
        limit = AdaptiveLimit("a", env, AdaptiveConfig(algorithm="aimd", latency_target_s=0.15))
        assert await goodput(env, limit, Server(env, 1, 0.01), rate=500, seconds=30) >= 80
        return limit.snapshot().latency_s

    assert run_virtual(scenario) < 0.25


def test_reset_forgets(env: Env) -> None:
    limit = AdaptiveLimit("a", env, AdaptiveConfig(window_calls=1, initial=10))
    limit.try_acquire()
    limit.drop(1)
    limit.try_acquire()
    limit.reset()
    assert (limit.limit, limit.snapshot().baseline_s, limit.running) == (10, 0, 1)


def test_a_header_names_a_priority_up_to_what_its_sender_may() -> None:
    assert Priority.parse(" Low ", most=Priority.HIGH) is Priority.LOW
    assert Priority.parse("critical", most=Priority.HIGH) is Priority.HIGH
    assert Priority.parse("nonsense", most=Priority.HIGH) is Priority.NORMAL
    assert Priority.parse(None, most=Priority.LOW) is Priority.LOW


@pytest.mark.parametrize(
    "wrong",
    [
        {"minimum": 0},
        {"initial": 2000},
        {"algorithm": "vegas"},
        {"tolerance": 0.5},
        {"decrease": 1},
        {"window_s": 0},
        {"shares": (0.9, 0.5, 1)},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        AdaptiveConfig(**wrong)  # type: ignore[arg-type]
