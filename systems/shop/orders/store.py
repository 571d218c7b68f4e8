"""Orders' tables, and the queries on them.

What happens with every order is a prepared statement; the rest goes through mapped objects.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, MetaData, String, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hanse.db import Json, Prepared, UtcDateTime
from shop.money import Money
from shop.orders.domain import Line, OrderStatus


class Base(DeclarativeBase):
    """Orders' own metadata."""

    metadata = MetaData()


metadata = Base.metadata


class Order(Base):
    """An order, as it stands."""

    __tablename__ = "orders"
    __table_args__ = (
        Index("ix_orders_user", "user_id", "created_at"),
        Index("ix_orders_status", "status", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(200))
    """Why it was rejected or cancelled, as a code; empty else."""
    lines: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    amount: Mapped[int] = mapped_column(BigInteger)
    """Minor units of `currency`."""
    currency: Mapped[str] = mapped_column(String(3))
    shipping_address: Mapped[dict[str, Any]] = mapped_column(Json)
    payment_provider: Mapped[str] = mapped_column(String(32))
    from_cart: Mapped[bool]
    saga_id: Mapped[str] = mapped_column(String(64))
    """The saga that works on it, or the last that did."""
    intent: Mapped[str] = mapped_column(String(16))
    """`cancel` or `return` when somebody asked for it and it is not done yet; empty else."""
    settled: Mapped[bool]
    """False while a saga has work to do for it."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @property
    def total(self) -> Money:
        return Money(amount=self.amount, currency=self.currency)

    @property
    def items(self) -> list[Line]:
        return [Line.model_validate(line) for line in self.lines]

    @property
    def state(self) -> OrderStatus:
        return OrderStatus(self.status)


class TimelineEntry(Base):
    """One status an order had, and since when. Each status occurs at most once, because no transition goes back."""

    __tablename__ = "timeline"
    __table_args__ = (Index("ux_timeline_order", "order_id", "status", unique=True),)

    position: Mapped[int] = mapped_column(primary_key=True)
    """Among the entries of all orders, in the order they were made."""
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"))
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(200))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


_ORDERS, _TIMELINE = metadata.tables["orders"], metadata.tables["timeline"]
_ADD, _NOTE = Prepared(insert(_ORDERS)), Prepared(insert(_TIMELINE))
_MOVE = Prepared(
    update(_ORDERS)
    .where(
        _ORDERS.c.id == bindparam("which"),
        _ORDERS.c.status == bindparam("present"),
        _ORDERS.c.intent != bindparam("unless"),
    )
    .values(status=bindparam("wanted"), reason="", updated_at=bindparam("at"))
    .returning(_ORDERS)
)
_SETTLE = Prepared(update(_ORDERS).where(_ORDERS.c.id == bindparam("which")).values(settled=_ORDERS.c.intent == ""))


async def add(db: AsyncSession, values: dict[str, Any]) -> Order:
    """Store an order, its columns by name. What is returned is a copy: changing it changes no row."""
    await _ADD.run(db, values)
    return Order(**values)


async def note(db: AsyncSession, order: Order) -> None:
    """Write an order's present status into its timeline. Raises Conflict when it had that status before."""
    entry = {"order_id": order.id, "status": order.status, "reason": order.reason, "at": order.updated_at}
    await _NOTE.run(db, entry)


async def move(
    db: AsyncSession, order_id: str, present: OrderStatus, wanted: OrderStatus, *, unless: str, at: datetime
) -> Order | None:
    """Give an order another status if it is in `present` and its intent is not `unless`; None else.

    What is returned is a copy of the row.
    """
    values = {"which": order_id, "present": present.value, "wanted": wanted.value, "unless": unless, "at": at}
    rows = await _MOVE.run(db, values)
    return Order(**rows[0]) if rows else None


async def settle(db: AsyncSession, order_id: str) -> None:
    """Nothing is under way for an order any more, unless somebody wants it undone."""
    await _SETTLE.run(db, {"which": order_id})


async def orders_of(db: AsyncSession, user_id: str, *, offset: int, limit: int) -> tuple[Sequence[Order], int]:
    """One page of a user's orders, latest first, and how many there are in all."""
    total = await db.scalar(select(func.count(Order.id)).where(Order.user_id == user_id)) or 0
    query = select(Order).where(Order.user_id == user_id).order_by(Order.created_at.desc(), Order.id.desc())
    return (await db.scalars(query.offset(offset).limit(limit))).all(), total


async def timeline(db: AsyncSession, order_id: str, after: int = 0) -> Sequence[TimelineEntry]:
    """The entries of an order's timeline at positions above `after`, oldest first."""
    query = (
        select(TimelineEntry)
        .where(TimelineEntry.order_id == order_id, TimelineEntry.position > after)
        .order_by(TimelineEntry.position)
    )
    return (await db.scalars(query)).all()


async def last_position(db: AsyncSession) -> int:
    """The position of the latest entry of any timeline; 0 before any."""
    return await db.scalar(select(func.max(TimelineEntry.position))) or 0


async def moved_since(db: AsyncSession, position: int) -> tuple[Sequence[str], int]:
    """The orders whose status changed after `position`, and the position of the latest change."""
    query = select(TimelineEntry.order_id, TimelineEntry.position).where(TimelineEntry.position > position)
    found = (await db.execute(query.order_by(TimelineEntry.position))).all()
    return [order_id for order_id, _ in found], found[-1][1] if found else position
