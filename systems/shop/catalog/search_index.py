"""The full-text index: a small seam, because each database searches text in its own way.

SQLite has FTS5, which lives in a virtual table beside the products. PostgreSQL will have a `tsvector` column; its class
goes beside this one, and `index_for` chooses.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

from sqlalchemy import Connection, Float, Select, String, column, event, select, table, text
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core.errors import ConfigurationError
from shop.catalog.store import Product, metadata

CREATE_FTS5 = """
CREATE VIRTUAL TABLE product_search USING fts5(
  product_id UNINDEXED, name, description, details, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
)
"""
WEIGH_FTS5 = "INSERT INTO product_search(product_search, rank) VALUES ('rank', 'bm25(0.0, 10.0, 1.0, 3.0)')"
"""What `rank` means. The first migration runs both, as does `metadata.create_all`."""


def _create(target: object, connection: Connection, **_: object) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(text(CREATE_FTS5))
        connection.execute(text(WEIGH_FTS5))


event.listen(metadata, "after_create", _create)

_INSERT = """
INSERT INTO product_search(rowid, product_id, name, description, details)
VALUES (:rowid, :id, :name, :description, :details)
"""


class SearchIndex(ABC):
    """Finds products by words. Works inside the session it is given."""

    @abstractmethod
    async def put(self, db: AsyncSession, product: Product, category_name: str) -> None:
        """Make a product findable by its present words."""

    @abstractmethod
    async def remove(self, db: AsyncSession, product_id: str) -> None:
        """Make a product unfindable."""

    @abstractmethod
    def matching(self, words: Sequence[str]) -> Select[str, float]:
        """A query for (`product_id`, `rank`) of the products that contain all of `words` (at least one).

        The last word may be the beginning of one, as while typing. The lower the rank, the better the match.
        """


class Fts5Index(SearchIndex):
    """SQLite FTS5, ranked by bm25: a match in the name counts ten times one in the description."""

    async def put(self, db: AsyncSession, product: Product, category_name: str) -> None:
        await self.remove(db, product.id)
        row = {
            "rowid": _rowid(product.id),
            "id": product.id,
            "name": product.name,
            "description": product.description,
            "details": " ".join([category_name, product.sku, *product.attributes.values()]),
        }
        await db.execute(text(_INSERT), row)

    async def remove(self, db: AsyncSession, product_id: str) -> None:
        await db.execute(text("DELETE FROM product_search WHERE rowid = :rowid"), {"rowid": _rowid(product_id)})

    def matching(self, words: Sequence[str]) -> Select[str, float]:
        quoted = [f'"{word}"' for word in words]
        quoted[-1] += "*"
        index = table("product_search", column("product_id", String), column("rank", Float))
        matches = text("product_search MATCH :words").bindparams(words=" ".join(quoted))
        return select(index.c.product_id, index.c.rank).where(matches)


def _rowid(product_id: str) -> int:
    """The row of a product in the index: found without a scan, since FTS5 has no index on a column's value."""
    return int.from_bytes(hashlib.sha256(product_id.encode()).digest()[:8]) >> 1


def index_for(dialect: str) -> SearchIndex:
    """The index of a database. Raises ConfigurationError for one that nobody has written yet."""
    if dialect == "sqlite":
        return Fts5Index()
    raise ConfigurationError(f"the catalogue has no full-text search on {dialect} yet")
