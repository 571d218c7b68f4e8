"""Browsing the catalogue: words, filters, facets, order and pages, on a real SQLite with FTS5."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from hanse.core import Env
from hanse.core.errors import ConfigurationError, InvalidInput
from hanse.db import Database
from shop.catalog.browse import Browse
from shop.catalog.domain import Search, Sort
from shop.catalog.search_index import index_for
from shop.catalog.store import Category, Product, metadata
from shop.paging import Paging

NOW = datetime(2026, 11, 21, tzinfo=UTC)
FIRST = Paging(page=1, limit=20)
GOODS = [
    ("kettle", "Gooseneck kettle", "Pours slowly, for filter coffee.", "kitchen", 7900, True),
    ("filter", "Paper filters", "A hundred filters for pour-over brewing.", "coffee", 650, True),
    ("beans", "Yirgacheffe coffee beans", "Washed, floral, bergamot.", "coffee", 1490, False),
    ("creme", "Crème brûlée dish", "Porcelain.", "kitchen", 1200, True),
]


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    env = Env.build("test")
    database = Database(env, "sqlite://", metadata=metadata)
    await database.start()
    index = index_for(database.dialect)
    async with database.transaction() as db:
        for position, name in enumerate(["coffee", "kitchen"]):
            db.add(Category(id=name, name=name.title(), description="", position=position))
        for age, (id_, name, description, category, price, in_stock) in enumerate(GOODS):
            product = Product(
                id=id_,
                sku=id_.upper(),
                name=name,
                description=description,
                category_id=category,
                price=price,
                currency="EUR",
                attributes={"colour": "teal"} if id_ == "kettle" else {},
                in_stock=in_stock,
                stock_revision=0,
                deleted=False,
                created_at=NOW - timedelta(days=age),
                updated_at=NOW,
            )
            db.add(product)
            await index.put(db, product, category.title())
    yield database
    await database.stop()
    await env.scope.close()


async def found(database: Database, **search: object) -> list[str]:
    async with database.read() as db:
        items, total = await Browse(index_for("sqlite")).page(db, Search.model_validate(search), FIRST)
    assert total == len(items)
    return [item.id for item in items]


async def test_all_words_must_match_and_the_last_may_be_begun(database: Database) -> None:
    assert await found(database, q="filter") == ["filter", "kettle"]
    assert set(await found(database, q="coffee filt")) == {"kettle", "filter"}
    assert await found(database, q="goosen") == ["kettle"]
    assert await found(database, q="goosen pours") == []


async def test_a_match_in_the_name_comes_first(database: Database) -> None:
    assert (await found(database, q="coffee"))[0] == "beans"


async def test_accents_case_categories_and_attributes_do_not_hide_a_product(database: Database) -> None:
    assert await found(database, q="CREME BRULEE") == ["creme"]
    assert await found(database, q="teal") == ["kettle"]
    assert set(await found(database, q="kitchen")) == {"kettle", "creme"}


@pytest.mark.parametrize("q", ['"', "NEAR(", "a* OR b", "name:", "-", "'; DROP TABLE products; --", "* AND NOT"])
async def test_no_text_breaks_the_search(database: Database, q: str) -> None:
    assert isinstance(await found(database, q=q), list)


async def test_filters_narrow(database: Database) -> None:
    assert await found(database, category="coffee", sort=Sort.PRICE) == ["filter", "beans"]
    assert await found(database, min_price=1200, max_price=1490, sort=Sort.PRICE) == ["creme", "beans"]
    assert await found(database, q="coffee", in_stock=True, category="coffee") == ["filter"]


async def test_orders(database: Database) -> None:
    assert await found(database, sort=Sort.PRICE_DOWN) == ["kettle", "beans", "creme", "filter"]
    assert await found(database, sort=Sort.NEWEST) == ["kettle", "filter", "beans", "creme"]
    assert await found(database, sort=Sort.NAME) == ["creme", "kettle", "filter", "beans"]


async def test_a_facet_counts_as_if_its_own_filter_were_not_set(database: Database) -> None:
    async with database.read() as db:
        facets = await Browse(index_for("sqlite")).facets(db, Search(q="coffee", category="coffee", max_price=700))
    assert [(facet.id, facet.count) for facet in facets.categories] == [("coffee", 1)]
    assert (facets.min_price, facets.max_price) == (650, 1490)
    assert facets.in_stock == 1


async def test_pages_follow_each_other(database: Database) -> None:
    browse, search = Browse(index_for("sqlite")), Search(sort=Sort.PRICE)
    seen = []
    async with database.read() as db:
        for page in (1, 2, 3):
            items, total = await browse.page(db, search, Paging(page=page, limit=2))
            assert total == 4
            seen += [item.id for item in items]
    assert seen == ["filter", "creme", "beans", "kettle"]


async def test_a_removed_product_is_not_found(database: Database) -> None:
    async with database.transaction() as db:
        await index_for("sqlite").remove(db, "kettle")
    assert await found(database, q="kettle") == []


def test_a_range_upside_down_is_refused() -> None:
    with pytest.raises(InvalidInput):
        Search(min_price=2, max_price=1)


def test_an_unknown_database_is_named() -> None:
    with pytest.raises(ConfigurationError, match="oracle"):
        index_for("oracle")
