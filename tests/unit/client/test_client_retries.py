"""What is repeated, what is not, what the caller sees, and how long it takes at most."""

import asyncio

import pytest
from tests.unit.client.client_world import World, answer, fail

from hanse.client import ClientOptions, HttpRequest, HttpResponse, TransportFailure, UpstreamError
from hanse.core import RequestContext, use
from hanse.core.errors import DeadlineExceeded, OutcomeUnknown, Unavailable
from hanse.resilience import BreakerConfig, BudgetConfig, BulkheadConfig, BulkheadFull

LOST = TransportFailure("connection reset", sent=True)
REFUSED = TransportFailure("connection refused", sent=False)


async def stall(request: HttpRequest) -> HttpResponse:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "trouble", [fail(LOST), answer(502), answer(503), answer(504)], ids=["lost", "502", "503", "504"]
)
async def test_idempotent_methods_are_repeated(world: World, method: str, trouble: object) -> None:
    client = await world.client(trouble, trouble, answer())
    response = await world.clock.run(client.request(method, "/x"))
    assert (response.status, response.attempts, len(world.requests)) == (200, 3, 3)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_nothing_is_repeated_after_an_unknown_outcome_without_a_key(world: World, method: str) -> None:
    client = await world.client(fail(LOST), answer())
    with pytest.raises(OutcomeUnknown) as caught:
        await world.clock.run(client.request(method, "/x"))
    assert len(world.requests) == 1
    assert caught.value.details == {"service": "stock", "attempts": 1}


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_post_without_a_key_is_not_repeated_on_bad_answers(world: World, status: int) -> None:
    client = await world.client(answer(status), answer())
    with pytest.raises(UpstreamError) as caught:
        await world.clock.run(client.post("/x"))
    assert len(world.requests) == 1
    assert caught.value.retryable


async def test_a_post_with_a_key_is_repeated_with_the_same_key(world: World) -> None:
    client = await world.client(fail(LOST), answer(503), answer())
    await world.clock.run(client.post("/x", {"a": 1}, idempotency_key="k1"))
    assert [request.headers["idempotency-key"] for request in world.requests] == ["k1"] * 3
    assert [request.body for request in world.requests] == [b'{"a":1}'] * 3


async def test_a_post_that_was_not_sent_is_repeated(world: World) -> None:
    client = await world.client(fail(REFUSED), fail(REFUSED), answer())
    await world.clock.run(client.post("/x"))
    assert len(world.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500, 501])
async def test_other_answers_are_given_at_once(world: World, status: int) -> None:
    client = await world.client(answer(status), answer())
    with pytest.raises(UpstreamError) as caught:
        await world.clock.run(client.get("/x"))
    assert caught.value.upstream_status == status
    assert len(world.requests) == 1


async def test_too_many_requests_waits_as_long_as_asked_also_for_a_post(world: World) -> None:
    client = await world.client(answer(429, retry_after="1"), answer())
    await world.clock.run(client.post("/x"))
    assert world.clock.monotonic() == 1.0


@pytest.mark.parametrize("headers", [{}, {"retry_after": "30"}, {"retry_after": "soon"}])
async def test_too_many_requests_is_given_when_the_wait_is_long_or_unknown(
    world: World, headers: dict[str, str]
) -> None:
    client = await world.client(answer(429, **headers), answer())
    with pytest.raises(UpstreamError) as caught:
        await world.clock.run(client.get("/x"))
    assert (caught.value.status, caught.value.retryable, len(world.requests)) == (429, True, 1)


async def test_an_answer_may_ask_for_a_later_repetition_by_date(world: World) -> None:
    client = await world.client(answer(503, retry_after="Tue, 14 Nov 2023 22:13:21 GMT"), answer())
    await world.clock.run(client.get("/x"))
    assert world.clock.monotonic() == 1.0


async def test_the_attempts_end_with_what_is_known(world: World) -> None:
    client = await world.client(fail(LOST), fail(REFUSED))
    with pytest.raises(OutcomeUnknown):
        await world.clock.run(client.get("/x"))
    assert len(world.requests) == 3, "one attempt that got lost makes the whole call uncertain"


async def test_never_sent_is_unavailable(world: World) -> None:
    client = await world.client(fail(REFUSED))
    with pytest.raises(Unavailable, match="could not be reached"):
        await world.clock.run(client.put("/x"))


async def test_no_instance_is_unavailable_and_one_that_comes_in_time_is_used(world: World) -> None:
    client = await world.client()
    with pytest.raises(Unavailable, match="no instance"):
        await world.clock.run(client.get("/x"))
    pending = asyncio.create_task(client.get("/x"))
    await asyncio.sleep(0)
    world.registry.push(world.instance(1, answer()))
    await world.clock.run(asyncio.wait_for(pending, None))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_stalled_call_ends_at_its_deadline(world: World, method: str) -> None:
    client = await world.client(stall, options=ClientOptions(timeout=2.0))
    with pytest.raises(DeadlineExceeded):
        await world.clock.run(client.request(method, "/x"))
    assert world.clock.monotonic() == 2.0


async def test_the_inherited_deadline_wins_and_travels(world: World) -> None:
    client = await world.client(stall)
    with use(RequestContext(deadline=0.5)), pytest.raises(DeadlineExceeded):
        await world.clock.run(client.get("/x", timeout=3))
    assert world.clock.monotonic() == 0.5
    assert world.requests[0].headers["x-request-timeout-ms"] == "500"


async def test_each_attempt_gets_its_share_of_the_time(world: World) -> None:
    client = await world.client(stall, stall, answer(), options=ClientOptions(timeout=2, attempt_timeout=0.9))
    await world.clock.run(client.get("/x"))
    told = [int(request.headers["x-request-timeout-ms"]) for request in world.requests]
    assert told[:2] == [900, 900]
    assert told[2] < 200


async def test_nothing_is_sent_after_the_deadline(world: World) -> None:
    client = await world.client(answer())
    with use(RequestContext(deadline=-1.0)), pytest.raises(Unavailable):
        await world.clock.run(client.get("/x"))
    assert world.requests == []


async def test_the_budget_bounds_repetitions_but_not_failover(world: World) -> None:
    options = ClientOptions(budget=BudgetConfig(ratio=0, reserve=1), breaker=BreakerConfig(failures=100))
    client = await world.client(answer(503), options=options)
    for _ in range(3):
        with pytest.raises(UpstreamError):
            await world.clock.run(client.get("/x"))
    assert len(world.requests) == 4
    world.registry.push(*(world.instance(port, fail(REFUSED)) for port in (2, 3)), world.instance(4, answer()))
    for _ in range(10):
        await world.clock.run(client.get("/x"))


async def test_the_bulkhead_refuses_what_is_too_much(world: World) -> None:
    client = await world.client(stall, options=ClientOptions(bulkhead=BulkheadConfig(limit=1)))
    first = asyncio.create_task(client.get("/x"))
    await asyncio.sleep(0)
    with pytest.raises(BulkheadFull):
        await client.get("/x")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    state = client.snapshot()
    [target] = state.instances
    assert (state.bulkhead.running, target.in_flight) == (0, 0), "a cancelled call leaves nothing behind"
