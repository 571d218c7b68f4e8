"""Resilience: what stands between a call and the failure of what it calls.

Purpose: deadline, retry with budget, circuit breaker, bulkhead, adaptive limit. Each is a thing, its frozen config,
its typed events and its live state.
May import: core.
May touch: nothing; time and randomness come from `Env`, so that every pattern is a pure state machine.
Guarantees: no locks and no tasks of their own (one event loop owns them); the happy path allocates nothing.
"""

from hanse.resilience.adaptive import AdaptiveLimit, AdaptiveSnapshot
from hanse.resilience.breaker import BreakerConfig, BreakerSnapshot, BreakerState, CircuitBreaker
from hanse.resilience.budget import BudgetConfig, RetryBudget
from hanse.resilience.bulkhead import Bulkhead, BulkheadConfig, BulkheadSnapshot
from hanse.resilience.deadline import Deadline
from hanse.resilience.errors import BreakerOpen, BulkheadFull, Overloaded
from hanse.resilience.events import (
    BreakerChanged,
    CallRejected,
    EventSink,
    LimitChanged,
    ResilienceEvent,
    RetryGivenUp,
    RetryPlanned,
)
from hanse.resilience.law import AdaptiveConfig
from hanse.resilience.pattern import Pattern, Snapshot
from hanse.resilience.priority import Priority
from hanse.resilience.retry import Retry, RetryPolicy

__all__ = [
    "AdaptiveConfig", "AdaptiveLimit", "AdaptiveSnapshot", "BreakerChanged", "BreakerConfig", "BreakerOpen",
    "BreakerSnapshot", "BreakerState", "BudgetConfig", "Bulkhead", "BulkheadConfig", "BulkheadFull",
    "BulkheadSnapshot", "CallRejected", "CircuitBreaker", "Deadline", "EventSink", "LimitChanged", "Overloaded",
    "Pattern", "Priority", "ResilienceEvent", "Retry", "RetryBudget", "RetryGivenUp", "RetryPlanned", "RetryPolicy",
    "Snapshot",
]  # fmt: skip
