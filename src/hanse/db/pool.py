"""The writer's pool: one connection, given to one transaction after another."""

from typing import Any, cast

from sqlalchemy.pool import ConnectionPoolEntry, Pool
from sqlalchemy.util import await_

from hanse.db.gate import Gate
from hanse.db.sqlite import InlineConnection


class WriterPool(Pool):
    """Holds the only connection of this process that writes; a checkout waits for its turn at the gate.

    One connection keeps the page cache and the prepared statements warm: with several, each commit of one would
    empty the caches of the others.

    Args:
        creator: opens the connection (given by SQLAlchemy).
        gate: whose owner may use the connection.
    """

    _is_asyncio = True

    def __init__(self, creator: Any, gate: Gate, **settings: Any) -> None:
        super().__init__(creator, **settings)
        self._gate = gate
        self._entry: ConnectionPoolEntry | None = None

    def status(self) -> str:
        return f"WriterPool {'in use' if self._gate.locked else 'free'}"

    def recreate(self) -> "WriterPool":
        return WriterPool(self._creator, self._gate, _dispatch=self.dispatch, dialect=self._dialect)

    def dispose(self) -> None:
        if self._entry is not None:
            self._entry.close()
            self._entry = None

    def borrow(self) -> InlineConnection:
        """The writer's connection itself, opened if need be. Only for whoever holds the gate, inside a greenlet."""
        if self._entry is None:
            self._entry = self._create_connection()
        if self._entry.dbapi_connection is None:
            self._entry.get_connection()  # type: ignore[attr-defined]
        return cast(InlineConnection, self._entry.dbapi_connection)

    def idle(self) -> InlineConnection | None:
        """The writer's connection as it is, for questions that need no turn; None while it is not open."""
        return None if self._entry is None else cast("InlineConnection | None", self._entry.dbapi_connection)

    def _do_get(self) -> ConnectionPoolEntry:
        if not self._gate.try_acquire():
            await_(self._gate.acquire())
        try:
            if self._entry is None:
                self._entry = self._create_connection()
        except BaseException:
            self._gate.release()
            raise
        return self._entry

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        self._gate.release()
