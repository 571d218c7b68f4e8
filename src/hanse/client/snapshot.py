"""A client's live state, for people."""

from dataclasses import dataclass

from hanse.client.targets import TargetSnapshot
from hanse.resilience import BreakerSnapshot, BulkheadSnapshot


@dataclass(frozen=True, slots=True)
class ClientSnapshot:
    """What a `ServiceClient` knows about the service that it calls, now."""

    service: str
    bulkhead: BulkheadSnapshot
    instances: list[TargetSnapshot]
    breaker: BreakerSnapshot | None
    """Of the service as a whole; None where none is set."""
    retried: int
    """Attempts that were repetitions, so far."""
    retries_left: float
    """How many repetitions the budget allows at once."""
