"""Placing an order: price it first, then store it together with its event and its saga."""

import hashlib

from pydantic import BaseModel

from hanse.core.errors import Conflict, InvalidInput
from shop.orders import clerk
from shop.orders.domain import Line, OrderStatus, Quote, merge, order_total, price
from shop.orders.sagas import Placement, PlaceOrder
from shop.orders.service import cart, catalog, service
from shop.orders.store import Order, order_by_key
from shop.orders.views import PlaceOrderForm


class KeyReused(InvalidInput):
    """An idempotency key came again with another request. Take a new key for a new order."""

    code = "key_reused"


class CartLines(BaseModel):
    """What the cart service tells of a cart."""

    items: dict[str, int]


async def place(form: PlaceOrderForm, user_id: str, key: str | None) -> tuple[Order, bool]:
    """Place an order, or find the one that was placed with the same key.

    The prices are asked for before the transaction, so that a slow catalogue never holds the database.

    Returns:
        the order, and whether it had been placed before.

    Raises:
        InvalidInput: it is empty, or the catalogue does not know a product.
        KeyReused: the key belongs to an order that was asked for in other words.
    """
    digest = hashlib.sha256(form.model_dump_json().encode()).hexdigest()
    if key is not None and (known := await _placed_before(user_id, key, digest)) is not None:
        return known, True
    lines = await _priced(form, user_id)
    try:
        return await _store(form, lines, user_id, key, digest), False
    except Conflict:
        known = await _placed_before(user_id, key, digest) if key is not None else None
        if known is None:
            raise
        return known, True


async def _placed_before(user_id: str, key: str, digest: str) -> Order | None:
    async with service.database.read() as db:
        order = await order_by_key(db, user_id, key)
    if order is not None and order.request_digest != digest:
        raise KeyReused("this Idempotency-Key was used for a different order")
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


async def _store(form: PlaceOrderForm, lines: list[Line], user_id: str, key: str | None, digest: str) -> Order:
    """The order, its first event and its saga in one transaction. Raises Conflict when the key is taken meanwhile."""
    now = service.env.clock.utc()
    total = order_total(lines)
    order = Order(
        id=service.env.ids.new("order"),
        user_id=user_id,
        status=OrderStatus.PENDING.value,
        reason="",
        lines=[line.model_dump(mode="json") for line in lines],
        amount=total.amount,
        currency=total.currency,
        shipping_address=form.shipping_address.model_dump(mode="json"),
        payment_provider=form.payment.provider,
        from_cart=form.items is None,
        request_key=key,
        request_digest=digest,
        saga_id="",
        intent="",
        settled=False,
        created_at=now,
        updated_at=now,
    )
    placement = Placement(
        order_id=order.id,
        pieces={line.product_id: line.quantity for line in lines},
        total=total,
        provider=form.payment.provider,
        token=form.payment.token,
    )
    async with service.database.transaction() as db:
        db.add(order)
        await db.flush()
        await clerk.record(db, order)
        order.saga_id = await service.start(db, PlaceOrder, placement)
    return order
