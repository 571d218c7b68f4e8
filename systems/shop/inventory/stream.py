"""The live stream of stock: what is available, as it changes, whichever replica changes it."""

from collections.abc import AsyncIterator, Collection

from sqlalchemy.ext.asyncio import AsyncSession

from shop.inventory.service import CHANGED, changes, service
from shop.inventory.store import Stock, changed_since, last_revision
from shop.tail import Tail

_LOOK_AGAIN_S = 5.0


async def now() -> int:
    """The revision of the latest change: where somebody begins who wants news only."""
    async with service.database.read() as db:
        return await last_revision(db)


async def changed(revision: int) -> AsyncIterator[Stock]:
    """Each product that changes after `revision`, for ever.

    Changes that follow each other quickly are told as one: the latest state counts.
    """
    with changes.listen(CHANGED) as listener:
        while True:
            listener.clear()
            async with service.database.read() as db:
                rows = await changed_since(db, revision)
            for row in rows:
                revision = row.revision
                yield row
            if not rows:
                await listener.wait(_LOOK_AGAIN_S)


async def _changed(db: AsyncSession, revision: int) -> tuple[Collection[str], int]:
    latest = await last_revision(db)
    return ([CHANGED] if latest > revision else []), latest


tail = Tail(service, changes, last_revision, _changed)
service.on_start(tail.start)
