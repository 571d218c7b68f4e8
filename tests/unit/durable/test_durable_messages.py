"""Outbox, inbox and idempotency keys: in the caller's transaction, in order, once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core import RequestContext, use
from hanse.core.errors import InvalidInput, OutcomeUnknown, PermissionDenied, Unavailable
from hanse.durable import DurableOptions, KeyInProgress, KeyReused, StoredResponse, saga, step
from hanse.events import Envelope, event

Join = Callable[..., Awaitable[Any]]
Holds = Callable[[Callable[[], object]], Awaitable[None]]


@event("order.placed", version=2, key="order_id")
class Placed(BaseModel):
    order_id: str


class Wire:
    """A transport that remembers, and fails as told."""

    def __init__(self) -> None:
        self.batches: list[list[Envelope]] = []
        self.fails: list[Exception] = []
        self.refuses: set[str] = set()
        self.open = asyncio.Event()
        self.open.set()

    async def publish(self, envelopes: Sequence[Envelope], /) -> None:
        await self.open.wait()
        if self.fails:
            raise self.fails.pop(0)
        if any(envelope.subject in self.refuses for envelope in envelopes):
            raise InvalidInput("too large")
        self.batches.append(list(envelopes))

    @property
    def subjects(self) -> list[str]:
        return [envelope.subject for batch in self.batches for envelope in batch]


async def add(replica: Any, *ids: str) -> None:
    async with replica.database.transaction() as session:
        for order_id in ids:
            envelope = Envelope.of(Placed(order_id=order_id), source="orders", env=replica.env)
            await replica.durable.outbox.add(session, envelope)


async def test_an_event_is_published_as_it_was_once_its_transaction_has_committed(join: Join) -> None:
    wire = Wire()
    replica = await join(sink=wire)
    async with replica.database.transaction() as session:
        with use(RequestContext(correlation_id="c-1")):
            envelope = Envelope.of(Placed(order_id="o1"), source="orders", env=replica.env, traceparent="00-a-b-01")
        await replica.durable.outbox.add(session, envelope)
        for _ in range(20):
            await asyncio.sleep(0)
        assert wire.batches == []
    async with asyncio.timeout(5):
        await replica.durable.settled()
    assert wire.batches == [[envelope]]


async def test_a_rolled_back_event_is_never_published(join: Join) -> None:
    wire = Wire()
    replica = await join(sink=wire)
    with pytest.raises(ZeroDivisionError):
        async with replica.database.transaction() as session:
            await replica.durable.outbox.add(session, Envelope.of(Placed(order_id="x"), source="o", env=replica.env))
            raise ZeroDivisionError
    await add(replica, "o1")
    async with asyncio.timeout(5):
        await replica.durable.settled()
    assert wire.subjects == ["o1"]


async def test_order_is_kept_over_failures_and_batches(join: Join, holds: Holds) -> None:
    wire = Wire()
    wire.fails = [Unavailable("down"), OutcomeUnknown("?"), PermissionDenied("not yet")]
    replica = await join(sink=wire, options=DurableOptions(outbox_batch=7))
    ids = [str(number) for number in range(50)]
    for start in range(0, 50, 5):
        await add(replica, *ids[start : start + 5])
    async with asyncio.timeout(10):
        await replica.durable.settled()
    assert wire.subjects == ids
    assert max(map(len, wire.batches)) == 7
    assert [type(error) for error in replica.errors] == [Unavailable], "a row of failures is told once"


async def test_what_the_transport_refuses_is_put_aside_and_the_rest_goes_on(join: Join) -> None:
    wire = Wire()
    wire.refuses = {"b"}
    replica = await join(sink=wire)
    await add(replica, "a", "b", "c")
    async with asyncio.timeout(5):
        await replica.durable.settled()
    assert wire.subjects == ["a", "c"]
    ((attributes, error),) = await replica.durable.outbox.refused()
    assert (attributes["subject"], error) == ("b", "InvalidInput: too large")


async def test_a_row_that_is_no_event_does_not_stop_the_others(join: Join) -> None:
    wire = Wire()
    replica = await join(sink=wire)
    await replica.rows("INSERT INTO hanse_outbox (attributes, data, created_at) VALUES ('{}', x'00', 1)")
    await add(replica, "a")
    async with asyncio.timeout(5):
        await replica.durable.settled()
    assert wire.subjects == ["a"]
    assert len(await replica.durable.outbox.refused()) == 1


async def test_one_replica_publishes_and_sees_soon_what_the_others_add(join: Join, holds: Holds) -> None:
    first, second = Wire(), Wire()
    one = await join(sink=first, lease_s=60)
    await add(one, "a")
    await holds(lambda: first.subjects == ["a"])
    two = await join(sink=second, lease_s=60)
    one.durable.relay.bell.ring()  # the leader looks whether it is alone when it falls idle
    await add(two, "b")
    await holds(lambda: first.subjects == ["a", "b"])
    await add(two, "c")
    await holds(lambda: first.subjects == ["a", "b", "c"])
    assert second.batches == []


async def test_another_replica_takes_over_from_a_relay_that_is_gone(join: Join, holds: Holds) -> None:
    first, second = Wire(), Wire()
    one = await join(sink=first)
    await add(one, "a")
    await holds(lambda: first.subjects == ["a"])
    two = await join(sink=second)
    await one.durable.stop()
    await add(two, "b")
    await holds(lambda: second.subjects == ["b"])


async def test_a_relay_that_lost_its_lease_while_publishing_keeps_the_promise(join: Join, holds: Holds) -> None:
    first, second = Wire(), Wire()
    first.open.clear()
    one = await join(sink=first)
    await add(one, "a", "b")
    await holds(lambda: one.durable.relay._incarnation)
    two = await join(sink=second)
    await one.rows("UPDATE hanse_worker SET lease_until = 0 WHERE id = ?", one.durable.worker.id)
    await add(two, "c")
    await holds(lambda: second.subjects == ["a", "b", "c"])
    first.open.set()
    async with asyncio.timeout(5):
        await two.durable.settled()
    assert second.subjects == ["a", "b", "c"]


async def test_an_event_of_a_local_step_is_published_once_though_the_step_is_repeated(join: Join) -> None:
    wire = Wire()
    replica = await join(sink=wire)
    failures = [Unavailable("busy")]

    @saga("telling")
    class Telling:
        @step
        async def tell(self, order_id: str, db: AsyncSession) -> None:
            await replica.durable.outbox.add(db, Envelope.of(Placed(order_id=order_id), source="o", env=replica.env))
            if failures:
                raise failures.pop()

    assert await replica.finish(Telling, "o1") == "done"
    assert wire.subjects == ["o1"]


async def test_a_message_is_applied_once_per_consumer(replica: Any) -> None:
    await replica.rows("CREATE TABLE effects (consumer TEXT)")

    async def apply(consumer: str, *, fail: bool = False) -> None:
        async with replica.database.transaction() as session:
            if await replica.durable.inbox.first(session, consumer, "m1"):
                await session.execute(text("INSERT INTO effects VALUES (:c)"), {"c": consumer})
            if fail:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await apply("mail", fail=True)
    await asyncio.gather(*(apply("mail") for _ in range(10)), *(apply("stock") for _ in range(10)))
    assert sorted(await replica.rows("SELECT consumer FROM effects")) == [("mail",), ("stock",)]


async def test_concurrent_duplicates_of_a_request_get_the_first_ones_answer(replica: Any) -> None:
    worked = 0

    async def handle(key: str, *, fail: bool = False) -> StoredResponse:
        nonlocal worked
        async with replica.database.transaction() as session:
            stored = await replica.durable.idempotency.begin(session, "POST /orders u1", key, "digest")
            if stored is not None:
                return stored
            worked += 1
            await asyncio.sleep(0)
            if fail:
                raise ZeroDivisionError
            response = StoredResponse(201, f"order {worked}".encode(), {"location": "/orders/1"})
            await replica.durable.idempotency.finish(session, "POST /orders u1", key, response)
            return response

    with pytest.raises(ZeroDivisionError):
        await handle("k1", fail=True)
    answers = await asyncio.gather(*(handle("k1") for _ in range(20)))
    assert worked == 2, "the failed one left nothing behind"
    assert {(answer.status, answer.body, answer.headers["location"]) for answer in answers} == {
        (201, b"order 2", "/orders/1")
    }
    assert (await handle("k2")).body == b"order 3"
    stored = await replica.durable.idempotency.stored("POST /orders u1", "k2", "digest")
    assert stored == StoredResponse(201, b"order 3", {"location": "/orders/1"})
    assert await replica.durable.idempotency.stored("POST /orders u2", "k2", "digest") is None
    with pytest.raises(KeyReused):
        await replica.durable.idempotency.stored("POST /orders u1", "k2", "another")


async def test_a_key_used_for_another_request_or_never_answered_is_refused(replica: Any) -> None:
    keys = replica.durable.idempotency
    async with replica.database.transaction() as session:
        await keys.begin(session, "s", "k", "one")
    async with replica.database.transaction() as session:
        with pytest.raises(KeyReused):
            await keys.begin(session, "s", "k", "two")
        with pytest.raises(KeyInProgress):
            await keys.begin(session, "s", "k", "one")
        assert await keys.begin(session, "another scope", "k", "two") is None


async def test_cleaning_forgets_what_is_old_and_nothing_else(join: Join) -> None:
    @saga("short")
    class Short:
        @step
        async def one(self, number: int) -> None:
            if number < 0:
                raise ValueError

    replica = await join()
    for number in (1, -1):
        await replica.finish(Short, number)
    async with replica.database.transaction() as session:
        await replica.durable.inbox.first(session, "c", "old")
        await replica.durable.idempotency.begin(session, "s", "old", "f")
    for table, column in (("saga", "updated_at"), ("inbox", "at"), ("idempotency", "at")):
        await replica.rows(f"UPDATE hanse_{table} SET {column} = {column} - 1e6")
    kept = await replica.run(Short, 2)
    async with replica.database.transaction() as session:
        await replica.durable.inbox.first(session, "c", "new")
        await replica.durable.idempotency.begin(session, "s", "new", "f")
    await replica.durable.settled()
    assert await replica.durable._cleaning.round() == 4
    assert await replica.durable._cleaning.round() == 0
    assert await replica.rows("SELECT id FROM hanse_saga") == [(kept,)]
    assert await replica.rows("SELECT DISTINCT saga_id FROM hanse_saga_step") == [(kept,)]
    assert await replica.rows("SELECT message_id FROM hanse_inbox") == [("new",)]
    assert await replica.rows("SELECT key FROM hanse_idempotency") == [("new",)]
