"""Past SQLAlchemy: the driver's connection inside a transaction, what runs at its begin, single reads."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import PendingRollbackError

from hanse.core.errors import ConfigurationError, Conflict
from hanse.db import Database, ReadOnlySession, UnitOfWork, at_begin, driver
from hanse.db.sqlite import InlineConnection


@pytest.fixture
async def notes(database: Database) -> Database:
    async with database.raw() as connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY)")
    return database


async def count(database: Database) -> int:
    [(found,)] = await database.look("SELECT count(*) FROM notes WHERE id < :id", {"id": 100})
    return int(found)


async def test_what_the_driver_writes_belongs_to_the_transaction(notes: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with notes.transaction() as session:
            (await driver(session)).execute("INSERT INTO notes VALUES (1)")
            assert await count(notes) == 0
            raise ZeroDivisionError
    assert await count(notes) == 0
    async with notes.transaction() as session:
        await session.execute(text("INSERT INTO notes VALUES (1)"))
        connection = await driver(session)
        connection.execute("INSERT INTO notes VALUES (2)")
        assert await driver(session) is connection
    assert await count(notes) == 2


async def test_after_an_end_the_driver_begins_anew(notes: Database) -> None:
    async with notes.transaction() as session:
        (await driver(session)).execute("INSERT INTO notes VALUES (1)")
        await session.rollback()
        assert (await driver(session)).in_transaction, "never outside a transaction"
        (await driver(session)).execute("INSERT INTO notes VALUES (2)")
        await session.commit()
        other = asyncio.Event(), asyncio.Event()

        async def meanwhile() -> None:
            async with notes.transaction() as another:
                (await driver(another)).execute("INSERT INTO notes VALUES (3)")
                other[0].set()
                await other[1].wait()

        task = asyncio.create_task(meanwhile())
        await other[0].wait()
        waiting = asyncio.create_task(session.driver() if isinstance(session, UnitOfWork) else asyncio.sleep(0))
        await asyncio.sleep(0)
        assert not waiting.done(), "the connection serves another transaction now"
        other[1].set()
        (await waiting).execute("INSERT INTO notes VALUES (4)")
        await task
    assert await count(notes) == 3 and await notes.look("SELECT max(id) FROM notes", {}) == [(4,)]


async def test_a_failed_flush_is_not_written_past(notes: Database, tables: Any) -> None:
    with pytest.raises(PendingRollbackError):
        async with notes.transaction() as session:
            (await driver(session)).execute("INSERT INTO notes VALUES (1)")
            session.add_all([tables(email="ida"), tables(email="ida")])
            with pytest.raises(Conflict):
                await session.flush()
            await driver(session)
    assert await count(notes) == 0


async def test_what_is_to_happen_at_the_begin_comes_first(notes: Database) -> None:
    def note(connection: InlineConnection) -> None:
        connection.execute("INSERT INTO notes VALUES (7)")

    async with notes.transaction() as session:
        at_begin(session, note)
        assert await count(notes) == 0
        assert (await session.execute(text("SELECT id FROM notes"))).scalar() == 7

    def refuse(connection: InlineConnection) -> None:
        raise Conflict("no")

    with pytest.raises(Conflict, match="no"):
        async with notes.transaction() as session:
            at_begin(session, refuse)
            await session.execute(text("INSERT INTO notes VALUES (8)"))
    assert await count(notes) == 1


async def test_a_look_only_reads(notes: Database) -> None:
    with pytest.raises(ReadOnlySession):
        await notes.look("INSERT INTO notes VALUES (1)", {})
    async with notes.read() as session:
        with pytest.raises(ConfigurationError, match=r"database\.transaction"):
            await driver(session)
