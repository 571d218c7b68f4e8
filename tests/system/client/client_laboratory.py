"""Failing upstreams on real sockets, and a client that finds them in a registry."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from hanse.client import ClientOptions, ServiceClient
from hanse.core import Env
from hanse.registry.memory import MemoryRegistry
from hanse.telemetry import MemorySink, Metrics, Tracer
from hanse.testing.upstream import Upstream


@dataclass
class Laboratory:
    """One service "stock" with as many instances as the test wants."""

    env: Env
    registry: MemoryRegistry
    stack: AsyncExitStack
    sink: MemorySink
    metrics: Metrics

    async def upstream(self, id: str = "a", *, weight: int = 1) -> Upstream:
        upstream = await self.stack.enter_async_context(Upstream(id))
        await self.registry.register(upstream.instance("stock", weight))
        return upstream

    async def client(self, options: ClientOptions | None = None) -> ServiceClient:
        tracer = Tracer("test", self.sink)
        client = ServiceClient(self.env, "stock", self.registry, options, tracer=tracer, metrics=self.metrics)
        self.stack.push_async_callback(client.stop)
        await client.start()
        return client
