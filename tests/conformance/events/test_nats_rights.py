"""With least privilege on the broker, a refusal is an error at once, not a timeout."""

import asyncio

import pytest

from hanse.broker import Link
from hanse.core import Env
from hanse.core.errors import PermissionDenied, Unauthenticated, Unavailable
from hanse.events import Notice, Subscription, transport_from_url
from hanse.registry import Instance, from_url
from hanse.testing.nats_server import NatsServer
from hanse.testing.transport_stage import Recorder, TransportStage, placed

RIGHTS = """
authorization { users = [
  { user: platform, password: p }
  { user: orders, password: o, permissions {
      publish { allow: ["evt.order.>", "dlq.orders.>", "$KV.REG.orders.>",
        "$JS.API.CONSUMER.MSG.NEXT.EVENTS.orders=main", "$JS.API.CONSUMER.INFO.EVENTS.orders=main",
        "$JS.ACK.EVENTS.orders=main.>"] }
      subscribe { allow: ["_INBOX_orders.>"] } } }
] }
"""


@pytest.fixture
async def server(tmp_path):
    server = NatsServer(tmp_path, extra=RIGHTS)
    await server.start()
    yield server
    server.stop()


def url(server, user):
    return server.url.replace("nats://", f"nats://{user}@")


@pytest.fixture
async def stages(server):
    platform, orders = TransportStage(url(server, "platform:p")), TransportStage(url(server, "orders:o"))
    yield platform, orders
    await orders.close()
    await platform.close()


async def test_a_service_publishes_and_reads_what_it_may(stages):
    platform, orders = stages
    made_by_platform = await (await platform.transport()).subscribe(Subscription("orders", ("order.*",)), Recorder())
    await made_by_platform.stop()
    service, got, notices = await orders.transport("orders"), Recorder(), list[Notice]()
    service.on_notice = notices.append
    async with asyncio.timeout(3):
        await service.publish([placed("mine")])
        await service.subscribe(Subscription("orders", ("order.*",)), got)
        await got.count(1)
        with pytest.raises(PermissionDenied, match=r"evt\.payment\.captured"):
            await service.publish([placed("foreign", "payment.captured")])
        await service.publish([placed("mine too")])
        await got.count(2)
    assert "evt.payment.captured" in [notice.event for notice in notices if notice.kind == "refused"]


async def test_a_service_registers_only_itself(server):
    envs = [Env.build(name) for name in ("platform", "orders")]
    for env in envs:
        env.scope.on_error = lambda task, error: None
    platform = from_url(envs[0], url(server, "platform:p"), name="platform")
    orders = from_url(envs[1], url(server, "orders:o"), name="orders")
    try:
        await platform.start()
        await orders.start()
        async with asyncio.timeout(3):
            await orders.register(Instance("orders", "a", "127.0.0.1", 1))
            with pytest.raises(PermissionDenied):
                await orders.register(Instance("payments", "a", "127.0.0.1", 1))
            assert [found.id for found in await platform.discover("orders")] == ["a"]
            assert await platform.discover("payments") == ()
    finally:
        await orders.stop()
        await platform.stop()
        for env in envs:
            await env.scope.close()


async def test_wrong_credentials_are_told_apart_from_no_server(server):
    env = Env.build("test")
    wrong = transport_from_url(env, url(server, "orders:wrong"), "orders")
    async with asyncio.timeout(5):
        with pytest.raises(Unauthenticated):
            await wrong.start()
    await wrong.stop()
    await env.scope.close()


async def test_no_server_is_told_in_time(server):
    server.stop()
    env = Env.build("test")
    link = Link(env, server.url, name="orders", connect_timeout_s=0.5)
    async with asyncio.timeout(3):
        with pytest.raises(Unavailable, match=f"no connection to NATS at 127.0.0.1:{server.port}"):
            await link.start()
    await link.stop()
    await env.scope.close()
