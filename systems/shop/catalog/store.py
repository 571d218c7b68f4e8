"""The catalogue's tables, and the plain queries that read them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    MetaData,
    Row,
    String,
    Text,
    bindparam,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hanse.db import Json, UtcDateTime
from shop.money import Money


class Base(DeclarativeBase):
    """The catalogue's own metadata."""

    metadata = MetaData()


metadata = Base.metadata


class Category(Base):
    """A shelf of the shop."""

    __tablename__ = "categories"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Readable, as it appears in addresses: `coffee-tea`."""
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(Text)
    position: Mapped[int]


class Product(Base):
    """Something that can be bought. A deleted product stays, hidden, for the orders that name it."""

    __tablename__ = "products"
    __table_args__ = (
        CheckConstraint("price >= 0", name="product_price"),
        Index("ix_products_category", "category_id", "deleted", "price"),
        Index("ix_products_price", "deleted", "price"),
        Index("ix_products_created", "deleted", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    sku: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text)
    category_id: Mapped[str] = mapped_column(ForeignKey("categories.id"))
    price: Mapped[int] = mapped_column(BigInteger)
    """Minor units of `currency`."""
    currency: Mapped[str] = mapped_column(String(3))
    attributes: Mapped[dict[str, str]] = mapped_column(Json)
    in_stock: Mapped[bool]
    """What inventory last told; it may lag behind by the time an event takes."""
    stock_revision: Mapped[int]
    """Of that telling; older ones that arrive late are ignored."""
    deleted: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @property
    def money(self) -> Money:
        return Money(amount=self.price, currency=self.currency)


async def categories(db: AsyncSession) -> Sequence[tuple[Category, int]]:
    """All categories in the shop's order, each with its number of products."""
    count = func.count(Product.id)
    query = (
        select(Category, count)
        .outerjoin(Product, (Product.category_id == Category.id) & Product.deleted.is_(False))
        .group_by(Category.id)
        .order_by(Category.position, Category.id)
    )
    return [(category, number) for category, number in (await db.execute(query)).all()]


async def product(db: AsyncSession, product_id: str) -> Product | None:
    """The product, unless it was deleted."""
    found = await db.get(Product, product_id)
    return None if found is None or found.deleted else found


_PRODUCTS = metadata.tables["products"]
_QUOTED = (
    select(*(_PRODUCTS.c[name] for name in ("id", "sku", "name", "price", "currency", "in_stock")))
    .where(_PRODUCTS.c.id.in_(bindparam("ids", expanding=True)), _PRODUCTS.c.deleted.is_(False))
    .order_by(_PRODUCTS.c.id)
)


async def quoted(db: AsyncSession, product_ids: Collection[str]) -> Sequence[Row[Any]]:
    """Id, SKU, name, price, currency and `in_stock` of those of `product_ids` that can be bought, by id.

    Asked for with every order, so without mapped objects.
    """
    return (await db.execute(_QUOTED, {"ids": list(product_ids)})).all()
