"""A replica in a process of its own: `durable_replica.py <folder> <mode> <first> <count>`.

It runs sagas, or publishes events, on `<folder>/service.db`; what it does to the outside world is a line in a file.
Modes: `start` starts sagas number first … first + count - 1; `publish` adds events of such numbers; `help` only works.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core import Env
from hanse.core.errors import Conflict
from hanse.db import Database
from hanse.durable import Durable, SagaContext, saga, step
from hanse.events import Envelope, event

LEASE_S = 1.0
FOLDER = Path(sys.argv[1])
OUTSIDE = os.open(FOLDER / "outside.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def outside(*words: object) -> None:
    """One line, appended at once: what reached the outside world, whoever dies afterwards."""
    os.write(OUTSIDE, (" ".join(map(str, words)) + "\n").encode())


class Order(BaseModel):
    number: int


@event("number.added", key="number")
class Added(BaseModel):
    number: int


@saga("kill-me")
class KillMe:
    async def effect(self, context: SagaContext, do: str) -> None:
        outside(do, context.id, context.step, os.getpid())
        await asyncio.sleep(0.002)

    @step(compensate="undo_reserve")
    async def reserve(self, order: Order, context: SagaContext) -> str:
        await self.effect(context, "do")
        return f"r{order.number}"

    async def undo_reserve(self, reserve: str | None, context: SagaContext) -> None:
        await self.effect(context, "undo")

    @step
    async def confirm(self, order: Order, db: AsyncSession) -> None:
        await db.execute(text("INSERT INTO confirmed VALUES (:n)"), {"n": order.number})

    @step(compensate="undo_pay")
    async def pay(self, order: Order, context: SagaContext) -> int:
        await self.effect(context, "do")
        return order.number

    async def undo_pay(self, pay: int | None, context: SagaContext) -> None:
        await self.effect(context, "undo")

    @step
    async def ship(self, order: Order, context: SagaContext) -> None:
        await self.effect(context, "do")
        if order.number % 5 == 0:
            raise Conflict("no carrier")


class FileSink:
    """Publishes into a file: a batch is one write, so a kill may come before it, or between it and the deletion."""

    async def publish(self, envelopes: Sequence[Envelope], /) -> None:
        os.write(OUTSIDE, "".join(f"{envelope.subject}\n" for envelope in envelopes).encode())
        await asyncio.sleep(0.001)


async def main(mode: str, first: int, count: int) -> None:
    env = Env.build(f"replica{os.getpid()}")
    database = Database(env, f"sqlite:///{FOLDER}/service.db")
    await database.start()
    durable = Durable(env, database, name="replica", lease_s=LEASE_S, sink=FileSink() if mode == "publish" else None)
    durable.sagas.register(KillMe)
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE IF NOT EXISTS confirmed (number INTEGER)"))
        await session.execute(text("CREATE TABLE IF NOT EXISTS added (number INTEGER PRIMARY KEY)"))
    await durable.start()
    print("ready", durable.worker.id, flush=True)
    for number in range(first, first + count):
        async with database.transaction() as session:
            if mode == "start":
                await durable.sagas.start(session, KillMe, Order(number=number), saga_id=f"s{number}")
            else:
                envelope = Envelope.of(Added(number=number), source="replica", env=env)
                await session.execute(text("INSERT INTO added VALUES (:n)"), {"n": number})
                await durable.outbox.add(session, envelope)
    print("told all", flush=True)
    while True:
        await asyncio.sleep(LEASE_S / 10)
        print("worker", durable.worker.id, flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
