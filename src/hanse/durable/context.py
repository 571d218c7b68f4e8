"""What a step may know about the saga it belongs to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a saga is being undone."""

    step: str
    """The step that failed."""
    code: str
    """Of the error, as problem documents carry it; `internal` for one that was not foreseen."""
    message: str
    """One line, at most 500 characters."""
    refused: bool
    """True: a definite no, such as a declined card. False: it stayed unavailable or unknown, or it is a bug."""


@dataclass(frozen=True, slots=True)
class SagaContext:
    """Given to a step or compensation that has a parameter of this type."""

    id: str
    """Of the saga instance."""
    saga: str
    """The saga's declared name."""
    step: str
    """The step that runs, or that is being undone."""
    key: str
    """Idempotency key for the outside: the same at every attempt, by every replica, and for the step's compensation.

    Who keeps a tombstone per key can refuse a late `do` whose `undo` has already come.
    """
    attempt: int
    """1 for the first attempt; counted anew for the compensation."""
    compensating: bool
    correlation_id: str
    failure: Failure | None = None
    """Why the saga is being undone; None while it goes forward. Stored, so it is the same after a crash."""
