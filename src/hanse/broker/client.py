"""The NATS client library, with a short way in and out for raw messages.

The library's own way costs a parsed header dictionary, a message object, a queue and a task switch per message. Here
a message goes from the library's protocol parser straight to a function. This is the one place that reaches into the
library (`_process_msg`, `_pending`, `_flush_queue`), which is why `pyproject.toml` pins its minor version.
"""

import asyncio
from collections.abc import Callable

from nats.aio.client import Client

Sink = Callable[[bytes, bytes, bytes, bytes | None], None]
"""Gets subject, reply subject (may be empty), payload and raw header block of a message. Must not block or raise."""


class RawClient(Client):
    """The library's client plus `listen` and `post`."""

    def __init__(self) -> None:
        super().__init__()
        self._sinks: dict[int, Sink] = {}

    async def listen(self, subject: str, sink: Sink) -> int:
        """Subscribe; survives reconnects.

        Returns:
            A number for `silence`.
        """
        number = self._sid + 1
        self._sinks[number] = sink  # before subscribing, so that the first message finds it
        await self.subscribe(subject)
        return number

    async def silence(self, number: int, *, flush: bool) -> None:
        """Unsubscribe. With `flush`, what the server has sent by then reaches the sink before this returns."""
        subscription = self._subs.get(number)
        if subscription is not None and flush and self.is_connected:
            await self._send_unsubscribe(number)
            await self.flush(timeout=2)
        elif subscription is not None and not self.is_closed:
            await self._send_unsubscribe(number)
        self._subs.pop(number, None)
        self._sinks.pop(number, None)

    def post(self, command: bytes) -> None:
        """Queue protocol bytes for the socket; those of one loop step leave in one write.

        While disconnected they are kept for the next connection.
        """
        self._pending.append(command)
        self._pending_data_size += len(command)
        if self._flush_queue is not None and self._flush_queue.empty() and self.is_connected:
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    def abandon(self) -> None:
        """End the waits for answers that a lost connection can't bring."""
        for pong in getattr(self, "_pongs", ()):
            if not pong.done():
                pong.set_result(False)

    async def shut(self) -> None:
        """Close, also while the server is away; what could not be sent is dropped. Does not raise."""
        if not self.is_connected:
            self._pending.clear()
            self._pending_data_size = 0
        try:
            await self.close()
        except OSError:  # the connection broke during the last flush
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        sink = self._sinks.get(sid)
        if sink is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            sink(subject, reply, data, headers)
