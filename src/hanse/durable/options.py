"""What can be tuned, and where telemetry and the server hook in."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from hanse.core.errors import ConfigurationError
from hanse.durable.machine import State
from hanse.resilience import RetryPolicy

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class DurableOptions:
    """Bounds and pauses. The defaults fit a service; tests and simulation shorten them."""

    max_running: int = 1000
    """Sagas in hand per replica; the rest waits in the database."""
    undo_attempts: int = 12
    """How often a compensation is tried before it is parked; with the pauses below, about two minutes."""
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(0, first_s=0.1, max_s=30.0, jitter="equal"))
    """Pauses between attempts; how many there are is said by the step."""
    outbox_batch: int = 256
    """Events handed to the transport at once."""
    outbox_poll_s: float = 0.05
    """How soon the relay sees what another replica added. A replica that is alone waits for its own commits."""
    keep_sagas_s: float = 7 * _DAY_S
    """Ended sagas stay readable that long; stuck ones stay until a person has seen to them."""
    keep_inbox_s: float = 7 * _DAY_S
    """Messages older than that may be applied again if they are delivered again."""
    keep_keys_s: float = _DAY_S
    """Answers to idempotency keys are kept that long."""

    def __post_init__(self) -> None:
        if self.max_running < 1 or self.undo_attempts < 1 or self.outbox_batch < 1:
            raise ConfigurationError("max_running, undo_attempts and outbox_batch start at 1")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a step or compensation, for a span around it."""

    saga_id: str
    saga: str
    step: str
    number: int
    compensating: bool
    correlation_id: str
    traceparent: str
    """Of the request that started the saga: link to it."""


@dataclass(frozen=True, slots=True)
class SagaEnd:
    """A saga has reached a final state; said by the replica that wrote it, after it is durable."""

    id: str
    name: str
    state: State
    correlation_id: str
    duration_s: float


class AroundAttempt(Protocol):
    """Gives the context manager in which an attempt runs; it sees the attempt's error."""

    def __call__(self, attempt: Attempt, /) -> AbstractContextManager[object]: ...


@dataclass(slots=True)
class Hooks:
    """Filled in where a service is wired; each is called synchronously and must not block."""

    traceparent: Callable[[], str] = str
    """W3C trace context of the running span, stored with a saga that is started; empty outside any."""
    attempt: AroundAttempt | None = None
    ended: Callable[[SagaEnd], None] | None = None
