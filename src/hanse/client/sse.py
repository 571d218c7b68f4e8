"""Server-sent events, read from lines.

Source: WHATWG HTML, section 9.2.6 (interpreting an event stream).
"""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event of a stream."""

    data: str
    event: str = "message"
    id: str = ""
    """The last id that the stream has named; send it as `Last-Event-ID` to go on after it."""
    retry_s: float | None = None
    """How long to wait before reconnecting, where the stream has said so."""

    def json(self) -> Any:
        """The data as JSON; raises ValueError when it is none."""
        return orjson.loads(self.data)


async def events(lines: AsyncIterable[str]) -> AsyncIterator[ServerSentEvent]:
    """The events that `lines` spell out; comments are skipped, an unfinished last event is dropped."""
    data: list[str] = []
    kind, last_id = "", ""
    retry_s: float | None = None
    async for line in lines:
        if not line:
            if data:
                yield ServerSentEvent("\n".join(data), kind or "message", last_id, retry_s)
            data, kind = [], ""
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            retry_s = int(value) / 1000
