"""Answers to requests that carry an idempotency key, kept in the transaction that did the work."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core import Env
from hanse.durable.errors import KeyInProgress, KeyReused
from hanse.durable.store import Store


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """An answer as it was first given."""

    status: int
    """HTTP status."""
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Idempotency:
    """One answer per (scope, key).

    Source: IETF draft "The Idempotency-Key HTTP Header Field".
    """

    def __init__(self, env: Env, store: Store) -> None:
        self._env = env
        self._store = store

    async def stored(self, scope: str, key: str, fingerprint: str) -> StoredResponse | None:
        """The answer given to a key, if there is one; holds no lock and claims nothing.

        For requests that call other services before they write: look here first, do the calls, and `begin` with the
        first write: no transaction then waits for a network.

        Raises:
            KeyReused: the key came with another request before.
        """
        rows = await self._store.read("idempotency_read", {"scope": scope, "key": key})
        return _answer(rows[0], fingerprint) if rows and rows[0][1] is not None else None

    async def begin(self, session: AsyncSession, scope: str, key: str, fingerprint: str) -> StoredResponse | None:
        """Claim a key, or get the answer that was given to it.

        A request with the same key that is being handled elsewhere is waited for: its transaction comes first.

        Args:
            session: of `Database.transaction()`: the work, the claim and the answer commit together, or not at all.
            scope: what the key is unique in: route and caller.
            fingerprint: digest of the request, to recognise a key that is used for another one.

        Returns: the stored answer to replay; None: do the work, then `finish`.

        Raises:
            KeyReused: the key came with another request before.
            KeyInProgress: the key was claimed and never answered.
        """
        values = {"scope": scope, "key": key, "fingerprint": fingerprint, "now": self._env.clock.now()}
        if await self._store.run_in(session, "idempotency_begin", values) == 1:
            return None
        rows = await self._store.rows_in(session, "idempotency_read", values)
        return _answer(rows[0], fingerprint)

    async def finish(self, session: AsyncSession, scope: str, key: str, response: StoredResponse) -> None:
        """Keep the answer; in the same transaction as `begin`."""
        values = {
            "scope": scope,
            "key": key,
            "status": response.status,
            "headers": json.dumps(dict(response.headers)),
            "body": response.body,
        }
        await self._store.run_in(session, "idempotency_finish", values)


def _answer(row: Sequence[Any], fingerprint: str) -> StoredResponse:
    before, status, headers, body = row
    if before != fingerprint:
        raise KeyReused("this idempotency key was used for a different request")
    if status is None:
        raise KeyInProgress("the first request with this idempotency key has not been answered yet")
    return StoredResponse(status, body, json.loads(headers))
