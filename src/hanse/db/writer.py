"""The writing side of a SQLite database: one connection, one gate, durable commits."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from sqlalchemy.util import greenlet_spawn

from hanse.core import Env
from hanse.core.errors import ConfigurationError, Unavailable
from hanse.db.errors import is_busy, translate
from hanse.db.fsync import Flush, GroupFsync
from hanse.db.gate import Gate
from hanse.db.pool import WriterPool
from hanse.db.session import UnitOfWork
from hanse.db.sqlite import InlineConnection, InlineDialect, Pause, begin_immediate, build_engine, no_pause

_FIRST_OPEN_S = 10.0
_SCHEMA_PATIENCE_S = 120.0


class Writer:
    """Gives out write transactions on one file, one at a time in this process.

    Args:
        env: the seams.
        path: the database file.
        pause: see `sqlite.Pause`.
        flush: see `fsync.Flush`.
    """

    def __init__(self, env: Env, path: Path, *, pause: Pause = no_pause, flush: Flush = os.fdatasync) -> None:
        self.gate = Gate()
        self.engine = build_engine(
            env,
            str(path),
            writes=True,
            pause=pause,
            poolclass=WriterPool,
            gate=self.gate,
            skip_autocommit_rollback=False,
        )
        self.fsync = GroupFsync(env.scope, path.with_name(f"{path.name}-wal"), flush)
        self._env = env
        self._pause = pause
        self._pool = cast(WriterPool, self.engine.sync_engine.pool)
        self._dialect = cast(InlineDialect, self.engine.sync_engine.dialect)
        self._path = path
        # The connection that stays: when the last of all connections closes, SQLite deletes the log that we flush.
        self._anchor: sqlite3.Connection | None = None
        self._reported = False

    @property
    def commits(self) -> int:
        """Transactions committed so far by this process."""
        return self._dialect.commits

    async def open(self) -> None:
        """Open the connection, switch the file to write-ahead logging, open the log for flushing.

        Raises:
            ConfigurationError: the file can't be opened, or its file system can't do write-ahead logging.
        """
        try:
            self._anchor = sqlite3.connect(self._path, timeout=0, isolation_level=None)
            await self._use_wal(self._anchor)
            await greenlet_spawn(self._pool.borrow)
        except (sqlite3.Error, Unavailable) as error:
            raise ConfigurationError(f"the database {self._path} can't be opened: {error}") from error
        self.fsync.open()

    async def confirm(self) -> None:
        """Return when everything committed so far is durable.

        Guarantees:
            A cancellation does not end the wait: it is raised once the data is durable.

        Raises:
            DurabilityLost: the disk did not confirm.
        """
        cancelled: asyncio.CancelledError | None = None
        while True:
            try:
                await self.fsync.wait()
                break
            except asyncio.CancelledError as error:
                cancelled = error
            except Exception as error:
                if not self._reported:
                    self._reported = True
                    self.report(error)
                raise
        if cancelled is not None:
            raise cancelled

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[UnitOfWork]:
        """See `Database.transaction`."""
        self._refuse_if_failed()
        session = UnitOfWork(self)
        try:
            yield session
            await session.commit()
        except BaseException:
            await session.rollback()
            raise
        finally:
            await session.close()

    @asynccontextmanager
    async def raw(self, patience_s: float | None = None) -> AsyncIterator[InlineConnection]:
        """See `Database.raw`."""
        self._refuse_if_failed()
        await self.gate.acquire()
        try:
            connection = self._pool.idle()
            if connection is None:
                connection = await greenlet_spawn(self._pool.borrow)
            await self._pause("begin")
            await begin_immediate(self._env, connection, patience_s or self._dialect.patience_s)
            try:
                yield connection
                await self._pause("commit")
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self._dialect.commits += 1
            await self._pause("committed")
        except sqlite3.Error as error:
            if (ours := translate(error)) is not None:
                raise ours from error
            raise
        finally:
            self.gate.release()
        await self.confirm()

    @asynccontextmanager
    async def schema_change(self) -> AsyncIterator[None]:
        """Wait longer than usual for the lock: another replica may be changing the schema."""
        usual, self._dialect.patience_s = self._dialect.patience_s, _SCHEMA_PATIENCE_S
        try:
            yield
        finally:
            self._dialect.patience_s = usual

    def data_version(self) -> int:
        """A number that changes exactly when another process has committed. Costs some microseconds."""
        connection = self._pool.idle()
        if connection is None:
            return 0
        row: tuple[int] = connection.execute("PRAGMA data_version").fetchone()
        return row[0]

    def report(self, error: BaseException) -> None:
        """Tell the node's owner about an error that no caller can be told about."""
        self._env.scope.on_error("database", error)

    async def settle(self) -> None:
        """Wait for the flush under way, if any."""
        await self.fsync.settle()

    def release(self) -> None:
        """Close everything without waiting, as the end of the process would. Idempotent."""
        self.engine.sync_engine.dispose()
        self.fsync.close()
        if self._anchor is not None:
            self._anchor.close()
            self._anchor = None

    async def _use_wal(self, connection: sqlite3.Connection) -> None:
        give_up = self._env.clock.monotonic() + _FIRST_OPEN_S
        while True:
            try:
                mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens, and creates, the log
            except sqlite3.OperationalError as error:
                if not is_busy(error) or self._env.clock.monotonic() > give_up:
                    raise
                await self._env.clock.sleep(self._env.random.uniform(0.001, 0.005))
                continue
            if mode != "wal":
                raise ConfigurationError(
                    f"the file system of {self._path} can't hold a write-ahead log (a network share?)"
                )
            return

    def _refuse_if_failed(self) -> None:
        if self.fsync.failure is not None:
            raise Unavailable(f"the disk failed, this process must be restarted: {self.fsync.failure}", retryable=False)
