"""What customers send to order, and what they see of an order."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from shop.money import Money
from shop.orders.domain import MAX_LINES, Address, Line, OrderStatus, Wanted
from shop.orders.store import Order, TimelineEntry

Provider = Literal["card", "invoice", "stripe"]


class PaymentMethod(BaseModel):
    """How the customer pays."""

    provider: Provider
    token: Annotated[str, Field(max_length=200, repr=False)] = ""
    """What the provider gave the customer's browser in place of card data; nothing for an invoice."""


class PlaceOrderForm(BaseModel):
    """What a customer sends to order. Without `items` the cart is ordered."""

    items: Annotated[list[Wanted], Field(max_length=MAX_LINES)] | None = None
    shipping_address: Address
    payment: PaymentMethod


class StatusForm(BaseModel):
    """What an admin sends to move an order on."""

    status: OrderStatus


class PaymentView(BaseModel):
    """How the customer pays, as far as anybody needs to see it again."""

    provider: str


class OrderView(BaseModel):
    """An order as its owner sees it."""

    id: str
    status: OrderStatus
    reason: str | None
    """Why it was rejected or cancelled, as a code."""
    items: list[Line]
    total: Money
    shipping_address: Address
    payment: PaymentView
    intent: str | None
    """`cancel` or `return` while that is under way."""
    settled: bool
    """Nothing is under way for it."""
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, order: Order) -> "OrderView":
        return cls(
            id=order.id,
            status=order.state,
            reason=order.reason or None,
            items=order.items,
            total=order.total,
            shipping_address=Address.model_validate(order.shipping_address),
            payment=PaymentView(provider=order.payment_provider),
            intent=order.intent or None,
            settled=order.settled,
            created_at=order.created_at,
            updated_at=order.updated_at,
        )


class TimelineView(BaseModel):
    """One message of an order's stream: a status and since when."""

    order_id: str
    status: OrderStatus
    reason: str | None
    at: datetime

    @classmethod
    def of(cls, entry: TimelineEntry) -> "TimelineView":
        return cls(order_id=entry.order_id, status=OrderStatus(entry.status), reason=entry.reason or None, at=entry.at)
