"""The streams behind the transport, and the gate that is open while they can be used."""

import asyncio
from collections.abc import Callable
from typing import Any

from hanse.broker import NANOS, JetStream, Link
from hanse.core import Env
from hanse.core.errors import HanseError, Unavailable
from hanse.events.nats_wire import DEAD, EVENTS

KEPT_S = 7 * 86_400
DEDUPLICATED_S = 120
DEAD_KEPT = 100_000
_RETRY_S = 0.2

_STREAMS: tuple[dict[str, Any], ...] = (
    {
        "name": EVENTS,
        "subjects": ["evt.>", "again.>"],
        "retention": "limits",
        "storage": "file",
        "max_age": KEPT_S * NANOS,
        "duplicate_window": DEDUPLICATED_S * NANOS,
        "discard": "old",
    },
    {
        "name": DEAD,
        "subjects": ["dlq.>"],
        "retention": "limits",
        "storage": "file",
        "max_msgs": DEAD_KEPT,
        "duplicate_window": DEDUPLICATED_S * NANOS,
        "discard": "old",
    },
)


class Streams:
    """Makes the streams on every connect, for a server may come back without them.

    Args:
        env: the node's seams.
        link: the connection, not yet started.
    """

    def __init__(self, env: Env, link: Link) -> None:
        self.jetstream = JetStream(link)
        self.on_usable: list[Callable[[], None]] = []
        """Called each time the streams have become usable (again)."""
        self.born = ""
        """When the server made the stream of events. Another value than before: a new one, counting from 1."""
        self._env = env
        self._link = link
        self._open = asyncio.Event()
        self._maker: asyncio.Task[None] | None = None
        link.on_connected.append(self.suspect)
        link.on_disconnected.append(self._close)

    async def wait(self, timeout_s: float) -> None:
        """Wait until the streams can be used; raises Unavailable after `timeout_s`."""
        if self._open.is_set():
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._open.wait()
        except TimeoutError as error:
            raise Unavailable(await self._link.ready() or f"JetStream at {self._link.address} is not ready") from error

    def usable(self) -> bool:
        return self._open.is_set()

    def suspect(self) -> None:
        """Something a stream should have answered went unanswered: look, and make again what is missing."""
        self._close()
        self._maker = self._env.scope.spawn(self._make(), name="events/streams")

    def stop(self) -> None:
        self._close()

    async def _make(self) -> None:
        while True:
            try:
                self.born = await self.jetstream.ensure_stream(_STREAMS[0])
                for config in _STREAMS[1:]:
                    await self.jetstream.ensure_stream(config)
                break
            except HanseError as error:
                if not error.retryable and self._link.connected:
                    self._env.scope.on_error("events/streams", error)
                await self._env.clock.sleep(_RETRY_S)
        self._open.set()
        for call in self.on_usable:
            call()

    def _close(self) -> None:
        self._open.clear()
        if self._maker is not None:
            self._maker.cancel()
            self._maker = None
