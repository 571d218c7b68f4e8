"""Pipeline: several patterns around one call, in an order that can be read."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from hanse.core import Env
from hanse.core.errors import ConfigurationError
from hanse.resilience.adaptive import AdaptiveLimit
from hanse.resilience.breaker import CircuitBreaker
from hanse.resilience.breaker_config import BreakerConfig
from hanse.resilience.budget import BudgetConfig, RetryBudget
from hanse.resilience.bulkhead import Bulkhead, BulkheadConfig
from hanse.resilience.events import EventSink
from hanse.resilience.fallback import Fallback, FallbackConfig
from hanse.resilience.hedge import Hedge, HedgeConfig
from hanse.resilience.law import AdaptiveConfig
from hanse.resilience.limiter import RateLimiter
from hanse.resilience.pattern import Pattern, Snapshot
from hanse.resilience.rate import RateConfig
from hanse.resilience.retry import Retry, RetryPolicy
from hanse.resilience.timeout import Timeout, TimeoutConfig
from hanse.resilience.verdict import Verdict, safe_to_repeat

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """Which patterns `Pipeline.build` puts around a call. The order of the fields is the order of the patterns.

    Those above `retry` see a call once, however often it is repeated; those below see every attempt.
    """

    fallback: FallbackConfig | None = None
    """Outermost, so that it answers whatever fails below; needs an `answer`."""
    timeout: TimeoutConfig | None = None
    """On the whole, with all attempts and pauses."""
    limiter: RateConfig | None = None
    bulkhead: BulkheadConfig | None = None
    """A call keeps its place between attempts, so that those who wait to repeat are bounded, too."""
    retry: RetryPolicy | None = None
    hedge: HedgeConfig | None = None
    """Inside retry: copies are made of an attempt."""
    breaker: BreakerConfig | None = None
    """Inside retry and hedge: it learns from each attempt; an attempt that it refuses is a failure that did nothing."""
    adaptive: AdaptiveConfig | None = None
    """Innermost but one: it measures the latency of what is called, without waiting of ours."""
    attempt_timeout: TimeoutConfig | None = None
    """On one attempt."""
    budget: BudgetConfig | None = None
    """Shared by retry and hedge; no pattern of its own."""


@dataclass(frozen=True, slots=True)
class PipelineSnapshot(Snapshot):
    """A pipeline's live state, for people."""

    patterns: tuple[dict[str, Any], ...]
    """The state of each pattern, outermost first, with its kind."""

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "patterns": list(self.patterns)}


class Pipeline(Pattern):
    """Patterns around one call: the first one given is the outermost.

    Args:
        name: what it protects.
        env: the node's seams.
        patterns: outermost first; each at most once.
    """

    __slots__ = ("patterns",)

    kind = "pipeline"

    def __init__(self, name: str, env: Env, patterns: Sequence[Pattern]) -> None:
        super().__init__(name, env)
        self.patterns = tuple(patterns)
        if len({id(pattern) for pattern in patterns}) < len(patterns):
            raise ConfigurationError(f"the pipeline {name} has a pattern twice")

    @classmethod
    def build(
        cls,
        name: str,
        env: Env,
        config: PipelineConfig,
        *,
        answer: Callable[[Exception], Awaitable[Any]] | None = None,
        retryable: Verdict = safe_to_repeat,
        on_event: EventSink | None = None,
    ) -> "Pipeline":
        """Make the patterns that `config` has, in the order of its fields, all called `name`.

        Args:
            answer: of the fallback.
            retryable: see `Retry`.
            on_event: gets the events of all.
        """
        if (config.fallback is None) != (answer is None):
            raise ConfigurationError(f"the pipeline {name} needs both a fallback and its answer, or neither")
        if config.budget is not None and config.retry is None and config.hedge is None:
            raise ConfigurationError(f"the pipeline {name} has a budget, but neither retry nor hedge")
        budget = None if config.budget is None else RetryBudget(config.budget)
        patterns: list[Pattern] = []
        if config.fallback is not None and answer is not None:
            patterns.append(Fallback(name, env, answer, config.fallback, on_event=on_event))
        if config.timeout is not None:
            patterns.append(Timeout(name, env, config.timeout, on_event=on_event))
        if config.limiter is not None:
            patterns.append(RateLimiter(name, env, config.limiter, on_event=on_event))
        if config.bulkhead is not None:
            patterns.append(Bulkhead(name, env, config.bulkhead, on_event=on_event))
        if config.retry is not None:
            patterns.append(Retry(name, env, config.retry, budget=budget, retryable=retryable, on_event=on_event))
        if config.hedge is not None:
            patterns.append(Hedge(name, env, config.hedge, budget=budget, on_event=on_event))
        if config.breaker is not None:
            patterns.append(CircuitBreaker(name, env, config.breaker, on_event=on_event))
        if config.adaptive is not None:
            patterns.append(AdaptiveLimit(name, env, config.adaptive, on_event=on_event))
        if config.attempt_timeout is not None:
            patterns.append(Timeout(f"{name}/attempt", env, config.attempt_timeout, on_event=on_event))
        return cls(name, env, patterns)

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run `operation` under all patterns."""
        inner = operation
        for pattern in reversed(self.patterns):
            inner = partial(pattern.call, inner)
        return await inner()

    def snapshot(self) -> PipelineSnapshot:
        states = [{"kind": pattern.kind, **pattern.snapshot().as_json()} for pattern in self.patterns]
        return PipelineSnapshot(self.name, tuple(states))

    def reset(self) -> None:
        for pattern in self.patterns:
            pattern.reset()
