"""Told to stop, a service finishes what it has in hand and ends what has no end, within the time it is given."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import WebSocket
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from hanse import Service


class Stage:
    """Holds handlers where a test wants them."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.release = asyncio.Event()

    async def hold(self) -> None:
        self.entered.set()
        await self.release.wait()


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def service(stage: Stage) -> Service:
    service = Service("slow")

    @service.get("/slow")
    async def slow() -> str:
        await stage.hold()
        return "done"

    @service.get("/events", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(data="first")
        await stage.hold()

    @service.get("/download")
    async def download() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"a"
            await stage.hold()
            yield b"b"

        return StreamingResponse(parts())

    @service.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        await stage.hold()

    return service


async def test_a_request_in_hand_is_finished(run: Any, service: Service, stage: Stage) -> None:
    async with run(service) as call:
        request = asyncio.create_task(call("GET", "/slow"))
        await stage.entered.wait()
        drain = asyncio.create_task(service.node.drain(5))
        await asyncio.sleep(0)
        late = await call("GET", "/nothing")
        assert (late.status, late.headers["connection"]) == (404, "close")
        assert not drain.done()
        stage.release.set()
        answer = await request
        assert (answer.status, answer.json(), answer.headers["connection"]) == (200, "done", "close")
        assert await drain is True


async def test_a_download_in_hand_is_finished(run: Any, service: Service, stage: Stage) -> None:
    async with run(service) as call:
        request = asyncio.create_task(call("GET", "/download"))
        await stage.entered.wait()
        drain = asyncio.create_task(service.node.drain(5))
        await asyncio.sleep(0)
        stage.release.set()
        assert (await request).body == b"ab"
        assert await drain is True


async def test_a_stream_of_events_is_ended_in_good_order(run: Any, service: Service, stage: Stage) -> None:
    async with run(service) as call:
        request = asyncio.create_task(call("GET", "/events"))
        await stage.entered.wait()
        assert await service.node.drain(5) is True
        answer = await request
        assert (answer.status, answer.complete) == (200, True)
        assert answer.body == b'data: "first"\n\n'
        late = await call("GET", "/events")
        assert (late.status, late.complete) == (200, True)


async def test_a_websocket_is_told_that_the_service_restarts(run: Any, service: Service, stage: Stage) -> None:
    async with run(service):
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        scope = {"type": "websocket", "path": "/ws", "headers": [], "query_string": b"", "root_path": ""}
        connection = asyncio.create_task(service(scope, receive, send))
        await stage.entered.wait()
        assert await service.node.drain(5) is True
        await connection
        assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
        assert sent[-1]["code"] == 1012


async def test_when_the_grace_is_over_the_rest_is_cut_off_with_an_answer(
    run: Any, service: Service, stage: Stage
) -> None:
    async with run(service) as call:
        request = asyncio.create_task(call("GET", "/slow"))
        await stage.entered.wait()
        assert await service.node.drain(0.05) is False
        answer = await request
        assert (answer.status, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")
        assert any(line["event"] == "the grace is over" for line in call.log)


async def test_a_cancelled_request_is_not_swallowed(run: Any, service: Service, stage: Stage) -> None:
    async with run(service) as call:
        request = asyncio.create_task(call("GET", "/slow"))
        await stage.entered.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert not service.node.in_flight


async def test_it_leaves_the_registry_first(run: Any, service: Service, stage: Stage) -> None:
    async with run(service) as call:
        registry = service.node.parts.registry
        await service.node.announce("127.0.0.1", 8123)
        (instance,) = await registry.discover("slow")
        assert (instance.port, instance.id) == (8123, service.node.instance)
        request = asyncio.create_task(call("GET", "/slow"))
        await stage.entered.wait()
        drain = asyncio.create_task(service.node.drain(5))
        async with asyncio.timeout(5):
            while await registry.discover("slow"):
                await asyncio.sleep(0)
        assert not request.done()
        stage.release.set()
        await drain
        await request


async def test_hooks_run_at_start_and_stop_and_a_broken_one_stops_nothing_else(run: Any) -> None:
    service, seen = Service("hooks"), []

    @service.on_start
    async def begin() -> None:
        seen.append(("start", service.node.started))

    @service.on_stop
    async def broken() -> None:
        raise ValueError("no")

    @service.on_stop
    async def end() -> None:
        seen.append(("stop", service.env is not None))

    async with run(service) as call:
        assert seen == [("start", False)]
        node = service.node
    assert seen == [("start", False), ("stop", True)]
    assert service.running_node is None
    node.logs.flush()
    assert "could not stop a part" in call._stream.getvalue()


async def test_a_failed_start_stops_what_had_started(run: Any) -> None:
    service, stopped = Service("broken", models="tests_no_such_module"), []
    with pytest.raises(ModuleNotFoundError):
        async with run(service):
            pass
    service = Service("broken")

    @service.on_start
    async def begin() -> None:
        stopped.append(service.node)
        raise ValueError("cannot")

    with pytest.raises(ValueError, match="cannot"):
        async with run(service):
            pass
    assert service.running_node is None
    assert stopped[0].env.scope._tasks == {}
