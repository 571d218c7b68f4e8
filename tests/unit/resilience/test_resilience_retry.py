"""Retry, its budget and the deadline."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core import Env, RequestContext, use
from hanse.core.errors import ConfigurationError, Conflict, DeadlineExceeded, LimitExceeded, OutcomeUnknown, Unavailable
from hanse.core.random import Random
from hanse.resilience import (
    BudgetConfig,
    Deadline,
    ResilienceEvent,
    Retry,
    RetryBudget,
    RetryGivenUp,
    RetryPlanned,
    RetryPolicy,
)
from hanse.testing.clock import ManualClock


class Fails:
    """An operation that fails with each of `errors` in turn, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


async def test_repeats_until_it_works(env: Env, clock: ManualClock) -> None:
    heard: list[ResilienceEvent] = []
    operation = Fails(Unavailable("a"), Unavailable("b"))
    assert await clock.run(Retry("r", env, on_event=heard.append).call(operation)) == "done"
    assert operation.calls == 3
    assert [event.attempt for event in heard if isinstance(event, RetryPlanned)] == [1, 2]


async def test_gives_up_after_the_attempts_with_the_last_error(env: Env, clock: ManualClock) -> None:
    heard: list[ResilienceEvent] = []
    operation = Fails(Unavailable("a"), Unavailable("b"), Unavailable("c"))
    with pytest.raises(Unavailable, match="b"):
        await clock.run(Retry("r", env, RetryPolicy(max_attempts=2), on_event=heard.append).call(operation))
    assert isinstance(heard[-1], RetryGivenUp)
    assert heard[-1].reason == "attempts"


@pytest.mark.parametrize("error", [Conflict("no"), OutcomeUnknown("perhaps"), KeyError("bug")])
async def test_does_not_repeat_what_is_not_known_to_be_safe(env: Env, clock: ManualClock, error: Exception) -> None:
    operation = Fails(error)
    with pytest.raises(type(error)):
        await clock.run(Retry("r", env).call(operation))
    assert operation.calls == 1


async def test_waits_as_long_as_the_other_side_asks(env: Env, clock: ManualClock) -> None:
    await clock.run(Retry("r", env).call(Fails(LimitExceeded("slow down", retry_after=3.0))))
    assert clock.monotonic() >= 3.0


async def test_never_pauses_past_the_deadline(env: Env, clock: ManualClock) -> None:
    deadline = Deadline.within(clock, 2.0)
    operation = Fails(LimitExceeded("slow down", retry_after=3.0))
    with pytest.raises(LimitExceeded):
        await clock.run(Retry("r", env).call(operation, deadline=deadline))
    assert clock.monotonic() == 0.0


async def test_an_empty_budget_ends_repetition(env: Env, clock: ManualClock) -> None:
    budget = RetryBudget(BudgetConfig(ratio=0, reserve=1))
    retry = Retry("r", env, RetryPolicy(max_attempts=9), budget=budget)
    operation = Fails(*[Unavailable("x")] * 9)
    with pytest.raises(Unavailable):
        await clock.run(retry.call(operation))
    assert operation.calls == 2
    assert budget.refused == 1


@given(st.integers(1, 5000), st.sampled_from(["full", "equal", "none"]), st.floats(0, 2), st.floats(1, 10))
def test_pauses_stay_within_their_bounds(attempt: int, jitter: str, first_s: float, factor: float) -> None:
    policy = RetryPolicy(max_attempts=0, base_delay_s=first_s, backoff_factor=factor, max_delay_s=1.5, jitter=jitter)  # type: ignore[arg-type]
    bound = min(1.5, first_s * factor ** min(attempt - 1, 64))
    pause = policy.pause(attempt, Random(attempt))
    assert {"full": 0.0, "equal": bound / 2, "none": bound}[jitter] <= pause <= bound


@given(st.lists(st.booleans(), max_size=300), st.floats(0, 1), st.floats(0, 20))
def test_a_budget_bounds_the_retries(uses: list[bool], ratio: float, reserve: float) -> None:
    budget = RetryBudget(BudgetConfig(ratio, reserve))
    calls = retries = 0
    for is_call in uses:
        if is_call:
            calls += 1
            budget.deposit()
        else:
            retries += budget.withdraw()
        assert retries <= reserve + ratio * calls + 1e-6


def test_the_inherited_deadline_wins_when_it_is_earlier(clock: ManualClock) -> None:
    with use(RequestContext(deadline=2.0)):
        assert Deadline.within(clock, 5).at == 2.0
        assert Deadline.within(clock, 1).at == 1.0
    deadline = Deadline.within(clock, 5)
    assert deadline.earlier(9).at == 5.0
    clock.advance(6)
    assert deadline.passed
    assert deadline.remaining() == 0.0


async def test_an_enforced_deadline_ends_the_block_and_only_its_own(clock: ManualClock) -> None:
    with pytest.raises(DeadlineExceeded, match="payment"):
        async with Deadline.within(clock, 0.001).enforce("payment"):
            await asyncio.Event().wait()
    with pytest.raises(TimeoutError, match="from inside"):
        async with Deadline.within(clock, 60).enforce("payment"):
            raise TimeoutError("from inside")


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        RetryPolicy(max_attempts=-1)
    with pytest.raises(ConfigurationError):
        RetryPolicy(jitter="some")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        BudgetConfig(ratio=2)
