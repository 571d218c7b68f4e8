"""What goes over the wire, and what comes back: headers, query, bodies, types, errors, spans, metrics."""

from decimal import Decimal

import pytest
from pydantic import BaseModel
from tests.unit.client.client_world import World, answer, fail

from hanse.client import InvalidResponse, TransportFailure, UpstreamError
from hanse.core import Principal, RequestContext, use
from hanse.core.errors import InvalidInput
from hanse.telemetry import MemorySink, Metrics, Tracer


class Item(BaseModel):
    id: str
    left: int


async def test_identity_correlation_and_key_travel(world: World) -> None:
    client = await world.client(answer(), identity=lambda: "service-token")
    user = Principal("u1", token="user-token")
    with use(RequestContext(correlation_id="c1", principal=user)):
        await client.post("/x", idempotency_key="k", headers={"X-Extra": "1", "X-Correlation-ID": "forged"})
    sent = world.requests[0].headers
    assert sent["authorization"] == "Bearer user-token"
    assert sent["x-service-authorization"] == "Bearer service-token"
    assert sent["x-correlation-id"] == "c1"
    assert sent["idempotency-key"] == "k"
    assert sent["x-extra"] == "1"


async def test_without_a_context_a_correlation_id_is_made_and_kept_over_attempts(world: World) -> None:
    client = await world.client(answer(503), answer())
    await world.clock.run(client.get("/x"))
    first, second = (request.headers["x-correlation-id"] for request in world.requests)
    assert first == second
    assert first.startswith("call_")
    assert "authorization" not in world.requests[0].headers


async def test_query_is_encoded(world: World) -> None:
    client = await world.client(answer())
    await client.get("/x?a=1", params={"q": "ä b&", "tag": ["x", True], "none": None, "on": False})
    assert world.requests[0].url == "http://10.0.0.1:1/x?a=1&q=%C3%A4+b%26&tag=x&tag=true&on=false"


async def test_a_path_cannot_name_another_host(world: World) -> None:
    client = await world.client(answer())
    with pytest.raises(InvalidInput):
        await client.get("@evil.example/")
    assert world.requests == []


async def test_models_go_in_and_come_out(world: World) -> None:
    client = await world.client(answer(body=b'{"id": "a", "left": 3}'), answer(body=b'[{"id": "b", "left": 4}]'))
    item = await client.put("/x", {"price": Decimal("1.10"), "item": Item(id="z", left=1)}, response_model=Item)
    assert item == Item(id="a", left=3)
    assert world.requests[0].body == b'{"price":"1.10","item":{"id":"z","left":1}}'
    assert world.requests[0].headers["content-type"] == "application/json"
    assert await client.get("/x", response_model=list[Item]) == [Item(id="b", left=4)]


@pytest.mark.parametrize("body", [b'{"id": "a"}', b"", b"<html>"])
async def test_a_body_that_does_not_fit_is_no_success(world: World, body: bytes) -> None:
    client = await world.client(answer(body=body))
    with pytest.raises(InvalidResponse, match="no Item") as caught:
        await client.get("/x", response_model=Item)
    assert caught.value.status == 502
    assert caught.value.details["errors"]


async def test_values_by_content_type(world: World) -> None:
    client = await world.client(
        answer(204, b""),
        answer(body=b"hi", content_type="text/plain"),
        answer(body=b"\x00", content_type="image/png"),
        answer(body=b"{", content_type="application/json"),
    )
    assert [await client.get("/x") for _ in range(3)] == [None, "hi", b"\x00"]
    with pytest.raises(InvalidResponse, match="not JSON"):
        await client.get("/x")


async def test_a_4xx_keeps_what_the_service_said(world: World) -> None:
    body = b'{"title": "Conflict", "detail": "only 2 left", "code": "out_of_stock", "status": 409}'
    client = await world.client(answer(409, body, content_type="application/problem+json"))
    with pytest.raises(UpstreamError, match="only 2 left") as caught:
        await client.post("/x")
    error = caught.value
    assert (error.status, error.code, error.retryable, error.attempts) == (409, "out_of_stock", False, 1)
    assert error.problem["title"] == "Conflict"
    assert error.instance == "i1"
    assert UpstreamError.code == "upstream_error"


@pytest.mark.parametrize(("status", "answers"), [(500, 502), (503, 503), (504, 504), (302, 502), (501, 502)])
async def test_a_5xx_does_not_tell_the_inside_of_the_service(world: World, status: int, answers: int) -> None:
    client = await world.client(answer(status, b'{"detail": "secret stack", "code": "x"}'))
    with pytest.raises(UpstreamError) as caught:
        await world.clock.run(client.post("/x"))
    error = caught.value
    assert (error.upstream_status, error.status, error.code) == (status, answers, "upstream_error")
    assert "secret" not in error.message
    assert error.retryable is (status in (500, 503, 504))


async def test_each_attempt_has_a_span_and_travels_with_its_own_parent(world: World) -> None:
    sink, metrics = MemorySink(), Metrics()
    tracer = Tracer("orders", sink)
    lost = fail(TransportFailure("connection reset", sent=True))
    client = await world.client(lost, answer(), tracer=tracer, metrics=metrics)
    with tracer.span("handler") as parent:
        await world.clock.run(client.get("/items/7?x=1"))
    first, second = sink.named("GET stock")
    assert {first.trace_id, second.trace_id} == {parent.trace_id}
    assert first.parent is not None
    assert first.parent.span_id == parent.span_id
    sent = [request.headers["traceparent"] for request in world.requests]
    assert sent == [f"00-{span.trace_id:032x}-{span.span_id:016x}-01" for span in (first, second)]
    assert first.attributes["error.type"] == "unanswered"
    assert second.attributes["http.response.status_code"] == 200
    assert second.attributes["http.request.resend_count"] == 1
    assert second.attributes["url.path"] == "/items/7"
    text = metrics.render().decode()
    assert 'http_client_request_duration_seconds_count{error_type="unanswered",http_request_method="GET"' in text
    assert 'http_response_status_code="200",server_address="stock"} 1.0' in text
