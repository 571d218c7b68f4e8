"""What every registry must do. Bind it to a backend by a `stage` fixture; see tests/conformance/registry."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from hanse.core import Env
from hanse.core.errors import InvalidInput
from hanse.registry import Capability, Instance, Registry, from_url
from hanse.testing.nats_server import NatsServer

PATIENCE_S = 10.0
HEARTBEAT_S = 0.3
TTL_S = 1


class RegistryStage:
    """Gives a test as many nodes as it likes on one registry.

    Args:
        url: of the registry.
        server: its process, where it has one.
    """

    def __init__(self, url: str, server: NatsServer | None = None) -> None:
        self.url = url
        self._server = server
        self._nodes: list[tuple[Env, Registry]] = []

    @property
    def server(self) -> NatsServer:
        if self._server is None:
            pytest.skip(f"{self.url}: no capability {Capability.SERVER}")
        return self._server

    async def registry(self) -> Registry:
        """A started registry on a node of its own."""
        env = Env.build(f"node-{len(self._nodes)}")
        env.scope.on_error = lambda task, error: None  # lost servers are what these tests are about
        registry = from_url(env, self.url, heartbeat_s=HEARTBEAT_S)
        self._nodes.append((env, registry))
        await registry.start()
        return registry

    async def crash(self, registry: Registry) -> None:
        """End a node without a word to the registry: nothing of it runs any more."""
        for env, theirs in self._nodes:
            if theirs is registry:
                await env.scope.close()

    async def close(self) -> None:
        for env, registry in self._nodes:
            await registry.stop()
            await env.scope.close()


class Watched:
    """Writes down what a watch tells."""

    def __init__(self) -> None:
        self.calls: list[dict[str, tuple[Instance, ...]]] = []
        self._changed = asyncio.Event()

    def __call__(self, current: dict[str, tuple[Instance, ...]]) -> None:
        self.calls.append(current)
        self._changed.set()

    @property
    def ids(self) -> dict[str, list[str]]:
        return {service: [instance.id for instance in members] for service, members in self.calls[-1].items()}

    async def until(self, true: Callable[[dict[str, list[str]]], bool], within_s: float = PATIENCE_S) -> None:
        async with asyncio.timeout(within_s):
            while not (self.calls and true(self.ids)):
                self._changed.clear()
                await self._changed.wait()

    async def shows(self, service: str, *ids: str, within_s: float = PATIENCE_S) -> None:
        await self.until(lambda now: now.get(service, []) == list(ids), within_s)


def instance(id: str = "a", service: str = "orders", port: int = 4000) -> Instance:
    return Instance(service, id, "127.0.0.1", port)


class RegistrySuite:
    """The cases. Each gets a fresh registry through the fixture `stage`."""

    async def test_registered_discovered_deregistered(self, stage: RegistryStage) -> None:
        one, other = await stage.registry(), await stage.registry()
        full = Instance("orders", "a", "::1", 80, "1.4.0", 50, "west", ("blue", "new"), {"team": "ä"})
        await one.register(full)
        assert await other.discover("orders") == (full,)
        assert full.url == "http://[::1]:80"
        assert await other.discover("payments") == ()
        watched = Watched()
        await other.watch("orders", watched)
        await one.deregister("orders", "a")
        await one.deregister("orders", "unknown")
        await watched.shows("orders")
        assert await other.discover("orders") == ()

    async def test_a_watch_begins_with_the_full_set_and_tells_each_change(self, stage: RegistryStage) -> None:
        one, other = await stage.registry(), await stage.registry()
        await one.register(instance("b"))
        await one.register(instance("x", "payments"))
        orders, everything, nothing = Watched(), Watched(), Watched()
        await other.watch("orders", orders)
        await other.watch(None, everything)
        await other.watch("shipping", nothing)
        assert orders.ids == {"orders": ["b"]}
        assert everything.ids == {"orders": ["b"], "payments": ["x"]}
        assert nothing.ids == {"shipping": []}
        await one.register(instance("a"))
        await orders.shows("orders", "a", "b")
        await everything.shows("orders", "a", "b")
        moved = replace(instance("a"), port=4001, weight=7)
        await one.register(moved)
        await orders.until(lambda _: orders.calls[-1]["orders"][0] == moved)
        await one.deregister("payments", "x")
        await everything.until(lambda now: now == {"orders": ["a", "b"]})
        assert len(orders.calls) == 3, "another service's changes are not told"
        assert len(nothing.calls) == 1

    async def test_a_stopped_watch_is_silent(self, stage: RegistryStage) -> None:
        registry, stopped, running = await stage.registry(), Watched(), Watched()
        watch = await registry.watch("orders", stopped)
        await registry.watch("orders", running)
        await watch.stop()
        await watch.stop()
        await registry.register(instance())
        await running.shows("orders", "a")
        assert len(stopped.calls) == 1

    async def test_heartbeats_keep_an_instance_and_tell_nobody(self, stage: RegistryStage) -> None:
        one, other, watched = await stage.registry(), await stage.registry(), Watched()
        await one.register(instance())
        await other.watch("orders", watched)
        with pytest.raises(TimeoutError):
            await watched.until(lambda _: len(watched.calls) > 1, within_s=2.5 * TTL_S)
        assert await (await stage.registry()).discover("orders") == (instance(),)

    async def test_an_instance_whose_process_died_expires(self, stage: RegistryStage) -> None:
        dying, living, watched = await stage.registry(), await stage.registry(), Watched()
        await dying.register(instance("a"))
        await living.register(instance("b"))
        await living.watch("orders", watched)
        assert watched.ids == {"orders": ["a", "b"]}
        await stage.crash(dying)
        await watched.shows("orders", "b", within_s=TTL_S + 2)
        assert await (await stage.registry()).discover("orders") == (instance("b"),)

    async def test_stop_takes_the_instances_along(self, stage: RegistryStage) -> None:
        one, other, watched = await stage.registry(), await stage.registry(), Watched()
        await one.register(instance("a"))
        await other.register(instance("b"))
        await other.watch("orders", watched)
        await one.stop()
        await watched.shows("orders", "b", within_s=TTL_S * 0.8)

    async def test_stop_at_any_time(self, stage: RegistryStage) -> None:
        await from_url(Env.build("never-started"), stage.url).stop()
        registry = await stage.registry()
        assert await registry.ready() is None
        await registry.stop()
        await registry.stop()
        assert await registry.ready() is not None

    async def test_a_killed_server_forgets_nobody(self, stage: RegistryStage) -> None:
        stage.server  # noqa: B018 - skips where there is none
        one, other, watched = await stage.registry(), await stage.registry(), Watched()
        await one.register(instance("a"))
        await other.register(instance("b"))
        await other.watch("orders", watched)
        stage.server.kill()
        with pytest.raises(TimeoutError):  # longer than their time to live
            await watched.until(lambda _: len(watched.calls) > 1, within_s=TTL_S * 2)
        assert len(await other.discover("orders")) == 2
        await stage.server.start()
        await one.register(instance("c"))
        await watched.shows("orders", "a", "b", "c")
        assert len(watched.calls) == 2, "living instances never went away"
        assert len(await (await stage.registry()).discover("orders")) == 3

    async def test_an_empty_server_is_filled_again(self, stage: RegistryStage) -> None:
        stage.server  # noqa: B018
        one, other, watched = await stage.registry(), await stage.registry(), Watched()
        await one.register(instance("a"))
        await other.watch(None, watched)
        stage.server.kill()
        stage.server.forget()
        await stage.server.start()
        await other.register(instance("b"))
        await watched.shows("orders", "a", "b")
        assert len(watched.calls) == 2
        assert len(await (await stage.registry()).discover("orders")) == 2

    @pytest.mark.parametrize("empty", [False, True], ids=["kept", "empty"])
    async def test_a_restarted_server_brings_no_ghosts(self, stage: RegistryStage, empty: bool) -> None:
        stage.server  # noqa: B018
        dying, living, watched = await stage.registry(), await stage.registry(), Watched()
        await dying.register(instance("a"))
        await living.register(instance("b"))
        await living.watch("orders", watched)
        stage.server.kill()
        await stage.crash(dying)
        await dying.stop()
        if empty:
            stage.server.forget()
        await stage.server.start()
        await watched.shows("orders", "b", within_s=TTL_S + 3)
        assert [found.id for found in await (await stage.registry()).discover("orders")] == ["b"]

    @pytest.mark.parametrize(
        "bad", [{"service": ""}, {"service": "a.b"}, {"id": "x y"}, {"id": "ä"}, {"port": 0}, {"weight": -1}], ids=str
    )
    def test_instances_that_can_not_be(self, stage: RegistryStage, bad: dict[str, object]) -> None:
        with pytest.raises(InvalidInput):
            replace(instance(), **bad)  # type: ignore[arg-type]
