"""Answers to requests that carry an idempotency key, kept in the transaction that did the work."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core import Env
from hanse.db import driver
from hanse.db.sqlite import InlineConnection
from hanse.durable.errors import KeyInProgress, KeyReused
from hanse.durable.store import Store, Values


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """An answer as it was first given."""

    status: int
    """HTTP status."""
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Answered(Exception):
    """The key that a transaction wanted to claim has its answer already: roll back and replay `response`."""

    def __init__(self, response: StoredResponse) -> None:
        super().__init__("this idempotency key has been answered")
        self.response = response


class Idempotency:
    """One answer per (scope, key).

    Source: IETF draft "The Idempotency-Key HTTP Header Field".
    """

    def __init__(self, env: Env, store: Store) -> None:
        self._env = env
        self._store = store
        self._turns: dict[tuple[str, str], list[asyncio.Event]] = {}

    @asynccontextmanager
    async def turn(self, scope: str, key: str) -> AsyncIterator[None]:
        """One request per key at a time in this replica, in the order they came; other replicas meet at the claim."""
        waiting = self._turns.setdefault((scope, key), [])
        mine = asyncio.Event()
        waiting.append(mine)
        try:
            if waiting[0] is not mine:
                await mine.wait()
            yield
        finally:
            waiting.remove(mine)
            if waiting:
                waiting[0].set()
            else:
                self._turns.pop((scope, key), None)

    async def stored(self, scope: str, key: str, fingerprint: str) -> StoredResponse | None:
        """The answer given to a key, if there is one; holds no lock and claims nothing.

        Raises:
            KeyReused: the key came with another request before.
        """
        rows = await self._store.read("idempotency_read", {"scope": scope, "key": key})
        return _answer(rows[0], fingerprint) if rows and rows[0][1] is not None else None

    def claim_at_begin(self, session: AsyncSession, scope: str, key: str, fingerprint: str) -> None:
        """Have the key claimed by the first statement of the session's transaction, whenever that comes.

        So a request may call other services first and holds no lock meanwhile, and what it writes is still written
        once: a statement that finds the key answered by another replica raises `Answered` in its place.

        Args:
            session: of `Database.transaction()`: the work, the claim and the answer commit together, or not at all.
            scope: what the key is unique in: route and caller.
            fingerprint: digest of the request, to recognise a key that is used for another one.
        """

        def begun(connection: InlineConnection) -> None:
            values = {"scope": scope, "key": key, "fingerprint": fingerprint, "now": self._env.clock.now()}
            if (response := self._claim(connection, values, fingerprint)) is not None:
                raise Answered(response)

        self._store.at_begin(session, begun)

    async def begin(self, session: AsyncSession, scope: str, key: str, fingerprint: str) -> StoredResponse | None:
        """Claim a key at once, or get the answer that was given to it.

        A request with the same key that is being handled elsewhere is waited for: its transaction comes first.

        Args: as those of `claim_at_begin`.

        Returns: the stored answer to replay; None: do the work, then `finish`.

        Raises:
            KeyReused: the key came with another request before.
            KeyInProgress: the key was claimed and never answered.
        """
        values = {"scope": scope, "key": key, "fingerprint": fingerprint, "now": self._env.clock.now()}
        return self._claim(await driver(session), values, fingerprint)

    async def finish(self, session: AsyncSession, scope: str, key: str, response: StoredResponse) -> None:
        """Keep the answer; in the transaction that claimed the key."""
        values = {
            "scope": scope,
            "key": key,
            "status": response.status,
            "headers": json.dumps(dict(response.headers)),
            "body": response.body,
        }
        await self._store.run_in(session, "idempotency_finish", values)

    def _claim(self, connection: InlineConnection, values: Values, fingerprint: str) -> StoredResponse | None:
        if self._store.run_on(connection, "idempotency_begin", values).rowcount == 1:
            return None
        [row] = self._store.run_on(connection, "idempotency_read", values).fetchall()
        return _answer(row, fingerprint)


def _answer(row: Sequence[Any], fingerprint: str) -> StoredResponse:
    before, status, headers, body = row
    if before != fingerprint:
        raise KeyReused("this idempotency key was used for a different request")
    if status is None:
        raise KeyInProgress("the first request with this idempotency key has not been answered yet")
    return StoredResponse(status, body, json.loads(headers))
