"""Everything durable of one replica, put together."""

import asyncio

from hanse.core import Component, Env
from hanse.db import Database
from hanse.durable.adoption import Adoption
from hanse.durable.bell import Bell
from hanse.durable.cleaning import Cleaning
from hanse.durable.idempotency import Idempotency
from hanse.durable.inbox import Inbox
from hanse.durable.journal import Journal
from hanse.durable.options import DurableOptions, Hooks
from hanse.durable.outbox import Outbox
from hanse.durable.register import Register
from hanse.durable.relay import Relay, Sink
from hanse.durable.runner import Runner
from hanse.durable.sagas import Sagas
from hanse.durable.store import Store
from hanse.durable.worker import Worker

_STOP_S = 5.0
"""How long a step may ignore that it was cancelled."""
_LOOK_AGAIN_S = 0.25
"""How soon `settled` sees what other replicas have finished."""


class Durable(Component):
    """Sagas, outbox, inbox and idempotency keys in the service's own database.

    Guarantees: see the room's docstring. Stopping without `drain`, or being killed, loses nothing.

    Args:
        env: the node's seams.
        database: of the service; started before this and stopped after it. Replicas share it.
        name: the service.
        lease_s: how long after its last heartbeat a replica's work is taken over (> 0).
        sink: where the outbox goes, a `Transport`; None: another process publishes.
        options: bounds and pauses.
        hooks: for telemetry.
    """

    name = "durable"

    def __init__(
        self,
        env: Env,
        database: Database,
        *,
        name: str,
        lease_s: float = 10.0,
        sink: Sink | None = None,
        options: DurableOptions | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        options, hooks = options or DurableOptions(), hooks or Hooks()
        self.service = name
        self.hooks = hooks
        self._env = env
        self._store = store = Store(database)
        self.worker = Worker(env, store, name, lease_s)
        self._register = Register()
        self.journal = Journal(env, store)
        self._runner = Runner(env, store, self.journal, self.worker, options, hooks)
        self.adoption = Adoption(env, store, self.worker, self._register, self._runner)
        self.relay = Relay(env, store, self.worker, sink, options)
        self._options = options
        self._cleaning = Cleaning(env, store, options)
        self._quiet = Bell()
        self._runner.freed = self._freed
        self.relay.emptied = self._freed
        self.worker.lost.append(self._runner.drop_all)
        self.sagas = Sagas(env, store, self.journal, self.worker, self._register, self._runner, self.adoption, hooks)
        self.outbox = Outbox(env, store, self.relay.bell.ring)
        self.inbox = Inbox(env, store)
        self.idempotency = Idempotency(env, store)

    async def start(self) -> None:
        """Make the tables, register this replica, begin to look for work."""
        await self._store.prepare()
        await self.worker.start()
        self._runner.closing = False
        self.adoption.start()
        self.relay.start()
        self._cleaning.start()

    async def ready(self) -> str | None:
        return None if self.worker.valid() else "the replica's lease has run out"

    async def drain(self) -> None:
        """Begin no further step; wait for those under way. The sagas go on in another replica, or after the restart."""
        self.adoption.stop()
        self._runner.closing = True
        while self._runner.running:
            await self._quiet.wait(1.0)

    async def stop(self) -> None:
        """End all loops, give the lease back. Sagas in hand are resumed by another replica, or after the restart."""
        ending = [
            *self.adoption.stop(),
            *self.relay.stop(),
            *self._cleaning.stop(),
            *self._runner.drop_all(),
        ]
        if ending:
            await asyncio.wait(ending, timeout=_STOP_S)
        await self.worker.stop()

    async def quiet(self) -> bool:
        """True when no saga of this service is live and nothing waits in its outbox, in any replica."""
        if self._runner.running or self._runner.expected:
            return False
        return not (await self._store.read("saga_live", {}))[0][0] and not await self.outbox.pending()

    async def settled(self) -> None:
        """Wait until `quiet`. Bound it with `asyncio.timeout`."""
        while not await self.quiet():
            await self._quiet.wait(_LOOK_AGAIN_S)

    def _freed(self) -> None:
        """A saga has left, or events have been published."""
        self._quiet.ring()
        if self.adoption.backlog and self._runner.room > self._options.max_running // 4:
            self.adoption.bell.ring()
