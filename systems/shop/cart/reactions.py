"""What the cart does on others' events."""

from pydantic import BaseModel

from hanse import Session
from shop.cart.domain import without
from shop.cart.service import service
from shop.cart.store import forget_product, keep_only, lines


class OrderedLine(BaseModel):
    """One line of an order, as far as it concerns a cart."""

    product_id: str
    quantity: int


class Ordered(BaseModel):
    """What the cart needs to know of an order."""

    user_id: str
    from_cart: bool
    items: list[OrderedLine]


class ProductGone(BaseModel):
    """What the cart needs to know of a product that was deleted."""

    product_id: str


@service.on("order.placed")
async def order_placed(message: Ordered, db: Session) -> None:
    """Take what was ordered from the cart out of it; what was put in meanwhile stays."""
    if message.from_cart:
        ordered = {line.product_id: line.quantity for line in message.items}
        await keep_only(db, message.user_id, without(await lines(db, message.user_id), ordered))


@service.on("product.deleted")
async def product_deleted(message: ProductGone, db: Session) -> None:
    """Take it out of all carts."""
    await forget_product(db, message.product_id)
