"""What the catalogue tells about products."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Row

from shop.catalog.browse import Facets
from shop.catalog.store import Product
from shop.money import Money
from shop.paging import Page


class ProductView(BaseModel):
    """A product as everybody sees it."""

    id: str
    sku: str
    name: str
    description: str
    category: str
    price: Money
    attributes: dict[str, str]
    in_stock: bool
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, product: Product) -> "ProductView":
        return cls(
            id=product.id,
            sku=product.sku,
            name=product.name,
            description=product.description,
            category=product.category_id,
            price=product.money,
            attributes=product.attributes,
            in_stock=product.in_stock,
            created_at=product.created_at,
            updated_at=product.updated_at,
        )


class Results(Page[ProductView]):
    """One page of search results, with the ways to narrow the search."""

    facets: Facets


class CategoryView(BaseModel):
    """A shelf of the shop."""

    id: str
    name: str
    description: str
    count: int
    """Products on it."""


class QuoteView(BaseModel):
    """What other services need to price a product."""

    id: str
    sku: str
    name: str
    price: Money
    in_stock: bool

    @classmethod
    def of(cls, row: Row[Any]) -> "QuoteView":
        """From a row of `quoted`."""
        price = Money(amount=row.price, currency=row.currency)
        return cls(id=row.id, sku=row.sku, name=row.name, price=price, in_stock=row.in_stock)
