"""Columns give back what was put in."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hanse.core import Env
from hanse.db import Database, Json, UtcDateTime


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    body: Mapped[Any] = mapped_column(Json, nullable=True)


@pytest.fixture
async def notes(env: Env, tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(env, f"sqlite:///{tmp_path}/notes.db", metadata=Base.metadata)
    await database.start()
    yield database
    await database.stop()


async def _round_trip(database: Database, note: Note) -> Note:
    async with database.transaction() as session:
        session.add(note)
    async with database.read() as session:
        return (await session.scalars(select(Note))).one()


async def test_instants_come_back_in_utc(notes: Database) -> None:
    at = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    note = await _round_trip(notes, Note(at=at, body=None))
    assert note.at == at
    assert note.at is not None
    assert note.at.tzinfo is UTC


async def test_a_naive_datetime_is_refused(notes: Database) -> None:
    with pytest.raises(StatementError, match="without time zone"):
        await _round_trip(notes, Note(at=datetime(2026, 3, 1), body=None))


async def test_json_keeps_what_jsonb_would_refuse(notes: Database) -> None:
    body = {"nul": "a\u0000b", "list": [1, 2.5, None, True], "deep": {"ü": "€"}}
    assert (await _round_trip(notes, Note(at=None, body=body))).body == body


async def test_none_is_null(notes: Database) -> None:
    await _round_trip(notes, Note(at=None, body=None))
    async with notes.raw() as connection:
        assert connection.execute("SELECT at, body FROM notes").fetchone() == (None, None)


_LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)


@given(st.recursive(_LEAVES | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_json_value_survives(value: Any) -> None:
    column: Any = Json()
    assert column.process_result_value(column.process_bind_param(value, None), None) == value


@given(st.datetimes(timezones=st.timezones()))
def test_any_instant_survives(at: datetime) -> None:
    column: Any = UtcDateTime()
    try:
        at.astimezone(UTC)
    except OverflowError:
        return
    assert column.process_result_value(column.process_bind_param(at, None), None) == at.astimezone(UTC)
