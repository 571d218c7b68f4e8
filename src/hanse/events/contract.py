"""What a transport of events must do, whatever product carries them."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from hanse.core import Component
from hanse.core.errors import ConfigurationError
from hanse.events.envelope import Envelope
from hanse.events.patterns import check_pattern

RETRY_DELAYS_S = (0.2, 1.0, 5.0, 15.0, 60.0)


class Capability(StrEnum):
    """In what backends may differ."""

    SERVER = "server"
    """Events live in a server of their own: they outlive every client, and the server can die and come back."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who wants which events, and how failures are handled.

    Raises:
        ConfigurationError: a bad name or pattern, or a number out of bounds; says which.
    """

    service: str
    types: tuple[str, ...]
    """Patterns: exact (`payment.captured`), `*` for one word (`order.*`), `#` at the end for all that follow."""
    group: str = "main"
    """Replicas of a group share the events; every group of every service gets all of them."""
    max_deliver: int = 10
    """An event that failed this often goes to the dead letters. ≥ 1."""
    concurrency: int = 16
    """Handlers at work at the same time in this process. 1 keeps the order of publishing, but for retries."""
    retry_delays_s: tuple[float, ...] = RETRY_DELAYS_S
    """Pause before the second, third, … delivery; the last one repeats."""
    ack_wait_s: float = 10.0
    """How long a replica may be silent before its events go to another. Slow handlers are kept alive beyond it."""

    def __post_init__(self) -> None:
        for what, name in (("service", self.service), ("group", self.group)):
            if not name or not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
                raise ConfigurationError(f'{what} "{name}" must be letters, digits, "_" and "-"')
        if not self.types:
            raise ConfigurationError(f'subscription "{self.service}/{self.group}" asks for no events')
        for pattern in self.types:
            check_pattern(pattern)
        if self.max_deliver < 1 or self.concurrency < 1 or self.ack_wait_s <= 0:
            raise ConfigurationError("max_deliver and concurrency start at 1, ack_wait_s is above 0")
        if not self.retry_delays_s or min(self.retry_delays_s) < 0:
            raise ConfigurationError("retry_delays_s needs at least one pause, none below 0")

    def retry_delay_s(self, attempt: int) -> float:
        """The pause after delivery number `attempt` (from 1) failed."""
        return self.retry_delays_s[min(attempt, len(self.retry_delays_s)) - 1]


@dataclass(slots=True)
class Delivery:
    """One event handed to a handler. Treat as read-only."""

    envelope: Envelope
    attempt: int
    """1 the first time; counts the deliveries to this group, also those cut short by a crash."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a group could not handle."""

    id: str
    """Opaque; names it to `redeliver` and `discard`."""
    service: str
    group: str
    envelope: Envelope
    """As published. Of poison that is no CloudEvent: the raw data, with attributes made up from where it lay."""
    reason: str
    attempts: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that an operator may want to see. Telemetry subscribes through `Transport.on_notice`."""

    kind: Literal["failed", "dead_lettered", "connected", "disconnected", "refused"]
    """`refused`: the server denies this client a right."""
    service: str = ""
    group: str = ""
    event: str = ""
    """Id of the event, where it is about one."""
    attempt: int = 0
    error: BaseException | None = None


Handler = Callable[[Delivery], Awaitable[None]]
"""Handles one delivery. Returning acknowledges it; raising has it delivered again after a pause.

Guarantee: it runs in a task that serves many deliveries one after another; set context with `hanse.core.use`.
"""


class Subscribed(ABC):
    """A running subscription."""

    @abstractmethod
    async def backlog(self) -> int:
        """Events stored for the group that no replica has acknowledged yet, those in hand and in retry included."""

    @abstractmethod
    async def drain(self) -> None:
        """Take no new events, give back those not begun, wait for the handlers at work. Bounded by the caller."""

    @abstractmethod
    async def stop(self) -> None:
        """End it at once: handlers at work are cancelled, their events delivered again, here or to another replica.

        The group itself stays: events published meanwhile are kept for it. Idempotent.
        """


class Transport(Component, ABC):
    """Carries envelopes from publishers to groups, at least once.

    `start` connects; `drain` and `stop` do so to every subscription, then disconnect.
    """

    capabilities: frozenset[Capability] = frozenset()
    on_notice: Callable[[Notice], None] | None = None
    """Called synchronously; must not block or raise. When None, failures go to the scope's `on_error`."""

    @abstractmethod
    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Store events; those of one call in its order.

        Idempotent by `envelope.id` (within 2 minutes where a server keeps the ids): repeat it after any error.

        Raises:
            InvalidInput: an envelope that can never be stored (bad type, too large); the others may have been.
            Unavailable: nothing was sent.
            OutcomeUnknown: some may be stored, some not.
            PermissionDenied: this client may not publish such events.
        """

    @abstractmethod
    async def subscribe(self, subscription: Subscription, handler: Handler) -> Subscribed:
        """Join a group, creating it if it is new. A new group gets all events that are still kept.

        The group exists, durably, when this returns: nothing published afterwards is missed.

        Raises:
            Unavailable: the server can't be reached.
            PermissionDenied: this client may not read such events.
            ConfigurationError: the group exists with settings that can't be changed.
        """

    @abstractmethod
    async def dead_letters(self, service: str, *, limit: int = 100) -> tuple[DeadLetter, ...]:
        """The dead letters of a service's groups, oldest first, at most `limit` (1–1,000)."""

    @abstractmethod
    async def redeliver(self, letter: DeadLetter) -> None:
        """Give a dead letter to its group once more, with a fresh count of attempts, and drop it from the dead letters.

        Raises:
            NotFound: it is not there any more.
        """

    @abstractmethod
    async def discard(self, letter: DeadLetter) -> None:
        """Drop a dead letter for good. Dropping it twice is no error."""
