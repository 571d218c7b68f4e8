"""The real network: HTTP over pyreqwest (Rust, hyper)."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import BuilderError, PoolTimeoutError, RequestError, RequestTimeoutError
from pyreqwest.request import RequestBuilder

from hanse.client.transport import (
    AnswerTooLarge,
    HttpRequest,
    HttpResponse,
    HttpStream,
    HttpTransport,
    TransportFailure,
)
from hanse.core.errors import InvalidInput, Unavailable

_CONNECT_PHASE = "client error (Connect)"
_POOL_IDLE_S = 20.0  # below the 75 s after which our servers close an idle connection, so that the two do not race
_IDLE_PER_HOST = 64
_SILENT_S = 300.0  # a stream on which nothing comes for so long is given up, also when nobody reads it any more


def classify(error: RequestError) -> TransportFailure:
    """What an error of pyreqwest says about the request.

    The class of the error does not tell: a request that was sent and got no answer is a `ConnectTimeoutError`, a reset
    after sending a `ConnectError`. The chain of causes names the phase. `tests/system/client` pins it.
    """
    if isinstance(error, PoolTimeoutError):
        return TransportFailure("no free connection", sent=False, timed_out=True)
    causes = [cause["message"] for cause in error.details.get("causes") or ()]
    reason = causes[-1] if causes else error.message
    return TransportFailure(reason, sent=_CONNECT_PHASE not in causes, timed_out=isinstance(error, RequestTimeoutError))


class PyreqwestTransport(HttpTransport):
    """One pool of connections per process, shared by all clients of a service.

    The pools are built in `start`: a built one does not survive a fork. The number of connections is bounded by the
    bulkheads of the clients, not here, because waiting for a pool does not count against a request's timeout.

    Args:
        connect_timeout_s: bound on connecting, TLS included.
        user_agent: sent with each request.
    """

    def __init__(self, *, connect_timeout_s: float = 0.5, user_agent: str = "hanse") -> None:
        self._connect_timeout_s = connect_timeout_s
        self._user_agent = user_agent
        self._client: Client | None = None
        self._streams: Client | None = None

    async def start(self) -> None:
        if self._client is None:
            self._client = self._builder().build()
            self._streams = self._builder().read_timeout(timedelta(seconds=_SILENT_S)).build()

    async def ready(self) -> str | None:
        return None if self._client is not None else "not started"

    async def stop(self) -> None:
        clients = (self._client, self._streams)
        self._client = self._streams = None
        for client in clients:
            if client is not None:
                await client.close()

    async def send(self, request: HttpRequest, timeout_s: float) -> HttpResponse:
        # The timeout is given to pyreqwest itself: cancelling the task would not end the request. Streamed, because
        # otherwise the whole body is in memory before its size is known; 64 KiB come with the status in one step.
        try:
            prepared = _begun(self._client, request).timeout(timedelta(0, timeout_s)).build_streamed()
        except (ValueError, BuilderError) as error:
            raise InvalidInput(f"this request can't be sent: {error}") from error
        try:
            response = await prepared.__aenter__()
            declared = response.get_header("content-length")
            if declared is not None and int(declared) <= request.limit_bytes:
                piece = await response.body_reader.read_chunk()
                if piece is not None and len(piece) == int(declared):
                    return _Response(response.status, response, bytes(piece))  # complete: the connection is free again
            else:
                piece = None
            try:
                body = await _bounded(response, piece, request.limit_bytes)
            finally:
                await prepared.__aexit__(None, None, None)
        except RequestError as error:
            raise classify(error) from error
        return _Response(response.status, response, body)

    async def open(self, request: HttpRequest, timeout_s: float) -> HttpStream:
        upload = _Upload(request.body) if isinstance(request.body, AsyncIterable) else None
        try:
            builder = _begun(self._streams, request).streamed_read_buffer_limit(0)
            prepared = (builder if upload is None else builder.body_stream(upload)).build_streamed()
        except (ValueError, BuilderError) as error:
            raise InvalidInput(f"this request can't be sent: {error}") from error
        try:
            async with asyncio.timeout(timeout_s):
                response = await prepared.__aenter__()
        except TimeoutError as error:
            if isinstance(error, RequestError):
                raise classify(error) from error
            raise TransportFailure("no answer began in time", sent=True, timed_out=True) from error
        except RequestError as error:
            if upload is not None and upload.error is not None:
                raise upload.error from None
            raise classify(error) from error
        return _Stream(prepared, response)

    def _builder(self) -> ClientBuilder:
        return (
            ClientBuilder()
            .connect_timeout(timedelta(seconds=self._connect_timeout_s))
            .pool_idle_timeout(timedelta(seconds=_POOL_IDLE_S))
            .pool_max_idle_per_host(_IDLE_PER_HOST)
            .tcp_nodelay(True)
            .follow_redirects(False)
            .referer(False)
            .no_proxy()
            .gzip(False)
            .brotli(False)
            .zstd(False)
            .deflate(False)
            .user_agent(self._user_agent)
        )


class _Response(HttpResponse):
    """A complete answer; its headers are fetched when somebody asks for them."""

    __slots__ = ()

    @property
    def headers(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self._headers.headers
        return found


class _Stream(HttpStream):
    """An answer whose body is still on its way."""

    def __init__(self, prepared: Any, response: Any) -> None:
        super().__init__(response.status, response.headers)
        self._prepared = prepared
        self._reader = response.body_reader

    async def read(self, timeout_s: float | None) -> bytes:
        try:
            async with asyncio.timeout(timeout_s):
                piece = await self._reader.read_chunk()
        except RequestError as error:
            raise classify(error) from error
        except TimeoutError as error:
            raise TransportFailure("nothing came in time", sent=True, timed_out=True) from error
        return b"" if piece is None else bytes(piece)

    async def close(self) -> None:
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            await prepared.__aexit__(None, None, None)


class _Upload:
    """A body on its way up; keeps the error that ended it, which the library would hide."""

    def __init__(self, pieces: AsyncIterable[bytes]) -> None:
        self.error: Exception | None = None
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._pieces:
                yield piece
        except Exception as error:
            self.error = error
            raise


def _begun(client: Client | None, request: HttpRequest) -> RequestBuilder:
    if client is None:
        raise Unavailable("the HTTP transport is not started")
    builder = client.request(request.method, request.url).headers(request.headers)
    return builder.body_bytes(request.body) if isinstance(request.body, bytes) else builder


async def _bounded(response: Any, first: Any, limit_bytes: int) -> bytes:
    """The body of an answer that comes in several pieces, or does not say how long it is.

    Args:
        first: the piece that was read already, if any.
    """
    declared = response.get_header("content-length")
    if declared is not None and int(declared) > limit_bytes:
        raise AnswerTooLarge(limit_bytes)
    reader, pieces, left = response.body_reader, [], limit_bytes
    piece = first if first is not None else await reader.read_chunk()
    while piece is not None:
        left -= len(piece)
        if left < 0:
            raise AnswerTooLarge(limit_bytes)
        pieces.append(bytes(piece))
        piece = await reader.read_chunk()
    return b"".join(pieces)
