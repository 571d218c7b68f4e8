"""The circuit breaker: examples, then any sequence of calls against its promises."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hanse.core import Env
from hanse.core.errors import ConfigurationError
from hanse.core.random import Random
from hanse.resilience import BreakerChanged, BreakerConfig, BreakerOpen, BreakerState, CircuitBreaker, ResilienceEvent
from hanse.testing.clock import ManualClock


def opened(env: Env, config: BreakerConfig) -> CircuitBreaker:
    breaker = CircuitBreaker("b", env, config)
    for _ in range(config.failure_threshold):
        breaker.failure(breaker.acquire())
    return breaker


def test_opens_after_consecutive_failures_only(env: Env) -> None:
    breaker = CircuitBreaker("b", env, BreakerConfig(failure_threshold=3))
    for _ in range(2):
        breaker.failure(breaker.acquire())
    breaker.success(breaker.acquire())
    for _ in range(2):
        breaker.failure(breaker.acquire())
    assert breaker.state is BreakerState.CLOSED
    breaker.failure(breaker.acquire())
    assert breaker.state is BreakerState.OPEN
    assert breaker.acquire() == 0
    assert breaker.snapshot().rejected == 1


def test_half_open_lets_the_probes_through_and_closes_when_they_pass(env: Env, clock: ManualClock) -> None:
    breaker = opened(
        env, BreakerConfig(failure_threshold=1, recovery_timeout_s=1, half_open_probes=2, success_threshold=2)
    )
    clock.advance(1.2)
    first, second = breaker.acquire(), breaker.acquire()
    assert first
    assert second
    assert breaker.acquire() == 0
    breaker.success(first)
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.success(second)
    assert breaker.state is BreakerState.CLOSED


def test_a_failed_probe_opens_it_for_longer(env: Env, clock: ManualClock) -> None:
    breaker = opened(env, BreakerConfig(failure_threshold=1, recovery_timeout_s=1, recovery_timeout_max_s=3))
    clock.advance(1.2)
    breaker.failure(breaker.acquire())
    assert 1.6 <= breaker.snapshot().retry_after_s <= 2.4
    clock.advance(2.4)
    breaker.failure(breaker.acquire())
    assert 2.4 <= breaker.snapshot().retry_after_s <= 3.6


def test_what_an_older_call_reports_is_of_no_account(env: Env, clock: ManualClock) -> None:
    breaker = CircuitBreaker("b", env, BreakerConfig(failure_threshold=1))
    early, late = breaker.acquire(), breaker.acquire()
    breaker.failure(early)
    clock.advance(2)
    probe = breaker.acquire()
    breaker.success(late)
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.failure(late)
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.success(probe)
    assert breaker.state is BreakerState.CLOSED


def test_an_abandoned_probe_gives_its_place_back(env: Env, clock: ManualClock) -> None:
    breaker = opened(env, BreakerConfig(failure_threshold=1))
    clock.advance(2)
    breaker.abandon(breaker.acquire())
    assert breaker.acquire()


def test_admits_says_what_acquire_would_and_changes_nothing(env: Env, clock: ManualClock) -> None:
    breaker = opened(env, BreakerConfig(failure_threshold=1))
    assert not breaker.admits()
    clock.advance(2)
    assert breaker.admits()
    assert breaker.state is BreakerState.OPEN
    breaker.acquire()
    assert not breaker.admits()


def test_tells_each_change(env: Env, clock: ManualClock) -> None:
    heard: list[ResilienceEvent] = []
    breaker = CircuitBreaker("b", env, BreakerConfig(failure_threshold=1), on_event=heard.append)
    breaker.failure(breaker.acquire(), "connection refused")
    clock.advance(2)
    breaker.success(breaker.acquire())
    changes = [(event.before, event.after) for event in heard if isinstance(event, BreakerChanged)]
    assert changes == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]
    assert isinstance(heard[0], BreakerChanged)
    assert "connection refused" in heard[0].reason


def test_trip_and_reset_by_hand(env: Env) -> None:
    breaker = CircuitBreaker("b", env)
    breaker.trip("maintenance")
    assert breaker.acquire() == 0
    breaker.reset()
    assert breaker.acquire()


async def test_call_counts_the_named_errors_and_refuses_when_open(env: Env) -> None:
    breaker = CircuitBreaker("b", env, BreakerConfig(failure_threshold=1))

    async def fails(error: BaseException) -> None:
        raise error

    with pytest.raises(KeyError):
        await breaker.call(lambda: fails(KeyError()), failed=OSError)
    with pytest.raises(asyncio.CancelledError):
        await breaker.call(lambda: fails(asyncio.CancelledError()))
    assert breaker.state is BreakerState.CLOSED
    with pytest.raises(OSError, match="gone"):
        await breaker.call(lambda: fails(OSError("gone")), failed=OSError)
    with pytest.raises(BreakerOpen) as refused:
        await breaker.call(lambda: fails(AssertionError("must not be called")))
    assert 0.8 <= refused.value.details["retry_after"] <= 1.2


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        BreakerConfig(failure_threshold=0, error_percentage=0)
    with pytest.raises(ConfigurationError):
        BreakerConfig(failure_threshold=-1)
    with pytest.raises(ConfigurationError):
        BreakerConfig(half_open_probes=0)
    with pytest.raises(ConfigurationError):
        BreakerConfig(timeout_s=0)
    with pytest.raises(ConfigurationError):
        BreakerConfig(recovery_timeout_s=2, recovery_timeout_max_s=1)


class AnyUse(RuleBasedStateMachine):
    """Calls that overlap in any way, and time that passes: the promises hold."""

    config = BreakerConfig(
        failure_threshold=3, recovery_timeout_s=1, recovery_timeout_max_s=8, half_open_probes=2, success_threshold=3
    )

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        env = Env.build("test", clock=self.clock, random=Random(1))
        self.breaker = CircuitBreaker("b", env, self.config, on_event=self.hear)
        self.open_calls: list[int] = []
        self.probes: list[int] = []
        self.opened_at: float | None = None

    def hear(self, event: ResilienceEvent) -> None:
        assert isinstance(event, BreakerChanged)
        assert event.before != event.after or event.after == "open"
        if event.after == "half_open":
            assert self.opened_at is not None
            assert self.clock.monotonic() - self.opened_at >= 0.8 * self.config.recovery_timeout_s - 1e-9
        self.opened_at = self.clock.monotonic() if event.after == "open" else self.opened_at
        self.probes = []

    @rule()
    def start(self) -> None:
        admits = self.breaker.admits()
        permit = self.breaker.acquire()
        assert bool(permit) == admits
        if permit:
            self.open_calls.append(permit)
            if self.breaker.state is BreakerState.HALF_OPEN:
                self.probes.append(permit)

    @precondition(lambda self: self.open_calls)
    @rule(data=st.data(), how=st.sampled_from(["success", "failure", "abandon"]))
    def end(self, data: st.DataObject, how: str) -> None:
        permit = self.open_calls.pop(data.draw(st.integers(0, len(self.open_calls) - 1)))
        if permit in self.probes:
            self.probes.remove(permit)
        getattr(self.breaker, how)(permit)

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def no_more_probes_than_allowed(self) -> None:
        assert len(self.probes) <= self.config.half_open_probes

    @invariant()
    def fewer_failures_than_the_threshold_while_closed(self) -> None:
        if self.breaker.state is BreakerState.CLOSED:
            assert self.breaker.snapshot().failures < self.config.failure_threshold


AnyUse.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyUse = AnyUse.TestCase
