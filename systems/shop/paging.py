"""Paging: how every list of the shop is cut into pages."""

from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict

T = TypeVar("T")

MAX_LIMIT = 100


class Paging(BaseModel):
    """Which page a caller asked for."""

    model_config = ConfigDict(frozen=True)

    page: int
    """From 1."""
    limit: int
    """Items per page, 1 to 100."""

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.limit


def _paging(
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 20,
) -> Paging:
    return Paging(page=page, limit=limit)


PageQuery = Annotated[Paging, Depends(_paging)]


class Pagination(BaseModel):
    """Where a page stands in the whole list."""

    page: int
    limit: int
    total: int
    """Items in the whole list."""
    pages: int
    """At least 1."""

    @classmethod
    def of(cls, paging: Paging, total: int) -> "Pagination":
        """The page `paging` of a list of `total` items."""
        return cls(page=paging.page, limit=paging.limit, total=total, pages=max(1, -(-total // paging.limit)))


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    pagination: Pagination

    @classmethod
    def of(cls, items: list[T], paging: Paging, total: int) -> "Page[T]":
        """The page `paging` of a list of `total` items."""
        return cls(items=items, pagination=Pagination.of(paging, total))
