"""Streams over real sockets: down, up, server-sent events, and what ends them."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest
from tests.system.client.client_laboratory import Laboratory

from hanse.client import ClientOptions, ServerSentEvent, TimedOut, Unanswered, UpstreamError
from hanse.core import RequestContext, use
from hanse.testing.upstream import Answer, Reset, Stall

EVENTS = (
    b': hello\r\n\r\nid: 7\r\nevent: moved\r\ndata: {"x":\r\ndata: 1}\r\n\r\nretry: 1500\ndata: t\xc3\xbcr\n\ndata: cut'
)


@pytest.mark.parametrize("chunked", [False, True])
async def test_pieces_come_as_they_are_sent(laboratory: Laboratory, chunked: bool) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client()
    upstream.on("/x", Answer(body=b"abcdef", chunk_bytes=2, pause_s=0.05, chunked=chunked))
    began, seen = monotonic(), []
    async with client.stream("GET", "/x") as answer:
        assert answer.instance == "a"
        async for piece in answer.chunks():
            seen.append((piece, monotonic() - began))
        assert client.snapshot().instances[0].in_flight == 0
        assert client.snapshot().bulkhead.running == 1
    assert [piece for piece, _ in seen] == [b"ab", b"cd", b"ef"]
    assert seen[-1][1] - seen[0][1] >= 0.09
    assert client.snapshot().bulkhead.running == 0
    assert "x-request-timeout-ms" not in upstream.requests[0].headers


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
async def test_events_are_read_however_they_are_cut(laboratory: Laboratory, step: int) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client()
    upstream.on("/x", Answer(body=EVENTS, chunk_bytes=step, headers={"content-type": "text/event-stream"}))
    async with client.stream("GET", "/x") as answer:
        events = [event async for event in answer.events()]
    assert events == [ServerSentEvent('{"x":\n1}', "moved", "7"), ServerSentEvent("tür", "message", "7", 1.5)]
    assert events[0].json() == {"x": 1}


async def test_lines(laboratory: Laboratory) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client()
    upstream.on("/x", Answer(body=b"one\ntwo\r\n\r\nthree\rfour", chunk_bytes=1))
    async with client.stream("GET", "/x") as answer:
        assert [line async for line in answer.lines()] == ["one", "two", "", "three", "four"]


async def test_a_body_goes_up_piece_by_piece(laboratory: Laboratory) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client()

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(1000):
            yield b"%03d" % number

    upstream.on("/x", Answer(201, body=b'{"bytes": 3000}'))
    async with client.stream("POST", "/x", content=pieces(), headers={"content-type": "text/plain"}) as answer:
        assert (await answer.read(1000)).json() == {"bytes": 3000}
    [received] = upstream.requests
    assert received.body == b"".join(b"%03d" % number for number in range(1000))
    assert received.headers["content-type"] == "text/plain"


async def test_what_began_to_flow_is_sent_once_and_what_did_not_goes_elsewhere(laboratory: Laboratory) -> None:
    dead, alive = await laboratory.upstream("a"), await laboratory.upstream("b")
    client = await laboratory.client()
    await dead.refuse()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"

    for _ in range(10):
        async with client.stream("PUT", "/x", content=pieces()) as answer:
            assert answer.instance == "b"
    alive.on("/x", Reset())
    had = alive.count("/x")
    with pytest.raises(Unanswered):
        async with client.stream("PUT", "/x", content=pieces()):
            raise AssertionError
    assert alive.count("/x") == had + 1


async def test_an_error_of_the_body_passes_as_it_is(laboratory: Laboratory) -> None:
    await laboratory.upstream()
    client = await laboratory.client()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        async with client.stream("POST", "/x", content=pieces()):
            raise AssertionError
    assert client.snapshot().bulkhead.running == 0


async def test_before_it_begins_a_stream_is_repeated_like_any_call(laboratory: Laboratory) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client()
    upstream.on("/x", Reset(), Answer(503), Answer(body=b"fine"))
    async with client.stream("GET", "/x") as answer:
        assert b"".join([piece async for piece in answer.chunks()]) == b"fine"
    problem = b'{"title": "Gone", "code": "gone"}'
    upstream.on("/x", Answer(410, body=problem))
    with pytest.raises(UpstreamError) as caught:
        async with client.stream("GET", "/x"):
            raise AssertionError
    assert (caught.value.code, caught.value.instance) == ("gone", "a")


async def test_a_stream_that_breaks_off_says_so(laboratory: Laboratory) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client()
    upstream.on("/x", Answer(body=b"half", declared_bytes=100))
    with pytest.raises(Unanswered, match="broke off") as caught:
        async with client.stream("GET", "/x") as answer:
            assert [piece async for piece in answer.chunks()] == [b"half"]
    assert (caught.value.service, caught.value.instance) == ("stock", "a")


HALF = Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")


async def test_silence_ends_a_stream(laboratory: Laboratory) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client()
    upstream.on("/x", HALF)
    began = monotonic()
    with pytest.raises(TimedOut):
        async with client.stream("GET", "/x", idle_timeout=0.1) as answer:
            async for piece in answer.chunks():
                assert piece == b"half"
    assert 0.09 <= monotonic() - began < 1


async def test_the_timeout_bounds_the_beginning_and_an_inherited_deadline_the_whole(laboratory: Laboratory) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client(ClientOptions(timeout=0.1, retry=0))
    upstream.on("/x", Stall())
    with pytest.raises(TimedOut):
        async with client.stream("GET", "/x"):
            raise AssertionError
    upstream.on("/x", Answer(body=b"slowly", chunk_bytes=1, pause_s=0.05))
    async with client.stream("GET", "/x") as answer:
        assert len([piece async for piece in answer.chunks()]) == 6
    began = monotonic()
    with use(RequestContext(deadline=began + 0.17)), pytest.raises(TimedOut):
        async with client.stream("GET", "/x") as answer:
            async for _ in answer.chunks():
                pass
    assert 0.16 <= monotonic() - began < 1
    assert int(upstream.requests[-1].headers["x-request-timeout-ms"]) <= 170


async def test_leaving_early_gives_the_connection_up(laboratory: Laboratory) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client()
    upstream.on("/x", HALF)
    for _ in range(3):
        async with client.stream("GET", "/x") as answer:
            async for _ in answer.chunks():
                break
    async with asyncio.timeout(5):
        while upstream._open:
            await asyncio.sleep(0.005)
    assert client.snapshot().bulkhead.running == 0


async def test_connections_are_used_again(laboratory: Laboratory) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client()
    upstream.on("/chunked", Answer(chunked=True))
    for _ in range(50):
        await client.get("/x")
        await client.get("/chunked")
        await client.request("HEAD", "/empty")
    assert upstream.connections <= 2
