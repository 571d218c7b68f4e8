"""The named queries on the service's database: in the caller's transaction, in one of our own, or in a group."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from hanse.db import Database, UnitOfWork, at_begin, driver, on_commit, on_rollback
from hanse.db.errors import translate
from hanse.db.sqlite import InlineConnection
from hanse.durable.queries import TABLES, Queries

Values = Mapping[str, Any]
Rows = Sequence[Sequence[Any]]
Run = Callable[[str, Values], Any]


class Store:
    """What the rest of this room sees of the database.

    Args:
        database: of the service; started before `prepare`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = Queries(database.dialect)

    async def prepare(self) -> None:
        """Make or upgrade the tables `hanse_…`. Safe while other replicas do the same."""
        await self._database.apply_sql("durable", TABLES)

    def run_on(self, connection: InlineConnection, name: str, values: Values) -> sqlite3.Cursor:
        """Run a statement on the driver's connection; its cursor holds the rows."""
        try:
            return connection.execute(self._queries.sql(name), values)
        except sqlite3.Error as error:
            raise translate(error) or error from error

    async def run_in(self, session: AsyncSession, name: str, values: Values) -> int:
        """Run a statement in the caller's transaction; the number of rows it touched.

        On the driver's connection, past SQLAlchemy's statement machinery: a third of the cost of starting a saga.
        """
        return self.run_on(await driver(session), name, values).rowcount

    async def read(self, name: str, values: Values) -> Rows:
        """The rows of a query, from a consistent state that never waits for writers."""
        return await self._database.look(self._queries.sql(name), values)

    async def write(self, name: str, values: Values) -> int:
        """Run one statement in a transaction of its own, durable on return; the number of rows it touched."""
        async with self._database.raw() as connection:
            return int(connection.execute(self._queries.sql(name), values).rowcount)

    async def write_rows(self, name: str, values: Values) -> Rows:
        """As `write`, for a statement that returns rows."""
        async with self._database.raw() as connection:
            rows: Rows = connection.execute(self._queries.sql(name), values).fetchall()
            return rows

    async def write_group(self, apply: Callable[[Run], None]) -> None:
        """Run `apply(run)` inside one transaction, durable on return.

        `apply` is called once the transaction has begun, so that it can take what has gathered until then;
        `run(name, values)` gives the number of rows touched. It may not await.
        """
        sql = self._queries.sql
        async with self._database.raw() as connection:
            execute = connection.execute
            apply(lambda name, values: execute(sql(name), values).rowcount)

    def transaction(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A transaction for a local step."""
        return self._database.transaction()

    def on_commit(self, session: AsyncSession, callback: Callable[[], None]) -> None:
        """See `hanse.db.on_commit`."""
        on_commit(session, callback)

    def on_rollback(self, session: AsyncSession, callback: Callable[[], None]) -> None:
        """See `hanse.db.on_rollback`."""
        on_rollback(session, callback)

    def at_begin(self, session: AsyncSession, callback: Callable[[InlineConnection], None]) -> None:
        """See `hanse.db.at_begin`."""
        at_begin(session, callback)

    def foreign_commits(self) -> int:
        """A number that changes when another process has committed; cheap."""
        return self._database.data_version()
