"""The live stream of one order: its statuses, as they come, whichever replica makes them."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from hanse import User
from shop.orders import clerk
from shop.orders.domain import ENDED, OrderStatus
from shop.orders.service import changes, service
from shop.orders.store import last_position, moved_since, timeline
from shop.orders.views import TimelineView
from shop.tail import Tail

_LOOK_AGAIN_S = 5.0


async def _own(order_id: str, user: User) -> str:
    """The order's id; 404 before the stream begins when it is somebody else's."""
    async with service.database.read() as db:
        return (await clerk.find(db, order_id, user.subject)).id


@service.get("/orders/{order_id}/events", response_class=EventSourceResponse)
async def follow(
    own: Annotated[str, Depends(_own)], last_event_id: Annotated[int | None, Header(ge=0)] = None
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events `status`: all statuses so far (or those after `Last-Event-ID`), then each new one.

    The stream ends with a status that nothing follows.
    """
    seen = last_event_id or 0
    with changes.listen(own) as listener:
        while True:
            listener.clear()
            async with service.database.read() as db:
                entries = await timeline(db, own, seen)
            for entry in entries:
                seen = entry.position
                yield ServerSentEvent(event="status", id=str(seen), data=TimelineView.of(entry))
                if OrderStatus(entry.status) in ENDED:
                    return
            if not entries:
                await listener.wait(_LOOK_AGAIN_S)


tail = Tail(service, changes, last_position, moved_since)
service.on_start(tail.start)
