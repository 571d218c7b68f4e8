"""Repetition of failed calls: exponential backoff with jitter, bounded by attempts, by a budget and by the deadline."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeVar

from hanse.core import Env
from hanse.core.errors import ConfigurationError, HanseError, OutcomeUnknown
from hanse.core.random import Random
from hanse.resilience.budget import RetryBudget
from hanse.resilience.deadline import Deadline
from hanse.resilience.events import EventSink, RetryGivenUp, RetryPlanned

T = TypeVar("T")
Jitter = Literal["full", "equal", "none"]

_MAX_EXPONENT = 64


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how slowly to repeat.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full and equal jitter).
    """

    attempts: int = 3
    """Attempts in all, the first one included; 0 means without end."""
    first_s: float = 0.025
    """Upper bound of the pause after the first failure."""
    factor: float = 2.0
    """How the upper bound grows from one failure to the next (≥ 1)."""
    max_s: float = 1.0
    """The pause never exceeds it."""
    jitter: Jitter = "full"
    """`full`: anything from 0 to the bound; `equal`: from half of it; `none`: the bound itself."""

    def __post_init__(self) -> None:
        if self.attempts < 0 or self.first_s < 0 or self.max_s < 0 or self.factor < 1:
            raise ConfigurationError(f"a retry policy needs attempts, first_s, max_s ≥ 0 and factor ≥ 1, not {self}")
        if self.jitter not in ("full", "equal", "none"):
            raise ConfigurationError(f'jitter is "full", "equal" or "none", not "{self.jitter}"')

    def pause(self, attempt: int, random: Random) -> float:
        """Seconds to wait after `attempt` (≥ 1) failed attempts."""
        bound = min(self.max_s, self.first_s * self.factor ** min(attempt - 1, _MAX_EXPONENT))
        if self.jitter == "full":
            return bound * random.random()
        if self.jitter == "equal":
            return bound * (0.5 + 0.5 * random.random())
        return bound


def safe_to_repeat(error: Exception) -> bool:
    """True for errors that say: nothing happened, and it may work later."""
    return isinstance(error, HanseError) and error.retryable and not isinstance(error, OutcomeUnknown)


class Retry:
    """Repeats by a policy, for one kind of call.

    Args:
        name: what is repeated, for events.
        env: clock and randomness.
        policy: how often and how slowly.
        budget: shared bound on retries; None for no bound.
        on_event: gets `RetryPlanned` and `RetryGivenUp`.
    """

    def __init__(
        self,
        name: str,
        env: Env,
        policy: RetryPolicy | None = None,
        *,
        budget: RetryBudget | None = None,
        on_event: EventSink | None = None,
    ) -> None:
        self.name = name
        self.policy = policy or RetryPolicy()
        self.budget = budget
        self.on_event = on_event
        self.retried = 0
        """How many attempts were repetitions."""
        self._env = env

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
        if self.policy.attempts and attempt >= self.policy.attempts:
            exhausted = "attempts"
        elif pause >= left_s:
            exhausted = "deadline"
        elif self.budget is not None and not self.budget.withdraw():
            exhausted = "budget"
        else:
            self.retried += 1
            if self.on_event is not None:
                self.on_event(RetryPlanned(self.name, self._env.clock.now(), attempt, pause, str(error)))
            return pause
        if self.on_event is not None:
            self.on_event(RetryGivenUp(self.name, self._env.clock.now(), attempt, exhausted, str(error)))
        return None

    async def call(
        self,
        operation: Callable[[], Awaitable[T]],
        *,
        deadline: Deadline | None = None,
        repeatable: Callable[[Exception], bool] = safe_to_repeat,
    ) -> T:
        """Run `operation` until it succeeds or may not be repeated; the last error is raised as it came.

        Args:
            operation: makes one attempt.
            deadline: no pause reaches beyond it; it does not cut an attempt short (`Deadline.enforce` does).
            repeatable: which errors allow another attempt.
        """
        if self.budget is not None:
            self.budget.deposit()
        attempt = 0
        while True:
            attempt += 1
            try:
                return await operation()
            except Exception as error:
                if not repeatable(error):
                    raise
                wanted = error.details.get("retry_after", 0.0) if isinstance(error, HanseError) else 0.0
                left_s = inf if deadline is None else deadline.remaining()
                pause = self.plan(attempt, error, left_s=left_s, at_least_s=wanted)
                if pause is None:
                    raise
            await self._env.clock.sleep(pause)
