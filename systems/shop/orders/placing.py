"""Placing an order: price it first, then store it together with its event and its saga."""

from typing import Any

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core.errors import InvalidInput
from shop.orders import clerk
from shop.orders.domain import Line, OrderStatus, Quote, merge, order_total, price
from shop.orders.sagas import Placement, PlaceOrder
from shop.orders.service import cart, catalog, service
from shop.orders.store import Order, add
from shop.orders.views import PlaceOrderForm


class CartLines(BaseModel):
    """What the cart service tells of a cart."""

    items: dict[str, int]


async def place(db: AsyncSession, form: PlaceOrderForm, user_id: str) -> Order:
    """Store an order with its first event and its saga, at this moment's prices.

    The prices are asked for before the first statement, so that a slow catalogue never holds the database.

    Raises:
        InvalidInput: it is empty, or the catalogue does not know a product.
    """
    lines = await _priced(form, user_id)
    saga_id = service.env.ids.new("saga")
    order = await add(db, _order(form, lines, user_id, saga_id))
    await clerk.record(db, order)
    placement = Placement(
        order_id=order.id,
        pieces={line.product_id: line.quantity for line in lines},
        total=order.total,
        provider=form.payment.provider,
        token=form.payment.token,
    )
    await service.start(db, PlaceOrder, placement, saga_id=saga_id)
    return order


async def _priced(form: PlaceOrderForm, user_id: str) -> list[Line]:
    """The lines of the order at this moment's prices; from the cart when the form names none."""
    if form.items is None:
        pieces = (await cart.get(f"/internal/carts/{user_id}", response_model=CartLines)).items
        if not pieces:
            raise InvalidInput("the cart is empty")
    else:
        pieces = merge(form.items)
    quotes = await catalog.get("/internal/quotes", params={"id": list(pieces)}, response_model=list[Quote])
    return price(pieces, quotes)


def _order(form: PlaceOrderForm, lines: list[Line], user_id: str, saga_id: str) -> dict[str, Any]:
    """The columns of a new order."""
    now = service.env.clock.utc()
    total = order_total(lines)
    return {
        "id": service.env.ids.new("order"),
        "user_id": user_id,
        "status": OrderStatus.PENDING.value,
        "reason": "",
        "lines": [line.model_dump(mode="json") for line in lines],
        "amount": total.amount,
        "currency": total.currency,
        "shipping_address": form.shipping_address.model_dump(mode="json"),
        "payment_provider": form.payment.provider,
        "from_cart": form.items is None,
        "saga_id": saga_id,
        "intent": "",
        "settled": False,
        "created_at": now,
        "updated_at": now,
    }
