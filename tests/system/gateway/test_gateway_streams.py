"""Streams: server-sent events come one by one and are never cut, WebSockets go both ways."""

import asyncio
from pathlib import Path

import pytest
import websockets
from tests.system.gateway.rig import Client, Issuer, Upstream, until
from websockets.asyncio.server import ServerConnection, serve

from hanse.gateway import Cluster, Endpoint, Envoy, GatewayModel, Route

pytestmark = pytest.mark.system


async def started(envoy: Envoy, model: GatewayModel) -> Client:
    await envoy.publish(model)
    await envoy.start()
    return Client(envoy.port)


async def test_events_arrive_one_by_one_and_outlive_the_timeout(envoy: Envoy, upstream: Upstream) -> None:
    routes = (Route("/live", "orders", strip="/live", stream=True, timeout=0.2),)
    await started(envoy, GatewayModel(routes, clusters={"orders": Cluster((upstream.endpoint,))}))
    reader, writer = await asyncio.open_connection("127.0.0.1", envoy.port)
    began = asyncio.get_running_loop().time()
    writer.write(b"GET /live/drip HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"200 OK" in head
    for number in range(4):
        upstream.drip.set()
        async with asyncio.timeout(2):  # the event before the next one is made: nothing buffers
            size = int(await reader.readline(), 16)
            assert await reader.readexactly(size + 2) == f"data: {number}\n\n\r\n".encode()
        await asyncio.sleep(0.1)  # the passing of time is what is tested: the route's timeout is 0.2 s
    assert asyncio.get_running_loop().time() - began > 0.4
    writer.close()


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def test_a_websocket_goes_both_ways_and_needs_its_token(envoy: Envoy) -> None:
    issuer = Issuer()
    async with serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        routes = (Route("/ws", "chat", auth=True, stream=True, timeout=0.2), Route("/plain", "chat"))
        model = GatewayModel(routes, (issuer.provider(),), {"chat": Cluster((Endpoint("127.0.0.1", port),))})
        await started(envoy, model)
        url = f"ws://127.0.0.1:{envoy.port}"
        async with websockets.connect(f"{url}/ws?access_token={issuer.token()}") as socket:
            for message in ("hello", "x" * 200_000, b"\x00\x01"):
                await socket.send(message)
                assert await socket.recv() == message
            await asyncio.sleep(0.3)  # longer than the route's timeout
            await socket.send("still there")
            assert await socket.recv() == "still there"
        for path, status in (("/ws", 401), ("/plain", 403)):
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(f"{url}{path}")
            assert refused.value.response.status_code == status
            assert b"correlation_id" in refused.value.response.body


async def test_a_post_to_a_stream_keeps_its_body_limit(envoy: Envoy, upstream: Upstream) -> None:
    routes = (Route("/live", "orders", stream=True, max_body_bytes=1000),)
    ask = await started(envoy, GatewayModel(routes, clusters={"orders": Cluster((upstream.endpoint,))}))
    assert (await ask("POST", "/live", b"x" * 1000)).status == 200
    assert (await ask("POST", "/live", b"x" * 1001)).status == 413


async def test_drain_waits_for_requests_in_progress(envoy: Envoy, upstream: Upstream) -> None:
    routes = (Route("/live", "orders", strip="/live", stream=True),)
    ask = await started(envoy, GatewayModel(routes, clusters={"orders": Cluster((upstream.endpoint,))}))
    reader, writer = await asyncio.open_connection("127.0.0.1", envoy.port)
    writer.write(b"GET /live/drip HTTP/1.1\r\nhost: a\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    drained = asyncio.create_task(envoy.drain())

    async def unhealthy() -> bool:
        return (await ask("GET", "/healthz")).status == 503

    await until(unhealthy)
    assert not drained.done()
    writer.close()
    await asyncio.wait_for(drained, 10)
    assert await envoy.ready() == "Envoy is draining"


async def test_logs_of_a_stream_stay_beside_the_gateway(envoy: Envoy, tmp_path: Path, upstream: Upstream) -> None:
    await started(envoy, GatewayModel((Route("/", "orders"),), clusters={"orders": Cluster((upstream.endpoint,))}))
    assert (tmp_path / "envoy" / "envoy.log").exists()
