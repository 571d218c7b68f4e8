"""Which instance gets a request."""

import asyncio
from collections import Counter

import pytest
from tests.unit.client.client_world import World, answer, fail

from hanse.client import ClientOptions, HttpRequest, HttpResponse, TransportFailure
from hanse.core.errors import Unavailable
from hanse.resilience import BreakerChanged, BreakerConfig, BreakerState, ResilienceEvent

REFUSED = TransportFailure("connection refused", sent=False)
LOST = TransportFailure("connection reset", sent=True)


async def test_spreads_evenly_when_all_are_idle(world: World) -> None:
    world.registry.push(*(world.instance(port, answer()) for port in (1, 2, 3)))
    client = await world.client()
    for _ in range(300):
        await client.get("/x")
    assert all(70 <= count <= 130 for count in Counter(world.ports()).values())


async def test_spreads_by_weight_and_gives_nothing_to_weight_0(world: World) -> None:
    world.registry.push(*(world.instance(port, answer(), weight=weight) for port, weight in ((1, 9), (2, 1), (3, 0))))
    client = await world.client()
    for _ in range(500):
        await client.get("/x")
    counts = Counter(world.ports())
    assert counts[3] == 0
    assert 20 <= counts[2] <= 90


async def test_prefers_the_instance_with_less_under_way(world: World) -> None:
    gate = asyncio.Event()

    async def slow(request: HttpRequest) -> HttpResponse:
        await gate.wait()
        return HttpResponse(200, {}, b"")

    world.registry.push(world.instance(1, slow), world.instance(2, answer()))
    client = await world.client()
    calls = [asyncio.create_task(client.get("/x")) for _ in range(60)]
    while len(world.requests) < 60:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    pending = Counter(world.ports())[1]
    for _ in range(50):
        await client.get("/x")
    assert Counter(world.ports())[1] == pending, "with requests stuck in one, the idle one gets the new ones"
    gate.set()
    await asyncio.gather(*calls)


async def test_a_dead_instance_costs_the_caller_nothing_and_is_left_alone_soon(world: World) -> None:
    world.registry.push(world.instance(1, fail(REFUSED)), world.instance(2, answer()))
    client = await world.client()
    for _ in range(100):
        assert await client.post("/x") == {}
    assert Counter(world.ports())[1] == 5
    assert world.clock.monotonic() == 0.0, "no pause before another instance is tried"


async def test_all_breakers_open_means_unavailable_until_a_probe_passes(world: World) -> None:
    heard: list[ResilienceEvent] = []
    options = ClientOptions(retry=0, breaker=BreakerConfig(failures=2, recovery_s=10))
    client = await world.client(fail(LOST), fail(LOST), answer(), options=options)
    client.on_event = heard.append
    for _ in range(2):
        with pytest.raises(Exception, match="may or may not"):
            await world.clock.run(client.get("/x"))
    with pytest.raises(Unavailable, match="breakers"):
        await world.clock.run(client.get("/x"))
    assert len(world.requests) == 2
    world.clock.advance(12)
    await world.clock.run(client.get("/x"))
    assert client.snapshot().instances[0].breaker.state is BreakerState.CLOSED
    assert [event.name for event in heard if isinstance(event, BreakerChanged)] == ["stock/i1"] * 3


async def test_an_impatient_caller_does_not_open_the_breaker(world: World) -> None:
    async def stall(request: HttpRequest) -> HttpResponse:
        await asyncio.Event().wait()
        raise AssertionError

    client = await world.client(stall, options=ClientOptions(retry=0))
    for _ in range(10):
        with pytest.raises(Exception, match="in time"):
            await world.clock.run(client.get("/x", timeout=0.01))
    assert client.snapshot().instances[0].breaker.failures == 0
    with pytest.raises(Exception, match="in time"):
        await world.clock.run(client.get("/x"))
    assert client.snapshot().instances[0].breaker.failures == 1


async def test_who_stays_keeps_its_history_and_who_moves_starts_anew(world: World) -> None:
    stays, moves = world.instance(1, fail(LOST)), world.instance(2, answer())
    world.registry.push(stays)
    client = await world.client(options=ClientOptions(retry=0))
    with pytest.raises(Exception, match="may or may not"):
        await world.clock.run(client.get("/x"))
    world.registry.push(stays, moves)
    failures = {target.instance.id: target.breaker.failures for target in client.snapshot().instances}
    assert failures == {"i1": 1, "i2": 0}
    world.registry.push()
    world.registry.push(stays)
    assert client.snapshot().instances[0].breaker.failures == 0


async def test_a_removed_instance_gets_nothing_new_and_finishes_what_it_has(world: World) -> None:
    gate = asyncio.Event()

    async def slow(request: HttpRequest) -> HttpResponse:
        await gate.wait()
        return HttpResponse(200, {"content-type": "text/plain"}, b"old")

    world.registry.push(world.instance(1, slow))
    client = await world.client()
    pending = asyncio.create_task(client.get("/x"))
    while not world.requests:
        await asyncio.sleep(0)
    world.registry.push(world.instance(2, answer()))
    for _ in range(5):
        await client.get("/x")
    gate.set()
    assert await pending == "old"
    assert world.ports() == [1, 2, 2, 2, 2, 2]


async def test_stop_ends_the_watch_and_may_come_twice_and_first(world: World) -> None:
    client = await world.client(answer())
    await client.stop()
    await client.stop()
    world.registry.push()
    assert len(client.snapshot().instances) == 1
    assert await client.ready() == "not started"
