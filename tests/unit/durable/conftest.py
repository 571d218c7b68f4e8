"""Replicas of one service on one database file, and a world outside that remembers what was done to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hanse.core import Env
from hanse.db import Database
from hanse.durable import Durable, DurableOptions, Sink
from hanse.resilience import RetryPolicy

QUICK = DurableOptions(undo_attempts=3, retry=RetryPolicy(0, first_s=0.001, max_s=0.002), outbox_poll_s=0.01)


@dataclass
class Replica:
    """A node of its own: seams, connection to the shared file, durable parts."""

    env: Env
    database: Database
    durable: Durable
    errors: list[BaseException] = field(default_factory=list)

    async def run(self, cls: type, given: Any, **options: Any) -> str:
        """Start a saga in a transaction of its own."""
        async with self.database.transaction() as session:
            return await self.durable.sagas.start(session, cls, given, **options)

    async def finish(self, cls: type, given: Any, **options: Any) -> str:
        """Start a saga, wait until all is quiet, give its final state."""
        saga_id = await self.run(cls, given, **options)
        async with asyncio.timeout(20):
            await self.durable.settled()
        return (await self.durable.sagas.status(saga_id)).state

    async def rows(self, sql: str, *values: Any) -> list[Any]:
        async with self.database.raw() as connection:
            return connection.execute(sql, values).fetchall()


Join = Callable[..., Awaitable[Replica]]


@pytest.fixture
async def join(tmp_path: Path) -> AsyncIterator[Join]:
    replicas: list[Replica] = []

    async def join_one(
        *sagas: type,
        lease_s: float = 5.0,
        sink: Sink | None = None,
        options: DurableOptions = QUICK,
        start: bool = True,
    ) -> Replica:
        env = Env.build(f"node{len(replicas)}")
        database = Database(env, f"sqlite:///{tmp_path}/service.db")
        await database.start()
        durable = Durable(env, database, name="orders", lease_s=lease_s, sink=sink, options=options)
        replica = Replica(env, database, durable)
        env.scope.on_error = lambda _, error: replica.errors.append(error)
        replicas.append(replica)
        for cls in sagas:
            durable.sagas.register(cls)
        if start:
            await durable.start()
        return replica

    yield join_one
    for replica in replicas:
        await replica.durable.stop()
        await replica.database.stop()
        await replica.env.scope.close()


@pytest.fixture
async def replica(join: Join) -> Replica:
    return await join()


async def until(condition: Callable[[], object]) -> None:
    """Give others their turn until the condition holds; 10 s at most."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
def holds() -> Callable[[Callable[[], object]], Awaitable[None]]:
    return until
