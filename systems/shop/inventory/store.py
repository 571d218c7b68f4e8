"""Inventory's tables, and the queries on them.

What happens with every order is a prepared statement; the rest goes through mapped objects.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    MetaData,
    String,
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hanse.db import Json, Prepared, UtcDateTime
from shop.inventory.domain import Level, ReservationState


class Base(DeclarativeBase):
    """Inventory's own metadata."""

    metadata = MetaData()


metadata = Base.metadata


class Stock(Base):
    """The stock of one product."""

    __tablename__ = "stock"
    __table_args__ = (
        CheckConstraint("reserved >= 0 AND reserved <= quantity AND sold >= 0", name="stock_possible"),
        CheckConstraint("quantity + sold = received", name="stock_conserved"),
        Index("ix_stock_revision", "revision"),
    )

    product_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    sku: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))
    quantity: Mapped[int]
    reserved: Mapped[int]
    sold: Mapped[int]
    received: Mapped[int]
    min_stock_level: Mapped[int]
    max_stock_level: Mapped[int]
    location: Mapped[dict[str, Any]] = mapped_column(Json)
    """`{"warehouse", "aisle", "shelf"}`"""
    discontinued: Mapped[bool]
    revision: Mapped[int]
    """Grows with every change of any product: what a follower of the live stream has seen up to."""
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @property
    def level(self) -> Level:
        return Level(self.quantity, self.reserved, self.sold, self.received)


class Reservation(Base):
    """What one order holds, has bought, or gave back. A row in a closed state is a tombstone: it never opens again."""

    __tablename__ = "reservations"
    __table_args__ = (Index("ix_reservations_state", "state", "expires_at"),)

    order_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    lines: Mapped[dict[str, int]] = mapped_column(Json)
    """Pieces by product id; empty for a release that came before its reservation."""
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Movement(Base):
    """One change of a quantity: what the present quantity can be recounted from."""

    __tablename__ = "movements"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[str] = mapped_column(ForeignKey("stock.product_id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    """`received`, `adjusted`, `sold` or `returned`."""
    delta: Mapped[int]
    reference: Mapped[str] = mapped_column(String(200))
    """The order, or what an adjuster gave as the reason."""
    at: Mapped[datetime] = mapped_column(UtcDateTime)


_STOCK, _RESERVATIONS, _MOVEMENTS = (metadata.tables[name] for name in ("stock", "reservations", "movements"))
_STATED = (
    select(
        *(_STOCK.c[name] for name in ("product_id", "sku", "name", "quantity", "reserved", "sold", "received")),
        *(_STOCK.c[name] for name in ("min_stock_level", "discontinued")),
        select(func.max(_STOCK.c.revision)).scalar_subquery().label("last_revision"),
    )
    .where(_STOCK.c.product_id.in_(bindparam("ids", expanding=True)))
    .order_by(_STOCK.c.product_id)
)
_STATE = Prepared(
    update(_STOCK)
    .where(_STOCK.c.product_id == bindparam("id"))
    .values({name: bindparam(name) for name in ("quantity", "reserved", "sold", "received", "revision", "updated_at")})
)
_MOVED = Prepared(insert(_MOVEMENTS))
_HOLD = Prepared(
    sqlite.insert(_RESERVATIONS).on_conflict_do_nothing(index_elements=["order_id"]).returning(_RESERVATIONS.c.order_id)
)
_CLOSE = Prepared(
    update(_RESERVATIONS)
    .where(_RESERVATIONS.c.order_id == bindparam("which"), _RESERVATIONS.c.state == bindparam("present"))
    .values(state=bindparam("wanted"), updated_at=bindparam("at"))
    .returning(_RESERVATIONS)
)


@dataclass(frozen=True, slots=True)
class Stated:
    """What a change of stock needs to know of a product."""

    product_id: str
    sku: str
    name: str
    level: Level
    min_stock_level: int
    discontinued: bool
    last_revision: int
    """Of all products."""


async def stocks(db: AsyncSession, product_ids: Collection[str]) -> dict[str, Stated]:
    """The stock of those of `product_ids` that exist, by product."""
    found = (await db.execute(_STATED, {"ids": list(product_ids)})).all()
    return {
        product_id: Stated(
            product_id, sku, name, Level(quantity, reserved, sold, received), minimum, discontinued, last
        )
        for product_id, sku, name, quantity, reserved, sold, received, minimum, discontinued, last in found
    }


async def restock(db: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    """Write new levels: by row the product's `id`, the level's four numbers, `revision` and `updated_at`."""
    await _STATE.run_all(db, rows)


async def record(db: AsyncSession, movements: Sequence[dict[str, Any]]) -> None:
    """Note changes of quantity; all columns but the id."""
    await _MOVED.run_all(db, movements)


async def hold(db: AsyncSession, values: dict[str, Any]) -> Reservation | None:
    """Store a reservation, unless its order has one. What is returned is a copy: changing it changes no row."""
    return Reservation(**values) if await _HOLD.run(db, values) else None


async def close(
    db: AsyncSession, order_id: str, present: ReservationState, wanted: ReservationState, at: datetime
) -> Reservation | None:
    """Give a reservation another state if it is in `present`; None else. What is returned is a copy of the row."""
    values = {"which": order_id, "present": present.value, "wanted": wanted.value, "at": at}
    rows = await _CLOSE.run(db, values)
    return Reservation(**rows[0]) if rows else None


async def last_revision(db: AsyncSession) -> int:
    """The revision of the latest change; 0 before any."""
    return await db.scalar(select(func.max(Stock.revision))) or 0


async def changed_since(db: AsyncSession, revision: int, limit: int = 200) -> Sequence[Stock]:
    """The products that changed after `revision`, each once in its latest state, oldest change first."""
    found = await db.scalars(select(Stock).where(Stock.revision > revision).order_by(Stock.revision).limit(limit))
    return found.all()


async def expired(db: AsyncSession, now: datetime, limit: int = 100) -> Sequence[Reservation]:
    """Reservations that still hold stock though their time is over, oldest first."""
    query = (
        select(Reservation)
        .where(Reservation.state == ReservationState.HELD, Reservation.expires_at <= now)
        .order_by(Reservation.expires_at)
        .limit(limit)
    )
    return (await db.scalars(query)).all()


async def page_of_stock(db: AsyncSession, *, low_only: bool, offset: int, limit: int) -> tuple[Sequence[Stock], int]:
    """One page of all products by name, and how many there are in all."""
    query = select(Stock).where(Stock.discontinued.is_(False))
    if low_only:
        query = query.where(Stock.quantity - Stock.reserved < Stock.min_stock_level)
    total = await db.scalar(select(func.count()).select_from(query.subquery())) or 0
    found = await db.scalars(query.order_by(Stock.name, Stock.product_id).offset(offset).limit(limit))
    return found.all(), total
