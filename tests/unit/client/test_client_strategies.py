"""The strategies of balancing, slow start, zones, and instances that are worse than the others."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.client.client_world import World, answer, fail

from hanse.client import ClientOptions, InstanceEjected, InstanceReturned, OutlierConfig, TransportFailure
from hanse.client.balancing import ConsistentHash
from hanse.client.targets import Target
from hanse.core import Env, Random
from hanse.core.errors import ConfigurationError
from hanse.registry import Instance
from hanse.resilience import BreakerConfig, CircuitBreaker, ResilienceEvent
from hanse.testing.clock import ManualClock

LOST = TransportFailure("connection reset", sent=True)
PATIENT = BreakerConfig(failures=1000, error_percentage=0)


async def spread(world: World, options: ClientOptions, weights: dict[int, int], calls: int) -> Counter[int]:
    world.registry.push(*(world.instance(port, answer(), weight=weight) for port, weight in weights.items()))
    client = await world.client(options=options)
    for _ in range(calls):
        await client.get("/x")
    return Counter(world.ports())


async def test_round_robin_goes_in_turn(world: World) -> None:
    await spread(world, ClientOptions(balancing="round_robin"), {1: 1, 2: 5, 3: 1}, 9)
    ports = world.ports()
    assert ports[:3] == ports[3:6] == ports[6:]
    assert set(ports) == {1, 2, 3}


async def test_weighted_is_exact_and_evenly_mixed(world: World) -> None:
    counts = await spread(world, ClientOptions(balancing="weighted"), {1: 5, 2: 1, 3: 1}, 70)
    assert counts == {1: 50, 2: 10, 3: 10}
    ports = world.ports()
    assert max(sum(1 for port in ports[i : i + 7] if port == 1) for i in range(60)) <= 6


async def test_random_goes_by_weight(world: World) -> None:
    counts = await spread(world, ClientOptions(balancing="random"), {1: 3, 2: 1}, 400)
    assert 250 <= counts[1] <= 350


async def test_the_same_key_goes_to_the_same_instance_and_few_move(world: World) -> None:
    instances = [world.instance(port, answer()) for port in range(1, 6)]
    world.registry.push(*instances)
    client = await world.client(options=ClientOptions(balancing="hash"))

    async def owners() -> dict[str, int]:
        found = {}
        for number in range(200):
            await client.get("/x", hash_key=f"user-{number}")
            found[f"user-{number}"] = world.ports()[-1]
        return found

    before = await owners()
    assert before == await owners()
    assert min(Counter(before.values()).values()) >= 15
    world.registry.push(*instances[:-1])
    after = await owners()
    assert {key for key in before if before[key] != after[key]} == {key for key in before if before[key] == 5}
    await client.get("/x")


async def test_a_key_whose_instance_fails_goes_on_to_the_next_on_the_ring(world: World) -> None:
    refused = fail(TransportFailure("connection refused", sent=False))
    world.registry.push(*(world.instance(port, refused if port == 2 else answer()) for port in (1, 2, 3)))
    client = await world.client(options=ClientOptions(balancing="hash"))
    heirs: dict[str, set[int]] = {}
    for _ in range(3):
        for number in range(30):
            await client.get("/x", hash_key=str(number))
            heirs.setdefault(str(number), set()).add(world.ports()[-1])
    assert all(len(found) == 1 for found in heirs.values())
    assert {port for found in heirs.values() for port in found} == {1, 3}


@given(st.sets(st.integers(1, 60), min_size=2, max_size=12), st.integers(0, 11))
@settings(max_examples=40)
def test_removing_an_instance_moves_only_its_keys(ports: set[int], leaves: int) -> None:
    env = Env.build("test", clock=ManualClock(), random=Random(1))
    targets = [Target(Instance("s", f"i{port}", "h", port), CircuitBreaker("b", env), 0.0) for port in sorted(ports)]
    ring = ConsistentHash(env.random)
    ring.prepare(targets)
    before = {str(key): ring.pick(str(key)).id for key in range(100)}
    gone = targets.pop(leaves % len(targets))
    ring.prepare(targets)
    assert all(ring.pick(key).id == owner for key, owner in before.items() if owner != gone.id)


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="least_request"):
        ClientOptions(balancing="fastest")  # type: ignore[arg-type]


@pytest.mark.parametrize("balancing", ["least_request", "weighted", "random"])
async def test_an_instance_that_joins_starts_slowly(world: World, balancing: str) -> None:
    old, new = world.instance(1, answer()), world.instance(2, answer())
    world.registry.push(old)
    client = await world.client(options=ClientOptions(balancing=balancing, slow_start=10.0))  # type: ignore[arg-type]
    assert client.snapshot().instances[0].share == 1.0
    world.registry.push(old, new)
    shares = []
    for _ in range(4):
        world.requests.clear()
        for _ in range(200):
            await client.get("/x")
        shares.append(Counter(world.ports())[2])
        world.clock.advance(4)
    assert shares[0] < 40
    assert shares[0] < shares[1] < shares[2]
    assert 70 <= shares[3] <= 130


async def test_instances_of_our_zone_are_preferred_while_one_can_be_used(world: World) -> None:
    def placed(port: int, zone: str, *script: object) -> Instance:
        made = world.instance(port, *script)  # type: ignore[arg-type]
        return Instance(made.service, made.id, made.host, made.port, zone=zone)

    near = [placed(1, "a", answer()), placed(2, "a", answer())]
    far = placed(3, "b", answer())
    world.registry.push(*near, far)
    client = await world.client(options=ClientOptions(zone="a"))
    for _ in range(50):
        await client.get("/x")
    assert set(world.ports()) == {1, 2}
    world.network.close("10.0.0.1:1")
    world.network.close("10.0.0.1:2")
    assert await client.get("/x") == {}
    assert world.ports()[-1] == 3
    world.registry.push(far)
    assert await client.get("/x") == {}


async def test_an_instance_that_fails_much_more_than_the_others_gets_nothing_for_a_while(world: World) -> None:
    heard: list[ResilienceEvent] = []
    half = [answer(500), answer()] * 500
    world.registry.push(world.instance(1, *half), *(world.instance(port, answer()) for port in (2, 3)))
    options = ClientOptions(outliers=OutlierConfig(requests=20, ejected_s=5.0), breaker=PATIENT)
    client = await world.client(options=options)
    client.on_event = heard.append
    for _ in range(200):
        await client.request("GET", "/x")
    [ejected] = heard
    assert isinstance(ejected, InstanceEjected)
    assert (ejected.name, ejected.for_s) == ("stock/i1", 5.0)
    had = Counter(world.ports())[1]
    assert 20 <= had <= 45
    assert client.snapshot().instances[0].ejected_s == 5.0
    world.clock.advance(4.9)
    await client.request("GET", "/x")
    assert Counter(world.ports())[1] == had
    world.clock.advance(0.2)
    for _ in range(20):
        await client.request("GET", "/x")
    assert Counter(world.ports())[1] > had
    assert isinstance(heard[1], InstanceReturned)
    for _ in range(200):
        await client.request("GET", "/x")
    assert isinstance(heard[2], InstanceEjected)
    assert heard[2].for_s == 10.0, "the second time twice as long"


async def test_when_all_fail_alike_none_is_ejected(world: World) -> None:
    world.registry.push(*(world.instance(port, answer(500)) for port in (1, 2, 3)))
    client = await world.client(options=ClientOptions(breaker=PATIENT))
    for _ in range(300):
        await client.request("GET", "/x")
    assert not any(instance.ejected_s for instance in client.snapshot().instances)


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.floats(0, 3)), max_size=300), st.floats(0.2, 1.0))
@settings(max_examples=40, deadline=None)
async def test_never_more_than_the_allowed_share_is_out(steps: list[tuple[int, bool, float]], most: float) -> None:
    from hanse.client.targets import Targets

    clock = ManualClock()
    env = Env.build("test", clock=clock, random=Random(1))
    config = OutlierConfig(requests=3, interval_s=5.0, ejected_s=4.0, max_ejected=most)
    targets = Targets(env, "s", ClientOptions(outliers=config, breaker=PATIENT), lambda event: None)
    targets.update([Instance("s", f"i{port}", "h", port) for port in range(1, 6)])
    for port, fails, pause in steps:
        clock.advance(pause)
        target, _ = targets.choose((), clock.monotonic())
        assert target is not None
        assert target.ejected_until == 0.0
        hit = targets._targets[port - 1]
        hit.calls += 1
        if fails:
            targets.failed(hit)
        out = [found for found in targets.snapshot() if found.ejected_s]
        assert len(out) <= most * 5
    clock.advance(1000)
    targets.choose((), clock.monotonic())
    assert not any(found.ejected_s for found in targets.snapshot())


async def test_so_many_are_ejected_and_no_more(world: World) -> None:
    bad = [world.instance(port, answer(500)) for port in (1, 2)]
    world.registry.push(*bad, *(world.instance(port, answer()) for port in (3, 4, 5, 6)))
    options = ClientOptions(outliers=OutlierConfig(max_ejected=0.2, interval_s=1000, ejected_s=50), breaker=PATIENT)
    client = await world.client(options=options)
    for _ in range(600):
        await client.request("GET", "/x")
    assert sum(1 for instance in client.snapshot().instances if instance.ejected_s) == 1
