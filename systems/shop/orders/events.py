"""The events that orders publishes: one per status, each exactly once per order."""

from pydantic import BaseModel

from hanse import event
from shop.money import Money
from shop.orders.domain import OrderStatus
from shop.orders.store import Order


class OrderedItem(BaseModel):
    """One line of an order."""

    product_id: str
    quantity: int
    total: Money


class OrderEvent(BaseModel):
    """An order as it is from now on."""

    order_id: str
    user_id: str
    status: OrderStatus
    reason: str
    """Why it was rejected or cancelled, as a code; empty else."""
    total: Money
    items: list[OrderedItem]
    from_cart: bool


@event("order.placed", version=1, key="order_id")
class OrderPlaced(OrderEvent):
    """A customer has ordered; nothing is promised yet."""


@event("order.confirmed", version=1, key="order_id")
class OrderConfirmed(OrderEvent):
    """Stock and payment are sure."""


@event("order.rejected", version=1, key="order_id")
class OrderRejected(OrderEvent):
    """The order could not be had; whatever was done for it is undone."""


@event("order.shipped", version=1, key="order_id")
class OrderShipped(OrderEvent):
    """The goods have left."""


@event("order.delivered", version=1, key="order_id")
class OrderDelivered(OrderEvent):
    """The goods have arrived."""


@event("order.cancelled", version=1, key="order_id")
class OrderCancelled(OrderEvent):
    """Taken back before it was shipped; money and stock are back."""


@event("order.refunded", version=1, key="order_id")
class OrderRefunded(OrderEvent):
    """Returned after delivery; money and stock are back."""


_BY_STATUS: dict[OrderStatus, type[OrderEvent]] = {
    OrderStatus.PENDING: OrderPlaced,
    OrderStatus.CONFIRMED: OrderConfirmed,
    OrderStatus.REJECTED: OrderRejected,
    OrderStatus.SHIPPED: OrderShipped,
    OrderStatus.DELIVERED: OrderDelivered,
    OrderStatus.CANCELLED: OrderCancelled,
    OrderStatus.REFUNDED: OrderRefunded,
}


def event_of(order: Order) -> OrderEvent:
    """The event that tells of an order's present status."""
    return _BY_STATUS[order.state](
        order_id=order.id,
        user_id=order.user_id,
        status=order.state,
        reason=order.reason,
        total=order.total,
        items=[
            OrderedItem(product_id=line.product_id, quantity=line.quantity, total=line.total) for line in order.items
        ],
        from_cart=order.from_cart,
    )
