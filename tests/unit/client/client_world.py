"""A service "stock" on a network in memory, with time under the test's control."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from hanse.client import ClientOptions, HttpRequest, HttpResponse, MemoryNetwork, MemoryTransport, ServiceClient
from hanse.core import Env
from hanse.registry import Instance, Registry, Watch
from hanse.registry.contract import OnChange
from hanse.testing.clock import ManualClock

JSON = {"content-type": "application/json"}
Behaviour = Callable[[HttpRequest], Awaitable[HttpResponse]]


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> Behaviour:
    """Answers so."""

    async def behave(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status, JSON | {name.replace("_", "-"): value for name, value in headers.items()}, body)

    return behave


def fail(error: Exception) -> Behaviour:
    """Fails so."""

    async def behave(request: HttpRequest) -> HttpResponse:
        raise error

    return behave


class PushedRegistry(Registry):
    """A registry whose content the test pushes."""

    def __init__(self) -> None:
        self.instances: tuple[Instance, ...] = ()
        self._listeners: list[OnChange] = []

    def push(self, *instances: Instance) -> None:
        self.instances = instances
        for listener in self._listeners:
            listener({"stock": instances})

    async def register(self, instance: Instance) -> None:
        raise AssertionError("a client does not register")

    async def deregister(self, service: str, id: str) -> None:
        raise AssertionError("a client does not deregister")

    async def discover(self, service: str) -> tuple[Instance, ...]:
        raise AssertionError("a client is told, it does not ask")

    async def watch(self, service: str | None, on_change: OnChange) -> Watch:
        self._listeners.append(on_change)
        on_change({"stock": self.instances})
        listeners = self._listeners

        class Running(Watch):
            async def stop(self) -> None:
                if on_change in listeners:
                    listeners.remove(on_change)

        return Running()


@dataclass
class World:
    """Instances are numbered by port; each behaves by its script, in turn, the last one stays."""

    env: Env
    clock: ManualClock
    network: MemoryNetwork = field(default_factory=MemoryNetwork)
    registry: PushedRegistry = field(default_factory=PushedRegistry)
    requests: list[HttpRequest] = field(default_factory=list)

    def instance(self, port: int, *script: Behaviour, weight: int = 1) -> Instance:
        steps = list(script)

        async def handle(request: HttpRequest) -> HttpResponse:
            self.requests.append(request)
            return await (steps.pop(0) if len(steps) > 1 else steps[0])(request)

        if script:
            self.network.listen(f"10.0.0.1:{port}", self.env, handle)
        return Instance("stock", f"i{port}", "10.0.0.1", port, weight=weight)

    async def client(self, *scripts: Behaviour, options: ClientOptions | None = None, **more: Any) -> ServiceClient:
        """A started client; with `scripts`, of one instance that behaves so."""
        if scripts:
            self.registry.push(self.instance(1, *scripts))
        transport = MemoryTransport(self.env, self.network)
        client = ServiceClient(self.env, "stock", self.registry, options, transport=transport, **more)
        await client.start()
        return client

    def ports(self) -> list[int]:
        """Who got each request, in order."""
        return [int(request.url.split(":")[2].split("/")[0]) for request in self.requests]
