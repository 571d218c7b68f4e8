"""`Node`: one running instance of a service: its parts, in the order in which they start and stop."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import ASGIApp
from structlog.typing import FilteringBoundLogger

from hanse.client import ServiceClient
from hanse.config import ServiceSettings
from hanse.core import Component, Env
from hanse.db import Database
from hanse.durable import Durable
from hanse.events import Subscribed, Transport
from hanse.registry import Instance, Registry
from hanse.resilience import ResilienceRegistry
from hanse.security import Passwords, TokenIssuer
from hanse.service.consumer import Consumer
from hanse.service.health import Check, probes
from hanse.service.identity import Identity
from hanse.service.shedding import Gate
from hanse.telemetry import Logs, Metrics, Tracer
from hanse.telemetry.metrics import HistogramValue

_DEREGISTER_S = 1.0
_LAST_WORD_S = 1.0

Hook = Callable[[], Awaitable[None]]


class InFlight(Protocol):
    """A request or WebSocket being served."""

    streaming: bool
    """It has no end of its own."""

    def end_early(self) -> None:
        """Have it end now."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What wiring has built for a node; everything is constructed, nothing is started."""

    settings: ServiceSettings
    env: Env
    logs: Logs
    tracer: Tracer
    metrics: Metrics
    identity: Identity
    issuer: TokenIssuer | None
    passwords: Passwords
    resilience: ResilienceRegistry
    gate: Gate | None
    """None: load is not shed."""
    transport: Transport
    registry: Registry
    database: Database | None
    durable: Durable | None
    clients: dict[str, ServiceClient]
    consumers: Sequence[Consumer]
    components: Sequence[Component]
    """In the order of starting; stopped in reverse."""
    checks: Sequence[Check]


class Node:
    """A service at work.

    Order of starting: telemetry, database with its migrations, transport, durable engine, registry, clients, the
    hooks of `on_start`, subscriptions; it is registered last, by `announce`, when it listens. Stopping: deregistered
    first, then no new work, then what is in hand within the grace, then the parts in reverse.
    """

    def __init__(
        self, name: str, version: str, parts: Parts, on_start: Sequence[Hook], on_stop: Sequence[Hook]
    ) -> None:
        self.name = name
        self.version = version
        self.instance = parts.settings.instance
        self.parts = parts
        self.settings = parts.settings
        self.env = parts.env
        self.logs = parts.logs
        self.log: FilteringBoundLogger = parts.logs.logger()
        self.tracer = parts.tracer
        self.metrics = parts.metrics
        self.checks = parts.checks
        self.gate = parts.gate
        self.began = parts.env.clock.monotonic()
        self.started = False
        self.draining = False
        self.in_flight: dict[asyncio.Task[Any] | None, InFlight] = {}
        """The requests and WebSockets being served."""
        self.probes: dict[str, ASGIApp] = probes(self)
        self._idle = asyncio.Event()
        self._on_start, self._on_stop = on_start, on_stop
        self._subscribed: list[Subscribed] = []
        self._registered: Instance | None = None
        self._durations = parts.metrics.histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP requests.",
            ("http_request_method", "http_route", "http_response_status_code"),
        )
        self._bound: dict[tuple[str, str, int], HistogramValue] = {}
        active = parts.metrics.gauge("http_server_active_requests", "HTTP requests and WebSockets being served.")
        active.labels().set_function(lambda: float(len(self.in_flight)))

    async def start(self) -> None:
        """Bring everything up. After an error call `stop`."""
        for component in self.parts.components:
            await component.start()
        for hook in self._on_start:
            await hook()
        for consumer in self.parts.consumers:
            subscription = consumer.subscription(self.name)
            self._subscribed.append(await self.parts.transport.subscribe(subscription, consumer.receive))
        self.started = True

    async def announce(self, host: str, port: int) -> None:
        """Register as an instance that answers at this address."""
        instance = Instance(self.name, self.instance, host, port, self.version)
        await self.parts.registry.register(instance)
        self._registered = instance

    async def leave(self) -> None:
        """Get no more requests: leave the registry, tell connections to close."""
        self.draining = True
        registered, self._registered = self._registered, None
        if registered is not None:
            with suppress(Exception):  # the registry forgets this instance by itself, a little later
                async with asyncio.timeout(_DEREGISTER_S):
                    await self.parts.registry.deregister(registered.service, registered.id)

    async def drain(self, grace_s: float) -> bool:
        """Leave, end streams, take no more events, let requests and handlers finish.

        Args:
            grace_s: the longest that they may take; then they are ended: requests are answered with 503, events are
                delivered again, sagas go on in another replica or after the restart.

        Returns:
            True when nothing had to be ended.
        """
        await self.leave()
        for served in list(self.in_flight.values()):
            if served.streaming:
                served.end_early()
        try:
            async with asyncio.timeout(grace_s):
                await asyncio.gather(*[subscribed.drain() for subscribed in self._subscribed], self._until_idle())
                if self.parts.durable is not None:
                    await self.parts.durable.drain()
        except TimeoutError:
            self.log.warning("the grace is over", requests=len(self.in_flight), grace_s=grace_s)
            for served in list(self.in_flight.values()):
                served.end_early()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORD_S):
                    await self._until_idle()
            return False
        return True

    async def stop(self) -> None:
        """Take everything down; what fails to stop is logged and does not keep the rest from stopping. Idempotent."""
        self.draining = True
        steps: list[tuple[str, Hook]] = [(type(item).__name__, item.stop) for item in self._subscribed]
        if self.started:
            steps += [("on_stop", hook) for hook in reversed(self._on_stop)]
        steps += [(component.name, component.stop) for component in reversed(self.parts.components)]
        self._subscribed.clear()
        self.started = False
        for name, step in steps:
            try:
                await step()
            except Exception as error:
                self.log.error("could not stop a part", part=name, exc_info=error)
        await self.env.scope.close()
        self.logs.flush()

    def done(self, task: asyncio.Task[Any] | None) -> None:
        """A request or WebSocket has ended."""
        self.in_flight.pop(task, None)
        if self.draining and not self.in_flight:
            self._idle.set()

    def observe(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count one served request."""
        key = (method, route, status)
        value = self._bound.get(key)
        if value is None:
            value = self._bound[key] = self._durations.labels(method, route, str(status))
        value.observe(took_s)

    async def _until_idle(self) -> None:
        while self.in_flight:
            self._idle.clear()
            await self._idle.wait()
