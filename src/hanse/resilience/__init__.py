"""Resilience: what stands between a call and the failure of what it calls.

Purpose: deadline, retry with budget, circuit breaker, bulkhead. Each is a thing, its frozen config, its typed events
and its live state.
May import: core.
May touch: nothing; time and randomness come from `Env`, so that every pattern is a pure state machine.
Guarantees: no locks and no tasks of their own (one event loop owns them); the happy path allocates nothing.
"""

from hanse.resilience.breaker import BreakerConfig, BreakerSnapshot, BreakerState, CircuitBreaker
from hanse.resilience.budget import BudgetConfig, RetryBudget
from hanse.resilience.bulkhead import Bulkhead, BulkheadConfig, BulkheadSnapshot
from hanse.resilience.deadline import Deadline
from hanse.resilience.errors import BreakerOpen, BulkheadFull
from hanse.resilience.events import BreakerChanged, CallRejected, EventSink, ResilienceEvent, RetryGivenUp, RetryPlanned
from hanse.resilience.retry import Retry, RetryPolicy

__all__ = [
    "BreakerChanged",
    "BreakerConfig",
    "BreakerOpen",
    "BreakerSnapshot",
    "BreakerState",
    "BudgetConfig",
    "Bulkhead",
    "BulkheadConfig",
    "BulkheadFull",
    "BulkheadSnapshot",
    "CallRejected",
    "CircuitBreaker",
    "Deadline",
    "EventSink",
    "ResilienceEvent",
    "Retry",
    "RetryBudget",
    "RetryGivenUp",
    "RetryPlanned",
    "RetryPolicy",
]
