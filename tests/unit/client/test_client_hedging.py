"""Hedging, fallback, the service's own breaker, limits, and what travels besides."""

import asyncio

import pytest
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from tests.unit.client.client_world import Behaviour, World, answer, fail

from hanse.client import (
    ClientOptions,
    HttpRequest,
    HttpResponse,
    ResponseTooLarge,
    TransportFailure,
    Unanswered,
    UpstreamError,
)
from hanse.core.errors import ConfigurationError, HanseError, OutcomeUnknown
from hanse.resilience import BreakerConfig, BreakerOpen, BreakerState, BudgetConfig

LOST = TransportFailure("connection reset", sent=True)


def slow(world: World, seconds: float, *, body: bytes = b'"slow"', status: int = 200) -> Behaviour:
    async def behave(request: HttpRequest) -> HttpResponse:
        await world.clock.sleep(seconds)
        return HttpResponse(status, {"content-type": "application/json"}, body)

    return behave


def first(world: World, *later: Behaviour) -> Behaviour:
    """Whoever is asked first behaves as the first of these, and so on."""
    steps = list(later)

    async def behave(request: HttpRequest) -> HttpResponse:
        return await steps.pop(0)(request)

    return behave


async def pair(world: World, *later: Behaviour, **options: object) -> object:
    behave = first(world, *later)
    world.registry.push(world.instance(1, behave), world.instance(2, behave))
    return await world.client(options=ClientOptions(hedge_after=0.1, **options))  # type: ignore[arg-type]


async def test_a_slow_answer_is_overtaken_by_a_second_instance(world: World) -> None:
    client = await pair(world, slow(world, 3.0), answer(body=b'"fast"'))
    response = await world.clock.run(client.request("GET", "/x"))  # type: ignore[attr-defined]
    assert (response.value(), response.attempts, world.clock.monotonic()) == ("fast", 2, 0.1)
    assert len(set(world.ports())) == 2
    state = client.snapshot()  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    state = client.snapshot()  # type: ignore[attr-defined]
    assert [instance.in_flight for instance in state.instances] == [0, 0]
    assert [instance.breaker.failures for instance in state.instances] == [0, 0]
    assert state.retries_left == 99.0 + 0.0


async def test_a_fast_answer_needs_no_hedge(world: World) -> None:
    client = await pair(world, answer(body=b'"fast"'))
    assert await world.clock.run(client.get("/x")) == "fast"  # type: ignore[attr-defined]
    assert len(world.requests) == 1


@pytest.mark.parametrize("bad", [answer(503), fail(LOST)], ids=["503", "lost"])
async def test_a_bad_answer_to_the_hedge_does_not_win(world: World, bad: Behaviour) -> None:
    client = await pair(world, slow(world, 0.5), bad)
    assert await world.clock.run(client.get("/x")) == "slow"  # type: ignore[attr-defined]
    assert world.clock.monotonic() == 0.5


async def test_when_both_fail_the_call_goes_on_as_usual(world: World) -> None:
    client = await pair(world, slow(world, 0.2, status=503), fail(LOST), answer(body=b'"third"'))
    assert await world.clock.run(client.get("/x")) == "third"  # type: ignore[attr-defined]
    assert len(world.requests) == 3


async def test_only_repeatable_calls_are_hedged(world: World) -> None:
    client = await pair(world, slow(world, 1.0), slow(world, 1.0), answer(body=b'"fast"'))
    assert await world.clock.run(client.post("/x")) == "slow"  # type: ignore[attr-defined]
    assert len(world.requests) == 1
    assert await world.clock.run(client.post("/x", idempotency_key="k")) == "fast"  # type: ignore[attr-defined]


async def test_hedges_take_from_the_retry_budget(world: World) -> None:
    client = await pair(world, slow(world, 1.0), budget=BudgetConfig(ratio=0, reserve=0))
    assert await world.clock.run(client.get("/x")) == "slow"  # type: ignore[attr-defined]
    assert len(world.requests) == 1


async def test_cancelling_a_hedged_call_leaves_nothing_behind(world: World) -> None:
    client = await pair(world, slow(world, 9.0), slow(world, 9.0))
    task = asyncio.create_task(client.get("/x"))  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    while len(world.requests) < 2:
        world.clock.advance(0.1)
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(3):
        await asyncio.sleep(0)
    assert [instance.in_flight for instance in client.snapshot().instances] == [0, 0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("trouble", [answer(503), answer(500), fail(LOST), answer(429)])
async def test_a_fallback_answers_instead(world: World, trouble: Behaviour) -> None:
    client = await world.client(trouble)
    seen: list[HanseError] = []

    async def instead(error: HanseError) -> str:
        seen.append(error)
        return "nothing"

    assert await world.clock.run(client.get("/x", fallback=instead)) == "nothing"
    assert await world.clock.run(client.post("/x", fallback=lambda error: "sync")) == "sync"
    assert isinstance(seen[0], UpstreamError | OutcomeUnknown)


async def test_an_answer_is_no_reason_for_a_fallback(world: World) -> None:
    client = await world.client(answer(404), answer(body=b'{"a": 1}'))
    with pytest.raises(UpstreamError):
        await client.get("/x", fallback=lambda error: "nothing")
    assert await client.get("/x", fallback=lambda error: "nothing") == {"a": 1}


async def test_the_services_breaker_counts_calls_and_refuses_without_sending(world: World) -> None:
    options = ClientOptions(retry=1, service_breaker=BreakerConfig(failures=2, recovery_s=5))
    client = await world.client(*[answer(503)] * 4, answer(404), answer(), options=options)
    for _ in range(2):
        with pytest.raises(UpstreamError):
            await world.clock.run(client.get("/x"))
    with pytest.raises(BreakerOpen) as caught:
        await client.get("/x")
    assert (caught.value.details["service"], caught.value.details["attempts"]) == ("stock", 0)
    assert len(world.requests) == 4
    assert client.snapshot().bulkhead.running == 0
    world.clock.advance(7)
    with pytest.raises(UpstreamError):
        await world.clock.run(client.get("/x"))
    state = client.snapshot().breaker
    assert state is not None
    assert state.state is BreakerState.CLOSED, "a 404 is an answer"
    shown = [(pattern.kind, pattern.name) for pattern in client.patterns()]
    assert shown == [("bulkhead", "stock"), ("retry", "stock"), ("breaker", "stock"), ("breaker", "stock/i1")]


async def test_an_answer_that_is_too_large_is_refused_and_not_asked_for_again(world: World) -> None:
    client = await world.client(answer(body=b"x" * 11), options=ClientOptions(limit_bytes=10))
    with pytest.raises(ResponseTooLarge):
        await client.get("/x")
    assert len(world.requests) == 1
    assert client.snapshot().instances[0].breaker.failures == 0


async def test_errors_say_whom_the_call_was_for(world: World) -> None:
    client = await world.client(fail(LOST))
    with pytest.raises(Unanswered) as caught:
        await world.clock.run(client.post("/x"))
    error = caught.value
    assert (error.service, error.instance, error.attempts) == ("stock", "i1", 1)
    assert error.correlation_id == world.requests[0].headers["x-correlation-id"]


async def test_baggage_travels(world: World) -> None:
    from hanse.telemetry import NoSink, Tracer

    client = await world.client(answer(), tracer=Tracer("orders", NoSink()))
    token = attach(baggage.set_baggage("tenant", "acme"))
    try:
        await client.get("/x")
    finally:
        detach(token)
    assert world.requests[0].headers["baggage"] == "tenant=acme"
    assert world.requests[0].headers["traceparent"].startswith("00-")


@pytest.mark.parametrize("options", [{"hedge_after": 0}, {"slow_start": -1}, {"limit_bytes": 0}])
def test_wrong_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        ClientOptions(**options)  # type: ignore[arg-type]
