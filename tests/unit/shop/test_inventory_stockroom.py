"""The stockroom on a real database: repeated, overtaken, expired, in any order."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core import Env
from hanse.core.errors import Conflict, NotFound
from hanse.db import Database
from shop.inventory import stockroom
from shop.inventory.domain import Operation, OutOfStock, ReservationClosed
from shop.inventory.events import LowStock, StockDepleted, StockReplenished
from shop.inventory.store import Movement, Reservation, Stock, metadata

NOW = datetime(2026, 11, 21, tzinfo=UTC)
DELIVERY = stockroom.Change("received", "test", NOW)


@asynccontextmanager
async def stocked(quantity: int = 10, minimum: int = 0) -> AsyncIterator[Database]:
    env = Env.build("test")
    database = Database(env, "sqlite://", metadata=metadata, flush=lambda _: None)
    await database.start()
    async with database.transaction() as db:
        for revision, product in enumerate(["tea", "cup"], start=1):
            db.add(
                Stock(
                    product_id=product,
                    sku=product.upper(),
                    name=product.title(),
                    quantity=0,
                    reserved=0,
                    sold=0,
                    received=0,
                    min_stock_level=minimum,
                    max_stock_level=100,
                    location={},
                    discontinued=False,
                    revision=revision,
                    updated_at=NOW,
                )
            )
        await db.flush()
        for product in ("tea", "cup"):
            await stockroom.adjust(db, product, Operation.ADD, quantity, DELIVERY)
    try:
        yield database
    finally:
        await database.stop()
        await env.scope.close()


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    async with stocked() as database:
        yield database


async def do(database: Database, work: Callable[[AsyncSession], Awaitable[object]]) -> object:
    async with database.transaction() as db:
        return await work(db)


async def reserve(database: Database, order: str = "o1", pieces: int = 3, ttl_s: float = 60) -> stockroom.Events:
    async with database.transaction() as db:
        return (await stockroom.reserve(db, order, {"tea": pieces}, now=NOW, ttl_s=ttl_s))[1]


async def commit(database: Database, order: str = "o1") -> None:
    await do(database, lambda db: stockroom.commit(db, order, now=NOW))


async def release(database: Database, order: str = "o1") -> None:
    await do(database, lambda db: stockroom.release(db, order, now=NOW))


async def level(database: Database, product: str = "tea") -> tuple[int, int, int, int]:
    async with database.read() as db:
        row = await db.get(Stock, product)
        assert row is not None
        return row.quantity, row.reserved, row.sold, row.received


async def state(database: Database, order: str = "o1") -> str:
    async with database.read() as db:
        row = await db.get(Reservation, order)
        return "" if row is None else row.state


async def test_repeating_changes_nothing(database: Database) -> None:
    for _ in range(3):
        await reserve(database)
    assert await level(database) == (10, 3, 0, 10)
    for _ in range(3):
        await commit(database)
    assert await level(database) == (7, 0, 3, 10)
    for _ in range(3):
        await release(database)
    assert await level(database) == (10, 0, 0, 10)


async def test_a_release_that_overtakes_its_reservation_wins(database: Database) -> None:
    await release(database)
    assert await state(database) == "released"
    with pytest.raises(ReservationClosed):
        await reserve(database)
    assert await level(database) == (10, 0, 0, 10)


async def test_a_late_commit_finds_the_door_closed(database: Database) -> None:
    await reserve(database)
    await release(database)
    with pytest.raises(ReservationClosed):
        await commit(database)
    with pytest.raises(NotFound):
        await commit(database, "never")


async def test_nothing_is_held_when_one_line_is_short(database: Database) -> None:
    async with database.transaction() as db:
        with pytest.raises(OutOfStock):
            await stockroom.reserve(db, "o1", {"tea": 1, "cup": 11}, now=NOW, ttl_s=60)
    assert await level(database) == (10, 0, 0, 10)
    assert await state(database) == ""


async def test_what_an_order_holds_it_gets_again_when_little_is_left(database: Database) -> None:
    await reserve(database, pieces=8)
    await reserve(database, pieces=8)
    assert await level(database) == (10, 8, 0, 10)
    with pytest.raises(OutOfStock):
        await reserve(database, "o2", pieces=8)


async def test_one_order_cannot_hold_two_things(database: Database) -> None:
    await reserve(database, pieces=3)
    with pytest.raises(Conflict):
        await reserve(database, pieces=4)


async def test_what_expires_is_given_back_and_cannot_be_sold(database: Database) -> None:
    await reserve(database, "slow", ttl_s=60)
    await reserve(database, "quick", ttl_s=60)
    await commit(database, "quick")
    later = NOW + timedelta(seconds=60)
    async with database.transaction() as db:
        for order in ("slow", "quick"):
            row = await db.get(Reservation, order)
            assert row is not None
            await stockroom.expire(db, row, now=later)
    assert (await state(database, "slow"), await state(database, "quick")) == ("expired", "committed")
    assert await level(database) == (7, 0, 3, 10)
    with pytest.raises(ReservationClosed):
        await commit(database, "slow")
    with pytest.raises(ReservationClosed):
        await reserve(database, "slow")


async def test_a_discontinued_product_is_out_of_stock(database: Database) -> None:
    async with database.transaction() as db:
        row = await db.get(Stock, "tea")
        assert row is not None
        row.discontinued = True
    with pytest.raises(OutOfStock):
        await reserve(database)


async def test_the_events_tell_of_crossings_only() -> None:
    async with stocked(minimum=5) as database:
        assert await reserve(database, "a", 5) == []
        (low,) = await reserve(database, "b", 1)
        assert low == LowStock(product_id="tea", sku="TEA", name="Tea", available=4, minimum=5)
        (gone,) = await reserve(database, "c", 4)
        assert isinstance(gone, StockDepleted)
        async with database.transaction() as db:
            _, events = await stockroom.release(db, "c", now=NOW)
        (back,) = events
        assert isinstance(back, StockReplenished)
        assert back.revision > gone.revision


STEPS = st.lists(
    st.tuples(st.sampled_from(["reserve", "commit", "release", "expire", "add", "set"]), st.sampled_from("abc")),
    max_size=25,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
async def test_whatever_comes_in_whatever_order_the_books_agree(steps: list[tuple[str, str]]) -> None:
    async with stocked(quantity=8) as database:
        for step, order in steps:
            async with database.transaction() as db:
                try:
                    match step:
                        case "reserve":
                            await stockroom.reserve(db, order, {"tea": 3, "cup": 1}, now=NOW, ttl_s=60)
                        case "commit":
                            await stockroom.commit(db, order, now=NOW)
                        case "release":
                            await stockroom.release(db, order, now=NOW)
                        case "expire":
                            row = await db.get(Reservation, order)
                            if row is not None:
                                await stockroom.expire(db, row, now=NOW)
                        case _:
                            await stockroom.adjust(db, "tea", Operation(step), 4, DELIVERY)
                except (Conflict, NotFound):
                    pass
        async with database.read() as db:
            rows = (await db.scalars(select(Reservation))).all()
            for product in ("tea", "cup"):
                row = await db.get(Stock, product)
                assert row is not None
                moved = await db.scalar(select(func.sum(Movement.delta)).where(Movement.product_id == product))
                held = sum(each.lines.get(product, 0) for each in rows if each.state == "held")
                sold = sum(each.lines.get(product, 0) for each in rows if each.state == "committed")
                assert (row.reserved, row.sold, row.quantity) == (held, sold, moved)
                assert row.quantity + row.sold == row.received
