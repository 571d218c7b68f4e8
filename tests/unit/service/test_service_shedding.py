"""Too many requests: who is refused, how, and who never is."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import pytest
from fastapi import WebSocket
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from tests.unit.service.conftest import Answer, Caller

from hanse import Service
from hanse.config import ServiceSettings
from hanse.core import Env
from hanse.core.errors import ConfigurationError, DeadlineExceeded, NotFound
from hanse.service import Router
from hanse.testing.clock import ManualClock

TEN = {"concurrency_minimum": 10, "concurrency_maximum": 10}
"""Places for 5 LOW, 9 NORMAL and 10 HIGH requests."""


@dataclass
class Held:
    """Requests that are held in their handlers until `let_go`."""

    call: Any
    over: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[Answer]] = field(default_factory=list)

    async def hold(self, count: int, path: str = "/held", **options: Any) -> None:
        limit = self.call.service.node.gate.limit
        await asyncio.sleep(0)  # the end of the turn
        wanted = limit.running + count
        self.tasks += [asyncio.create_task(self.call("GET", path, **options)) for _ in range(count)]
        async with asyncio.timeout(5):
            while limit.running < wanted:
                await asyncio.sleep(0)

    async def let_go(self) -> list[int]:
        self.over.set()
        return [answer.status for answer in await asyncio.gather(*self.tasks)]


def declared(held: Held) -> Service[Any]:
    service: Service[Any] = Service("busy")
    router = Router()

    async def wait() -> str:
        await held.over.wait()
        return "done"

    async def answer() -> str:
        return "done"

    service.get("/held")(wait)
    service.get("/held/high", priority="high")(wait)
    service.get("/held/critical", priority="critical")(wait)
    service.get("/low", priority="low")(answer)
    service.get("/normal")(answer)
    service.get("/high", priority="high")(answer)
    service.get("/admin/{name:path}", priority="critical")(answer)
    router.get("/{number:int}", priority="high")(answer)
    router.get("/{name}", priority="low")(answer)
    service.include_router(router, prefix="/group")

    @service.get("/busy")
    async def busy() -> str:
        return "done"

    @service.get("/missing")
    async def missing() -> None:
        raise NotFound("there is none")

    @service.get("/late")
    async def late() -> None:
        raise DeadlineExceeded("too late")

    @service.get("/events", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(data="first")
        await held.over.wait()

    @service.get("/download")
    async def download() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"a"
            await held.over.wait()

        return StreamingResponse(parts())

    @service.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        await held.over.wait()

    return service


@asynccontextmanager
async def busy(run: Any, **settings: Any) -> AsyncIterator[Held]:
    held = Held(None)
    async with run(declared(held), **{**TEN, **settings}) as call:
        held.call = call
        yield held
        await held.let_go()
        await asyncio.sleep(0)
        if call.service.node.gate is not None:
            assert call.service.node.gate.limit.running == 0, "a place was not given back"


async def shown(call: Caller) -> dict[str, Any]:
    [found] = (await call("GET", "/resilience?kind=adaptive")).json()["patterns"]
    return dict(found)


async def test_what_is_too_much_is_refused_with_a_reason_and_counted(run: Any) -> None:
    async with busy(run) as held:
        await held.hold(9)
        answer = await held.call("GET", "/normal", headers={"x-correlation-id": "c-1"})
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert (told["code"], told["status"], told["correlation_id"]) == ("overloaded", 503, "c-1")
        state = await shown(held.call)
        assert (state["name"], state["limit"], state["rejected"]["normal"]) == ("requests", 10, 1)
        metrics = (await held.call("GET", "/metrics")).body.decode()
        assert 'http_server_shed_requests_total{priority="normal"} 1.0' in metrics
        assert "http_server_concurrency_limit 10.0" in metrics
        assert [line["level"] for line in held.call.log if line.get("code") == "overloaded"] == ["info"]
        assert not [line for line in held.call.log if line["event"] == "request failed"]
        assert await held.let_go() == [200] * 9
        assert (await held.call("GET", "/normal")).status == 200


async def test_the_least_important_goes_first(run: Any) -> None:
    async with busy(run) as held:

        async def statuses() -> tuple[int, ...]:
            return tuple([(await held.call("GET", path)).status for path in ("/low", "/normal", "/high")])

        await held.hold(4)
        assert await statuses() == (200, 200, 200)
        await held.hold(1)
        assert await statuses() == (503, 200, 200)
        await held.hold(4)
        assert await statuses() == (503, 503, 200)
        await held.hold(1, "/held/high")
        assert await statuses() == (503, 503, 503)
        assert (await shown(held.call))["rejected"] == {"low": 3, "normal": 2, "high": 1, "critical": 0}


async def test_probes_and_administration_are_never_refused(run: Any) -> None:
    async with busy(run) as held:
        await held.hold(9)
        await held.hold(20, "/held/critical")
        for path in ("/health", "/health/live", "/ready", "/metrics", "/resilience", "/admin/users/1"):
            assert (await held.call("GET", path, headers={"x-priority": "low"})).status == 200, path
        assert (await held.call("POST", "/resilience/reset", json_body={"name": "x"})).status == 401
        assert (await held.call("GET", "/high")).status == 503


async def test_a_header_lowers_the_class_and_only_services_raise_it(run: Any, tokens: Any) -> None:
    async with busy(run) as held:

        async def status(path: str, priority: str, **headers: str) -> int:
            return int((await held.call("GET", path, headers={"x-priority": priority, **headers})).status)

        await held.hold(5)
        assert await status("/normal", "low") == 503
        assert await status("/normal", "NORMAL") == 200
        assert await status("/low", "high") == 503
        assert await status("/low", "normal", **tokens.service()) == 200
        await held.hold(4)
        assert await status("/normal", "high") == 503
        assert await status("/normal", "critical") == 503
        assert await status("/normal", "high", **tokens.user()) == 503
        assert await status("/normal", "high", **{"x-service-authorization": tokens.user()["authorization"]}) == 503
        assert await status("/normal", "high", **{"x-service-authorization": "Bearer forged"}) == 503
        assert await status("/normal", "high", **tokens.service()) == 200
        await held.hold(1, "/held/high")
        assert await status("/normal", "critical", **tokens.service()) == 503, "nobody may claim never to be shed"


async def test_the_class_is_found_for_every_form_of_path(run: Any) -> None:
    async with busy(run) as held:
        await held.hold(9)
        for path, status in {"/group/7": 200, "/group/seven": 503, "/admin/a/b": 200, "/nothing": 503}.items():
            assert (await held.call("GET", path)).status == status, path
        assert (await held.call("POST", "/high")).status == 503, "another method is not that route"


@pytest.mark.parametrize("path", ["/events", "/download"])
async def test_a_stream_holds_no_place_once_it_has_begun(run: Any, path: str) -> None:
    async with busy(run) as held:
        begun = asyncio.Event()
        streams = [asyncio.create_task(held.call("GET", path, on_start=lambda answer: begun.set())) for _ in range(5)]
        await begun.wait()
        while sum(1 for task in held.call.service.node.in_flight) < 5 or held.call.service.node.gate.limit.running:
            await asyncio.sleep(0)
        await held.hold(9)
        assert (await held.call("GET", "/normal")).status == 503
        await held.let_go()
        await asyncio.gather(*streams)


async def socket(app: Any, sent: list[dict[str, Any]]) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/ws", "query_string": b"", "headers": []}, receive, send)


async def test_a_websocket_holds_a_place_until_it_is_accepted(run: Any) -> None:
    async with busy(run) as held:
        sent: list[dict[str, Any]] = []
        sockets = [asyncio.create_task(socket(held.call.app, sent)) for _ in range(9)]
        while len(sent) < 9:
            await asyncio.sleep(0)
        assert {message["type"] for message in sent} == {"websocket.accept"}
        assert held.call.service.node.gate.limit.running == 0
        await held.hold(9)
        refused: list[dict[str, Any]] = []
        await socket(held.call.app, refused)
        assert refused == [{"type": "websocket.close", "code": 1013}]
        await held.let_go()
        await asyncio.gather(*sockets)


async def test_handlers_that_never_wait_are_counted_while_they_queue(run: Any) -> None:
    async with busy(run) as held:
        answers = await asyncio.gather(*[held.call("GET", "/busy") for _ in range(30)])
        assert [answer.status for answer in answers] == [200] * 9 + [503] * 21
        answers = await asyncio.gather(*[held.call("GET", "/busy") for _ in range(9)])
        assert {answer.status for answer in answers} == {200}


async def test_waiting_behind_others_in_the_event_loop_counts_as_latency_and_lowers_the_limit() -> None:
    clock = ManualClock()
    service: Service[Any] = Service("computing")

    @service.get("/")
    async def compute() -> str:
        clock.advance(0.010)
        return "done"

    settings = ServiceSettings(broker_url="memory://computing", concurrency_minimum=5, concurrency_maximum=1000)
    async with service.running(settings, env=Env.build("computing-1", clock=clock)):
        call, limit = Caller(service), service.node.gate.limit  # type: ignore[union-attr]
        for _ in range(40):
            await asyncio.create_task(call("GET", "/"))
        assert limit.snapshot().latency_s == pytest.approx(0.010)
        before = limit.limit
        for _ in range(20):
            await asyncio.gather(*[call("GET", "/") for _ in range(8)])
        assert limit.snapshot().latency_s > 0.020
        assert limit.limit < before


async def test_a_program_that_calls_one_after_the_other_is_never_too_many(run: Any) -> None:
    async with busy(run) as held:
        assert {(await held.call("GET", "/busy")).status for _ in range(100)} == {200}


async def test_only_what_was_served_tells_how_long_serving_takes(run: Any) -> None:
    async with busy(run) as held:
        limit = held.call.service.node.gate.limit
        for _ in range(50):
            assert (await held.call("GET", "/missing")).status == 404
        await asyncio.sleep(0)
        assert limit._calls == 0
        assert (await held.call("GET", "/late")).status == 504
        await asyncio.sleep(0)
        assert limit._dropped, "a request that ran out of time is a sign of overload"


async def test_a_request_that_is_cancelled_gives_its_place_back(run: Any) -> None:
    async with busy(run) as held:
        await held.hold(9)
        held.tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await held.tasks.pop(0)
        assert held.call.service.node.gate.limit.running == 8


async def test_who_has_given_up_already_is_told_so_even_under_load(run: Any) -> None:
    async with busy(run) as held:
        await held.hold(9)
        answer = await held.call("GET", "/normal", headers={"x-request-timeout-ms": "0"})
        assert (answer.status, answer.json()["code"]) == (504, "deadline_exceeded")
        assert (await shown(held.call))["rejected"]["normal"] == 0


async def test_a_refusal_takes_far_less_than_a_millisecond(run: Any) -> None:
    async with busy(run) as held:
        await held.hold(9)
        took = []
        for _ in range(200):
            began = time.perf_counter()
            assert (await held.call("GET", "/normal")).status == 503
            took.append(time.perf_counter() - began)
        assert median(took) < 0.001


async def test_it_can_be_switched_off(run: Any) -> None:
    async with busy(run, load_shedding=False) as held:
        answers = await asyncio.gather(*[held.call("GET", "/busy") for _ in range(30)])
        assert {answer.status for answer in answers} == {200}
        assert (await held.call("GET", "/resilience?kind=adaptive")).json()["patterns"] == []


async def test_wrong_declarations_are_told_before_anything_starts(run: Any) -> None:
    with pytest.raises(ConfigurationError, match=r'/x: priority is one of low, normal, high, critical, not "urgent"'):
        Service("wrong").get("/x", priority="urgent")
    with pytest.raises(ConfigurationError, match="HANSE_CONCURRENCY_MINIMUM"):
        async with run(Service("wrong"), concurrency_minimum=10, concurrency_maximum=9):
            pass
