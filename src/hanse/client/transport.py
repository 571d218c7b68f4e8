"""The seam to the network: one HTTP exchange in bytes, and what can go wrong with it."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Mapping
from typing import Any

from hanse.core import Component

DEFAULT_LIMIT_BYTES = 16 * 1024 * 1024


class HttpRequest:
    """One attempt, as it goes over the wire. A plain class, because one is made per attempt."""

    __slots__ = ("body", "headers", "limit_bytes", "method", "url")

    def __init__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterable[bytes] | None = None,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
    ) -> None:
        self.method = method
        """In upper case."""
        self.url = url
        """Absolute; path and query are encoded already."""
        self.headers = headers
        """Names in lower case; belongs to this attempt."""
        self.body = body
        """An iterable is sent piece by piece, as it comes."""
        self.limit_bytes = limit_bytes
        """Of the answer's body; a larger one is not read."""


class HttpResponse:
    """A complete answer. A plain class, because one is made per attempt.

    Args:
        status: of the answer.
        headers: looked up by names in lower case; for repeated headers the first one. A transport may give something
            else and override the property, so that headers that nobody reads cost nothing.
        body: all of it.
    """

    __slots__ = ("_headers", "body", "status")

    def __init__(self, status: int, headers: Any, body: bytes = b"") -> None:
        self.status = status
        self.body = body
        self._headers = headers

    @property
    def headers(self) -> Mapping[str, str]:
        """Looked up by names in lower case."""
        found: Mapping[str, str] = self._headers
        return found


class HttpStream(ABC):
    """An answer that has begun. Whoever opened it closes it.

    Args:
        status: of the answer.
        headers: looked up by names in lower case.
    """

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers

    @abstractmethod
    async def read(self, timeout_s: float | None) -> bytes:
        """The next piece, as it comes from the network; b"" at the end.

        Args:
            timeout_s: bound on the wait for it; None: none.

        Raises:
            TransportFailure: the connection broke, or nothing came in time.
        """

    @abstractmethod
    async def close(self) -> None:
        """Give the connection up if the answer has not ended. Idempotent."""


class TransportFailure(Exception):
    """No complete answer came.

    Args:
        reason: a few words for a person: `connection refused`.
        sent: False when the request certainly did not reach the other side. In doubt True.
        timed_out: the time given was over.
    """

    def __init__(self, reason: str, *, sent: bool, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent
        self.timed_out = timed_out


class AnswerTooLarge(TransportFailure):
    """An answer came, and its body is larger than the request allows; it was not read."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the answer is larger than {limit_bytes} bytes", sent=True)


class HttpTransport(Component, ABC):
    """Sends requests. Knows nothing of services, retries or traces."""

    name = "http"

    @abstractmethod
    async def send(self, request: HttpRequest, timeout_s: float) -> HttpResponse:
        """Send once and read the whole answer; redirects are not followed.

        Args:
            request: what to send.
            timeout_s: bound on the whole exchange, connecting and reading the body included (> 0).

        Raises:
            TransportFailure: no complete answer, or one that is too large.
            InvalidInput: the request can't be put on the wire (a line break in a header).
        """

    async def open(self, request: HttpRequest, timeout_s: float) -> HttpStream:
        """Send once and return as soon as the answer has begun.

        This one is for transports without streams: it collects the body, sends it, and hands the answer over whole.

        Args:
            request: what to send; an error of its body's iterator ends the request and passes as it is.
            timeout_s: bound on the time until then, the sending of the body included (> 0).

        Raises:
            TransportFailure: no answer began.
            InvalidInput: as `send`.
        """
        body = request.body
        if isinstance(body, AsyncIterable):
            body = b"".join([piece async for piece in body])
        whole = HttpRequest(request.method, request.url, request.headers, body, request.limit_bytes)
        return _Whole(await self.send(whole, timeout_s))


class _Whole(HttpStream):
    """An answer that comes in one piece."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status, response.headers)
        self._left = response.body

    async def read(self, timeout_s: float | None) -> bytes:
        piece, self._left = self._left, b""
        return piece

    async def close(self) -> None:
        self._left = b""
