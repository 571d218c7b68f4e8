"""Events in this process: for tests, simulation, and a service run alone."""

import asyncio
from collections.abc import Sequence

from hanse.core import Env
from hanse.core.errors import InvalidInput, NotFound, Unavailable
from hanse.events.contract import DeadLetter, Delivery, Handler, Notice, Subscribed, Subscription, Transport
from hanse.events.declaration import valid_type
from hanse.events.envelope import Envelope
from hanse.events.memory_broker import Group, MemoryBroker, Stored, memory_broker
from hanse.events.verdict import Verdict, after_failure, before_handling


class MemorySubscribed(Subscribed):
    """Workers that take events from a group of the broker."""

    def __init__(self, transport: "MemoryTransport", group: Group, handler: Handler) -> None:
        self._transport = transport
        self._group = group
        self._handler = handler
        self._in_hand: dict[int, Stored] = {}
        self._draining = False
        subscription = group.subscription
        name = f"events/{subscription.service}/{subscription.group}"
        scope = transport.env.scope
        self._workers = {n: scope.spawn(self._work(n), name=name) for n in range(subscription.concurrency)}
        self._keeper = scope.spawn(self._keep_leases(), name=f"{name}/leases")

    async def backlog(self) -> int:
        return len(self._group.open)

    async def drain(self) -> None:
        self._draining = True
        for number, worker in self._workers.items():
            if number not in self._in_hand:
                worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)
        await self.stop()

    async def stop(self) -> None:
        tasks = [*self._workers.values(), self._keeper]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, number: int) -> None:
        while not self._draining:
            stored = await self._group.take()
            self._in_hand[number] = stored
            try:
                await self._deliver(stored)
            except asyncio.CancelledError:
                self._group.give_back(stored)
                raise
            finally:
                del self._in_hand[number]

    async def _deliver(self, stored: Stored) -> None:
        subscription, attempt = self._group.subscription, stored.attempts
        verdict = before_handling(subscription, attempt)
        failure: Exception | None = None
        if verdict is None:
            try:
                await self._handler(Delivery(stored.envelope, attempt))
            except Exception as error:
                failure = error
                verdict = after_failure(subscription, attempt, error)
        if verdict is None:
            self._group.acknowledge(stored)
        elif verdict.action == "bury":
            self._transport.bury(self._group, stored, verdict)
        else:
            self._group.give_back(stored, verdict.delay_s)
        if verdict is not None:
            self._transport.tell(verdict.notice(subscription, stored.envelope.id, attempt, failure))

    async def _keep_leases(self) -> None:
        while True:
            await self._transport.env.clock.sleep(self._group.subscription.ack_wait_s / 2)
            for stored in self._in_hand.values():
                self._group.extend(stored)


class MemoryTransport(Transport):
    """Hands envelopes to the groups of a broker in this process.

    Args:
        env: the node's seams.
        name: which broker of the running event loop; transports of one name share it.
        broker: a broker of one's own instead, for a simulation that owns it.
    """

    name = "events"

    def __init__(self, env: Env, name: str = "", *, broker: MemoryBroker | None = None) -> None:
        self.env = env
        self._name = name
        self._broker = broker
        self._running = False
        self._subscribed: list[MemorySubscribed] = []

    async def start(self) -> None:
        self._broker = self._broker or memory_broker(self._name)
        self._running = True

    async def ready(self) -> str | None:
        return None if self._running else "not started"

    async def drain(self) -> None:
        await asyncio.gather(*(subscribed.drain() for subscribed in self._subscribed))

    async def stop(self) -> None:
        self._running = False
        while self._subscribed:
            await self._subscribed.pop().stop()

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        broker = self._started()
        for envelope in envelopes:
            if not valid_type(envelope.type):
                raise InvalidInput(f'event {envelope.id}: type "{envelope.type}" is not dotted words')
        for envelope in envelopes:
            broker.store(envelope)

    async def subscribe(self, subscription: Subscription, handler: Handler) -> Subscribed:
        subscribed = MemorySubscribed(self, self._started().join(subscription), handler)
        self._subscribed.append(subscribed)
        return subscribed

    async def dead_letters(self, service: str, *, limit: int = 100) -> tuple[DeadLetter, ...]:
        return tuple([letter for letter in self._started().dead.values() if letter.service == service][:limit])

    async def redeliver(self, letter: DeadLetter) -> None:
        broker = self._started()
        if broker.dead.pop(letter.id, None) is None:
            raise NotFound(f"dead letter {letter.id} is not there any more")
        broker.groups[letter.service, letter.group].add(letter.envelope)

    async def discard(self, letter: DeadLetter) -> None:
        self._started().dead.pop(letter.id, None)

    def bury(self, group: Group, stored: Stored, verdict: Verdict) -> None:
        """Move an event from its group to the dead letters."""
        subscription = group.subscription
        letter = DeadLetter(
            id=f"{subscription.service}/{subscription.group}/{stored.envelope.id}",
            service=subscription.service,
            group=subscription.group,
            envelope=stored.envelope,
            reason=verdict.reason,
            attempts=stored.attempts,
            at=self.env.clock.utc(),
        )
        self._started().dead[letter.id] = letter
        group.acknowledge(stored)

    def tell(self, notice: Notice) -> None:
        """Pass a notice on to whoever listens."""
        if self.on_notice is not None:
            self.on_notice(notice)
        elif notice.error is not None:
            self.env.scope.on_error(f"events/{notice.service}/{notice.group}", notice.error)

    def _started(self) -> MemoryBroker:
        if self._broker is None or not self._running:
            raise Unavailable("the event transport is not started")
        return self._broker
