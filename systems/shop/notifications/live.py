"""The WebSocket: notifications as they are made, whichever replica makes them."""

from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from hanse import User
from shop.notifications.api import NotificationView, inboxes
from shop.notifications.service import changes, service
from shop.notifications.store import last_number, made_since, recipients_since, unread
from shop.tail import Tail

_LOOK_AGAIN_S = 5.0


@service.websocket("/notifications/ws")
async def live(socket: WebSocket, user: User) -> None:
    """Sends JSON: first `{"type": "hello", "unread": n}`, then `{"type": "notification", "notification": {…}}` each.

    The token comes in `Authorization`, or, as browsers can't set that, in the query parameter `access_token`.
    """
    await socket.accept()
    mine = inboxes(user)
    async with service.database.read() as db:
        seen, waiting = await last_number(db), await unread(db, mine)
    reader = service.env.scope.spawn(_until_closed(socket), name="notifications-ws-reader")
    try:
        await _send(socket, {"type": "hello", "unread": waiting})
        with changes.listen(*mine) as listener:
            reader.add_done_callback(lambda _: listener.wake())
            while not reader.done():
                listener.clear()
                async with service.database.read() as db:
                    fresh = await made_since(db, mine, seen)
                for notification in fresh:
                    seen = notification.number
                    view = NotificationView.of(notification).model_dump(mode="json")
                    await _send(socket, {"type": "notification", "notification": view})
                if not fresh:
                    await listener.wait(_LOOK_AGAIN_S)
    except WebSocketDisconnect:
        return
    finally:
        reader.cancel()


async def _send(socket: WebSocket, message: dict[str, Any]) -> None:
    await socket.send_json(message)


async def _until_closed(socket: WebSocket) -> None:
    """Read what the client sends, which means nothing, until it goes."""
    try:
        while True:
            await socket.receive_text()
    except (WebSocketDisconnect, RuntimeError):
        return


tail = Tail(service, changes, last_number, recipients_since)
service.on_start(tail.start)
