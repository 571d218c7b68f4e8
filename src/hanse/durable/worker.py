"""A replica's incarnation: registered, kept alive by heartbeats, fenced off once its lease has run out."""

import asyncio
from collections.abc import Callable

from hanse.core import Env
from hanse.core.errors import Unavailable
from hanse.durable.errors import LeaseLost
from hanse.durable.store import Store


class Worker:
    """One living replica. Everything it owns – sagas, roles – is owned through its one lease.

    Guarantees: an id is never used twice; once the lease has run out, this incarnation never comes back: `lost` is
    called, and a new incarnation with a new id takes its place.

    Args:
        env: the node's seams.
        store: the service's database.
        name: the service, for people.
        lease_s: how long after its last heartbeat others take its work over.
    """

    def __init__(self, env: Env, store: Store, name: str, lease_s: float) -> None:
        self.name = name
        self.lease_s = lease_s
        self.id: int | None = None
        """None before `start`, after `stop` and while a lost lease is being replaced."""
        self.lost: list[Callable[[], object]] = []
        """Called when the lease is lost: drop at once whatever is owned."""
        self._env = env
        self._store = store
        self._until = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Register and begin to send heartbeats."""
        await self._register()
        self._task = self._env.scope.supervise(self._beat, name="durable heartbeat")

    async def stop(self) -> None:
        """End the heartbeats and give the lease back, so that others need not wait for it to run out."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self.id is not None:
            retired, self.id = self.id, None
            await self._store.write("worker_retire", {"id": retired, "now": self._env.clock.now()})

    def valid(self) -> bool:
        """True while the lease certainly holds."""
        return self.id is not None and self._env.clock.monotonic() < self._until

    def require(self) -> int:
        """The id of this incarnation.

        Raises:
            LeaseLost: it may have run out.
        """
        if self.id is None or self._env.clock.monotonic() >= self._until:
            raise LeaseLost(f"a replica of {self.name} lost its lease")
        return self.id

    async def _register(self) -> None:
        began, now = self._env.clock.monotonic(), self._env.clock.now()
        values = {"name": self.name, "until": now + self.lease_s, "now": now}
        rows = await self._store.write_rows("worker_register", values)
        self.id = int(rows[0][0])
        self._until = began + self.lease_s

    async def _beat(self) -> None:
        while True:
            await self._env.clock.sleep(self.lease_s / 3)
            if self.id is None:
                await self._register()
                continue
            began, now = self._env.clock.monotonic(), self._env.clock.now()
            values = {"id": self.id, "until": now + self.lease_s, "now": now}
            try:
                alive = await self._store.write("worker_heartbeat", values) == 1
            except Unavailable:
                if self.valid():
                    continue
                alive = False
            if alive:
                self._until = began + self.lease_s
            else:
                self.id = None
                for drop in self.lost:
                    drop()
                await self._register()
