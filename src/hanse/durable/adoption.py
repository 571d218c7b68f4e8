"""Finds sagas that nobody works on – their replica died, they are due, or this replica lost sight of them."""

import asyncio
import json
from collections import defaultdict
from typing import Any

from hanse.core import Env
from hanse.durable.bell import Bell
from hanse.durable.errors import LeaseLost
from hanse.durable.instance import Entry, JournalMismatch, restore
from hanse.durable.machine import Kind
from hanse.durable.register import Register
from hanse.durable.runner import Runner
from hanse.durable.store import Store
from hanse.durable.worker import Worker

_BATCH = 200


class Adoption:
    """Takes over sagas, raising their fence.

    Guarantees: a saga whose replica was killed runs again within one lease and a scan (a quarter of a lease), in any
    replica that knows it. What its former owner still tries to write is refused.
    """

    def __init__(self, env: Env, store: Store, worker: Worker, register: Register, runner: Runner) -> None:
        self.bell = Bell()
        """Rung when there may be something to take over."""
        self.adopted = 0
        """Sagas taken over by this replica, since it started."""
        self.backlog = False
        """True when the last scan left something for want of room."""
        self._env = env
        self._store = store
        self._worker = worker
        self._register = register
        self._runner = runner
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Scan now and every quarter of a lease."""
        self._task = self._env.scope.supervise(self._loop, name="durable scan")

    def stop(self) -> list[asyncio.Task[None]]:
        """Cancel the loop; the task that is ending, if any."""
        task, self._task = self._task, None
        if task is None:
            return []
        task.cancel()
        return [task]

    async def _loop(self) -> None:
        while True:
            try:
                more = await self.scan()
            except LeaseLost:
                more = False  # the heartbeat is about to register anew
            if not more:
                await self.bell.wait(self._worker.lease_s / 4)

    async def scan(self) -> bool:
        """Take over what fits into this replica; True when there may be more."""
        count = min(self._runner.room, _BATCH)
        names = json.dumps(self._register.names)
        values = {"now": self._env.clock.now(), "names": names, "count": count, "owner": self._worker.require()}
        found: dict[str, None] = {}
        for probe in ("saga_orphaned", "saga_due"):
            if len(found) < count:
                rows = await self._store.read(probe, values)
                found.update((row[0], None) for row in rows if not self._runner.holds(row[0]))
        full = count > 0 and len(found) >= count
        owned = [row[0] for row in await self._store.read("saga_owned", values)]
        lost = [saga_id for saga_id in owned if not self._runner.holds(saga_id)]
        wanted = [*lost, *list(found)[: self._runner.room]]
        if wanted:
            self._runner.expected.update(dict.fromkeys(wanted))
            try:
                await self._take(wanted)
            finally:
                for saga_id in wanted:
                    self._runner.expected.pop(saga_id, None)
        self.backlog = full or count == 0
        return full

    async def _take(self, ids: list[str]) -> None:
        values = {"owner": self._worker.require(), "now": self._env.clock.now(), "ids": json.dumps(ids)}
        taken = await self._store.write_rows("saga_adopt", values)
        if not taken:
            return
        journals: dict[str, list[Entry]] = defaultdict(list)
        ids_taken = json.dumps([row[0] for row in taken])
        for saga_id, step, kind, name, result, _ in await self._store.read("saga_marks", {"ids": ids_taken}):
            journals[saga_id].append(Entry(step, Kind(kind), name, result))
        for row in sorted(map(tuple, taken)):
            self.adopted += 1
            await self._launch(row, journals[row[0]])

    async def _launch(self, row: tuple[Any, ...], journal: list[Entry]) -> None:
        known = self._register.find(row[1], row[2])
        try:
            if known is None:
                raise JournalMismatch(f'saga {row[0]} is a "{row[1]}", which this service does not know')
            instance = restore(known.definition, row, journal)
        except JournalMismatch as error:
            values = {"id": row[0], "fence": row[3], "trouble": error.message, "now": self._env.clock.now()}
            await self._store.write("saga_set_aside", values)
            self._env.scope.on_error("durable scan", error)
        else:
            self._runner.launch(instance, known.make)
