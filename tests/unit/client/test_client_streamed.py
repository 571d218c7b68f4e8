"""Lines and events of a stream do not depend on how the network cuts it; streams on a network in memory."""

from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.client.client_world import World, answer

from hanse.client import HttpStream, StreamedResponse
from hanse.client.call import Call
from hanse.testing.clock import ManualClock


class Cut(HttpStream):
    """A body cut at the given places."""

    def __init__(self, body: bytes, places: set[int]) -> None:
        super().__init__(200, {})
        ends = sorted({place % (len(body) + 1) for place in places} | {len(body)})
        self._pieces = [body[start:end] for start, end in zip([0, *ends], ends, strict=False) if start < end]

    async def read(self, timeout_s: float | None) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def close(self) -> None:
        self._pieces.clear()


def response(body: bytes, places: set[int]) -> StreamedResponse:
    call = Call("s", "GET", "/", None, {"x-correlation-id": "c"})
    return StreamedResponse(Cut(body, places), call, ManualClock(), None, None)


@given(st.lists(st.text("aü:1 ", max_size=4)), st.sampled_from(["\n", "\r\n", "\r"]), st.sets(st.integers(0, 200)))
async def test_lines_are_the_same_however_they_are_cut(texts: list[str], end: str, places: set[int]) -> None:
    body = "".join(text + end for text in texts).encode()
    assert [line async for line in response(body, places).lines()] == texts


@given(st.sets(st.integers(0, 200)))
async def test_events_are_the_same_however_they_are_cut(places: set[int]) -> None:
    body = b": hi\r\nid: 1\r\ndata: a\r\ndata: b\r\n\r\nevent: x\rdata:\xc3\xbc\r\rretry: 20\n\ndata\n\ndata: cut"
    found = [(event.event, event.data, event.id, event.retry_s) async for event in response(body, places).events()]
    assert found == [("message", "a\nb", "1", None), ("x", "ü", "1", None), ("message", "", "1", 0.02)]


async def test_streams_in_memory(world: World) -> None:
    client = await world.client(answer(body=b"one\ntwo"))

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async with client.stream("POST", "/x", content=pieces()) as found:
        assert [line async for line in found.lines()] == ["one", "two"]
    assert world.requests[0].body == b"ab"
    assert client.snapshot().bulkhead.running == 0
