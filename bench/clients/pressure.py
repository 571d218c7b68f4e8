"""Load from a process of its own: `python -m bench.clients.pressure PORT PATH`; one line of JSON in, one out.

In: `{"rate": 500, "seconds": 4, "skip": 1}` sends at that rate whatever comes back (open loop), as independent users
do; `{"flight": 16, …}` keeps so many under way (closed loop). Whoever has waited for PATIENCE_S leaves. Out: answers
of each status per second, not counting the first `skip` seconds, and their latencies.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict, deque
from typing import Any, cast

import uvloop

from bench.harness.rounds import percentile

PATIENCE_S = 1.0
_TICK_S = 0.002
LEFT = 0
"""The status of a request whose sender has left, or whose connection failed."""


class Connection(asyncio.Protocol):
    """One request at a time; every answer has a Content-Length."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[int] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has another base

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and self.answer is not None and not self.answer.done():
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(body) >= length:
                self._received = b""
                self.answer.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(LEFT)


class Pressure:
    """All requests of one round."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nuser-agent: pressure\r\n\r\n".encode()
        self._idle: deque[Connection] = deque()
        self.seen: list[tuple[float, float, int]] = []
        """When each was sent, how long it took, what came."""

    async def once(self) -> None:
        loop, began, status = asyncio.get_running_loop(), time.monotonic(), LEFT
        connection: Connection | None = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                connection = await self._connected(loop)
                assert connection.transport is not None
                connection.answer = loop.create_future()
                connection.transport.write(self._request)
                status = await connection.answer
        except (OSError, TimeoutError):
            status = LEFT
        self.seen.append((began, time.monotonic() - began, status))
        if connection is None or connection.transport is None:
            return
        if status == LEFT:
            connection.transport.abort()
        else:
            self._idle.append(connection)

    async def _connected(self, loop: asyncio.AbstractEventLoop) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                return connection
        return (await loop.create_connection(Connection, "127.0.0.1", self._port))[1]

    async def open_loop(self, rate: float, until: float) -> None:
        tasks: set[asyncio.Task[None]] = set()
        began, sent = time.monotonic(), 0
        while (now := time.monotonic()) < until:
            for _ in range(int((now - began) * rate) - sent):
                sent += 1
                tasks.add(task := asyncio.create_task(self.once()))
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(_TICK_S)
        await asyncio.gather(*tasks)

    async def closed_loop(self, flight: int, until: float) -> None:
        async def again() -> None:
            while time.monotonic() < until:
                await self.once()

        await asyncio.gather(*[again() for _ in range(flight)])

    async def round(self, wanted: dict[str, Any]) -> dict[str, Any]:
        began = time.monotonic()
        until, first = began + wanted["seconds"], began + wanted["skip"]
        if "rate" in wanted:
            await self.open_loop(wanted["rate"], until)
        else:
            await self.closed_loop(int(wanted["flight"]), until)
        while self._idle:
            transport = self._idle.pop().transport
            if transport is not None:
                transport.abort()
        took: dict[int, list[float]] = defaultdict(list)
        for at, took_s, status in self.seen:
            if at >= first:
                took[status].append(took_s * 1000)
        counted_s = wanted["seconds"] - wanted["skip"]
        return {
            str(status): {
                "rate": len(figures) / counted_s,
                "p50_ms": round(percentile(figures, 0.5), 2),
                "p99_ms": round(percentile(figures, 0.99), 2),
            }
            for status, figures in took.items()
        }


def main() -> None:
    port, path = int(sys.argv[1]), sys.argv[2]
    for line in sys.stdin:
        print(json.dumps(uvloop.run(Pressure(port, path).round(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
