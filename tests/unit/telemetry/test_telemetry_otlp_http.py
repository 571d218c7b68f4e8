"""Spans reach a real receiver over TCP; a receiver that is slow, rude or away costs the node nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from hanse.core import Env
from hanse.core.errors import ConfigurationError, Unavailable
from hanse.telemetry import OtlpHttpSink, Tracer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Receiver:
    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                self.requests.append((head, await reader.readexactly(length)))
                self.arrived.set()
                answer = self.answers.pop(0) if self.answers else OK
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def receiver(*answers: bytes) -> AsyncIterator[Receiver]:
    it = Receiver(list(answers))
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    async with server:
        yield it


SinkTo = Callable[[int], OtlpHttpSink]


@pytest.fixture
async def sink_to() -> AsyncIterator[SinkTo]:
    env = Env.build("test")
    sinks: list[OtlpHttpSink] = []

    def make(port: int) -> OtlpHttpSink:
        sinks.append(OtlpHttpSink(env, f"http://127.0.0.1:{port}", {"service.name": "orders"}))
        return sinks[-1]

    yield make
    for sink in sinks:
        await sink.stop()
    await env.scope.close()


async def test_spans_are_sent_in_the_background(sink_to: SinkTo) -> None:
    async with receiver() as server:
        sink = sink_to(server.port)
        await sink.start()
        Tracer("orders", sink).span("work").end()
        async with asyncio.timeout(5):
            await server.arrived.wait()
        head, body = server.requests[0]
        assert head.startswith(b"POST /v1/traces HTTP/1.1\r\n")
        assert b"content-type: application/x-protobuf" in head
        assert b"work" in body
        await sink.stop()
        assert (sink.sent, sink.dropped) == (1, 0)


async def test_one_connection_carries_many_batches_and_is_opened_anew(sink_to: SinkTo) -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    async with receiver(OK, b"HTTP/1.1 204 No Content\r\n\r\n", closing, OK, b"", OK) as server:
        sink = sink_to(server.port)
        tracer = Tracer("orders", sink)
        for _ in range(4):
            tracer.span("work").end()
            await sink.flush()
        assert server.connections == 2
        tracer.span("work").end()
        await sink.flush()  # the kept connection is closed without an answer: sent again on a new one
        assert server.connections == 3
        assert sink.sent == 5


async def test_an_absent_receiver_keeps_the_spans_then_drops(sink_to: SinkTo) -> None:
    async with receiver() as server:
        port = server.port
    sink = sink_to(port)
    tracer = Tracer("orders", sink)
    tracer.span("work").end()
    with pytest.raises(Unavailable):
        await sink.flush()
    assert (sink.sent, sink.dropped) == (0, 0)


async def test_the_buffer_is_bounded() -> None:
    sink = OtlpHttpSink(Env.build("test"), "http://127.0.0.1:1", {}, max_buffer_bytes=500)
    tracer = Tracer("orders", sink)
    for _ in range(100):
        tracer.span("work").end()
    assert 90 < sink.dropped < 100


@pytest.mark.parametrize(("status", "kept"), [(b"503 Busy", True), (b"429 Slow", True), (b"400 No", False)])
async def test_refused_spans_are_kept_only_if_it_can_help(sink_to: SinkTo, status: bytes, kept: bool) -> None:
    async with receiver(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") as server:
        sink = sink_to(server.port)
        Tracer("orders", sink).span("work").end()
        if kept:
            with pytest.raises(Unavailable):
                await sink.flush()
            await sink.flush()
            assert (sink.sent, sink.dropped) == (1, 0)
        else:
            await sink.flush()
            assert (sink.sent, sink.dropped) == (0, 1)


async def test_what_is_buffered_leaves_at_stop(sink_to: SinkTo) -> None:
    async with receiver() as server:
        sink = sink_to(server.port)
        await sink.start()
        Tracer("orders", sink).span("last").end()
        await sink.stop()
        await sink.stop()
        assert b"last" in server.requests[0][1]


async def test_a_receiver_that_never_answers_does_not_hold_up_the_stop(sink_to: SinkTo) -> None:
    released = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.close()

    callback: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] = silent
    async with await asyncio.start_server(callback, "127.0.0.1", 0) as server:
        sink = sink_to(server.sockets[0].getsockname()[1])
        await sink.start()
        Tracer("orders", sink).span("work").end()
        async with asyncio.timeout(3):
            await sink.stop()
        assert sink.sent == 0
        released.set()


def test_a_wrong_endpoint_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError, match="is not a URL"):
        OtlpHttpSink(Env.build("test"), "127.0.0.1:4318", {})
