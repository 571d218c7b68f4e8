"""An answer that is read while it comes."""

from codecs import getincrementaldecoder
from collections.abc import AsyncIterator, Mapping
from typing import Any

from hanse.client.call import Call
from hanse.client.errors import CallFailure, TimedOut, Unanswered
from hanse.client.response import Response
from hanse.client.sse import ServerSentEvent, events
from hanse.client.transport import HttpResponse, HttpStream, TransportFailure
from hanse.core import Clock
from hanse.core.errors import InvalidInput

_MAX_LINE = 1024 * 1024
_SHORTEST_S = 0.001


class StreamedResponse:
    """What `client.stream(…)` gives. Read it once, in one of the four ways.

    Args:
        stream: the answer, which has begun.
        call: which it answers.
        clock: for the deadline.
        idle_s: the longest wait for the next piece; None: no bound.
        end: the deadline on the monotonic clock; None: no bound.
    """

    def __init__(self, stream: HttpStream, call: Call, clock: Clock, idle_s: float | None, end: float | None) -> None:
        self.status: int = stream.status
        self.headers: Mapping[str, str] = stream.headers
        """Looked up by names in lower case."""
        self.instance = call.answered_by
        """Id of the instance that answers."""
        self._stream = stream
        self._call = call
        self._clock = clock
        self._idle_s = idle_s
        self._end = end

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            Unanswered, TimedOut: it broke off, nothing came for `idle_timeout`, or the deadline has passed.
        """
        while piece := await self._read():
            yield piece

    async def lines(self) -> AsyncIterator[str]:
        """The lines of the body, without their ends (LF, CRLF or CR); UTF-8.

        Raises:
            as `chunks`; InvalidInput: a line of more than 1 MiB.
        """
        decoder, rest = getincrementaldecoder("utf-8")("replace"), ""
        async for piece in self.chunks():
            rest += decoder.decode(piece)
            held = "\r" if rest.endswith("\r") else ""  # it may be the first half of a CRLF
            text = rest[:-1] if held else rest
            *whole, last = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            for line in whole:
                yield line
            rest = last + held
            if len(rest) > _MAX_LINE:
                raise InvalidInput(f"{self._call.service} sends a line of more than {_MAX_LINE} characters")
        rest += decoder.decode(b"", final=True)
        if rest:
            yield rest.removesuffix("\r")

    def events(self) -> AsyncIterator[ServerSentEvent]:
        """The body as server-sent events; raises as `lines`."""
        return events(self.lines())

    async def read(self, limit_bytes: int) -> Response:
        """The whole answer.

        Raises:
            as `chunks`; ResponseTooLarge: its body is larger than `limit_bytes`.
        """
        pieces, left = [], limit_bytes
        async for piece in self.chunks():
            left -= len(piece)
            if left < 0:
                self._call.limit_bytes = limit_bytes
                raise self._call.too_large()
            pieces.append(piece)
        return Response.of(self._call, HttpResponse(self.status, self.headers, b"".join(pieces)))

    async def _read(self) -> bytes:
        wait_s = self._idle_s
        if self._end is not None:
            left_s = max(self._end - self._clock.monotonic(), _SHORTEST_S)
            wait_s = left_s if wait_s is None else min(wait_s, left_s)
        try:
            return await self._stream.read(wait_s)
        except TransportFailure as failure:
            what = f"the answer of {self._call.service} broke off: {failure.reason}"
            facts: dict[str, Any] = {"service": self._call.service, "attempts": self._call.attempts}
            error: CallFailure = TimedOut(what, **facts) if failure.timed_out else Unanswered(what, **facts)
            raise self._call.describe(error) from failure
