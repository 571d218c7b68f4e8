"""The seam to the network: one HTTP exchange in bytes, and what can go wrong with it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from hanse.core import Component


class HttpRequest:
    """One attempt, as it goes over the wire. A plain class, because one is made per attempt."""

    __slots__ = ("body", "headers", "method", "url")

    def __init__(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> None:
        self.method = method
        """In upper case."""
        self.url = url
        """Absolute; path and query are encoded already."""
        self.headers = headers
        """Names in lower case; belongs to this attempt."""
        self.body = body


class HttpResponse:
    """A complete answer. A plain class, because one is made per attempt."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.status = status
        self.headers = headers
        """Looked up by names in lower case; for repeated headers the first one."""
        self.body = body


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
            TransportFailure: no complete answer.
            InvalidInput: the request can't be put on the wire (a line break in a header).
        """
