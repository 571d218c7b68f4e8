"""The events that the catalogue publishes."""

from pydantic import BaseModel

from hanse import event
from shop.money import Money


@event("product.created", version=1, key="product_id")
class ProductCreated(BaseModel):
    """Something new can be bought; there is no stock of it yet."""

    product_id: str
    sku: str
    name: str
    category: str
    price: Money


@event("product.updated", version=1, key="product_id")
class ProductUpdated(BaseModel):
    """A product as it is after a change."""

    product_id: str
    sku: str
    name: str
    category: str
    price: Money


@event("product.deleted", version=1, key="product_id")
class ProductDeleted(BaseModel):
    """A product can't be bought any more."""

    product_id: str
