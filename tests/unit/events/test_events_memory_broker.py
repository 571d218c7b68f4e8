"""The memory broker outlives its clients: leases of the dead run out, and memory is bounded."""

import asyncio
import gc
from datetime import UTC, datetime

from hanse.core import Env
from hanse.events import Envelope, Subscription, transport_from_url
from hanse.events.memory import MemoryTransport
from hanse.events.memory_broker import KEPT_EVENTS, KEPT_IDS, MemoryBroker, memory_broker


def envelope(id="1"):
    return Envelope(id, "orders", "order.placed", datetime.now(UTC), b"{}")


def subscription(**options):
    return Subscription("billing", ("order.*",), **options)


async def test_a_lease_that_nobody_extends_runs_out():
    broker = MemoryBroker()
    group = broker.join(subscription(ack_wait_s=0.02))
    broker.store(envelope())
    dead = await group.take()
    async with asyncio.timeout(5):
        again = await group.take()
    assert (again is dead, again.attempts) == (True, 2)
    group.acknowledge(again)
    assert not group.open


async def test_a_late_acknowledgement_still_counts():
    broker = MemoryBroker()
    group = broker.join(subscription(ack_wait_s=0.01))
    broker.store(envelope())
    stored = await group.take()
    while stored.lease is not None:
        await asyncio.sleep(0.001)
    group.acknowledge(stored)
    broker.store(envelope("2"))
    assert (await group.take()).envelope.id == "2"


async def test_a_cancelled_taker_passes_the_call_on():
    broker = MemoryBroker()
    group = broker.join(subscription())
    takers = [asyncio.ensure_future(group.take()) for _ in range(2)]
    await asyncio.sleep(0)
    broker.store(envelope())
    takers[0].cancel()  # was called, has not run yet
    async with asyncio.timeout(5):
        assert (await takers[1]).envelope.id == "1"


async def test_memory_is_bounded_and_the_latest_events_are_kept():
    broker = MemoryBroker()
    for n in range(KEPT_IDS + 10):
        broker.store(envelope(str(n)))
    assert len(broker._ids) == KEPT_IDS
    group = broker.join(subscription())
    assert len(group.open) == KEPT_EVENTS


async def test_a_name_is_shared_within_a_loop():
    one = transport_from_url(Env.build("a"), "memory://shop", "a")
    assert isinstance(one, MemoryTransport)
    assert memory_broker("shop") is memory_broker("shop")
    assert memory_broker("shop") is not memory_broker("other")


def test_loops_do_not_share():
    async def find():
        return memory_broker("shop")

    one, two = asyncio.run(find()), asyncio.run(find())
    assert one is not two
    gc.collect()
