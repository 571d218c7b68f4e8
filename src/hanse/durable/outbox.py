"""The outbox: events are stored with the business rows, in the same transaction, and published afterwards."""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core import Env
from hanse.durable.store import Store
from hanse.events import Envelope


class Outbox:
    """The writing side; `Relay` is the reading side.

    Args:
        env: the node's seams.
        store: the service's database.
        wake: called when rows have been committed.
    """

    def __init__(self, env: Env, store: Store, wake: Callable[[], None]) -> None:
        self._env = env
        self._store = store
        self._wake = wake

    async def add(self, session: AsyncSession, envelope: Envelope) -> None:
        """Publish an event if, and only if, the caller's transaction commits.

        What the session has pending is flushed first, so that events about one row are stored in the order in which
        the row was locked.

        Args:
            session: of `Database.transaction()`.
        """
        if session.new or session.dirty or session.deleted:
            await session.flush()
        values = {
            "attributes": json.dumps(envelope.attributes()),
            "data": envelope.data,
            "now": self._env.clock.now(),
        }
        await self._store.run_in(session, "outbox_insert", values)
        self._store.on_commit(session, self._wake)

    async def pending(self) -> bool:
        """True when something committed has not been published yet."""
        return bool((await self._store.read("outbox_pending", {}))[0][0])

    async def refused(self, *, limit: int = 100) -> list[tuple[dict[str, Any], str]]:
        """Events that the transport refused for good: their attributes, and why. The newest first."""
        rows = await self._store.read("outbox_refused", {"count": limit})
        return [(json.loads(attributes), error) for attributes, error in rows]
