"""The relay: hands what is in the outbox to the transport, in order, from one replica at a time."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from hanse.core import Env
from hanse.core.errors import HanseError, InvalidInput, OutcomeUnknown, Unavailable
from hanse.durable.bell import Bell
from hanse.durable.options import DurableOptions
from hanse.durable.store import Store
from hanse.durable.verdict import explain
from hanse.durable.worker import Worker
from hanse.events import Envelope, PoisonEvent

_ROLE = "outbox"


class Sink(Protocol):
    """Where events go; every `hanse.events.Transport` is one."""

    async def publish(self, envelopes: Sequence[Envelope], /) -> None:
        """Store all of them, in order; idempotent by id."""


class Relay:
    """Publishes the outbox.

    Guarantees: every committed event reaches the sink at least once, in the order of commit; it is deleted when it has
    been published. An event that the sink refuses for good is put aside, so that the others go on. At most one living
    replica is the relay; when it dies another one takes over within a lease.

    Args:
        sink: None: nothing is published here, this replica never becomes the relay.
    """

    def __init__(self, env: Env, store: Store, worker: Worker, sink: Sink | None, options: DurableOptions) -> None:
        self.bell = Bell()
        """Rung when something was added."""
        self.published = 0
        """Events published by this replica, since it started."""
        self.emptied: Callable[[], None] = lambda: None
        """Called when a batch has been published and deleted."""
        self._env = env
        self._store = store
        self._worker = worker
        self._sink = sink
        self._options = options
        self._incarnation: int | None = None
        """The worker id under which this replica became the relay; good for as long as that worker lives."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to publish."""
        if self._sink is not None:
            self._task = self._env.scope.supervise(self._loop, name="outbox relay")

    def stop(self) -> list[asyncio.Task[None]]:
        """Cancel the loop; the task that is ending, if any."""
        task, self._task = self._task, None
        if task is None:
            return []
        task.cancel()
        return [task]

    async def _loop(self) -> None:
        failures = 0
        while True:
            if not self._worker.valid() or not await self._leads():
                await self.bell.wait(self._worker.lease_s / 4)
                continue
            seen = self._store.foreign_commits()  # before reading: what is committed after it must wake us
            try:
                while await self._pump() == self._options.outbox_batch:
                    failures = 0
            except (OutcomeUnknown, Unavailable) as error:
                failures += 1
                if failures == 1:
                    self._env.scope.on_error("outbox relay", error)
                await self._env.clock.sleep(min(self._options.retry.pause(failures, self._env.random), 5.0))
                continue
            failures = 0
            await self._idle(seen)

    async def _leads(self) -> bool:
        """Be the relay, if nobody else is."""
        me = self._worker.require()
        if self._incarnation == me:
            return True
        values = {"name": _ROLE, "owner": me, "now": self._env.clock.now()}
        holder = await self._store.read("lease_holder", values)
        if holder and holder[0][1] and holder[0][0] != me:
            return False
        if not (holder and holder[0][0] == me) and await self._store.write("lease_take", values) != 1:
            return False
        self._incarnation = me
        return True

    async def _idle(self, seen: int) -> None:
        """Wait for a commit here, for one in another replica if there is one, or for a quarter of a lease."""
        slow_s = self._worker.lease_s / 4
        values = {"id": self._incarnation, "now": self._env.clock.now()}
        alone = not (await self._store.read("worker_others", values))[0][0]
        pause_s = slow_s if alone else self._options.outbox_poll_s
        until = self._env.clock.monotonic() + slow_s
        while not await self.bell.wait(pause_s):
            if self._store.foreign_commits() != seen or self._env.clock.monotonic() >= until:
                return

    async def _pump(self) -> int:
        """Publish and delete one batch; the number of rows it had."""
        rows = await self._store.read("outbox_batch", {"count": self._options.outbox_batch})
        if not rows:
            return 0
        self._worker.require()
        envelopes, ids = [], []
        for row in rows:
            try:
                envelopes.append(Envelope.from_attributes(json.loads(row[1]), row[2]))
                ids.append(row[0])
            except (PoisonEvent, ValueError) as error:
                await self._refuse(row[0], error)
        await self._publish(ids, envelopes)
        return len(rows)

    async def _publish(self, ids: list[int], envelopes: list[Envelope]) -> None:
        if not ids or self._sink is None:
            return
        try:
            await self._sink.publish(envelopes)
        except (OutcomeUnknown, Unavailable):
            raise
        except InvalidInput as error:
            if len(ids) == 1:
                await self._refuse(ids[0], error)
                return
            for row, envelope in zip(ids, envelopes, strict=True):
                await self._publish([row], [envelope])
            return
        except HanseError as error:  # not allowed, not configured: the events are good, so they wait
            raise Unavailable(f"the events of this service can't be published: {error.message}") from error
        await self._store.write("outbox_delete", {"ids": json.dumps(ids)})
        self.published += len(ids)
        self.emptied()

    async def _refuse(self, row: int, error: Exception) -> None:
        self._env.scope.on_error("outbox relay", error)
        values: dict[str, Any] = {"id": row, "error": explain(error), "ids": json.dumps([row])}
        async with self._store.transaction() as session:
            await self._store.run_in(session, "outbox_refuse", values)
            await self._store.run_in(session, "outbox_delete", values)
