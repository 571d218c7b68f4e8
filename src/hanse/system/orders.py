"""`Orders`: what can be asked of a running supervisor over its control socket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from hanse.core.errors import InvalidInput
from hanse.system.control import Reply
from hanse.system.crew import Crew
from hanse.system.logs import Logs
from hanse.system.record import Record

_BEHIND = 10_000
"""Records kept for a follower who reads too slowly; older ones are dropped for it."""


class Orders:
    """Answers `ps`, `restart`, `scale`, `logs` and `down`.

    Args:
        status: as of `Supervisor.status`.
        stop: makes the supervisor end.
    """

    def __init__(self, crew: Crew, logs: Logs, status: Callable[[], dict[str, Any]], stop: Callable[[], None]) -> None:
        self._crew = crew
        self._logs = logs
        self._status = status
        self._stop = stop

    async def handle(self, request: dict[str, Any]) -> AsyncIterator[Reply]:
        """Carry out one order; yields what it has to say."""
        match request:
            case {"do": "ps"}:
                yield self._status()
            case {"do": "restart", "service": str(name)}:
                await self._crew.renew([name])
                yield self._status()
            case {"do": "scale", "service": str(name), "count": int(count)}:
                await self._crew.scale(name, count)
                yield self._status()
            case {"do": "logs", "services": list(names)}:
                async for reply in self._follow(set(names)):
                    yield reply
            case {"do": "down"}:
                self._stop()
                yield {"stopping": True}
            case _:
                raise InvalidInput("the supervisor does not know this order; is it of another version?")

    async def _follow(self, names: set[str]) -> AsyncIterator[Reply]:
        waiting: asyncio.Queue[Record] = asyncio.Queue(_BEHIND)

        def hear(record: Record) -> None:
            if not names or record.service in names:
                if waiting.full():
                    waiting.get_nowait()
                waiting.put_nowait(record)

        stop_listening = self._logs.listen(hear)
        try:
            while True:
                record = await waiting.get()
                yield {"service": record.service, "line": record.as_json().decode(errors="replace"), "at": record.at}
        finally:
            stop_listening()
