"""The clerk: every change of an order, inside the caller's transaction, with its timeline entry and its event."""

from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core.errors import Conflict, NotFound
from hanse.db import on_commit
from shop.orders import store
from shop.orders.domain import CancelledByCustomer, IllegalTransition, OrderStatus, advance
from shop.orders.events import event_of
from shop.orders.service import changes, service
from shop.orders.store import Order

CANCEL, RETURN = "cancel", "return"
CANCELLED_BY_CUSTOMER = "cancelled_by_customer"
PAYMENT_FAILED = "payment_failed"


async def find(db: AsyncSession, order_id: str, user_id: str | None = None) -> Order:
    """The order; NotFound when there is none, or when it is not `user_id`'s."""
    order = await db.get(Order, order_id)
    if order is None or (user_id is not None and order.user_id != user_id):
        raise NotFound(f"there is no order {order_id}")
    return order


async def record(db: AsyncSession, order: Order) -> None:
    """Write the order's present status into its timeline, publish its event, wake who follows it."""
    await store.note(db, order)
    await service.publish(db, event_of(order))
    on_commit(db, lambda: changes.notify(order.id))


async def move(db: AsyncSession, order: Order, status: OrderStatus, reason: str = "") -> None:
    """Give the order another status. Raises IllegalTransition."""
    order.status, order.reason = advance(order.state, status).value, reason
    order.updated_at = service.env.clock.utc()
    await record(db, order)


async def confirm(db: AsyncSession, order_id: str) -> None:
    """Stock and payment are sure. Raises CancelledByCustomer when the customer has changed their mind before."""
    at, pending = service.env.clock.utc(), OrderStatus.PENDING
    confirmed = await store.move(db, order_id, pending, OrderStatus.CONFIRMED, unless=CANCEL, at=at)
    if confirmed is not None:
        await record(db, confirmed)
        return
    order = await find(db, order_id)
    if order.intent == CANCEL:
        raise CancelledByCustomer("the customer cancelled the order")
    await move(db, order, OrderStatus.CONFIRMED)


async def ask(db: AsyncSession, order: Order, intent: str) -> bool:
    """Note that somebody wants the order cancelled or returned.

    Returns:
        True when a saga must now undo it; False when one is at it already, or will find the note by itself.

    Raises:
        IllegalTransition: it is too late for that, or too early.
        Conflict: it is about to be undone in the other way.
    """
    if order.intent == intent:
        return False
    if order.intent:
        raise Conflict(f"a request to {order.intent} this order is under way")
    wanted = OrderStatus.CANCELLED if intent == CANCEL else OrderStatus.REFUNDED
    advance(order.state, wanted)
    order.intent, order.settled = intent, False
    order.updated_at = service.env.clock.utc()
    return order.state is not OrderStatus.PENDING


async def ship_or_deliver(db: AsyncSession, order: Order, status: OrderStatus) -> None:
    """A person says that the order was shipped or delivered.

    Raises:
        IllegalTransition: not in its present status.
        Conflict: its payment is not complete yet, or it is being cancelled.
    """
    if status not in (OrderStatus.SHIPPED, OrderStatus.DELIVERED):
        raise IllegalTransition(f"an order becomes {status} by itself", status=order.status, wanted=status.value)
    advance(order.state, status)
    if not order.settled:
        raise Conflict("this order is still being worked on, try again in a moment")
    await move(db, order, status)


async def reject(db: AsyncSession, order: Order, reason: str) -> None:
    """End an order whose saga was undone: rejected, or cancelled when the customer asked for it or it was sure once."""
    if order.state is OrderStatus.PENDING and order.intent != CANCEL:
        await move(db, order, OrderStatus.REJECTED, reason)
    elif order.state in (OrderStatus.PENDING, OrderStatus.CONFIRMED):
        reason = CANCELLED_BY_CUSTOMER if order.intent == CANCEL else PAYMENT_FAILED
        await move(db, order, OrderStatus.CANCELLED, reason)
    order.intent, order.settled = "", True


async def conclude(db: AsyncSession, order: Order) -> None:
    """End an order that was cancelled or returned: money and stock are back."""
    if order.state is OrderStatus.CONFIRMED:
        await move(db, order, OrderStatus.CANCELLED, CANCELLED_BY_CUSTOMER)
    elif order.state is OrderStatus.DELIVERED:
        await move(db, order, OrderStatus.REFUNDED)
    order.intent, order.settled = "", True
