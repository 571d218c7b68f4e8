"""Takes orders: business row, saga and event in one transaction; reserves stock by a client in a saga's step."""

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hanse import SagaContext, Service, Session, User, event, saga, step
from hanse.core.errors import NotFound


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(primary_key=True)
    product: Mapped[str]
    owner: Mapped[str]
    status: Mapped[str]


metadata = Base.metadata
service = Service("orders", models=__name__)
stock = service.client("stock", timeout=2.0)


class NewOrder(BaseModel):
    product: str


class Placed(BaseModel):
    order_id: str
    product: str


@event("order.confirmed", key="order_id")
class OrderConfirmed(BaseModel):
    order_id: str


@saga("place-order")
class PlaceOrder:
    @step(compensate="reject")
    async def open(self, order: Placed) -> None:
        """Nothing to do; what it stands for is undone by rejecting the order."""

    @step(attempts=0)
    async def reserve(self, order: Placed, context: SagaContext) -> str:
        answer = await stock.put(
            f"/internal/reservations/{order.order_id}", {"product": order.product}, idempotency_key=context.key
        )
        return str(answer["reserved"])

    async def reject(self, order: Placed, db: AsyncSession) -> None:
        (await db.get_one(Order, order.order_id)).status = "rejected"

    @step
    async def confirm(self, order: Placed, db: AsyncSession) -> None:
        (await db.get_one(Order, order.order_id)).status = "confirmed"
        await service.publish(db, OrderConfirmed(order_id=order.order_id))


@service.post("/orders", status_code=201, idempotent=True)
async def place(body: NewOrder, db: Session, user: User) -> dict[str, str]:
    order = Order(id=service.env.ids.new("order"), product=body.product, owner=user.subject, status="pending")
    db.add(order)
    await service.start(db, PlaceOrder, Placed(order_id=order.id, product=order.product))
    return {"id": order.id, "status": order.status}


@service.get("/orders/{order_id}")
async def read(order_id: str, db: Session, user: User) -> dict[str, str]:
    order = await db.get(Order, order_id)
    if order is None or order.owner != user.subject:
        raise NotFound(f"order {order_id} does not exist")
    return {"id": order.id, "status": order.status}
