"""Prepared statements do what SQLAlchemy's own execution does: conversion, literals, RETURNING, errors."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Boolean as Bool
from sqlalchemy import Column, Integer, MetaData, String, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import sqlite

from hanse.core import Env
from hanse.core.errors import Conflict
from hanse.db import Database, Json, Prepared, UtcDateTime

metadata = MetaData()
visits = Table(
    "visits",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("name", String(20), unique=True, nullable=False),
    Column("facts", Json),
    Column("done", Bool, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
AT = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)
ADD = Prepared(insert(visits))
END = Prepared(
    update(visits)
    .where(visits.c.name == bindparam("who"), visits.c.done.is_(False))
    .values(done=True)
    .returning(visits)
)


def visit(name: str, **other: Any) -> dict[str, Any]:
    return {"name": name, "facts": {"seat": [1, None]}, "done": False, "at": AT, **other}


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    env = Env.build("prepared")
    database = Database(env, "sqlite://", metadata=metadata)
    await database.start()
    yield database
    await database.stop()
    await env.scope.close()


async def test_what_is_written_reads_the_same_through_sqlalchemy(database: Database) -> None:
    async with database.transaction() as session:
        await ADD.run(session, visit("ida", at=AT.astimezone(timezone(timedelta(hours=5)))))
        await ADD.run_all(session, [visit("ada", facts=None), visit("eva", done=True)])
    async with database.read() as session:
        rows = (await session.execute(select(visits).order_by(visits.c.number))).mappings().all()
    assert [dict(row) for row in rows] == [
        {"number": 1, **visit("ida")},
        {"number": 2, **visit("ada", facts=None)},
        {"number": 3, **visit("eva", done=True)},
    ]


async def test_rows_come_back_by_column_and_converted(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(insert(visits), visit("ida"))
        assert await END.run(session, {"who": "ida"}) == [{"number": 1, **visit("ida", done=True)}]
        assert await END.run(session, {"who": "ida"}) == []
        found = await Prepared(select(visits.c.at, visits.c.facts)).run(session, {})
        assert found == [{"at": AT, "facts": {"seat": [1, None]}}]
        assert await Prepared(delete(visits)).run(session, {}) == []
        assert (await session.execute(select(visits))).all() == []


async def test_it_is_part_of_the_transaction_and_speaks_its_errors(database: Database) -> None:
    once = Prepared(sqlite.insert(visits).on_conflict_do_nothing(index_elements=["name"]).returning(visits.c.number))
    with pytest.raises(Conflict, match="already exists: name"):
        async with database.transaction() as session:
            assert await once.run(session, visit("ida")) == [{"number": 1}]
            assert await once.run(session, visit("ida")) == []
            await ADD.run_all(session, [visit("ada"), visit("ada")])
    async with database.read() as session:
        assert (await session.execute(select(visits))).all() == []


async def test_a_naive_time_and_a_forgotten_value_are_refused(database: Database) -> None:
    async with database.transaction() as session:
        with pytest.raises(ValueError, match="time zone"):
            await ADD.run(session, visit("ida", at=AT.replace(tzinfo=None)))
        with pytest.raises(Exception, match="who"):
            await END.run(session, {})
