"""Orders' endpoints. Everybody sees their own orders only; status changes by hand are for admins."""

from fastapi import Response
from sqlalchemy.ext.asyncio import AsyncSession

from hanse import Session, User
from shop.orders import clerk
from shop.orders.domain import OrderStatus
from shop.orders.placing import place
from shop.orders.sagas import Undoing, UndoOrder
from shop.orders.service import service
from shop.orders.store import Order, orders_of, timeline
from shop.orders.views import OrderView, PlaceOrderForm, StatusForm, TimelineView
from shop.paging import Page, PageQuery

ADMIN = "admin"


@service.post("/orders", status_code=201, idempotent=True)
async def place_order(body: PlaceOrderForm, user: User, db: Session, response: Response) -> OrderView:
    """Order the given items, or the cart. The same `Idempotency-Key` gives the same order and the same answer."""
    order = await place(db, body, user.subject)
    response.headers["location"] = f"/api/orders/{order.id}"
    return OrderView.of(order)


@service.get("/orders")
async def list_orders(user: User, paging: PageQuery, db: Session) -> Page[OrderView]:
    """The user's orders, latest first."""
    found, total = await orders_of(db, user.subject, offset=paging.offset, limit=paging.limit)
    return Page.of([OrderView.of(order) for order in found], paging, total)


@service.get("/orders/{order_id}")
async def read_order(order_id: str, user: User, db: Session) -> OrderView:
    """One order; admins see everybody's."""
    return OrderView.of(await clerk.find(db, order_id, None if ADMIN in user.roles else user.subject))


@service.get("/orders/{order_id}/timeline")
async def read_timeline(order_id: str, user: User, db: Session) -> list[TimelineView]:
    """The statuses an order has had, oldest first."""
    await clerk.find(db, order_id, None if ADMIN in user.roles else user.subject)
    return [TimelineView.of(entry) for entry in await timeline(db, order_id)]


@service.post("/orders/{order_id}/cancel", status_code=202)
async def cancel_order(order_id: str, user: User, db: Session) -> OrderView:
    """Take an order back that was not shipped yet; it becomes cancelled once money and stock are back."""
    order = await clerk.find(db, order_id, user.subject)
    await _undo(db, order, clerk.CANCEL)
    return OrderView.of(order)


@service.post("/orders/{order_id}/return", status_code=202)
async def return_order(order_id: str, user: User, db: Session) -> OrderView:
    """Send a delivered order back; it becomes refunded once money and stock are back."""
    order = await clerk.find(db, order_id, user.subject)
    await _undo(db, order, clerk.RETURN)
    return OrderView.of(order)


@service.put("/orders/{order_id}/status", role=ADMIN)
async def change_status(order_id: str, body: StatusForm, db: Session) -> OrderView:
    """Move an order on: shipped or delivered at once, cancelled or refunded once money and stock are back."""
    order = await clerk.find(db, order_id)
    match body.status:
        case OrderStatus.CANCELLED:
            await _undo(db, order, clerk.CANCEL)
        case OrderStatus.REFUNDED:
            await _undo(db, order, clerk.RETURN)
        case _:
            await clerk.ship_or_deliver(db, order, body.status)
    return OrderView.of(order)


async def _undo(db: AsyncSession, order: Order, intent: str) -> None:
    if await clerk.ask(db, order, intent):
        order.saga_id = await service.start(db, UndoOrder, Undoing(order_id=order.id))
