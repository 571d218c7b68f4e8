"""What a cart is and how it is priced. Pure, no database."""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel

from shop.money import Money, total

MAX_LINES = 100
MAX_QUANTITY = 1_000


class Quote(BaseModel):
    """What the catalogue says of a product right now."""

    id: str
    name: str
    price: Money
    in_stock: bool


class Item(BaseModel):
    """One line of a cart as its owner sees it."""

    product_id: str
    name: str
    quantity: int
    unit_price: Money
    total: Money
    in_stock: bool


class Cart(BaseModel):
    """A cart at the prices of this moment."""

    items: list[Item]
    total: Money
    count: int
    """Pieces in all."""
    unavailable: list[str]
    """Products that are in the cart and no longer in the catalogue; they cost nothing and can't be ordered."""


def price(lines: Mapping[str, int], quotes: Iterable[Quote], currency: str = "EUR") -> Cart:
    """The cart with `lines` (pieces by product) at the prices of `quotes`."""
    known = {quote.id: quote for quote in quotes}
    items = [
        Item(
            product_id=product_id,
            name=known[product_id].name,
            quantity=quantity,
            unit_price=known[product_id].price,
            total=known[product_id].price.times(quantity),
            in_stock=known[product_id].in_stock,
        )
        for product_id, quantity in lines.items()
        if product_id in known
    ]
    return Cart(
        items=items,
        total=total((item.total for item in items), items[0].total.currency if items else currency),
        count=sum(item.quantity for item in items),
        unavailable=[product_id for product_id in lines if product_id not in known],
    )


def without(lines: Mapping[str, int], ordered: Mapping[str, int]) -> dict[str, int]:
    """What stays in a cart after `ordered` left it: what was added meanwhile is kept."""
    rest = {product_id: quantity - ordered.get(product_id, 0) for product_id, quantity in lines.items()}
    return {product_id: quantity for product_id, quantity in rest.items() if quantity > 0}
