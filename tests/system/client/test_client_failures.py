"""The client against the failure laboratory: who notices what, and for how long at most. Real sockets, real clock."""

import asyncio
from time import monotonic

import pytest
from tests.system.client.client_laboratory import Laboratory

from hanse.client import ClientOptions, UpstreamError
from hanse.core import RequestContext, use
from hanse.core.errors import DeadlineExceeded, OutcomeUnknown, Unavailable
from hanse.resilience import BreakerConfig, BreakerState
from hanse.testing.upstream import Answer, Garbage, Hangup, Reset, Stall

LOST = [Reset(), Reset(before_reading=True), Hangup(), Garbage(), Answer(body=b"half", declared_bytes=100)]
NAMES = ["reset", "reset early", "hangup", "garbage", "truncated"]


@pytest.mark.parametrize("behaviour", LOST, ids=NAMES)
async def test_a_get_survives_a_lost_answer(laboratory: Laboratory, behaviour: Reset) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client()
    upstream.on("/x", behaviour, behaviour, Answer(body=b'{"left": 3}'))
    assert await client.get("/x") == {"left": 3}


@pytest.mark.parametrize("behaviour", LOST, ids=NAMES)
async def test_a_post_without_a_key_is_never_sent_twice(laboratory: Laboratory, behaviour: Reset) -> None:
    upstream = await laboratory.upstream()
    await laboratory.upstream("b")
    client = await laboratory.client()
    upstream.on("/x", behaviour)
    while not upstream.connections:
        try:
            await client.post("/x", {})
        except OutcomeUnknown as error:
            assert error.details["attempts"] == 1
    assert upstream.connections == 1
    assert upstream.count("/x") <= 1


@pytest.mark.parametrize("behaviour", LOST, ids=NAMES)
async def test_a_post_with_a_key_survives(laboratory: Laboratory, behaviour: Reset) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client()
    upstream.on("/x", behaviour, Answer(201))
    assert await client.post("/x", {"a": 1}, idempotency_key="k") == {}
    assert {received.headers["idempotency-key"] for received in upstream.requests} == {"k"}
    assert upstream.requests[-1].body == b'{"a":1}'


async def test_bad_answers_are_repeated_n_times(laboratory: Laboratory) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client()
    upstream.on("/x", Answer(502), Answer(503), Answer(200))
    upstream.on("/y", Answer(503))
    assert await client.get("/x") == {}
    with pytest.raises(UpstreamError) as caught:
        await client.get("/y")
    assert (caught.value.status, caught.value.attempts, upstream.count("/y")) == (503, 3, 3)


@pytest.mark.parametrize(
    "behaviour",
    [Stall(), Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"), Answer(503), Reset(),
     Answer(body=b"x" * 1000, chunk_bytes=1, pause_s=0.01)],
    ids=["stall", "stalled body", "503", "reset", "trickle"],
)  # fmt: skip
@pytest.mark.parametrize("options", [{}, {"attempt_timeout": 0.11}], ids=["whole", "per attempt"])
async def test_never_longer_than_the_deadline(
    laboratory: Laboratory, behaviour: Stall, options: dict[str, float]
) -> None:
    """The machine can only make a call later, so the best of five rounds shows what the client itself adds."""
    upstream = await laboratory.upstream()
    policy = ClientOptions(timeout=0.3, retry=50, breaker=BreakerConfig(failures=999), **options)
    client = await laboratory.client(policy)
    upstream.on("/x", behaviour)
    over_s = []
    for _ in range(5):
        began = monotonic()
        with pytest.raises((OutcomeUnknown, UpstreamError, Unavailable)):
            await client.get("/x")
        over_s.append(monotonic() - began - 0.3)
    assert min(over_s) <= 0.010, over_s
    assert max(over_s) <= 0.250, over_s
    assert upstream.count("/x") >= 5


async def test_the_deadline_of_the_request_being_served_is_kept(laboratory: Laboratory) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client()
    upstream.on("/x", Stall())
    began = monotonic()
    with use(RequestContext(deadline=began + 0.2)), pytest.raises(DeadlineExceeded):
        await client.get("/x")
    assert 0.19 <= monotonic() - began < 1
    assert 150 <= int(upstream.requests[0].headers["x-request-timeout-ms"]) <= 200


async def test_a_stalled_instance_is_left_for_another_one(laboratory: Laboratory) -> None:
    stalled, fine = await laboratory.upstream("a"), await laboratory.upstream("b")
    client = await laboratory.client(ClientOptions(attempt_timeout=0.1))
    stalled.on("/x", Stall())
    fine.on("/x", Answer(body=b'"b"'))
    assert [await client.get("/x") for _ in range(10)] == ["b"] * 10


async def test_a_dead_instance_beside_a_live_one_is_not_noticed(laboratory: Laboratory) -> None:
    dead, alive = await laboratory.upstream("a"), await laboratory.upstream("b")
    client = await laboratory.client()
    await dead.kill()
    results = await asyncio.gather(*(client.post("/x", {}) for _ in range(64)))
    assert results == [{}] * 64
    assert alive.count("/x") == 64, "a POST too: what was refused was not sent"
    breaker = next(target.breaker for target in client.snapshot().instances if target.instance.id == "a")
    assert breaker.state is BreakerState.OPEN


async def test_an_instance_that_comes_back_is_used_again(laboratory: Laboratory) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client(ClientOptions(retry=0, breaker=BreakerConfig(failures=1, recovery_s=0.05)))
    await upstream.kill()
    with pytest.raises(Unavailable):
        await client.get("/x")
    await upstream.start()
    async with asyncio.timeout(10):
        while client.snapshot().instances[0].breaker.state is not BreakerState.CLOSED:
            try:
                await client.get("/x")
            except Unavailable:
                await asyncio.sleep(0.005)
    assert upstream.count("/x") == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_instance_killed_with_requests_in_flight(laboratory: Laboratory, method: str) -> None:
    victim = await laboratory.upstream("a")
    client = await laboratory.client()
    victim.on("/x", Stall())
    calls = [asyncio.create_task(client.request(method, "/x")) for _ in range(32)]
    await victim.until(32)
    heir = await laboratory.upstream("b")
    await victim.kill()
    results = await asyncio.gather(*calls, return_exceptions=True)
    if method == "GET":
        assert [getattr(result, "instance", result) for result in results] == ["b"] * 32
        assert heir.count("/x") == 32
    else:
        assert all(isinstance(result, OutcomeUnknown) for result in results)
        assert heir.count("/x") == 0
    state = client.snapshot()
    assert state.bulkhead.running == sum(target.in_flight for target in state.instances) == 0


async def test_an_instance_removed_under_load_goes_unnoticed(laboratory: Laboratory) -> None:
    leaving, staying = await laboratory.upstream("a"), await laboratory.upstream("b")
    client = await laboratory.client()
    for upstream in (leaving, staying):
        upstream.on("/x", Answer(chunk_bytes=1, pause_s=0.002))
    ended = asyncio.Event()

    async def load() -> int:
        calls = 0
        while not ended.is_set():
            await client.post("/x", {})
            calls += 1
        return calls

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(load()) for _ in range(16)]
        await leaving.until(20)
        await laboratory.registry.deregister("stock", "a")
        received = leaving.count("/x")
        await staying.until(100 + len(staying.requests))
        ended.set()
    assert sum(task.result() for task in tasks) == leaving.count("/x") + staying.count("/x")
    assert leaving.count("/x") - received <= 16, "nothing new after it was removed, only what was on its way"


async def test_a_keep_alive_race_hurts_no_repeatable_call(laboratory: Laboratory) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client(ClientOptions(retry=10, breaker=BreakerConfig(failures=999)))
    upstream.on("/x", Answer(then_close=0.0))
    answered = await asyncio.gather(*(client.get("/x") for _ in range(100)))
    assert answered == [{}] * 100


async def test_cancelling_the_caller_leaves_nothing_behind(laboratory: Laboratory) -> None:
    upstream = await laboratory.upstream()
    client = await laboratory.client()
    upstream.on("/x", Stall())
    calls = [asyncio.create_task(client.get("/x")) for _ in range(8)]
    await upstream.until(8)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    state = client.snapshot()
    [target] = state.instances
    assert (state.bulkhead.running, target.in_flight, target.breaker.failures) == (0, 0, 0)
    assert await client.get("/y") == {}
