"""A database on a file of its own, and two tables to write to."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import CheckConstraint, ForeignKey, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hanse.core import Env
from hanse.db import Database


class Base(DeclarativeBase):
    metadata = MetaData()


class Account(Base):
    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    balance: Mapped[int] = mapped_column(CheckConstraint("balance >= 0", name="not_negative"), default=0)


class Entry(Base):
    __tablename__ = "entries"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))


Open = Callable[..., Awaitable[Database]]


@pytest.fixture
def tables() -> type[Account]:
    return Account


@pytest.fixture
def entries() -> type[Entry]:
    return Entry


@pytest.fixture
async def env() -> AsyncIterator[Env]:
    env = Env.build("test")
    yield env
    await env.scope.close()


@pytest.fixture
async def open_database(env: Env, tmp_path: Path) -> AsyncIterator[Open]:
    opened: list[Database] = []

    async def open_one(**settings: Any) -> Database:
        settings = {"metadata": Base.metadata, **settings}
        database = Database(env, f"sqlite:///{tmp_path}/test.db", **settings)
        opened.append(database)
        await database.start()
        return database

    yield open_one
    for database in opened:
        await database.stop()


@pytest.fixture
async def database(open_database: Open) -> Database:
    return await open_database()
