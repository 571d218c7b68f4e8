"""`OtlpHttpSink`: sends spans to an OTLP/HTTP receiver in the background.

Spans are encoded where they end (2 µs) and sent by one task of the node's own loop: no second thread, which would
fight for the interpreter with the requests it reports on.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from hanse.core import Component, Env
from hanse.core.errors import ConfigurationError, Unavailable
from hanse.telemetry import otlp
from hanse.telemetry.span import Span

_INTERVAL_S = 0.25
_PAUSE_MAX_S = 10.0
_TIMEOUT_S = 5.0
_FLUSH_AT_STOP_S = 1.0
_BATCH_BYTES = 512 * 1024


class OtlpHttpSink(Component):
    """Exports ended spans as OTLP protobuf over HTTP/1.1.

    Args:
        env: seams of the node.
        endpoint: base URL of the receiver (`http://127.0.0.1:4318`); `/v1/traces` is added to it.
        resource: facts about the process (`service.name`, `service.instance.id`, …).
        max_buffer_bytes: encoded spans kept while the receiver is slow or away; more are dropped and counted.

    Guarantees: `put` never blocks and never raises; a span is sent at most once per successful answer; a receiver that
    is away costs one connection attempt per pause (0.25 s doubling to 10 s).
    """

    name = "otlp"

    def __init__(
        self, env: Env, endpoint: str, resource: Mapping[str, Any], *, max_buffer_bytes: int = 8 * 1024 * 1024
    ) -> None:
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ConfigurationError(f"OTLP endpoint {endpoint!r} is not a URL such as http://127.0.0.1:4318")
        self._tls = url.scheme == "https"
        self._host = url.hostname
        self._port = url.port or (443 if self._tls else 80)
        self._path = url.path.rstrip("/") + "/v1/traces"
        self._env = env
        self._head = otlp.resource(resource)
        self._limit = max_buffer_bytes
        self._spans: list[bytes] = []
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.sent = 0
        """Spans the receiver has taken."""
        self.dropped = 0
        """Spans lost: the buffer was full, the receiver refused them, or they could not be encoded."""

    def put(self, span: Span) -> None:
        """Encode `span` and keep it for the next batch."""
        if self._bytes >= self._limit:
            self.dropped += 1
            return
        try:
            encoded = otlp.encode_span(span)
        except Exception:  # an attribute of a strange type must not fail the request it describes
            self.dropped += 1
            return
        self._spans.append(encoded)
        self._bytes += len(encoded)

    async def start(self) -> None:
        if self._task is None:
            self._task = self._env.scope.supervise(self._run, name="otlp")

    async def stop(self) -> None:
        """End the background task; what is buffered gets one second to leave."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(_FLUSH_AT_STOP_S):
                    await self.flush()
        self._disconnect()

    async def flush(self) -> None:
        """Send everything that is buffered now.

        Raises:
            Unavailable: the receiver did not take it; the spans stay buffered.
        """
        while self._spans:
            count, size = 0, 0
            while count < len(self._spans) and size < _BATCH_BYTES:
                size += len(self._spans[count])
                count += 1
            batch = self._spans[:count]
            status = await self._post(otlp.encode_request(self._head, batch))
            if status in (408, 429) or status >= 500:
                raise Unavailable(f"the OTLP receiver answered {status}")
            del self._spans[:count]
            self._bytes -= size
            if status < 300:
                self.sent += count
            else:  # refused for good: sending it again would be refused again
                self.dropped += count

    async def _run(self) -> None:
        pause = _INTERVAL_S
        while True:
            await self._env.clock.sleep(pause)
            try:
                await self.flush()
                pause = _INTERVAL_S
            except Unavailable:
                pause = min(pause * 2, _PAUSE_MAX_S)

    async def _post(self, body: bytes) -> int:
        """One request; a kept connection that turns out to be closed is opened anew once."""
        kept = self._streams is not None
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                try:
                    return await self._exchange(body)
                except (OSError, EOFError, ValueError):
                    self._disconnect()
                    if not kept:
                        raise
                    return await self._exchange(body)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self._disconnect()
            raise Unavailable(f"the OTLP receiver at {self._host}:{self._port} does not answer: {error!r}") from error
        except asyncio.CancelledError:
            self._disconnect()  # a half-read answer must not be taken for the next one
            raise

    async def _exchange(self, body: bytes) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._tls or None)
        reader, writer = self._streams
        head = (
            f"POST {self._path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n"
            f"content-type: application/x-protobuf\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        status = int(lines[0].split(b" ", 2)[1])
        headers = dict(line.split(b":", 1) for line in lines[1:] if b":" in line)
        length = headers.get(b"content-length")
        if length is not None:
            await reader.readexactly(int(length))
        if (length is None and status != 204) or b"close" in headers.get(b"connection", b""):
            self._disconnect()
        return status

    def _disconnect(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
