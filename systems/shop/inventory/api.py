"""Inventory's endpoints: for people under /inventory, for other services under /internal."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from hanse import Session
from hanse.core.errors import NotFound
from hanse.db import on_commit
from shop.inventory import stockroom
from shop.inventory.domain import Operation
from shop.inventory.service import CHANGED, changes, service
from shop.inventory.store import Reservation, Stock, page_of_stock
from shop.inventory.stream import changed, now
from shop.inventory.views import ReservationView, StockNews, StockView
from shop.paging import Page, PageQuery

ADMIN = "admin"


class Adjustment(BaseModel):
    """A correction of a quantity by a person."""

    operation: Operation
    quantity: Annotated[int, Field(ge=0, le=1_000_000)]
    reason: Annotated[str, Field(max_length=200)] = ""


class Reserve(BaseModel):
    """What an order needs."""

    items: Annotated[dict[str, Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=100)]
    """Pieces by product id."""


async def publish(db: AsyncSession, events: stockroom.Events) -> None:
    """Publish the events of a change of stock, and wake the live streams once it is committed."""
    for event in events:
        await service.publish(db, event)
    on_commit(db, lambda: changes.notify(CHANGED))


@service.get("/inventory", role=ADMIN)
async def list_stock(db: Session, paging: PageQuery, low: Annotated[bool, Query()] = False) -> Page[StockView]:
    """All stock by product name; with `low` only what should be reordered."""
    rows, total = await page_of_stock(db, low_only=low, offset=paging.offset, limit=paging.limit)
    return Page.of([StockView.of(row) for row in rows], paging, total)


@service.get("/inventory/stream", response_class=EventSourceResponse)
async def stream(
    product_id: Annotated[list[str] | None, Query(max_length=100)] = None,
    last_event_id: Annotated[int | None, Header(ge=0)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events `stock`, one per changed product, from now on or from the `Last-Event-ID` header on.

    `product_id` (repeated) restricts the stream to some products.
    """
    since = last_event_id if last_event_id is not None else await now()
    yield ServerSentEvent(comment="connected")
    async for stock in changed(since):
        if product_id is None or stock.product_id in product_id:
            yield ServerSentEvent(event="stock", id=str(stock.revision), data=StockNews.of(stock))


@service.get("/inventory/{product_id}")
async def read_stock(product_id: str, db: Session) -> StockView:
    """How much there is of a product."""
    return StockView.of(await _stock(db, product_id))


@service.post("/inventory/{product_id}/adjust", role=ADMIN)
async def adjust_stock(product_id: str, body: Adjustment, db: Session) -> StockView:
    """Add, subtract or set a quantity; 409 when orders hold more than would remain."""
    kind: Literal["received", "adjusted"] = "received" if body.operation is Operation.ADD else "adjusted"
    change = stockroom.Change(kind, body.reason, service.env.clock.utc())
    await publish(db, await stockroom.adjust(db, product_id, body.operation, body.quantity, change))
    return StockView.of(await _stock(db, product_id))


@service.put("/internal/reservations/{order_id}", internal=True)
async def reserve(order_id: str, body: Reserve, db: Session) -> ReservationView:
    """Hold stock for an order; 409 `out_of_stock` or `reservation_closed`."""
    at, ttl_s = service.env.clock.utc(), service.settings.reservation_s
    reservation, events = await stockroom.reserve(db, order_id, body.items, now=at, ttl_s=ttl_s)
    await publish(db, events)
    return ReservationView.of(reservation)


@service.get("/internal/reservations/{order_id}", internal=True)
async def read_reservation(order_id: str, db: Session) -> ReservationView:
    """What an order holds or has bought."""
    reservation = await db.get(Reservation, order_id)
    if reservation is None:
        raise NotFound(f"{order_id} has no reservation")
    return ReservationView.of(reservation)


@service.put("/internal/reservations/{order_id}/commit", internal=True)
async def commit(order_id: str, db: Session) -> ReservationView:
    """What the order holds is sold."""
    reservation, events = await stockroom.commit(db, order_id, now=service.env.clock.utc())
    await publish(db, events)
    return ReservationView.of(reservation)


@service.put("/internal/reservations/{order_id}/release", internal=True)
async def release(order_id: str, db: Session) -> ReservationView:
    """Give back what the order holds or has bought; always granted."""
    reservation, events = await stockroom.release(db, order_id, now=service.env.clock.utc())
    await publish(db, events)
    return ReservationView.of(reservation)


async def _stock(db: AsyncSession, product_id: str) -> Stock:
    stock = await db.get(Stock, product_id)
    if stock is None:
        raise NotFound(f"no stock is kept of {product_id}")
    return stock
