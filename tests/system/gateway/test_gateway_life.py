"""Life of a gateway: changes under load, refusals, kill -9, ports that are taken, services that crash."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.system.gateway.rig import Client, Issuer, Upstream, gateway, until

from hanse.core import Env
from hanse.core.errors import ConfigurationError, HanseError, Unavailable
from hanse.gateway import Cluster, Envoy, GatewayController, GatewayModel, Refused, Route
from hanse.gateway.publisher import Publisher
from hanse.registry import Instance, from_url

pytestmark = pytest.mark.system


def model_of(*upstreams: Upstream, routes: tuple[Route, ...] = (Route("/", "orders"),)) -> GatewayModel:
    return GatewayModel(routes, clusters={"orders": Cluster(tuple(u.endpoint for u in upstreams))})


@dataclass
class Load:
    """Requests over kept connections, one after the other on each, until told to stop."""

    port: int
    statuses: list[int] = field(default_factory=list)
    by: set[str] = field(default_factory=set)
    stopped: bool = False

    @asynccontextmanager
    async def running(self, connections: int = 4, path: str = "/x") -> AsyncIterator["Load"]:
        tasks = [asyncio.create_task(self._connection(path)) for _ in range(connections)]
        try:
            yield self
        finally:
            self.stopped = True
            await asyncio.gather(*tasks)

    async def more(self, count: int) -> None:
        """Wait until so many more answers have come."""
        wanted = len(self.statuses) + count
        await until(lambda: len(self.statuses) >= wanted)

    async def _connection(self, path: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        while not self.stopped:
            writer.write(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            self.statuses.append(int(head.split(" ")[1]))
            self.by.add(body.get("by", body.get("code")))
        writer.close()


async def test_endpoints_change_under_load_without_a_failed_request(envoy: Envoy) -> None:
    first, second = await Upstream("a").start(), await Upstream("b").start()
    await envoy.publish(model_of(first))
    await envoy.start()
    async with Load(envoy.port).running() as load:
        for number in range(12):
            members = [(second,), (first, second), (first,)][number % 3]
            assert await envoy.publish(model_of(*members)) == ("clusters.json",)
            await load.more(30)
    assert set(load.statuses) == {200}
    assert load.by == {"a", "b"}
    await first.stop()
    await second.stop()


async def test_routes_change_under_load_and_clusters_that_are_not_needed_go_last(
    envoy: Envoy, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = model_of(upstream)
    new = GatewayModel((Route("/", "fresh"), Route("/more", "more")), clusters={"fresh": old.clusters["orders"]})
    await envoy.publish(old)
    await envoy.start()
    placed: list[list[str]] = []
    write = Publisher._write

    def spy(self: Publisher, name: str, text: str) -> None:
        if name == "clusters.json":
            placed.append([cluster["name"] for cluster in json.loads(text)["resources"]])
        write(self, name, text)

    monkeypatch.setattr(Publisher, "_write", spy)
    async with Load(envoy.port).running() as load:
        for number in range(10):
            await envoy.publish((new, old)[number % 2])
            await load.more(20)
    assert set(load.statuses) == {200}
    assert placed[:2] == [["fresh", "more", "orders"], ["fresh", "more"]]


async def test_an_unchanged_model_is_skipped(envoy: Envoy, upstream: Upstream) -> None:
    assert len(await envoy.publish(model_of(upstream))) == 5
    assert await envoy.publish(model_of(upstream)) == ()
    await envoy.start()
    before = await envoy.applied()
    assert await envoy.publish(model_of(upstream)) == ()
    assert await envoy.applied() == before


async def test_limits_survive_a_change_of_routes(envoy: Envoy, upstream: Upstream) -> None:
    limited = Route("/x", "orders", limit="2/hour")
    await envoy.publish(model_of(upstream, routes=(limited,)))
    await envoy.start()
    ask = Client(envoy.port)
    assert [(await ask("GET", "/x")).status for _ in range(3)] == [200, 200, 429]
    await envoy.publish(model_of(upstream, routes=(limited, Route("/y", "orders"))))
    assert (await ask("GET", "/y")).status == 200
    assert (await ask("GET", "/x")).status == 429


async def test_kill_9_and_a_start_on_the_same_files(envoy: Envoy, upstream: Upstream, tmp_path: Path) -> None:
    await envoy.publish(model_of(upstream))
    await envoy.start()
    ask, pid = Client(envoy.port), envoy.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    assert await envoy.exited() == "ended by SIGKILL"
    assert await envoy.ready() == "Envoy is not running"
    await envoy.start()
    assert await envoy.ready() is None
    assert (await ask("GET", "/x")).status == 200
    assert envoy.pid != pid


async def test_a_new_life_ends_the_envoy_that_an_earlier_one_left(envoy: Envoy, upstream: Upstream) -> None:
    await envoy.publish(model_of(upstream))
    await envoy.start()
    env = Env.build("second-life")
    second = Envoy(env, envoy.folder, port=envoy.port)
    await second.start()
    assert await envoy.exited() == "ended with exit code 0"
    assert (await Client(envoy.port)("GET", "/x")).status == 200
    await second.stop()
    await second.stop()
    await env.scope.close()


async def test_published_while_dead_is_served_after_the_restart(envoy: Envoy, upstream: Upstream) -> None:
    await envoy.publish(model_of(routes=(Route("/old", "orders"),)))
    await envoy.start()
    os.kill(envoy.pid or 0, signal.SIGKILL)
    await envoy.exited()
    await envoy.publish(model_of(upstream, routes=(Route("/new", "orders"),)))
    await envoy.start()
    ask = Client(envoy.port)
    assert [(await ask("GET", path)).status for path in ("/old", "/new")] == [404, 200]


async def test_a_start_without_anything_published_says_so(envoy: Envoy) -> None:
    with pytest.raises(ConfigurationError, match="publish one first"):
        await envoy.start()


async def test_a_taken_port_is_a_clear_error(envoy: Envoy, upstream: Upstream) -> None:
    await envoy.publish(model_of(upstream))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", envoy.port))
        taken.listen()
        with pytest.raises(Unavailable) as caught:
            await envoy.start()
    assert caught.value.message == f"the gateway can't listen on 127.0.0.1:{envoy.port}: Address already in use"
    assert envoy.pid is None
    await envoy.start()
    assert await envoy.ready() is None


async def test_two_gateways_cannot_share_a_port(envoy: Envoy, upstream: Upstream, tmp_path: Path) -> None:
    await envoy.publish(model_of(upstream))
    await envoy.start()
    async with gateway(tmp_path / "other") as other:
        other.port = envoy.port
        await other.publish(model_of(upstream))
        with pytest.raises(Unavailable, match="can't listen"):
            await other.start()


def unusable(issuer: Issuer) -> GatewayModel:
    """Right by all that the model knows; but the key is not a point of the curve's length, which only Envoy sees."""
    provider = replace(issuer.provider(), jwks={"keys": [{**issuer.jwk(), "x": "AA"}]})
    return GatewayModel((Route("/", "orders", auth=True),), (provider,))


async def test_what_is_refused_keeps_the_gateway_serving(envoy: Envoy, upstream: Upstream) -> None:
    good = model_of(upstream)
    await envoy.publish(good)
    await envoy.start()
    versions = await envoy.applied()
    with pytest.raises(ConfigurationError, match="timeout -1"):
        await envoy.publish(model_of(upstream, routes=(Route("/", "orders", timeout=-1),)))
    with pytest.raises(Refused, match="jwks"):
        await envoy.publish(unusable(Issuer()))
    assert (await Client(envoy.port)("GET", "/x")).json()["by"] == "orders-1"
    assert await envoy.applied() == versions
    assert await envoy.refused() == {}, "it was found out before any file was written"
    assert await envoy.publish(good) == ()


async def test_what_the_running_envoy_refuses_is_taken_back(
    envoy: Envoy, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def believe(content: object) -> None:
        return None

    monkeypatch.setattr(envoy, "_validate", believe)
    good = model_of(upstream)
    await envoy.publish(good)
    await envoy.start()
    versions = await envoy.applied()
    with pytest.raises(Refused, match=r"jwt\.json.*jwks"):
        await envoy.publish(unusable(Issuer()))
    await until(lambda: _is(envoy.applied, versions))
    assert (await Client(envoy.port)("GET", "/x")).json()["by"] == "orders-1"
    assert await envoy.publish(model_of(upstream, routes=(*good.routes, Route("/y", "orders")))) == ("routes.json",)
    assert await envoy.ready() is None


async def test_a_crash_is_invisible_to_idempotent_requests(envoy: Envoy, upstream: Upstream) -> None:
    await envoy.publish(model_of(upstream))
    await envoy.start()
    ask = Client(envoy.port)
    for method in ("GET", "PUT", "DELETE"):
        upstream.flaky = 2
        assert (await ask(method, "/x", b"")).status == 200
    upstream.flaky = 1
    assert (await ask("POST", "/x", b"{}")).status == 503
    assert upstream.seen.count("POST /x") == 1, "nobody knows whether it took effect, so it is not repeated"


async def test_connections_wait_in_the_backlog_of_a_socket_that_is_kept_open(envoy: Envoy) -> None:
    upstream = Upstream("orders-1")
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        kept.listen()
        upstream.port = kept.getsockname()[1]
        await envoy.publish(model_of(upstream))
        await envoy.start()
        asked = asyncio.create_task(Client(envoy.port)("POST", "/x", b"{}"))
        done, _ = await asyncio.wait([asked], timeout=0.3)  # nobody accepts for as long as a restart takes
        assert not done
        server = await asyncio.start_server(upstream._serve, sock=kept.dup())
        assert (await asked).status == 200
        server.close()
    await upstream.stop()


async def test_the_socket_of_a_deep_folder_is_elsewhere(tmp_path: Path, upstream: Upstream) -> None:
    async with gateway(tmp_path / ("deep" * 20) / ("er" * 40)) as envoy:
        await envoy.publish(model_of(upstream))
        await envoy.start()
        assert await envoy.ready() is None


async def test_the_controller_follows_registry_and_keys(envoy: Envoy, tmp_path: Path) -> None:
    first, second, issuer = await Upstream("a").start(), await Upstream("b").start(), Issuer()
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps({"keys": [issuer.jwk()]}))
    routes = (Route("/open", "orders"), Route("/closed", "orders", auth=True))
    model = GatewayModel(routes, (replace(issuer.provider(), jwks=keys),))
    env = Env.build("controller")
    registry = from_url(env, "memory://gateway-life")
    await registry.start()
    refused: list[HanseError] = []
    controller = GatewayController(env, registry, model, envoy, on_refused=refused.append)
    await controller.start()
    await envoy.start()
    ask = Client(envoy.port)

    async def by() -> str:
        answer = (await ask("GET", "/open")).json()
        return str(answer.get("by") or answer["service"])

    assert await by() == "orders"  # 503, naming it
    await registry.register(Instance("orders", "1", "127.0.0.1", first.port))
    await until(lambda: _is(by, "a"))
    await registry.register(Instance("orders", "2", "127.0.0.1", second.port))
    await registry.deregister("orders", "1")
    await until(lambda: _is(by, "b"))

    async def status(who: Issuer) -> int:
        return (await ask("GET", "/closed", **who.bearer())).status

    rotated = Issuer("k2")
    assert [await status(issuer), await status(rotated)] == [200, 401]
    keys.write_text(json.dumps({"keys": [issuer.jwk(), rotated.jwk()]}))
    await until(lambda: _is(lambda: status(rotated), 200))
    assert await status(issuer) == 200
    keys.write_text('{"keys": []}')
    await until(lambda: refused)
    assert "has no keys" in refused[0].message
    assert "has no keys" in (await controller.ready() or "")
    assert await status(rotated) == 200, "the last good keys stay"
    keys.write_text(json.dumps({"keys": [rotated.jwk()]}))
    await until(lambda: _is(lambda: status(issuer), 401))
    assert await controller.ready() is None
    await controller.replace(replace(model, routes=(Route("/", "orders"),)))
    assert (await ask("GET", "/anything")).status == 200
    with pytest.raises(ConfigurationError):
        await controller.replace(replace(model, routes=(Route("nowhere", "orders"),)))
    assert (await ask("GET", "/anything")).status == 200
    await controller.stop()
    await controller.stop()
    await registry.stop()
    await env.scope.close()
    await first.stop()
    await second.stop()


async def _is(get, wanted: object) -> bool:  # type: ignore[no-untyped-def]
    return bool(await get() == wanted)
