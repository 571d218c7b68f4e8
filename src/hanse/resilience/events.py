"""What the patterns tell: typed events, for telemetry and for the live state of the dashboard.

A pattern calls its sink synchronously, after its own state has changed. A sink must be quick and must not raise.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ResilienceEvent:
    """Base of all events of this room."""

    name: str
    """The pattern's own name, for example `inventory/inventory-2`."""
    at: float
    """Unix time in seconds."""


@dataclass(frozen=True, slots=True)
class BreakerChanged(ResilienceEvent):
    """A circuit breaker went from one state to another."""

    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallRejected(ResilienceEvent):
    """A breaker, bulkhead, rate limiter or adaptive limit refused a call."""

    reason: str


@dataclass(frozen=True, slots=True)
class CallTimedOut(ResilienceEvent):
    """A call was cut off."""

    after_s: float


@dataclass(frozen=True, slots=True)
class RetryPlanned(ResilienceEvent):
    """An attempt failed and will be repeated."""

    attempt: int
    """How many attempts were made so far."""
    pause_s: float
    error: str


@dataclass(frozen=True, slots=True)
class RetryGivenUp(ResilienceEvent):
    """An attempt failed that could have been repeated, and will not be."""

    attempt: int
    reason: str
    """`attempts`, `budget` or `deadline`: which of the three ran out; `retry_after`: what was asked for is too long."""
    error: str


@dataclass(frozen=True, slots=True)
class FellBack(ResilienceEvent):
    """A call failed and the fallback answered instead."""

    error: str


@dataclass(frozen=True, slots=True)
class Hedged(ResilienceEvent):
    """A call was slow, and the same was sent once more."""

    copy: int
    """How many copies are under way besides the first."""


@dataclass(frozen=True, slots=True)
class LimitChanged(ResilienceEvent):
    """An adaptive limit moved."""

    before: int
    after: int
    latency_s: float
    """Mean latency that made it move."""


@dataclass(frozen=True, slots=True)
class StoreAway(ResilienceEvent):
    """The store of a distributed limiter does not answer: until it does, the limiter decides as its config says."""

    error: str


EventSink = Callable[[ResilienceEvent], None]
"""Gets every event of a pattern."""
