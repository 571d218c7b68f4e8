"""The stockroom: every change of stock, inside the caller's transaction.

Each function returns the events that the change makes, for the caller to publish in the same transaction. All are
safe to repeat: asking for what is so already changes nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core.errors import Conflict, NotFound
from shop.inventory.domain import (
    CLOSED,
    Level,
    Operation,
    OutOfStock,
    ReservationClosed,
    ReservationState,
    released_state,
    reserve_all,
    runs_low,
)
from shop.inventory.events import LowStock, StockDepleted, StockReplenished
from shop.inventory.store import Reservation, Stated, close, hold, record, restock, stocks

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
    rows = await stocks(db, lines)
    levels = {product_id: row.level for product_id, row in rows.items() if not row.discontinued}
    wanted = _reservation(order_id, ReservationState.HELD, lines, now + timedelta(seconds=ttl_s), now)
    try:
        changed = reserve_all(levels, lines)
        reservation = await hold(db, wanted)
    except OutOfStock:
        if await db.get(Reservation, order_id) is None:
            raise
        reservation = None  # asked again, when others hold the rest
    if reservation is not None:
        return reservation, await _apply(db, rows, changed, Change("reserved", order_id, now))
    present = await db.get_one(Reservation, order_id)
    if present.state in CLOSED:
        raise ReservationClosed(f"the reservation of {order_id} is {present.state}", state=present.state)
    if present.lines != dict(lines):
        raise Conflict(f"{order_id} holds a reservation for other items")
    return present, []


async def commit(db: AsyncSession, order_id: str, *, now: datetime) -> tuple[Reservation, Events]:
    """The order is sure: what it holds is sold, and no longer expires.

    Raises:
        ReservationClosed: it was released or has expired.
        NotFound: there never was one.
    """
    reservation = await close(db, order_id, ReservationState.HELD, ReservationState.COMMITTED, now)
    if reservation is None:
        present = await db.get(Reservation, order_id)
        if present is None:
            raise NotFound(f"{order_id} has no reservation")
        if present.state in CLOSED:
            raise ReservationClosed(f"the reservation of {order_id} is {present.state}", state=present.state)
        return present, []
    rows = await stocks(db, reservation.lines)
    changed = {product_id: rows[product_id].level.commit(count) for product_id, count in reservation.lines.items()}
    return reservation, await _apply(db, rows, changed, Change("sold", order_id, now))


async def release(db: AsyncSession, order_id: str, *, now: datetime) -> tuple[Reservation, Events]:
    """Give back whatever an order holds or has bought. Always granted.

    When the release comes first, it leaves a tombstone, so that a reservation on its way can't hold anything any more.
    """
    reservation = await db.get(Reservation, order_id)
    if reservation is None:
        reservation = Reservation(**_reservation(order_id, ReservationState.RELEASED, {}, now, now))
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
    reservation.state, reservation.updated_at = state.value, now
    return await _apply(db, rows, changed, Change("returned", reservation.order_id, now))


def _reservation(
    order_id: str, state: ReservationState, lines: Mapping[str, int], expires_at: datetime, now: datetime
) -> dict[str, Any]:
    """The columns of a new reservation."""
    times = {"expires_at": expires_at, "created_at": now, "updated_at": now}
    return {"order_id": order_id, "state": state.value, "lines": dict(lines), **times}


async def _apply(db: AsyncSession, rows: Mapping[str, Stated], levels: Mapping[str, Level], change: Change) -> Events:
    """Write new levels with their movements; return what others should hear of it."""
    changed = [(rows[product_id], after) for product_id, after in levels.items() if after != rows[product_id].level]
    updates, movements, events = [], [], list[BaseModel]()
    for revision, (row, after) in enumerate(
        changed, start=1 + max((row.last_revision for row, _ in changed), default=0)
    ):
        updates.append({"id": row.product_id, **asdict(after), "revision": revision, "updated_at": change.at})
        delta = after.quantity - row.level.quantity
        if delta:
            why = {"kind": change.kind, "reference": change.reference, "at": change.at}
            movements.append({"product_id": row.product_id, "delta": delta, **why})
        events += _news(row, after, revision)
    if updates:
        await restock(db, updates)
    if movements:
        await record(db, movements)
    return events


def _news(row: Stated, after: Level, revision: int) -> Events:
    """The events of one product's change."""
    events: Events = []
    before = row.level
    if before.available > 0 and after.available == 0:
        events.append(StockDepleted(product_id=row.product_id, revision=revision))
    if before.available == 0 and after.available > 0:
        events.append(StockReplenished(product_id=row.product_id, revision=revision, available=after.available))
    if runs_low(before, after, row.min_stock_level):
        minimum = row.min_stock_level
        events.append(
            LowStock(product_id=row.product_id, sku=row.sku, name=row.name, available=after.available, minimum=minimum)
        )
    return events
