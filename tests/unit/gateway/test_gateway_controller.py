"""The controller against a registry in memory and an Envoy that only takes notes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from hanse.core import Env
from hanse.core.errors import HanseError, Unavailable
from hanse.gateway import Cluster, Endpoint, GatewayController, GatewayModel, Refused, Route
from hanse.gateway.controller import with_instances
from hanse.registry import Instance, Registry, from_url
from hanse.testing.clock import ManualClock

MODEL = GatewayModel((Route("/a", "a"), Route("/b", "b")), clusters={"a": Cluster(connect_timeout=2.0)})


@dataclass
class Notes:
    """Takes models; fails as often as told."""

    models: list[GatewayModel] = field(default_factory=list)
    errors: list[HanseError] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def publish(self, model: GatewayModel) -> tuple[str, ...]:
        self.changed.set()
        if self.errors:
            raise self.errors.pop(0)
        self.models.append(model)
        return ()

    async def next(self) -> None:
        async with asyncio.timeout(5):
            await self.changed.wait()
        self.changed.clear()


@dataclass
class Node:
    env: Env
    clock: ManualClock
    registry: Registry
    notes: Notes
    told: list[HanseError]
    controller: GatewayController


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    clock = ManualClock()
    env = Env.build("controller", clock=clock)
    registry, notes, told = from_url(env, f"memory://{id(clock)}"), Notes(), list[HanseError]()
    await registry.start()
    controller = GatewayController(env, registry, MODEL, notes, on_refused=told.append)
    yield Node(env, clock, registry, notes, told, controller)
    await controller.stop()
    await registry.stop()
    await env.scope.close()


def test_endpoints_come_from_the_registry_and_settings_from_the_model() -> None:
    known = {
        "a": (Instance("a", "1", "10.0.0.1", 80, weight=3), Instance("a", "2", "10.0.0.2", 80, weight=0)),
        "unrouted": (Instance("unrouted", "1", "10.0.0.3", 80),),
    }
    clusters = with_instances(MODEL, known).clusters
    assert clusters == {"a": Cluster((Endpoint("10.0.0.1", 80, 3),), connect_timeout=2.0), "b": Cluster()}


async def test_it_publishes_at_start_and_at_each_change(node: Node) -> None:
    assert await node.controller.ready() == "nothing is published yet"
    await node.controller.start()
    await node.notes.next()
    assert await node.controller.ready() is None
    await node.registry.register(Instance("b", "1", "127.0.0.1", 8001))
    await node.notes.next()
    assert node.notes.models[-1].clusters["b"].endpoints == (Endpoint("127.0.0.1", 8001),)


async def test_what_is_refused_is_told_and_the_next_change_is_published(node: Node) -> None:
    await node.controller.start()
    await node.notes.next()
    node.notes.errors = [Refused("Envoy refuses this")]
    await node.registry.register(Instance("b", "1", "127.0.0.1", 8001))
    await node.notes.next()
    assert [error.message for error in node.told] == ["Envoy refuses this"]
    assert await node.controller.ready() == "Envoy refuses this"
    await node.registry.deregister("b", "1")
    await node.notes.next()
    assert await node.controller.ready() is None


async def test_an_envoy_that_does_not_answer_is_tried_again(node: Node) -> None:
    await node.controller.start()
    await node.notes.next()
    node.notes.errors = [Unavailable("Envoy does not follow")]
    await node.registry.register(Instance("b", "1", "127.0.0.1", 8001))
    await node.notes.next()
    while not node.notes.changed.is_set():
        node.clock.advance(0.5)
        await asyncio.sleep(0)
    assert node.notes.models[-1].clusters["b"].endpoints


async def test_a_start_that_fails_says_why(node: Node) -> None:
    node.notes.errors = [Refused("Envoy refuses this")]
    with pytest.raises(Refused):
        await node.controller.start()
