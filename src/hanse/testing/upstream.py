"""A failure laboratory: an HTTP/1.1 server on loopback that fails in exactly the way it is told to.

    async with Upstream() as upstream:
        upstream.on("/stock", Reset(), Answer(503), Answer(body=b'{"left": 3}'))   # in turn; the last one stays

What is not scripted is answered with 200 and `{}`.
"""

import asyncio
import socket  # noqa: TID251  (for the constants of a reset)
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType

from hanse.registry import Instance

_LINGER_0 = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response.

    `declared_bytes` lies about the length: too large, the connection ends before the body does; too small, the rest of
    the body follows as if it were the next answer. None of it declared with `chunked`. `chunk_bytes` and `pause_s` let
    the body trickle; `then_close` closes the connection that long after the answer without having announced it.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    declared_bytes: int | None = None
    chunked: bool = False
    chunk_bytes: int | None = None
    pause_s: float = 0.0
    then_close: float | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection (RST) when the request was read, or when no more than its first line was."""

    before_reading: bool = False


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close the connection in order (FIN) when the request was read, without an answer."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Never answer; with `part`, after so many bytes of an answer's text."""

    part: bytes = b""


@dataclass(frozen=True, slots=True)
class Garbage:
    """Answer with something that is not HTTP."""

    raw: bytes = b"220 mail.example ESMTP\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Strained:
    """Slow down under load: at most `capacity` requests are worked on at once, `work_s` each; the others queue."""

    capacity: int = 4
    work_s: float = 0.01
    body: bytes = b"{}"


Behaviour = Answer | Reset | Hangup | Stall | Garbage | Strained


@dataclass(frozen=True, slots=True)
class Received:
    """A request that was read completely."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Upstream:
    """One such server.

    Args:
        id: of its instance in the registry.
        idle_s: closes connections on which no request comes for so long; None: never.
    """

    def __init__(self, id: str = "a", *, idle_s: float | None = None) -> None:
        self.id = id
        self.idle_s = idle_s
        self.host, self.port = "127.0.0.1", 0
        self.requests: list[Received] = []
        """All requests that were read, in order."""
        self.connections = 0
        """Accepted so far."""
        self.arrived = asyncio.Condition()
        """Notified with each request read."""
        self.working = 0
        """Requests that `Strained` works on now."""
        self.most_working = 0
        """The most that it had at once, queue included."""
        self._scripts: dict[str, list[Behaviour]] = {}
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def instance(self, service: str, weight: int = 1, zone: str = "") -> Instance:
        """As it would register itself."""
        return Instance(service, self.id, self.host, self.port, weight=weight, zone=zone)

    def on(self, path: str, *behaviours: Behaviour) -> None:
        """Behave so to the requests for `path`, in turn; the last one stays."""
        self._scripts[path] = list(behaviours)

    def count(self, path: str) -> int:
        """How many requests for `path` were read."""
        return Counter(received.path for received in self.requests)[path]

    async def until(self, requests: int) -> None:
        """Wait until so many requests were read in all."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= requests)

    async def start(self) -> None:
        """Listen, on the port of before if there was one."""
        self._server = await asyncio.start_server(self._connected, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse connections from now on; those that are open stay. `start` ends it."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def kill(self) -> None:
        """What `kill -9` looks like from outside: every connection is reset, new ones are refused."""
        await self.refuse()
        for task, writer in list(self._open.items()):
            _reset(writer)
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def __aenter__(self) -> "Upstream":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        await self.kill()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open[task] = writer
        task.add_done_callback(lambda task: self._open.pop(task, None))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False when the connection is over."""
        try:
            async with asyncio.timeout(self.idle_s):
                first = (await reader.readuntil(b"\r\n")).decode("latin-1").split(" ")
        except TimeoutError:
            return False
        behaviour = self._next(first[1].partition("?")[0])
        if behaviour == Reset(before_reading=True):
            _reset(writer)
            return False
        await self._read(first, reader)
        match behaviour:
            case Reset():
                _reset(writer)
            case Stall(part):
                writer.write(part)
                await reader.read()
            case Garbage(raw):
                writer.write(raw)
                await writer.drain()
            case Strained():
                return await self._work(behaviour, writer)
            case Answer():
                return await self._answer(behaviour, writer, bodiless=first[0] == "HEAD")
        return False

    async def _work(self, strained: Strained, writer: asyncio.StreamWriter) -> bool:
        self.most_working = max(self.most_working, self.working + 1)
        self.working += 1
        place = self.working
        try:
            await asyncio.sleep(strained.work_s * -(-place // strained.capacity))
        finally:
            self.working -= 1
        return await self._answer(Answer(body=strained.body), writer)

    async def _read(self, first: list[str], reader: asyncio.StreamReader) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
        if headers.get("transfer-encoding") == "chunked":
            body = await _chunks(reader)
        else:
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append(Received(first[0], first[1], headers, body))
        async with self.arrived:
            self.arrived.notify_all()

    async def _answer(self, answer: Answer, writer: asyncio.StreamWriter, *, bodiless: bool = False) -> bool:
        declared = len(answer.body) if answer.declared_bytes is None else answer.declared_bytes
        length = {"transfer-encoding": "chunked"} if answer.chunked else {"content-length": str(declared)}
        headers = {"content-type": "application/json", **length, **answer.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {answer.status} X\r\n{lines}\r\n".encode())
        if bodiless:
            return True
        step = answer.chunk_bytes or max(len(answer.body), 1)
        for start in range(0, len(answer.body), step):
            if answer.pause_s:
                await asyncio.sleep(answer.pause_s)
            piece = answer.body[start : start + step]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunked else piece)
            await writer.drain()
        if answer.chunked:
            writer.write(b"0\r\n\r\n")
        if answer.then_close is not None:
            await asyncio.sleep(answer.then_close)
            return False
        return declared <= len(answer.body)

    def _next(self, path: str) -> Behaviour:
        script = self._scripts.get(path)
        if not script:
            return Answer()
        return script.pop(0) if len(script) > 1 else script[0]


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """A body in chunks (RFC 9112, section 7.1), without trailers."""
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body


def _reset(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    if found is not None and found.fileno() >= 0:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
    writer.transport.abort()
