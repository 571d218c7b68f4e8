"""The broker behind `memory://`: what a server would keep, kept in this process.

It outlives the transports that use it, as a server outlives its clients: a node that is dropped without ceremony loses
nothing but its leases. Its timers run in a context of their own, so that they belong to no node.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from hanse.events.contract import DeadLetter, Subscription
from hanse.events.envelope import Envelope
from hanse.events.patterns import matcher

KEPT_EVENTS = 10_000
KEPT_IDS = 100_000


@dataclass(slots=True, eq=False)
class Stored:
    """One event on its way to one group."""

    envelope: Envelope
    attempts: int = 0
    done: bool = False
    lease: asyncio.TimerHandle | None = None


class Group:
    """The events of one group: ready, in hand, and waiting for a retry."""

    def __init__(self, subscription: Subscription, later: "Later") -> None:
        self.subscription = subscription
        self.wants = matcher(subscription.types)
        self.open: dict[int, Stored] = {}
        """All events not yet acknowledged, in the order of publishing."""
        self._later = later
        self._ready: deque[Stored] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()

    def update(self, subscription: Subscription) -> None:
        """Take over what a new member asks for."""
        self.subscription = subscription
        self.wants = matcher(subscription.types)

    def add(self, envelope: Envelope) -> None:
        stored = Stored(envelope)
        self.open[id(stored)] = stored
        self._make_ready(stored)

    async def take(self) -> Stored:
        """Wait for an event and lease it; it comes back unless it is extended, acknowledged, or given back in time."""
        while True:
            while self._ready:
                stored = self._ready.popleft()
                if not stored.done:
                    stored.attempts += 1
                    self.extend(stored)
                    return stored
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # the call was for an event that somebody else must now take
                raise

    def extend(self, stored: Stored) -> None:
        if stored.lease is not None:
            stored.lease.cancel()
        stored.lease = self._later(self.subscription.ack_wait_s, lambda: self._make_ready(stored))

    def acknowledge(self, stored: Stored) -> None:
        stored.done = True
        self.open.pop(id(stored), None)
        if stored.lease is not None:
            stored.lease.cancel()

    def give_back(self, stored: Stored, delay_s: float = 0.0) -> None:
        if stored.lease is not None:
            stored.lease.cancel()
        if delay_s > 0:
            stored.lease = self._later(delay_s, lambda: self._make_ready(stored))
        else:
            self._make_ready(stored)

    def _make_ready(self, stored: Stored) -> None:
        stored.lease = None
        if not stored.done:
            self._ready.append(stored)
            self._wake()

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


Later = Callable[[float, Callable[[], None]], asyncio.TimerHandle]


class MemoryBroker:
    """Keeps the latest events, the groups and the dead letters."""

    def __init__(self) -> None:
        self.groups: dict[tuple[str, str], Group] = {}
        self.dead: dict[str, DeadLetter] = {}
        self._events: deque[Envelope] = deque(maxlen=KEPT_EVENTS)
        self._ids: dict[str, None] = {}
        self._context = Context()

    def store(self, envelope: Envelope) -> None:
        """Keep an event and hand it to every group that asked for its type; nothing happens when its id is known."""
        if envelope.id in self._ids:
            return
        self._ids[envelope.id] = None
        if len(self._ids) > KEPT_IDS:
            del self._ids[next(iter(self._ids))]
        self._events.append(envelope)
        for group in self.groups.values():
            if group.wants(envelope.type):
                group.add(envelope)

    def join(self, subscription: Subscription) -> Group:
        """The group of a subscription; a new one gets all events still kept."""
        name = (subscription.service, subscription.group)
        group = self.groups.get(name)
        if group is not None:
            group.update(subscription)
            return group
        group = self.groups[name] = Group(subscription, self._later)
        for envelope in self._events:
            if group.wants(envelope.type):
                group.add(envelope)
        return group

    def _later(self, delay_s: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s, action, context=self._context)


# Not state of the program but of the event loop it runs on: what `memory://name` means ends with the loop.
_BROKERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, MemoryBroker]] = WeakKeyDictionary()


def memory_broker(name: str) -> MemoryBroker:
    """The broker of that name in the running event loop."""
    return _BROKERS.setdefault(asyncio.get_running_loop(), {}).setdefault(name, MemoryBroker())
