"""Browsing: turns a `Search` into one page of products and the facets around it."""

from collections.abc import Sequence
from typing import Any, TypeVarTuple

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Select, Subquery, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from shop.catalog.domain import Search, Sort
from shop.catalog.search_index import SearchIndex
from shop.catalog.store import Category, Product
from shop.paging import Paging

Columns = TypeVarTuple("Columns")


class CategoryFacet(BaseModel):
    """How many results a category holds, were it chosen."""

    id: str
    name: str
    count: int


class Facets(BaseModel):
    """Ways to narrow a search, each counted as if its own filter were not set."""

    categories: list[CategoryFacet]
    min_price: int | None
    """Cheapest result in minor units; None without results."""
    max_price: int | None
    in_stock: int
    """Results that can be had now."""


class Browse:
    """Searches the catalogue.

    Args:
        index: the full-text index of this database.
    """

    def __init__(self, index: SearchIndex) -> None:
        self._index = index

    async def page(self, db: AsyncSession, search: Search, paging: Paging) -> tuple[Sequence[Product], int]:
        """One page of results, and how many there are in all."""
        matches = self._matches(search)
        query = self._filtered(select(Product), search, matches)
        total = await db.scalar(self._filtered(select(func.count(Product.id)), search, matches)) or 0
        order = _order(search.sort, matches)
        found = await db.scalars(query.order_by(*order).offset(paging.offset).limit(paging.limit))
        return found.all(), total

    async def facets(self, db: AsyncSession, search: Search) -> Facets:
        """The facets of a search."""
        matches = self._matches(search)
        anywhere = search.model_copy(update={"category": ""})
        counted = self._filtered(
            select(Category.id, Category.name, func.count(Product.id)).join(
                Product, Product.category_id == Category.id
            ),
            anywhere,
            matches,
        )
        counted = counted.group_by(Category.id).order_by(Category.position, Category.id)
        any_price = search.model_copy(update={"min_price": None, "max_price": None})
        prices = self._filtered(select(func.min(Product.price), func.max(Product.price)), any_price, matches)
        available = search.model_copy(update={"in_stock": True})
        lowest, highest = (await db.execute(prices)).one()
        return Facets(
            categories=[
                CategoryFacet(id=id_, name=name, count=n) for id_, name, n in (await db.execute(counted)).all()
            ],
            min_price=lowest,
            max_price=highest,
            in_stock=await db.scalar(self._filtered(select(func.count(Product.id)), available, matches)) or 0,
        )

    def _matches(self, search: Search) -> Subquery | None:
        return self._index.matching(search.words).subquery("matches") if search.words else None

    def _filtered(self, query: Select[*Columns], search: Search, matches: Subquery | None) -> Select[*Columns]:
        """`query` restricted to what `search` asks for."""
        if matches is not None:
            query = query.join(matches, matches.c.product_id == Product.id)
        query = query.where(Product.deleted.is_(False))
        if search.category:
            query = query.where(Product.category_id == search.category)
        if search.min_price is not None:
            query = query.where(Product.price >= search.min_price)
        if search.max_price is not None:
            query = query.where(Product.price <= search.max_price)
        if search.in_stock:
            query = query.where(Product.in_stock.is_(True))
        return query


def _order(sort: Sort, matches: Subquery | None) -> list[ColumnElement[Any]]:
    match sort:
        case Sort.PRICE:
            first: list[ColumnElement[Any]] = [Product.price.asc()]
        case Sort.PRICE_DOWN:
            first = [Product.price.desc()]
        case Sort.NEWEST:
            first = [Product.created_at.desc()]
        case Sort.RELEVANCE if matches is not None:
            first = [matches.c.rank.asc()]
        case _:
            first = [Product.name.asc()]
    return [*first, Product.id.asc()]
