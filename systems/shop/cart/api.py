"""The cart's endpoints: each user has one cart, their own."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, Field

from hanse import Session, User
from hanse.core.errors import Conflict, InvalidInput, NotFound
from shop.cart.domain import MAX_LINES, MAX_QUANTITY, Cart, Quote, price
from shop.cart.service import catalog, service
from shop.cart.store import keep_only, lines, put, take


class Quantity(BaseModel):
    """How many pieces are wanted."""

    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY)]


class CartLines(BaseModel):
    """A cart without prices, for the service that orders from it."""

    items: dict[str, int]
    """Pieces by product id."""


@service.get("/cart")
async def read_cart(user: User) -> Cart:
    """The cart at the prices of this moment."""
    return await _priced(user.subject)


@service.put("/cart/items/{product_id}")
async def put_item(product_id: str, body: Quantity, user: User) -> Cart:
    """Have so many pieces of a product in the cart; 422 for a product that is not sold."""
    if not await _quotes([product_id]):
        raise InvalidInput(f"there is no product {product_id}")
    async with service.database.transaction() as db:
        present = await lines(db, user.subject)
        if product_id not in present and len(present) >= MAX_LINES:
            raise Conflict(f"a cart holds at most {MAX_LINES} products")
        await put(db, user.subject, product_id, body.quantity, service.env.clock.utc())
    return await _priced(user.subject)


@service.delete("/cart/items/{product_id}")
async def delete_item(product_id: str, user: User) -> Cart:
    """Take a product out of the cart; 404 when it is not in it."""
    async with service.database.transaction() as db:
        if not await take(db, user.subject, product_id):
            raise NotFound(f"{product_id} is not in the cart")
    return await _priced(user.subject)


@service.delete("/cart", status_code=204)
async def empty_cart(user: User, db: Session) -> None:
    """Take everything out of the cart."""
    await keep_only(db, user.subject, {})


@service.get("/internal/carts/{user_id}", internal=True)
async def read_lines(user_id: str, db: Session) -> CartLines:
    """What is in somebody's cart."""
    return CartLines(items=await lines(db, user_id))


async def _priced(user_id: str) -> Cart:
    async with service.database.read() as db:
        present: Mapping[str, int] = await lines(db, user_id)
    quotes = await _quotes(list(present)) if present else []
    return price(present, quotes, service.settings.currency)


async def _quotes(product_ids: list[str]) -> list[Quote]:
    return await catalog.get("/internal/quotes", params={"id": product_ids}, response_model=list[Quote])
