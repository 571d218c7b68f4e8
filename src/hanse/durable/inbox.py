"""The inbox: which messages have been applied, so that a second delivery changes nothing."""

from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core import Env
from hanse.durable.store import Store


class Inbox:
    """Remembers message ids per consumer, in the transaction that applies the message."""

    def __init__(self, env: Env, store: Store) -> None:
        self._env = env
        self._store = store

    async def first(self, session: AsyncSession, consumer: str, message_id: str) -> bool:
        """True when this consumer sees the message for the first time; False when it has been applied.

        Guarantees: of all transactions that ask for the same message, at most one that got True commits.

        Args:
            session: of `Database.transaction()`; commit the message's effect in it.
            consumer: whoever applies it; each has its own memory.
            message_id: unique for the message, for example `Envelope.id`.
        """
        values = {"consumer": consumer, "message_id": message_id, "now": self._env.clock.now()}
        return await self._store.run_in(session, "inbox_first", values) == 1
