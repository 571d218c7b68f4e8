"""What cases about event transports are played with: nodes on one broker, a recording handler, and waiting."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from hanse.core import Env
from hanse.events import Capability, Delivery, Envelope, Subscribed, Subscription, Transport, event, transport_from_url
from hanse.testing.nats_server import NatsServer

PATIENCE_S = 10.0


@event("order.placed", version=3, key="order_id")
class OrderPlaced(BaseModel):
    order_id: str
    note: str = ""


class TransportStage:
    """Gives a test as many nodes as it likes on one broker.

    Args:
        url: of the broker.
        server: the broker's process, where it has one.
    """

    def __init__(self, url: str, server: NatsServer | None = None) -> None:
        self.url = url
        self._server = server
        self._nodes: list[tuple[Env, Transport]] = []

    @property
    def server(self) -> NatsServer:
        if self._server is None:
            pytest.skip(f"{self.url}: no capability {Capability.SERVER}")
        return self._server

    async def transport(self, name: str = "orders") -> Transport:
        """A started transport on a node of its own."""
        env = Env.build(f"{name}-{len(self._nodes)}")
        env.scope.on_error = lambda task, error: None  # failures are what these tests are about
        transport = transport_from_url(env, self.url, name)
        self._nodes.append((env, transport))
        await transport.start()
        return transport

    async def close(self) -> None:
        for env, transport in self._nodes:
            await transport.stop()
            await env.scope.close()


class Recorder:
    """A handler that writes down what it gets, and fails or waits when told to."""

    def __init__(self, act: Callable[[Delivery], Any] | None = None) -> None:
        self.seen: list[Delivery] = []
        self.at: list[float] = []
        self.busy = self.most_busy = self.finished = 0
        self._act = act
        self._changed = asyncio.Condition()

    async def __call__(self, delivery: Delivery) -> None:
        self.seen.append(delivery)
        self.at.append(asyncio.get_running_loop().time())
        self.busy += 1
        self.most_busy = max(self.busy, self.most_busy)
        await self._tell()
        try:
            if self._act is not None and (waiting := self._act(delivery)) is not None:
                await waiting
            self.finished += 1
        finally:
            self.busy -= 1
            await self._tell()

    @property
    def keys(self) -> list[str]:
        return [delivery.envelope.subject for delivery in self.seen]

    @property
    def different(self) -> set[str]:
        """Ids of the events seen so far."""
        return {delivery.envelope.id for delivery in self.seen}

    async def until(self, true: Callable[["Recorder"], bool], within_s: float = PATIENCE_S) -> None:
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(lambda: true(self))

    async def count(self, n: int, within_s: float = PATIENCE_S) -> None:
        await self.until(lambda self: len(self.seen) >= n, within_s)

    async def see_different(self, n: int, within_s: float = PATIENCE_S) -> None:
        """Wait for `n` different events, however often each."""
        await self.until(lambda self: len(self.different) >= n, within_s)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def placed(key: str, type: str = "order.placed", data: bytes | None = None) -> Envelope:
    """An event that is about `key`."""
    env = Env.build("test")
    made = Envelope.of(OrderPlaced(order_id=key), source="orders", env=env)
    return Envelope(made.id, made.source, type, made.time, made.data if data is None else data, key, version=3)


async def settled(subscribed: Subscribed) -> None:
    """Wait until the group has nothing left to do."""
    await eventually(lambda: backlog_is(subscribed, 0))


async def backlog_is(subscribed: Subscribed, count: int) -> bool:
    return await subscribed.backlog() == count


async def eventually(true: Callable[[], Any], within_s: float = PATIENCE_S) -> None:
    """Wait until an awaitable condition holds; for states that nobody announces."""
    async with asyncio.timeout(within_s):
        while not await true():  # noqa: ASYNC110 - the state is the backend's, which tells nobody
            await asyncio.sleep(0.01)


def subscription(*types: str, **options: Any) -> Subscription:
    options.setdefault("retry_delays_s", (0.02,))
    return Subscription("billing", types or ("order.placed",), **options)
