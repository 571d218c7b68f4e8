"""Events: published with the transaction, handled once, correlated; handlers are checked where they are declared."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hanse import Envelope, Service, Session, event
from hanse.core import current
from hanse.core.errors import ConfigurationError, Conflict
from hanse.telemetry import MemorySink, trace_id_hex


class Base(DeclarativeBase):
    pass


class Seen(Base):
    __tablename__ = "seen"
    id: Mapped[int] = mapped_column(primary_key=True)
    order: Mapped[str]


metadata = Base.metadata


@event("order.placed", key="order_id")
class OrderPlaced(BaseModel):
    order_id: str


class Order(BaseModel):
    order_id: str
    then: str = "placed"


class World:
    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.contexts: list[tuple[str, str]] = []
        self.fail_times = 0
        self.handled = asyncio.Event()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def service(world: World) -> Service:
    service = Service("orders", models=__name__)

    @service.post("/orders", status_code=201)
    async def place(body: Order, db: Session) -> str:
        event_id = await service.publish(db, OrderPlaced(order_id=body.order_id))
        if body.then == "fails":
            raise Conflict("no")
        return event_id

    @service.on("order.placed", retry_delays_s=(0.001,))
    async def remember(message: OrderPlaced, db: Session, envelope: Envelope) -> None:
        world.calls[message.order_id] += 1
        world.contexts.append((current().correlation_id, trace_id_hex()))
        db.add(Seen(order=message.order_id))
        await db.flush()
        if world.calls[message.order_id] <= world.fail_times:
            raise ValueError("not yet")
        assert envelope.source == "orders"
        assert envelope.subject == message.order_id

    @service.on("order.*", group="watch")
    async def watch(envelope: Envelope) -> None:
        world.calls["watched"] += 1
        world.handled.set()

    return service


async def count(service: Service[Any]) -> int:
    async with service.database.read() as db:
        return int(await db.scalar(select(func.count(Seen.id))) or 0)


async def settled(service: Service[Any]) -> None:
    async with asyncio.timeout(5):
        await service.durable.settled()
        for subscribed in service.node._subscribed:
            while await subscribed.backlog():
                await asyncio.sleep(0.001)


async def test_an_event_is_published_with_the_transaction_and_handled(run: Any, service: Service, world: World) -> None:
    async with run(service) as call:
        sink = MemorySink()
        service.tracer.sink = sink
        answer = await call("POST", "/orders", json_body={"order_id": "o1"}, headers={"x-correlation-id": "c-1"})
        assert answer.status == 201
        await settled(service)
        assert await count(service) == 1
        assert world.calls == {"o1": 1, "watched": 1}
        assert world.contexts == [("c-1", answer.headers["x-trace-id"])]
        request, handled = sink.named("POST /orders")[0], sink.named("process order.placed")[0]
        assert handled.parent is not None
        assert handled.parent.span_id == request.span_id


async def test_a_transaction_that_fails_publishes_nothing(run: Any, service: Service, world: World) -> None:
    async with run(service) as call:
        assert (await call("POST", "/orders", json_body={"order_id": "o1", "then": "fails"})).status == 409
        await call("POST", "/orders", json_body={"order_id": "o2"})
        await settled(service)
        assert world.calls == {"o2": 1, "watched": 1}


async def test_a_handler_that_fails_is_called_again_and_leaves_no_half_work(
    run: Any, service: Service, world: World
) -> None:
    world.fail_times = 2
    async with run(service) as call:
        await call("POST", "/orders", json_body={"order_id": "o1"})
        await settled(service)
        assert world.calls["o1"] == 3
        assert await count(service) == 1
        lines = [line for line in call.log if line["event"] == "event not handled"]
        assert [line["attempt"] for line in lines] == [1, 2]
        assert "not yet" in lines[0]["exception"]["message"]


async def test_the_same_event_delivered_twice_is_applied_once(run: Any, service: Service, world: World) -> None:
    async with run(service):
        envelope = Envelope.of(OrderPlaced(order_id="o1"), source="orders", env=service.env)
        (consumer,) = [item for item in service.node.parts.consumers if item.handler.session]
        from hanse.events import Delivery

        await consumer.receive(Delivery(envelope, 1))
        await consumer.receive(Delivery(envelope, 2))
        assert world.calls["o1"] == 1
        assert await count(service) == 1


def test_a_handlers_parameters_are_checked_where_it_is_declared() -> None:
    service = Service("orders")
    with pytest.raises(
        ConfigurationError, match=r'test_service_events\.py:\d+: .*parameter "n" must be one event model'
    ):

        @service.on("a.b")
        async def wrong(message: OrderPlaced, n: int) -> None: ...

    with pytest.raises(ConfigurationError, match="must be an async function"):

        @service.on("a.b")  # type: ignore[type-var]
        def not_async(message: OrderPlaced) -> None: ...


def test_two_handlers_do_not_share_a_group() -> None:
    service = Service("orders")

    @service.on("a.b", group="x")
    async def first(message: OrderPlaced) -> None: ...

    with pytest.raises(ConfigurationError, match='two event handlers in group "x"'):

        @service.on("a.b", group="x")
        async def second(message: OrderPlaced) -> None: ...
