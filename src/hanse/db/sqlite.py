"""SQLite for asyncio without threads: a SQLAlchemy dialect that calls sqlite3 inside the event loop.

A statement on a local file takes microseconds, a hop to a thread and back takes more. What could wait does so with
`await`: the lock that another process holds (`do_begin`), and the disk (`fsync.py`). See ADR 0003.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, cast

from sqlalchemy import URL, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.base import SQLiteExecutionContext
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_

from hanse.core import Env
from hanse.core.errors import Unavailable
from hanse.db.errors import is_busy, translate

Pause = Callable[[str], Awaitable[None]]
"""Awaited at `begin`, `execute`, `commit` (each before it happens) and `committed`: a simulation suspends there."""

_FIRST_RETRY_S = 0.0002
_LONGEST_RETRY_S = 0.005


class _Ready:
    """An awaitable that is done: SQLAlchemy asks async dialects to await at least once, which need not suspend."""

    def __await__(self) -> Generator[Any, Any, None]:
        return iter(())  # type: ignore[return-value]  # an exhausted iterator is all that `await` asks for


_READY = _Ready()


def no_pause(point: str) -> Awaitable[None]:
    """The `Pause` of production: goes on at once."""
    return _READY


class InlineCursor(sqlite3.Cursor):
    """Fetches all rows when it executes, so that no statement stays open while the task is suspended."""

    _rows: list[Any]
    _next = 0

    def execute(self, sql: str, parameters: Any = (), /) -> "InlineCursor":
        super().execute(sql, parameters)
        self._rows = super().fetchall() if self.description else []
        self._next = 0
        return self

    def executemany(self, sql: str, parameters: Any, /) -> "InlineCursor":
        super().executemany(sql, parameters)
        self._rows, self._next = [], 0
        return self

    def fetchone(self) -> Any:
        if self._next >= len(self._rows):
            return None
        self._next += 1
        return self._rows[self._next - 1]

    def fetchmany(self, size: int | None = None) -> list[Any]:
        first, self._next = self._next, min(len(self._rows), self._next + (size or self.arraysize))
        return self._rows[first : self._next]

    def fetchall(self) -> list[Any]:
        first, self._next = self._next, len(self._rows)
        return self._rows[first:] if first else self._rows

    def __iter__(self) -> "InlineCursor":
        return self

    def __next__(self) -> Any:
        if (row := self.fetchone()) is None:
            raise StopIteration
        return row

    async def _async_soft_close(self) -> None:
        """Part of SQLAlchemy's contract for cursors; the rows are here already."""


class StreamCursor(sqlite3.Cursor):
    """Fetches rows as they are asked for: for `session.stream`, which reads results larger than memory."""

    async def _async_soft_close(self) -> None:
        """As in `InlineCursor`."""


class InlineConnection(sqlite3.Connection):
    """A connection whose cursors are `InlineCursor`s. Transactions are begun and ended by the dialect alone."""

    def cursor(self, factory: Any = InlineCursor) -> Any:
        return super().cursor(factory)

    @property
    def driver_connection(self) -> "InlineConnection":
        """What SQLAlchemy hands out as the raw connection."""
        return self


class InlineContext(SQLiteExecutionContext):
    """Uses the streaming cursor where SQLAlchemy asks for a server-side one."""

    def create_server_side_cursor(self) -> Any:
        return self._dbapi_connection.cursor(StreamCursor)


class InlineDialect(SQLiteDialect_pysqlite):
    """`sqlite+inline`, given out by `writer_engine` and `reader_engine`.

    Args:
        env: for the pauses between two tries to get the lock.
        writes: True: BEGIN IMMEDIATE, tried again while another process writes. False: BEGIN, and writes are refused.
        pause: see `Pause`.
    """

    driver = "inline"
    is_async = True
    has_terminate = True
    supports_statement_cache = True
    supports_server_side_cursors = True
    execution_ctx_cls = InlineContext

    def __init__(self, env: Env, writes: bool, pause: Pause = no_pause, **settings: Any) -> None:
        super().__init__(**settings)
        self.patience_s = 5.0
        """How long a transaction waits for a writer in another process."""
        self.commits = 0
        """Transactions committed so far."""
        self._env = env
        self._writes = writes
        self._pause = None if pause is no_pause else pause

    def create_connect_args(self, url: URL) -> tuple[Sequence[str], dict[str, Any]]:
        settings = {"factory": InlineConnection, "isolation_level": None, "cached_statements": 512}
        return [url.database or ""], {**settings, "timeout": 0, "check_same_thread": False}

    def on_connect(self) -> Callable[[Any], None]:
        inherited = super().on_connect()

        def connect(connection: Any) -> None:
            inherited(connection)
            for pragma in _WRITER_PRAGMAS if self._writes else _READER_PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")

        return connect

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        """Keeps sqlite3 from ever beginning a transaction by itself."""

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        return "SERIALIZABLE"

    def detect_autocommit_setting(self, dbapi_conn: Any) -> bool:
        return False

    def do_begin(self, dbapi_connection: Any) -> None:
        connection = raw(dbapi_connection)
        self._step("begin")
        if self._writes:
            await_(begin_immediate(self._env, connection, self.patience_s))
        else:
            connection.execute("BEGIN")

    def do_commit(self, dbapi_connection: Any) -> None:
        connection = raw(dbapi_connection)
        if connection.in_transaction:
            self._step("commit")
            connection.execute("COMMIT")
            self.commits += 1
            self._step("committed")

    def do_rollback(self, dbapi_connection: Any) -> None:
        connection = raw(dbapi_connection)
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.ProgrammingError:
            return  # closed by a node that stops: that has rolled back already

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        await_(_READY if self._pause is None else self._pause("execute"))
        cursor.execute(statement, parameters)

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        await_(_READY if self._pause is None else self._pause("execute"))
        cursor.executemany(statement, parameters)

    def _step(self, point: str) -> None:
        if self._pause is not None:
            await_(self._pause(point))


def raw(dbapi_connection: Any) -> InlineConnection:
    """The sqlite3 connection itself: SQLAlchemy passes the pool's proxy to some hooks."""
    connection: InlineConnection = getattr(dbapi_connection, "dbapi_connection", dbapi_connection)
    return connection


async def begin_immediate(env: Env, connection: sqlite3.Connection, patience_s: float) -> None:
    """Begin a write transaction; while another process writes, sleep and try again without blocking the loop.

    Raises:
        Unavailable: the lock was not free within `patience_s`; nothing was done.
    """
    began, pause_s = None, _FIRST_RETRY_S
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            now = env.clock.monotonic()
            began = now if began is None else began
            if now - began > patience_s:
                raise Unavailable(f"another process kept the database locked for {patience_s:g} s") from error
        else:
            return
        await env.clock.sleep(pause_s * env.random.uniform(0.5, 1.5))
        pause_s = min(pause_s * 1.5, _LONGEST_RETRY_S)


def open_reader(path: str) -> InlineConnection:
    """A connection for single statements that only read; each sees what is committed when it begins."""
    settings: dict[str, Any] = {"factory": InlineConnection, "isolation_level": None, "check_same_thread": False}
    connection = sqlite3.connect(path, cached_statements=512, **settings)
    for pragma in _READER_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return cast("InlineConnection", connection)


def build_engine(env: Env, path: str, *, writes: bool, pause: Pause = no_pause, **settings: Any) -> AsyncEngine:
    """An engine on the file at `path` that speaks this dialect and raises Hanse's errors.

    Args:
        settings: passed on to `sqlalchemy.ext.asyncio.create_async_engine` (the pool).
    """
    registry.register("sqlite.inline", __name__, InlineDialect.__name__)
    url = URL.create("sqlite+inline", database=path)
    engine = create_async_engine(url, env=env, writes=writes, pause=pause, **settings)
    event.listen(engine.sync_engine, "handle_error", _raise_ours)
    return engine


def _raise_ours(context: ExceptionContext) -> BaseException | None:
    return translate(context.original_exception)


_PRAGMAS = ("busy_timeout = 1000", "foreign_keys = ON", "temp_store = MEMORY", "mmap_size = 268435456")
_WRITER_PRAGMAS = (
    *_PRAGMAS,
    "synchronous = NORMAL",  # commits are made durable by fsync.py
    "cache_size = -65536",
    "wal_autocheckpoint = 1000",
    "journal_size_limit = 67108864",
    "busy_timeout = 0",  # from here on the wait for a lock is an awaited one
)
_READER_PRAGMAS = (*_PRAGMAS, "query_only = ON", "cache_size = -16384")
