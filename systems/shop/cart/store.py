"""The cart's table, and the queries on it."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import CheckConstraint, MetaData, String, delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hanse.db import UtcDateTime


class Base(DeclarativeBase):
    """The cart's own metadata."""

    metadata = MetaData()


metadata = Base.metadata


class CartLine(Base):
    """One product in one user's cart."""

    __tablename__ = "cart_lines"
    __table_args__ = (CheckConstraint("quantity > 0", name="cart_line_quantity"),)

    user_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    product_id: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    quantity: Mapped[int]
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)


async def lines(db: AsyncSession, user_id: str) -> dict[str, int]:
    """Pieces by product, in the order they were put in."""
    query = select(CartLine).where(CartLine.user_id == user_id).order_by(CartLine.added_at, CartLine.product_id)
    return {line.product_id: line.quantity for line in await db.scalars(query)}


async def put(db: AsyncSession, user_id: str, product_id: str, quantity: int, now: datetime) -> None:
    """Have `quantity` (≥ 1) pieces of a product in a cart, whatever was there."""
    line = await db.get(CartLine, (user_id, product_id))
    if line is None:
        db.add(CartLine(user_id=user_id, product_id=product_id, quantity=quantity, added_at=now))
    else:
        line.quantity = quantity


async def take(db: AsyncSession, user_id: str, product_id: str) -> bool:
    """Take a product out of a cart; False when it was not there."""
    line = await db.get(CartLine, (user_id, product_id))
    if line is None:
        return False
    await db.delete(line)
    return True


async def keep_only(db: AsyncSession, user_id: str, kept: Mapping[str, int]) -> None:
    """Reduce a cart to `kept`."""
    query = select(CartLine).where(CartLine.user_id == user_id).order_by(CartLine.product_id)
    for line in await db.scalars(query):
        if line.product_id not in kept:
            await db.delete(line)
        else:
            line.quantity = kept[line.product_id]


async def forget_product(db: AsyncSession, product_id: str) -> None:
    """Take a product out of all carts."""
    await db.execute(delete(CartLine).where(CartLine.product_id == product_id))
