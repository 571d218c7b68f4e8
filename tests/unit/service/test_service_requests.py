"""What comes with each request and what each response carries: correlation, trace, deadline, limits, metrics, log."""

from typing import Any

import pytest
from fastapi import APIRouter, Request

from hanse import Service
from hanse.core import current
from hanse.service import Router
from hanse.telemetry import MemorySink

service = Service("requests")
nested = Router()


@service.get("/context")
async def context() -> dict[str, Any]:
    deadline = current().deadline
    left = None if deadline is None else deadline - service.env.clock.monotonic()
    return {"correlation_id": current().correlation_id, "left": left}


@service.post("/size")
async def size(request: Request) -> int:
    return len(await request.body())


@nested.get("/deep/{thing}", role=None)
async def deep(thing: str) -> str:
    return thing


plain = APIRouter()


@plain.get("/plain")
async def plainly() -> str:
    return "plain"


service.include_router(nested, prefix="/nested")
service.include_router(plain)


async def test_a_given_correlation_id_is_kept(run: Any) -> None:
    async with run(service) as call:
        for header in ("X-Correlation-ID", "X-Request-ID"):
            answer = await call("GET", "/context", headers={header: "order-42"})
            assert answer.json()["correlation_id"] == answer.headers["x-correlation-id"] == "order-42"


@pytest.mark.parametrize("bad", ["x" * 129, "a\r\nset-cookie: b", "\xe9", "a\x00b"])
async def test_a_strange_correlation_id_is_replaced(run: Any, bad: str) -> None:
    async with run(service) as call:
        answer = await call("GET", "/context", headers={"x-correlation-id": bad})
        assert answer.headers["x-correlation-id"] == answer.headers["x-trace-id"]


async def test_a_trace_is_continued(run: Any) -> None:
    sink = MemorySink()
    async with run(service) as call:
        service.tracer.sink = sink
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        answer = await call("GET", "/nested/deep/7", headers={"traceparent": parent})
        assert answer.headers["x-trace-id"] == "0af7651916cd43dd8448eb211c80319c"
        (span,) = sink.spans
        assert span.name == "GET /nested/deep/{thing}"
        assert span.attributes["http.route"] == "/nested/deep/{thing}"
        assert span.attributes["http.response.status_code"] == 200
        assert span.parent is not None
        assert span.parent.span_id == 0xB7AD6B7169203331


@pytest.mark.parametrize(
    ("headers", "at_most"),
    [
        ({"x-request-timeout-ms": "1500"}, 1.5),
        ({"x-envoy-expected-rq-timeout-ms": "800"}, 0.8),
        ({"x-request-timeout-ms": "1500", "x-envoy-expected-rq-timeout-ms": "800"}, 0.8),
    ],
)
async def test_the_callers_deadline_is_ours(run: Any, headers: dict[str, str], at_most: float) -> None:
    async with run(service) as call:
        left = (await call("GET", "/context", headers=headers)).json()["left"]
        assert at_most - 0.5 < left <= at_most


@pytest.mark.parametrize("value", ["", "soon", "-5", "1e3", "9" * 30])
async def test_a_malformed_deadline_is_ignored(run: Any, value: str) -> None:
    async with run(service) as call:
        answer = await call("GET", "/context", headers={"x-request-timeout-ms": value})
        assert (answer.status, answer.json()["left"]) == (200, None)


async def test_a_request_that_comes_too_late_is_not_begun(run: Any) -> None:
    async with run(service) as call:
        answer = await call("GET", "/context", headers={"x-request-timeout-ms": "0"})
        assert (answer.status, answer.json()["code"]) == (504, "deadline_exceeded")


async def test_a_body_that_is_too_large_is_refused(run: Any) -> None:
    async with run(service, body_limit_bytes=1000) as call:
        assert (await call("POST", "/size", body=b"x" * 1000)).json() == 1000
        declared = await call("POST", "/size", body=b"x" * 1001)
        assert (declared.status, declared.json()["code"]) == (413, "payload_too_large")
        assert declared.headers["connection"] == "close"
        assert (await call("POST", "/size", chunks=[b"x" * 500, b"x" * 500])).json() == 1000
        streamed = await call("POST", "/size", chunks=[b"x" * 500, b"x" * 500, b"x"])
        assert (streamed.status, streamed.json()["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize(("length", "status"), [("-1", 400), ("x", 400), ("+5", 400), ("9" * 6000, 413)])
async def test_a_strange_length_is_refused(run: Any, length: str, status: int) -> None:
    async with run(service) as call:
        assert (await call("POST", "/size", body=b"x", headers={"content-length": length})).status == status


async def test_an_ambiguous_length_is_refused(run: Any) -> None:
    async with run(service) as call:
        answer = await call("POST", "/size", chunks=[b"x"], headers={"content-length": "1"})
        assert answer.status == 400


async def test_requests_are_counted_by_route(run: Any) -> None:
    async with run(service) as call:
        await call("GET", "/nested/deep/1")
        await call("GET", "/nested/deep/2")
        await call("GET", "/nothing/3")
        await call("BREW", "/nothing/3")
        text = (await call("GET", "/metrics")).body.decode()
        count = "http_server_request_duration_seconds_count"
        labels = 'http_request_method="{}",http_response_status_code="{}",http_route="{}"'
        assert f"{count}{{{labels.format('GET', 200, '/nested/deep/{thing}')}}} 2.0" in text
        assert f"{count}{{{labels.format('GET', 404, '')}}} 1.0" in text
        assert 'http_request_method="_OTHER"' in text
        assert "http_server_active_requests 0.0" in text


async def test_a_request_leaves_one_line(run: Any) -> None:
    async with run(service) as call:
        answer = await call("GET", "/plain?token=s3cret", headers={"x-correlation-id": "c-9"})
        await call("GET", "/health/live")
        (line,) = [line for line in call.log if line["event"] == "request"]
        assert line.pop("duration_ms") >= 0
        for name in ("ts", "span_id"):
            assert line.pop(name)
        assert line == {
            "level": "info",
            "event": "request",
            "service": "requests",
            "method": "GET",
            "path": "/plain",
            "route": "/plain",
            "status": 200,
            "correlation_id": "c-9",
            "trace_id": answer.headers["x-trace-id"],
            "client": "127.0.0.1",
        }


async def test_contexts_do_not_leak_from_one_request_to_the_next(run: Any) -> None:
    async with run(service) as call:
        await call("GET", "/context", headers={"x-correlation-id": "first", "x-request-timeout-ms": "900"})
        assert current().correlation_id == ""
        assert (await call("GET", "/context")).json()["left"] is None
