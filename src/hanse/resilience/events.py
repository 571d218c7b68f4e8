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
    """A bulkhead refused a call."""

    reason: str


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
    """`attempts`, `budget` or `deadline`: which of the three ran out."""
    error: str


EventSink = Callable[[ResilienceEvent], None]
