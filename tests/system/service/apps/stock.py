"""Keeps stock; reserved by orders, told of confirmed orders by an event."""

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hanse import Caller, Envelope, Service, Session
from hanse.core.errors import Conflict


class Base(DeclarativeBase):
    pass


class Reservation(Base):
    __tablename__ = "reservation"
    order_id: Mapped[str] = mapped_column(primary_key=True)
    caller: Mapped[str]
    confirmed_by: Mapped[str | None]


metadata = Base.metadata
service = Service("stock", models=__name__)


class Reserve(BaseModel):
    product: str


class Confirmed(BaseModel):
    order_id: str


@service.put("/internal/reservations/{order_id}", internal=True)
async def reserve(order_id: str, body: Reserve, db: Session, caller: Caller) -> dict[str, str]:
    if body.product == "gone":
        raise Conflict("sold out")
    if await db.get(Reservation, order_id) is None:
        db.add(Reservation(order_id=order_id, caller=caller.subject))
    return {"reserved": order_id}


@service.get("/count")
async def count(db: Session) -> dict[str, int]:
    total = await db.scalar(select(func.count(Reservation.order_id)))
    confirmed = await db.scalar(select(func.count(Reservation.confirmed_by)))
    return {"reserved": total or 0, "confirmed": confirmed or 0}


@service.get("/reservations/{order_id}")
async def read(order_id: str, db: Session) -> dict[str, str | None]:
    row = await db.get_one(Reservation, order_id)
    return {"caller": row.caller, "confirmed_by": row.confirmed_by}


@service.on("order.confirmed")
async def confirmed(message: Confirmed, db: Session, envelope: Envelope) -> None:
    row = await db.get_one(Reservation, message.order_id)
    row.confirmed_by = envelope.correlation_id
