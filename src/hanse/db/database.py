"""The database of a service: transactions, reads, schema."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.pool import AsyncAdaptedQueuePool

from hanse.core import Component, Env
from hanse.core.errors import ConfigurationError
from hanse.db.errors import ReadOnlySession, translate
from hanse.db.fsync import Flush
from hanse.db.migrations import migrate
from hanse.db.schema import apply, sql_files
from hanse.db.session import UnitOfWork
from hanse.db.sqlite import InlineConnection, Pause, build_engine, no_pause, open_reader
from hanse.db.writer import Writer

_READERS_KEPT = 8


class Database(Component):
    """One SQLite file, for all replicas of one service.

    Guarantees:
        A transaction that returned is on the disk. Transactions of all processes on the file are serialised; within
        a process they are served in the order of their first statement. Reads see one consistent state and never
        wait for writers. Nothing suspends between a commit and its return except the wait for the disk.

    Args:
        env: the seams.
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`; `sqlite://` is a temporary database for tests.
        metadata: the service's tables; created where they are missing if there are no migrations.
        migrations: folder with Alembic revision files, applied by `start`.
        pause: awaited around statements (see `sqlite.Pause`); for simulation.
        flush: makes a file descriptor durable; for simulation and tests.
    """

    name = "database"
    dialect = "sqlite"

    def __init__(
        self,
        env: Env,
        url: str,
        *,
        metadata: MetaData | None = None,
        migrations: Path | None = None,
        pause: Pause = no_pause,
        flush: Flush = os.fdatasync,
    ) -> None:
        self.metadata = metadata
        self.migrations = migrations
        self._env = env
        self._file = _file_of(url)
        self._pause = pause
        self._flush = flush
        self._temporary: str | None = None
        self._writing: Writer | None = None
        self._readers: AsyncEngine | None = None
        self._reader: InlineConnection | None = None

    async def start(self) -> None:
        """Open the file, creating it and its folder, and bring its schema up to date.

        Raises:
            ConfigurationError: the file can't be opened, or the migrations don't fit.
        """
        self._release()
        self._env.scope.own(self._release)
        path = self._file or self._make_temporary()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"the folder of the database can't be made: {error}") from error
        self._writing = Writer(self._env, path, pause=self._pause, flush=self._flush)
        await self._writing.open()
        self._readers = build_engine(
            self._env,
            str(path),
            writes=False,
            pause=self._pause,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=_READERS_KEPT,
            max_overflow=-1,  # a reader costs little; the number of requests is bounded elsewhere
            pool_use_lifo=True,
        )
        self._reader = open_reader(str(path))
        await migrate(self._writing, self.metadata, self.migrations)

    async def ready(self) -> str | None:
        if self._writing is None:
            return "not started"
        failure = self._writing.fsync.failure
        return None if failure is None else f"the disk failed: {failure}"

    async def stop(self) -> None:
        if self._writing is not None:
            await self._writing.settle()
        self._release()

    def transaction(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A session whose changes are committed when the block ends, and undone when it raises.

        The lock is taken at the session's first statement and held to the end: no waiting for a network in between.
        After a `flush` or the commit, violated constraints raise `Conflict`.

        Raises:
            Unavailable: the lock was not to be had, or the disk is full or failed; nothing was written.
            DurabilityLost: committed, and the disk did not confirm it.
            ConfigurationError: opened and used inside another transaction of the same task.
        """
        return self._writer().transaction()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one consistent state, from its first statement on.

        Raises:
            ReadOnlySession: something was written or left to be written.
        """
        if self._readers is None:
            raise ConfigurationError("the database is not started")
        session = AsyncSession(self._readers, expire_on_commit=False)
        try:
            yield session
            if session.new or session.deleted or session.dirty:
                raise ReadOnlySession("this session only reads: change objects inside `database.transaction()`")
        finally:
            await session.close()

    async def look(self, sql: str, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """The rows of one SELECT, past SQLAlchemy: a tenth of the cost of a session. Sees what is committed.

        Args:
            sql: in SQLite's own words, with parameters written `:name`.
            values: by parameter name.

        Raises:
            ReadOnlySession: the statement writes.
        """
        if self._reader is None:
            raise ConfigurationError("the database is not started")
        await self._pause("execute")
        try:
            rows: list[Any] = self._reader.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise translate(error) or error from error
        return rows

    def raw(self) -> AbstractAsyncContextManager[InlineConnection]:
        """The sqlite3 connection that writes, inside a transaction: committed and durable when the block ends.

        For code that writes many rows a second with its own SQL. Statements run inline; the block must not await
        anything but the database. Errors of sqlite3 are translated when they leave the block, as in `transaction`.
        """
        return self._writer().raw()

    async def apply_sql(self, namespace: str, folder: Traversable) -> list[str]:
        """Apply the files `NNNN_name.sqlite.sql` of a folder, each once, and return the names of the new ones.

        Args:
            namespace: whose tables these are (`durable`); a record is kept in the table `hanse_schema`.
            folder: a `Path` or `importlib.resources.files(...)`.

        Raises:
            ConfigurationError: no such files, or an applied one was edited.
        """
        files = sql_files(folder, self.dialect)
        writer = self._writer()
        async with writer.schema_change(), writer.raw() as connection:
            return apply(connection, namespace, files, self._env.clock)

    def data_version(self) -> int:
        """A number that changes exactly when another process has committed to the file; cheap enough to poll."""
        return self._writer().data_version()

    def _writer(self) -> Writer:
        if self._writing is None:
            raise ConfigurationError("the database is not started")
        return self._writing

    def _release(self) -> None:
        readers, self._readers = self._readers, None
        writing, self._writing = self._writing, None
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        if readers is not None:
            readers.sync_engine.dispose()
        if writing is not None:
            writing.release()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def _make_temporary(self) -> Path:
        self._temporary = tempfile.mkdtemp(prefix="hanse-db-")
        return Path(self._temporary) / "temporary.db"


def _file_of(url: str) -> Path | None:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(f"not a database URL: {url!r}; for example sqlite:///data/orders.db") from error
    if parsed.drivername != "sqlite":
        raise ConfigurationError(f"no database backend for {parsed.drivername!r}; known: sqlite")
    if not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database).absolute()
