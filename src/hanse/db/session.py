"""The unit of work: a session that writes, with what shall happen at its begin, its commit or its rollback."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.util import greenlet_spawn

from hanse.core.errors import ConfigurationError
from hanse.db.sqlite import InlineConnection, raw

Callback = Callable[[], None]
AtBegin = Callable[[InlineConnection], None]


class Commits(Protocol):
    """What a unit of work needs from the writer."""

    @property
    def engine(self) -> AsyncEngine: ...

    @property
    def commits(self) -> int: ...

    async def confirm(self) -> None: ...

    def report(self, error: BaseException) -> None: ...


class _Within(Session):
    """The synchronous session inside a unit of work."""

    at_begin: AtBegin | None = None


@event.listens_for(_Within, "after_begin")  # once for the class: a listener per session costs as much as a statement
def _begun(session: _Within, transaction: object, connection: Connection) -> None:
    if session.at_begin is not None:
        session.at_begin(raw(connection.connection))


class UnitOfWork(AsyncSession):
    """The session of `Database.transaction()`.

    Guarantees:
        `commit` returns when the data is durable and the `on_commit` callbacks have run. A cancellation that arrives
        while the disk is flushed is delivered after that: the commit is never half known.

    Args:
        writer: whose transactions these are.
    """

    sync_session_class = _Within
    sync_session: _Within

    def __init__(self, writer: Commits) -> None:
        super().__init__(writer.engine, expire_on_commit=False)
        self._writer = writer
        self._on_commit: list[Callback] = []
        self._on_rollback: list[Callback] = []
        self._driver: InlineConnection | None = None
        self._driven: object = None

    async def driver(self) -> InlineConnection:
        """The driver's own connection inside this transaction, which is begun if need be.

        For statements that need none of SQLAlchemy and run often: it is asked for once per transaction. What the
        session has pending is not flushed. Commit and roll back through the session only.
        """
        transaction = self.sync_session.get_transaction()
        driver = self._driver
        # Not to be used after an end that the session does not know of: the connection may serve another by then.
        if driver is None or transaction is None or transaction is not self._driven or not driver.in_transaction:
            driver = raw((await greenlet_spawn(self.sync_session.connection)).connection)
            self._driver, self._driven = driver, self.sync_session.get_transaction()
        return driver

    async def commit(self) -> None:
        """Commit, wait until the data is durable, run the callbacks.

        Raises:
            DurabilityLost: the commit was made and the disk did not confirm it.
            HanseError: as translated in `errors.py`; the session must be rolled back.
        """
        before = self._writer.commits
        await super().commit()
        callbacks, self._on_commit, self._on_rollback = self._on_commit, [], []
        cancelled: asyncio.CancelledError | None = None
        if self._writer.commits != before:
            try:
                await self._writer.confirm()
            except asyncio.CancelledError as error:
                cancelled = error  # raised by `confirm` once the data is durable
        self._run(callbacks)
        if cancelled is not None:
            raise cancelled

    async def rollback(self) -> None:
        """Undo everything since the last commit, run the callbacks for that."""
        await super().rollback()
        callbacks, self._on_commit, self._on_rollback = self._on_rollback, [], []
        self._run(callbacks)

    def _run(self, callbacks: list[Callback]) -> None:
        for callback in callbacks:
            try:
                callback()
            except Exception as error:
                self._writer.report(error)


def on_commit(session: AsyncSession, callback: Callback) -> None:
    """Have `callback()` called once the session's transaction is durable; not at all if it is rolled back.

    Callbacks run in the order they were added, in the task that commits, before `transaction()` returns. They must
    not block. An error of a callback goes to the scope's `on_error`: the commit stands. A savepoint that is rolled
    back does not take its callbacks with it.

    Raises:
        ConfigurationError: the session does not come from `Database.transaction()`.
    """
    _unit(session)._on_commit.append(callback)


def on_rollback(session: AsyncSession, callback: Callback) -> None:
    """Have `callback()` called when the session's transaction is rolled back; else as `on_commit`."""
    _unit(session)._on_rollback.append(callback)


def at_begin(session: AsyncSession, callback: AtBegin) -> None:
    """Have `callback(connection)` called when the session's transaction begins, ahead of its first statement.

    It gets the driver's connection. What it raises comes out of the statement that began the transaction.

    Raises:
        ConfigurationError: the session does not come from `Database.transaction()`.
    """
    _unit(session).sync_session.at_begin = callback


async def driver(session: AsyncSession) -> InlineConnection:
    """See `UnitOfWork.driver`.

    Raises:
        ConfigurationError: the session does not come from `Database.transaction()`.
    """
    return await _unit(session).driver()


def _unit(session: Any) -> UnitOfWork:
    if not isinstance(session, UnitOfWork):
        raise ConfigurationError("only a session of `database.transaction()` commits: this one reads, or is foreign")
    return session
