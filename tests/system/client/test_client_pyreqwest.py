"""What pyreqwest's errors mean: pinned, because its classes do not say and a new version may word them differently."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from hanse.client import HttpRequest, HttpResponse, TransportFailure
from hanse.client.pyreqwest import PyreqwestTransport
from hanse.core.errors import InvalidInput, Unavailable
from hanse.testing.upstream import Answer, Garbage, Hangup, Reset, Stall, Upstream

HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"


@pytest.fixture
async def transport() -> AsyncIterator[PyreqwestTransport]:
    transport = PyreqwestTransport(connect_timeout_s=0.2)
    await transport.start()
    yield transport
    await transport.stop()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


async def exchange(
    transport: PyreqwestTransport, url: str, method: str = "GET", timeout_s: float = 2.0
) -> HttpResponse | TransportFailure:
    try:
        return await transport.send(HttpRequest(method, url, {}, b"x" if method == "POST" else None), timeout_s)
    except TransportFailure as failure:
        return failure


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
@pytest.mark.parametrize(
    ("behaviour", "timed_out"),
    [
        (Reset(), False),
        (Reset(before_reading=True), False),
        (Hangup(), False),
        (Garbage(), False),
        (Answer(body=b"half", declared_bytes=100), False),
        (Stall(), True),
        (Stall(HALF), True),
        (Answer(body=b"x" * 100, chunk_bytes=1, pause_s=0.05), True),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, bool) else "",
)
async def test_sent_and_not_answered(
    transport: PyreqwestTransport,
    upstream: Upstream,
    behaviour: Answer | Reset,
    timed_out: bool,
    reused: bool,
    method: str,
) -> None:
    upstream.on("/broken", behaviour)
    if reused:
        await exchange(transport, upstream.url + "/fine")
    failure = await exchange(transport, upstream.url + "/broken", method, 0.3 if timed_out else 2.0)
    assert isinstance(failure, TransportFailure)
    assert failure.sent
    assert failure.timed_out is timed_out
    assert upstream.connections == 1, "the library must not repeat anything by itself"
    assert upstream.count("/broken") <= 1


async def test_refused_is_not_sent(transport: PyreqwestTransport, upstream: Upstream) -> None:
    await upstream.refuse()
    failure = await exchange(transport, upstream.url + "/x")
    assert isinstance(failure, TransportFailure)
    assert not failure.sent
    assert not failure.timed_out
    assert "refused" in failure.reason


async def test_a_connection_that_is_not_accepted_is_not_sent(transport: PyreqwestTransport) -> None:
    import socket

    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fill = [socket.socket() for _ in range(4)]
        for one in fill:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        failure = await exchange(transport, f"http://127.0.0.1:{full.getsockname()[1]}/x")
        for one in fill:
            one.close()
    assert isinstance(failure, TransportFailure)
    assert (failure.sent, failure.timed_out) == (False, True)


async def test_an_unknown_host_is_not_sent(transport: PyreqwestTransport) -> None:
    failure = await exchange(transport, "http://no-such-host.invalid/x", timeout_s=5)
    assert isinstance(failure, TransportFailure)
    assert not failure.sent


async def test_an_idle_connection_that_the_server_closed_is_not_used(
    transport: PyreqwestTransport, upstream: Upstream
) -> None:
    upstream.on("/last", Answer(then_close=0.0))
    for method in ("GET", "POST"):
        await exchange(transport, upstream.url + "/last")
        await asyncio.sleep(0.1)  # the close must have arrived: the race itself is an unknown outcome
        answer = await exchange(transport, upstream.url + "/fine", method)
        assert isinstance(answer, HttpResponse)


async def test_redirects_and_compression_are_left_to_the_caller(
    transport: PyreqwestTransport, upstream: Upstream
) -> None:
    upstream.on("/moved", Answer(302, headers={"location": "/elsewhere", "set-cookie": "a=b"}))
    answer = await exchange(transport, upstream.url + "/moved")
    assert isinstance(answer, HttpResponse)
    assert (answer.status, answer.headers["Location"]) == (302, "/elsewhere")
    await exchange(transport, upstream.url + "/fine")
    received = upstream.requests[-1].headers
    assert upstream.count("/elsewhere") == 0
    assert not {"accept-encoding", "cookie", "referer"} & set(received)


async def test_stop_while_under_way_leaves_the_outcome_unknown(upstream: Upstream) -> None:
    transport = PyreqwestTransport()
    await transport.start()
    upstream.on("/slow", Stall())
    pending = asyncio.create_task(exchange(transport, upstream.url + "/slow"))
    await upstream.until(1)
    await transport.stop()
    failure = await pending
    assert isinstance(failure, TransportFailure)
    assert failure.sent
    with pytest.raises(Unavailable):
        await transport.send(HttpRequest("GET", upstream.url, {}), 1)


async def test_what_can_not_be_sent_is_the_callers_mistake(transport: PyreqwestTransport, upstream: Upstream) -> None:
    with pytest.raises(InvalidInput):
        await transport.send(HttpRequest("GET", upstream.url + "/x", {"a": "b\r\nc: d"}), 1)
    with pytest.raises(InvalidInput):
        await transport.send(HttpRequest("GET", "http://[bad/x", {}), 1)
