"""The NATS store keeps the contract, against a real server; and what its loss means."""

import asyncio

import pytest

from hanse.core import Env
from hanse.core.errors import HanseError
from hanse.resilience import DistributedRateLimiter, RateConfig, RateLimited, SharedConfig, StoreAway
from hanse.resilience.nats import NatsRateStore
from hanse.testing.nats_server import NatsServer
from hanse.testing.rate_store_suite import RateStoreSuite


@pytest.fixture
async def server(tmp_path):
    server = NatsServer(tmp_path)
    await server.start()
    yield server
    server.stop()


@pytest.fixture
async def stores(server):
    envs = [Env.build("one"), Env.build("other")]
    stores = [NatsRateStore(env, server.url) for env in envs]
    for store in stores:
        await store.start()
    yield tuple(stores)
    for store, env in zip(stores, envs, strict=True):
        await store.stop()
        await env.scope.close()


class TestNatsRateStore(RateStoreSuite):
    @pytest.fixture
    async def stores(self, stores):
        yield stores


async def test_it_is_away_and_comes_back_with_the_server(server, stores):
    heard = []
    sharing = SharedConfig(when_away="closed", away_s=0.01, store_timeout_s=0.2)
    limiter = DistributedRateLimiter(
        "l", Env.build("r"), RateConfig(5, 3600.0), stores[0], sharing, on_event=heard.append
    )
    await limiter.acquire("ada", cost=3)
    server.kill()
    with pytest.raises(RateLimited):
        while True:  # what was known may still allow one more, if the loss goes unnoticed that long
            await limiter.acquire("ada")
    assert limiter.snapshot().store == "away"
    assert [type(event) for event in heard if isinstance(event, StoreAway)] == [StoreAway]
    await server.start()
    async with asyncio.timeout(20):
        while limiter.snapshot().store == "away":
            try:
                await limiter.acquire("bob")
            except RateLimited:
                await asyncio.sleep(0.02)
    await limiter.acquire("ada", cost=5)  # counts are in the server's memory: its loss gives everybody a full quota


async def test_a_bucket_that_somebody_deleted_is_made_anew(server, stores):
    one, other = stores
    assert await one.save("k", b"first", 0, 60)
    assert await other.load("k")
    await one._jetstream.call("STREAM.DELETE.KV_LIMITS")
    with pytest.raises(HanseError):
        await one.save("k", b"second", 0, 60)
    assert await one.save("k", b"second", 0, 60)
    await one._jetstream.call("STREAM.DELETE.KV_LIMITS")
    assert await other.load("k") is None
    assert await other.save("k", b"third", 0, 60)
