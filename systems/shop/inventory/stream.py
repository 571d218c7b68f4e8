"""The live stream of stock: what is available, as it changes, whichever replica changes it."""

from collections.abc import AsyncIterator

from shop.inventory.service import CHANGED, changes, service
from shop.inventory.store import Stock, changed_since, last_revision

_POLL_S = 0.5


async def now() -> int:
    """The revision of the latest change: where somebody begins who wants news only."""
    async with service.database.read() as db:
        return await last_revision(db)


async def changed(revision: int) -> AsyncIterator[Stock]:
    """Each product that changes after `revision`, for ever.

    Changes that follow each other quickly are told as one: the latest state counts.
    """
    while True:
        async with service.database.read() as db:
            rows = await changed_since(db, revision)
        for row in rows:
            revision = row.revision
            yield row
        if not rows:
            await changes.wait(CHANGED, _POLL_S)
