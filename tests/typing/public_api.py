"""The public API as a type checker sees it: checked by `make check`, never run."""

from typing import Any, assert_type

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from hanse import Caller, Envelope, SagaContext, Service, Session, System, User, event, saga, step
from hanse.config import Settings
from hanse.core import Principal


class Order(BaseModel):
    id: str


class OrdersSettings(Settings):
    limit: int = 5


service = Service("orders", settings=OrdersSettings)
plain = Service("plain")
inventory = service.client("inventory", timeout=2.0)


@event("order.placed", key="order_id")
class OrderPlaced(BaseModel):
    order_id: str


@saga("place-order", version=2)
class PlaceOrder:
    @step(compensate="release", timeout=5)
    async def reserve(self, order_id: str, context: SagaContext) -> Order:
        assert_type(context.key, str)
        return await inventory.post("/reservations", json={"order": order_id}, response_model=Order)

    async def release(self, order_id: str, order: Order | None) -> None: ...


@service.post("/orders", status_code=201, idempotent=True)
async def place(body: Order, db: Session, user: User, caller: Caller) -> Order:
    assert_type(db, AsyncSession)
    assert_type(user, Principal)
    assert_type(caller, Principal)
    assert_type(await service.publish(db, OrderPlaced(order_id=body.id)), str)
    assert_type(await service.start(db, PlaceOrder, body.id), str)
    assert_type(service.settings, OrdersSettings)
    assert_type(plain.settings, Settings)
    assert_type(await inventory.get("/items/1", response_model=Order), Order)
    assert_type(await inventory.get("/items/1", response_model=list[Order]), list[Order])
    assert_type(await inventory.get("/items/1"), Any)
    return body


@service.on("order.*")
async def noticed(message: OrderPlaced, db: Session, envelope: Envelope) -> None:
    assert_type(envelope.type, str)


system = System("shop")
orders = system.service("shop.orders.app:service", replicas=2)
gateway = system.gateway(port=8080, jwt=system.issuer(orders))
gateway.route("/api/orders", orders, auth=True, limit="100/minute per user", timeout=3)
