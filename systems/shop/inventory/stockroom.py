"""The stockroom: every change of stock, inside the caller's transaction.

Each function returns the events that the change makes, for the caller to publish in the same transaction. All are
safe to repeat: asking for what is so already changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core.errors import Conflict, NotFound
from shop.inventory.domain import (
    CLOSED,
    Level,
    Operation,
    ReservationClosed,
    ReservationState,
    released_state,
    reserve_all,
    runs_low,
)
from shop.inventory.events import LowStock, StockDepleted, StockReplenished
from shop.inventory.store import Movement, Reservation, Stock, last_revision, stocks

Events = list[BaseModel]


@dataclass(frozen=True, slots=True)
class Change:
    """Why a quantity changes."""

    kind: str
    reference: str
    at: datetime


async def reserve(
    db: AsyncSession, order_id: str, lines: Mapping[str, int], *, now: datetime, ttl_s: float
) -> tuple[Reservation, Events]:
    """Hold `lines` for an order until `ttl_s` from now.

    Raises:
        OutOfStock: nothing is held.
        ReservationClosed: a release of this order has come before, or its time is over.
        Conflict: the order holds something else.
    """
    present = await db.get(Reservation, order_id)
    if present is not None:
        if present.state in CLOSED:
            raise ReservationClosed(f"the reservation of {order_id} is {present.state}", state=present.state)
        if present.lines != dict(lines):
            raise Conflict(f"{order_id} holds a reservation for other items")
        return present, []
    rows = await stocks(db, lines)
    levels = {product_id: row.level for product_id, row in rows.items() if not row.discontinued}
    changed = reserve_all(levels, lines)
    reservation = Reservation(
        order_id=order_id,
        state=ReservationState.HELD.value,
        lines=dict(lines),
        expires_at=now + timedelta(seconds=ttl_s),
        created_at=now,
        updated_at=now,
    )
    db.add(reservation)
    return reservation, await _apply(db, rows, changed, Change("reserved", order_id, now))


async def commit(db: AsyncSession, order_id: str, *, now: datetime) -> tuple[Reservation, Events]:
    """The order is sure: what it holds is sold, and no longer expires.

    Raises:
        ReservationClosed: it was released or has expired.
        NotFound: there never was one.
    """
    reservation = await db.get(Reservation, order_id)
    if reservation is None:
        raise NotFound(f"{order_id} has no reservation")
    if reservation.state in CLOSED:
        raise ReservationClosed(f"the reservation of {order_id} is {reservation.state}", state=reservation.state)
    if reservation.state == ReservationState.COMMITTED:
        return reservation, []
    rows = await stocks(db, reservation.lines)
    changed = {product_id: rows[product_id].level.commit(count) for product_id, count in reservation.lines.items()}
    _close(reservation, ReservationState.COMMITTED, now)
    return reservation, await _apply(db, rows, changed, Change("sold", order_id, now))


async def release(db: AsyncSession, order_id: str, *, now: datetime) -> tuple[Reservation, Events]:
    """Give back whatever an order holds or has bought. Always granted.

    When the release comes first, it leaves a tombstone, so that a reservation on its way can't hold anything any more.
    """
    reservation = await db.get(Reservation, order_id)
    if reservation is None:
        reservation = Reservation(
            order_id=order_id,
            state=ReservationState.RELEASED.value,
            lines={},
            expires_at=now,
            created_at=now,
            updated_at=now,
        )
        db.add(reservation)
        return reservation, []
    return reservation, await _give_back(db, reservation, released_state(ReservationState(reservation.state)), now)


async def expire(db: AsyncSession, reservation: Reservation, *, now: datetime) -> Events:
    """Give back what a reservation holds, because its time is over."""
    if reservation.state != ReservationState.HELD:
        return []
    return await _give_back(db, reservation, ReservationState.EXPIRED, now)


async def adjust(db: AsyncSession, product_id: str, operation: Operation, count: int, change: Change) -> Events:
    """Correct a quantity. Raises NotFound for an unknown product, Conflict when orders hold more than would remain."""
    rows = await stocks(db, [product_id])
    if product_id not in rows:
        raise NotFound(f"no stock is kept of {product_id}")
    return await _apply(db, rows, {product_id: rows[product_id].level.adjust(operation, count)}, change)


async def _give_back(db: AsyncSession, reservation: Reservation, state: ReservationState, now: datetime) -> Events:
    """Move a held or committed reservation to a closed state, and its pieces back."""
    if reservation.state == state:
        return []
    rows = await stocks(db, reservation.lines)
    returned = state is ReservationState.RETURNED
    changed = {
        product_id: rows[product_id].level.restock(count) if returned else rows[product_id].level.release(count)
        for product_id, count in reservation.lines.items()
    }
    _close(reservation, state, now)
    return await _apply(db, rows, changed, Change("returned", reservation.order_id, now))


def _close(reservation: Reservation, state: ReservationState, now: datetime) -> None:
    reservation.state, reservation.updated_at = state.value, now


async def _apply(db: AsyncSession, rows: Mapping[str, Stock], levels: Mapping[str, Level], change: Change) -> Events:
    """Write new levels with their movements; return what others should hear of it."""
    revision = await last_revision(db)
    events: Events = []
    for product_id, after in levels.items():
        row, before = rows[product_id], rows[product_id].level
        if after == before:
            continue
        revision += 1
        row.level, row.revision, row.updated_at = after, revision, change.at
        if after.quantity != before.quantity:
            delta = after.quantity - before.quantity
            db.add(
                Movement(product_id=product_id, kind=change.kind, delta=delta, reference=change.reference, at=change.at)
            )
        events += _news(row, before, after)
    return events


def _news(row: Stock, before: Level, after: Level) -> Events:
    """The events of one product's change."""
    events: Events = []
    if before.available > 0 and after.available == 0:
        events.append(StockDepleted(product_id=row.product_id, revision=row.revision))
    if before.available == 0 and after.available > 0:
        available = after.available
        events.append(StockReplenished(product_id=row.product_id, revision=row.revision, available=available))
    if runs_low(before, after, row.min_stock_level):
        minimum = row.min_stock_level
        events.append(
            LowStock(product_id=row.product_id, sku=row.sku, name=row.name, available=after.available, minimum=minimum)
        )
    return events
