"""What an order is: its states, how it is priced, what may happen to it. Pure, no database."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from hanse.core.errors import Conflict, InvalidInput
from shop.money import Money, total

MAX_LINES = 100
MAX_QUANTITY = 10_000
_ZIP_CODE = AliasChoices("zip_code", "zipCode", "postcode", "postal_code")


class IllegalTransition(Conflict):
    """An order does not go from its present status to the wanted one. `details` name both and what is possible."""

    code = "illegal_transition"


class CancelledByCustomer(Conflict):
    """The customer took the order back before it was confirmed."""

    code = "cancelled_by_customer"


class OrderStatus(StrEnum):
    """Where an order stands, as customers see it."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


_LEGAL: dict[OrderStatus, tuple[OrderStatus, ...]] = {
    OrderStatus.PENDING: (OrderStatus.CONFIRMED, OrderStatus.REJECTED, OrderStatus.CANCELLED),
    OrderStatus.CONFIRMED: (OrderStatus.SHIPPED, OrderStatus.CANCELLED),
    OrderStatus.SHIPPED: (OrderStatus.DELIVERED,),
    OrderStatus.DELIVERED: (OrderStatus.REFUNDED,),
    OrderStatus.REJECTED: (),
    OrderStatus.CANCELLED: (),
    OrderStatus.REFUNDED: (),
}

ENDED = frozenset(status for status, following in _LEGAL.items() if not following)
"""Nothing follows these."""

PAID = frozenset({OrderStatus.CONFIRMED, OrderStatus.SHIPPED, OrderStatus.DELIVERED})
"""The shop has, or is about to have, the customer's money."""


def advance(present: OrderStatus, wanted: OrderStatus) -> OrderStatus:
    """`wanted`, if an order may go there from `present`. Raises IllegalTransition."""
    if wanted not in _LEGAL[present]:
        following = ", ".join(_LEGAL[present]) or "nothing"
        raise IllegalTransition(
            f"an order that is {present} can't become {wanted}; possible: {following}",
            status=present.value,
            wanted=wanted.value,
        )
    return wanted


class Wanted(BaseModel):
    """One line as the customer asks for it."""

    product_id: Annotated[str, Field(min_length=1, max_length=64)]
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY)]


class Quote(BaseModel):
    """What the catalogue says of a product right now."""

    id: str
    sku: str
    name: str
    price: Money


class Line(BaseModel):
    """One line of an order, at the price of the moment it was placed."""

    model_config = ConfigDict(frozen=True)

    product_id: str
    sku: str
    name: str
    unit_price: Money
    quantity: int
    total: Money


class Address(BaseModel):
    """Where to ship."""

    name: Annotated[str, Field(max_length=120)] = ""
    """Empty: the customer's own."""
    street: Annotated[str, Field(min_length=1, max_length=200)]
    city: Annotated[str, Field(min_length=1, max_length=100)]
    state: Annotated[str, Field(max_length=100)] = ""
    zip_code: Annotated[str, Field(min_length=1, max_length=20, validation_alias=_ZIP_CODE)]
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2")]


def merge(wanted: Iterable[Wanted]) -> dict[str, int]:
    """Pieces by product, in the order of first mention.

    Raises:
        InvalidInput: nothing is wanted, more than 100 products, or more than 10,000 pieces of one.
    """
    pieces: dict[str, int] = {}
    for line in wanted:
        pieces[line.product_id] = pieces.get(line.product_id, 0) + line.quantity
    if not pieces:
        raise InvalidInput("an order needs at least one item")
    if len(pieces) > MAX_LINES or max(pieces.values()) > MAX_QUANTITY:
        raise InvalidInput(f"at most {MAX_LINES} products and {MAX_QUANTITY} pieces of each")
    return pieces


def price(pieces: Mapping[str, int], quotes: Iterable[Quote]) -> list[Line]:
    """The lines of an order, priced.

    Raises:
        InvalidInput: a product has no quote, so the catalogue does not know it; or currencies are mixed.
    """
    known = {quote.id: quote for quote in quotes}
    unknown = [product_id for product_id in pieces if product_id not in known]
    if unknown:
        raise InvalidInput(f"unknown product: {', '.join(unknown)}", unknown_products=unknown)
    lines = [
        Line(
            product_id=product_id,
            sku=known[product_id].sku,
            name=known[product_id].name,
            unit_price=known[product_id].price,
            quantity=quantity,
            total=known[product_id].price.times(quantity),
        )
        for product_id, quantity in pieces.items()
    ]
    order_total(lines)
    return lines


def order_total(lines: list[Line]) -> Money:
    """What the customer pays for `lines` (at least one). Raises InvalidInput when currencies are mixed."""
    return total((line.total for line in lines), lines[0].total.currency)
