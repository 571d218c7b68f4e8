"""Publishing to streams with every message acknowledged, and a bounded number of them under way."""

import asyncio
from collections import deque
from collections.abc import Sequence

import orjson

from hanse.broker import Link, publish_command
from hanse.core import Env
from hanse.core.errors import HanseError, InvalidInput, OutcomeUnknown, PermissionDenied, Unavailable
from hanse.events.nats_streams import Streams

WINDOW = 256
WINDOW_BYTES = 8 << 20
ACK_TIMEOUT_S = 5.0
GIVE_UP_AFTER_S = 15.0

Message = tuple[bytes, bytes, bytes]
"""Subject, header block, payload."""


class _Batch:
    """What one call has under way."""

    __slots__ = ("done", "error", "left", "lost")

    def __init__(self, size: int, done: "asyncio.Future[None]") -> None:
        self.left = size
        self.done = done
        self.lost: list[Message] = []
        self.error: HanseError | None = None

    def settle(self, lost: Message | None = None, error: HanseError | None = None) -> None:
        if lost is not None:
            self.lost.append(lost)
        if error is not None:
            self.error = error
        self.left -= 1
        if self.left == 0 and not self.done.done():
            self.done.set_result(None)


class Publisher:
    """Publishes messages and waits for the streams' acknowledgements.

    A message that got none (connection lost, stream missing, no answer in time) is sent again with the same
    `Nats-Msg-Id`, so that it is stored once.

    Args:
        env: the node's seams.
        link: the connection, not yet started.
        streams: the gate to wait at.
    """

    def __init__(self, env: Env, link: Link, streams: Streams) -> None:
        self._env = env
        self._link = link
        self._streams = streams
        self._prefix = f"{link.inbox}.p.".encode()
        self._token = 0
        self._under_way: dict[bytes, tuple[_Batch, Message, float]] = {}
        self._bytes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sweeper: asyncio.Task[None] | None = None
        link.on_disconnected.append(self._disconnected)
        link.on_refused.append(self._refused)

    async def start(self) -> None:
        await self._link.listen(f"{self._link.inbox}.p.*", self._acknowledged)
        self._sweeper = self._env.scope.supervise(self._sweep, name="events/publisher")

    def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._disconnected()

    async def publish(self, messages: Sequence[Message]) -> None:
        """Store messages, in their order; returns when all are stored. Errors as `Transport.publish`."""
        limit = self._link.max_payload
        for subject, headers, payload in messages:
            if len(headers) + len(payload) > limit:
                raise InvalidInput(f"an event on {subject.decode()} is over the broker's limit of {limit} bytes")
        give_up_at = self._env.clock.monotonic() + GIVE_UP_AFTER_S
        sent = False
        while messages:
            try:
                await self._streams.wait(max(0.0, give_up_at - self._env.clock.monotonic()))
            except Unavailable as error:
                if sent:
                    raise OutcomeUnknown(f"events were sent, but not acknowledged: {error}") from error
                raise
            batch = _Batch(len(messages), asyncio.get_running_loop().create_future())
            sent = True
            await self._send(batch, messages)
            if batch.error is not None:
                raise batch.error
            messages = batch.lost

    async def _send(self, batch: _Batch, messages: Sequence[Message]) -> None:
        now = self._env.clock.monotonic()
        for message in messages:
            while len(self._under_way) >= WINDOW or self._bytes >= WINDOW_BYTES:
                waiter = asyncio.get_running_loop().create_future()
                self._waiting.append(waiter)
                try:
                    await waiter
                finally:
                    self._wake()
                now = self._env.clock.monotonic()
            if not self._streams.usable():
                batch.settle(lost=message)
                continue
            self._token += 1
            token = b"%b%d" % (self._prefix, self._token)
            subject, headers, payload = message
            self._under_way[token] = (batch, message, now)
            self._bytes += len(payload)
            self._link.post(publish_command(subject, token, headers, payload))
        await batch.done

    def _acknowledged(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        entry = self._under_way.pop(subject, None)
        if entry is None:
            return
        batch, message, _ = entry
        self._bytes -= len(message[2])
        if headers is not None and headers.startswith(b"NATS/1.0 503"):
            batch.settle(lost=message)
            if self._streams.usable():
                self._streams.suspect()
        elif b'"error"' in data:
            lost, error = _refusal(message, data)
            batch.settle(lost, error)
        else:
            batch.settle()
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        """Let one more publisher look at the window; each that has looked wakes the next while there is room."""
        while self._waiting and len(self._under_way) < WINDOW and self._bytes < WINDOW_BYTES:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _disconnected(self) -> None:
        entries = list(self._under_way.values())
        self._under_way.clear()
        self._bytes = 0
        for batch, message, _ in entries:
            batch.settle(lost=message)
        self._wake()

    def _refused(self, subject: str) -> None:
        for token, (batch, message, _) in list(self._under_way.items()):
            name = message[0].decode()
            if name.lower() == subject:
                del self._under_way[token]
                self._bytes -= len(message[2])
                batch.settle(error=PermissionDenied(f"this service may not publish on {name}"))
        self._wake()

    async def _sweep(self) -> None:
        """Take what was not acknowledged in time for lost. Entries lie in the order of sending."""
        while True:
            await self._env.clock.sleep(1.0)
            expired = self._env.clock.monotonic() - ACK_TIMEOUT_S
            while self._under_way:
                token = next(iter(self._under_way))
                batch, message, sent_at = self._under_way[token]
                if sent_at > expired:
                    break
                del self._under_way[token]
                self._bytes -= len(message[2])
                batch.settle(lost=message)
            self._wake()


def _refusal(message: Message, data: bytes) -> tuple[Message | None, HanseError | None]:
    """What an acknowledgement with an error in it means: sent again (lost), or given up (error)."""
    try:
        error = orjson.loads(data).get("error")
    except (orjson.JSONDecodeError, AttributeError):
        error = None
    if not error:
        return None, None
    if error.get("code") in (408, 503):
        return message, None
    text = f"the stream refuses an event on {message[0].decode()}: {error.get('description', 'no reason given')}"
    return None, InvalidInput(text) if error.get("code") == 400 else Unavailable(text)
