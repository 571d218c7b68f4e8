"""Resilience: what stands between a call and the failure of what it calls.

Purpose: timeout, retry with budget, circuit breaker, bulkhead, rate limiter, fallback, hedge, adaptive limit; pipelines
of them, and a registry of their live state. Each is a thing, its frozen config, its typed events and its state.
May import: core; the NATS backend of the distributed limiter also broker.
May touch: nothing, that backend aside; time and randomness come from `Env`, so that patterns are pure state machines.
Guarantees: no locks between calls, no tasks that outlive a call; one event loop owns a pattern.
"""

# ruff: noqa: I001 - one line per module, so that the door stays a page
# fmt: off
from hanse.resilience.adaptive import AdaptiveLimit, AdaptiveSnapshot
from hanse.resilience.breaker import CircuitBreaker
from hanse.resilience.breaker_config import BreakerConfig, BreakerSnapshot, BreakerState
from hanse.resilience.budget import BudgetConfig, RetryBudget
from hanse.resilience.bulkhead import Bulkhead, BulkheadConfig, BulkheadSnapshot
from hanse.resilience.deadline import Deadline
from hanse.resilience.distributed import DistributedRateLimiter, SharedConfig
from hanse.resilience.errors import BreakerOpen, BulkheadFull, Overloaded, RateLimited, Refusal
from hanse.resilience.events import BreakerChanged, CallRejected, CallTimedOut, EventSink, FellBack, Hedged
from hanse.resilience.events import LimitChanged, ResilienceEvent, RetryGivenUp, RetryPlanned, StoreAway
from hanse.resilience.fallback import Fallback, FallbackConfig, FallbackSnapshot
from hanse.resilience.hedge import Hedge, HedgeConfig, HedgeSnapshot
from hanse.resilience.law import AdaptiveConfig
from hanse.resilience.limiter import Limiter, RateLimiter
from hanse.resilience.pattern import Pattern, Snapshot
from hanse.resilience.pipeline import Pipeline, PipelineConfig, PipelineSnapshot
from hanse.resilience.priority import Priority
from hanse.resilience.rate import LimiterSnapshot, Quota, RateConfig
from hanse.resilience.registry import ResilienceRegistry
from hanse.resilience.retry import Retry, RetryPolicy, RetrySnapshot
from hanse.resilience.store import MemoryRateStore, RateStore
from hanse.resilience.timeout import Timeout, TimeoutConfig, TimeoutSnapshot
from hanse.resilience.verdict import safe_to_repeat, transient, upstream_at_fault

__all__ = [
    "AdaptiveConfig", "AdaptiveLimit", "AdaptiveSnapshot", "BreakerChanged", "BreakerConfig", "BreakerOpen",
    "BreakerSnapshot", "BreakerState", "BudgetConfig", "Bulkhead", "BulkheadConfig", "BulkheadFull",
    "BulkheadSnapshot", "CallRejected", "CallTimedOut", "CircuitBreaker", "Deadline", "DistributedRateLimiter",
    "EventSink", "Fallback", "FallbackConfig", "FallbackSnapshot", "FellBack", "Hedge", "HedgeConfig",
    "HedgeSnapshot", "Hedged", "LimitChanged", "Limiter", "LimiterSnapshot", "MemoryRateStore", "Overloaded",
    "Pattern", "Pipeline", "PipelineConfig", "PipelineSnapshot", "Priority", "Quota", "RateConfig", "RateLimited",
    "RateLimiter", "RateStore", "Refusal", "ResilienceEvent", "ResilienceRegistry", "Retry", "RetryBudget",
    "RetryGivenUp", "RetryPlanned", "RetryPolicy", "RetrySnapshot", "SharedConfig", "Snapshot", "StoreAway",
    "Timeout", "TimeoutConfig", "TimeoutSnapshot", "safe_to_repeat", "transient", "upstream_at_fault",
]
