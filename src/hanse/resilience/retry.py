"""Repetition of failed calls: exponential backoff with jitter, bounded by attempts, by a budget and by the deadline."""

from collections.abc import Awaitable, Callable
from dataclasses import InitVar, dataclass
from math import inf
from types import TracebackType
from typing import Literal, TypeVar

from hanse.core import Env, current
from hanse.core.errors import ConfigurationError, HanseError
from hanse.core.random import Random
from hanse.resilience.budget import RetryBudget
from hanse.resilience.deadline import Deadline
from hanse.resilience.events import EventSink, RetryGivenUp, RetryPlanned
from hanse.resilience.pattern import Pattern, Snapshot
from hanse.resilience.verdict import Verdict, safe_to_repeat

T = TypeVar("T")
Jitter = Literal["full", "equal", "none"]

_MAX_EXPONENT = 64


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how slowly to repeat.

    The short names `attempts`, `first_s`, `factor` and `max_s` are taken, too.
    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full and equal jitter).
    """

    max_attempts: int = 3
    """Attempts in all, the first one included; 0 means without end."""
    base_delay_s: float = 0.025
    """Upper bound of the pause after the first failure."""
    backoff_factor: float = 2.0
    """How the upper bound grows from one failure to the next (≥ 1)."""
    max_delay_s: float = 1.0
    """The pause never exceeds it, unless the other side asks for a longer one."""
    jitter: Jitter = "full"
    """`full`: anything from 0 to the bound; `equal`: from half of it; `none`: the bound itself."""
    max_retry_after_s: float = 30.0
    """Give up at once when the other side asks for a longer pause than this (Retry-After, an open breaker)."""
    attempts: InitVar[int | None] = None
    first_s: InitVar[float | None] = None
    factor: InitVar[float | None] = None
    max_s: InitVar[float | None] = None

    def __post_init__(
        self, attempts: int | None, first_s: float | None, factor: float | None, max_s: float | None
    ) -> None:
        for field, short in (
            ("max_attempts", attempts),
            ("base_delay_s", first_s),
            ("backoff_factor", factor),
            ("max_delay_s", max_s),
        ):
            if short is not None:
                object.__setattr__(self, field, short)
        if min(self.max_attempts, self.base_delay_s, self.max_delay_s) < 0 or self.backoff_factor < 1:
            raise ConfigurationError(f"a retry policy needs attempts and delays ≥ 0, backoff_factor ≥ 1, not {self}")
        if self.jitter not in ("full", "equal", "none"):
            raise ConfigurationError(f'jitter is "full", "equal" or "none", not "{self.jitter}"')

    def pause(self, attempt: int, random: Random) -> float:
        """Seconds to wait after `attempt` (≥ 1) failed attempts."""
        bound = min(self.max_delay_s, self.base_delay_s * self.backoff_factor ** min(attempt - 1, _MAX_EXPONENT))
        if self.jitter == "full":
            return bound * random.random()
        if self.jitter == "equal":
            return bound * (0.5 + 0.5 * random.random())
        return bound


@dataclass(frozen=True, slots=True)
class RetrySnapshot(Snapshot):
    """The live state of a retry, for people."""

    max_attempts: int
    retried: int
    """Attempts that were repetitions."""
    given_up: int
    """Failures that could have been repeated, and were not."""
    budget: float | None
    """Retries that the budget has left; None without one."""


class Retry(Pattern):
    """Repeats by a policy, for one kind of call.

        async for attempt in retry.attempts():
            async with attempt:
                …                           # runs again while it fails

    Args:
        name: what is repeated, for events.
        env: clock and randomness.
        policy: how often and how slowly.
        budget: shared bound on retries; None for no bound.
        retryable: which errors allow another attempt. The default takes only those that say that nothing happened;
            around what is idempotent, use `transient`.
        on_event: gets `RetryPlanned` and `RetryGivenUp`.

    Guarantees: no pause reaches beyond the deadline of the request being served.
    """

    __slots__ = ("budget", "given_up", "policy", "retried", "retryable")

    kind = "retry"

    def __init__(
        self,
        name: str,
        env: Env,
        policy: RetryPolicy | None = None,
        *,
        budget: RetryBudget | None = None,
        retryable: Verdict = safe_to_repeat,
        on_event: EventSink | None = None,
    ) -> None:
        super().__init__(name, env, on_event=on_event)
        self.policy = policy or RetryPolicy()
        self.budget = budget
        self.retryable = retryable
        self.retried = 0
        """How many attempts were repetitions."""
        self.given_up = 0
        """How many failures could have been repeated, and were not."""

    def plan(self, attempt: int, error: object, *, left_s: float = inf, at_least_s: float = 0.0) -> float | None:
        """Decide about one more attempt.

        Args:
            attempt: attempts made so far (≥ 1).
            error: why the last one failed, for the event.
            left_s: seconds until the deadline.
            at_least_s: what the other side asked for (Retry-After).

        Returns: the pause in seconds before the next attempt, shorter than `left_s`; None: give up.
        """
        pause = max(self.policy.pause(attempt, self._env.random), at_least_s)
        if 0 < self.policy.max_attempts <= attempt:
            exhausted = "attempts"
        elif at_least_s > self.policy.max_retry_after_s:
            exhausted = "retry_after"
        elif pause >= left_s:
            exhausted = "deadline"
        elif self.budget is not None and not self.budget.withdraw():
            exhausted = "budget"
        else:
            self.retried += 1
            if self.on_event is not None:
                self.on_event(RetryPlanned(self.name, self._env.clock.now(), attempt, pause, str(error)))
            return pause
        self.given_up += 1
        if self.on_event is not None:
            self.on_event(RetryGivenUp(self.name, self._env.clock.now(), attempt, exhausted, str(error)))
        return None

    async def call(
        self,
        operation: Callable[[], Awaitable[T]],
        *,
        deadline: Deadline | None = None,
        repeatable: Verdict | None = None,
    ) -> T:
        """Run `operation` until it succeeds or may not be repeated; the last error is raised as it came.

        Args:
            operation: makes one attempt.
            deadline: no pause reaches beyond it, nor beyond that of the request being served; it does not cut an
                attempt short (`Timeout` does).
            repeatable: which errors allow another attempt, for this call; None: as the retry was told.
        """
        if self.budget is not None:
            self.budget.deposit()
        attempt = 0
        while True:
            attempt += 1
            try:
                return await operation()
            except Exception as error:
                pause = self.after(attempt, error, deadline, repeatable)
                if pause is None:
                    raise
            await self._env.clock.sleep(pause)

    def after(
        self, attempt: int, error: Exception, deadline: Deadline | None = None, repeatable: Verdict | None = None
    ) -> float | None:
        """Decide about one more attempt after `error`; the pause before it, or None."""
        if not (repeatable or self.retryable)(error):
            return None
        wanted = error.details.get("retry_after", 0.0) if isinstance(error, HanseError) else 0.0
        left_s = inf if deadline is None else deadline.remaining()
        inherited = current().deadline
        if inherited is not None:
            left_s = min(left_s, inherited - self._env.clock.monotonic())
        return self.plan(attempt, error, left_s=left_s, at_least_s=wanted)

    def attempts(self) -> "Attempts":
        """The attempts of one call, for `async for`; each is a context manager."""
        return Attempts(self)

    def snapshot(self) -> RetrySnapshot:
        left = None if self.budget is None else self.budget.balance
        return RetrySnapshot(self.name, self.policy.max_attempts, self.retried, self.given_up, left)

    def reset(self) -> None:
        self.retried = self.given_up = 0
        if self.budget is not None:
            self.budget.balance = self.budget.config.reserve


class Attempts:
    """Attempts of a block, one after the other. It is its own item: only one attempt is made at a time."""

    __slots__ = ("_ended", "_pause", "_retry", "number")

    def __init__(self, retry: Retry) -> None:
        self.number = 0
        """Which attempt this is, from 1."""
        self._retry = retry
        self._pause = 0.0
        self._ended = False

    def __aiter__(self) -> "Attempts":
        return self

    async def __anext__(self) -> "Attempts":
        if self._ended:
            raise StopAsyncIteration
        if not self.number and self._retry.budget is not None:
            self._retry.budget.deposit()
        if self._pause > 0:
            await self._retry._env.clock.sleep(self._pause)
        self.number += 1
        return self

    async def __aenter__(self) -> "Attempts":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        pause = self._retry.after(self.number, error) if isinstance(error, Exception) else None
        self._ended = pause is None
        self._pause = pause or 0.0
        return not self._ended
