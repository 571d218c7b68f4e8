"""`Service`: a FastAPI application that is a good citizen of a system."""

import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, cast

from fastapi import APIRouter, FastAPI
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.types import ASGIApp
from structlog.typing import FilteringBoundLogger
from typing_extensions import TypeVar

from hanse.client import ClientOptions, HttpTransport
from hanse.config import ServiceSettings, Settings
from hanse.core import Env
from hanse.core.errors import ConfigurationError
from hanse.db import Database
from hanse.durable import Durable
from hanse.events import Envelope
from hanse.resilience import ResilienceRegistry
from hanse.security import Passwords, TokenIssuer
from hanse.service.consumer import EventHandler
from hanse.service.edge import Edge
from hanse.service.health import Check
from hanse.service.node import Hook, Node
from hanse.service.paths import Paths
from hanse.service.resilience import resilience_routes
from hanse.service.routes import Routes, ServiceRoute
from hanse.service.upstream import Upstream
from hanse.telemetry import Logs, Metrics, Tracer, get_logger, traceparent

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_NO_TELEMETRY = {"tracing": False, "metrics": False, "logs": False}
_REPLACED = (http_exception_handler, request_validation_exception_handler)

S = TypeVar("S", bound=Settings, default=Settings)
T = TypeVar("T")
Call = TypeVar("Call", bound=Callable[..., Awaitable[Any]])
SagaClass = TypeVar("SagaClass", bound=type)


class Service(Routes, FastAPI, Generic[S]):
    """One service: its routes, events, sagas and what it needs of others, declared at import; no I/O until it runs.

    Args:
        name: what it is registered by, unless the platform gives another one (`HANSE_SERVICE`); lower case letters,
            digits, `-` and `_`.
        version: of the service, for people and for routing.
        models: module with the service's tables (`"shop.orders.store"`); a folder `migrations` beside it is applied at
            the start. None: no tables of its own.
        settings: class of the service's own settings, read from the environment at first use.
        options: FastAPI's own (`title`, `description`, `docs_url`, …).

    Guarantees: every error is answered as a problem document without internals; every response names correlation id and
    trace; a write is committed before its response is sent.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0.0.0",
        models: str | None = None,
        settings: type[S] | None = None,
        **options: Any,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f'service name "{name}" must be lower case letters, digits, "-" and "_"')
        if "lifespan" in options:
            raise ConfigurationError(f'service "{name}": use @service.on_start and @service.on_stop, not lifespan')
        options.setdefault("title", name)
        options.setdefault("telemetry", _NO_TELEMETRY)
        super().__init__(version=version, lifespan=_lifespan, **options)
        self.router.route_class = ServiceRoute
        self.name = name
        self.models = models
        self.package = _package(sys._getframe(1).f_globals)
        self.running_node: Node | None = None
        """None unless the service runs."""
        self.upstreams: dict[str, Upstream] = {}
        self.handlers: list[EventHandler] = []
        self.sagas: list[type] = []
        self.start_hooks: list[Hook] = []
        self.stop_hooks: list[Hook] = []
        self.own_checks: list[Check] = []
        self._settings_class: type[Settings] = settings or Settings
        self._settings: Settings | None = None
        self._log = get_logger(name)
        self.include_router(resilience_routes())

    # What is declared at import.

    def client(self, name: str, *, timeout: float = 5.0, retry: int = 2, **options: Any) -> Upstream:
        """Declare that this service calls another one.

        Args:
            name: of the other service, as it is registered.
            timeout: seconds for a call as a whole.
            retry: repetitions where repeating is safe.
            options: the rest of `ClientOptions`.
        """
        if name in self.upstreams:
            raise ConfigurationError(f'service "{self.name}" declares its client of "{name}" twice')
        upstream = Upstream(self, name, ClientOptions(timeout=timeout, retry=retry, **options))
        self.upstreams[name] = upstream
        return upstream

    def on(self, *types: str, group: str | None = None, **options: Any) -> Callable[[Call], Call]:
        """Have an async function handle events, durably and at least once; exactly once if it takes a `Session`.

        Args:
            types: exact (`"payment.captured"`) or patterns (`"order.*"`).
            group: under which name replicas share the events and the broker remembers; the function's name if None.
                Renaming it means a new group, which gets all events that are still kept.
            options: `max_deliver`, `concurrency`, `retry_delays_s`, `ack_wait_s` of `Subscription`.
        """

        def declare(call: Call) -> Call:
            handler = EventHandler.of(call, types, group, options)
            if handler.group in {known.group for known in self.handlers}:
                raise ConfigurationError(f'service "{self.name}" has two event handlers in group "{handler.group}"')
            self.handlers.append(handler)
            return call

        return declare

    def saga(self, cls: SagaClass) -> SagaClass:
        """Make a saga known that lives outside the service's package; those inside are found by themselves."""
        self.sagas.append(cls)
        return cls

    def on_start(self, hook: Call) -> Call:
        """Have `await hook()` called at the start: database, clients and broker are up, requests do not come yet."""
        self.start_hooks.append(hook)
        return hook

    def on_stop(self, hook: Call) -> Call:
        """Have `await hook()` called when the service stops, before its parts do."""
        self.stop_hooks.append(hook)
        return hook

    def check(self, name: str, *, needed: bool = False) -> Callable[[Call], Call]:
        """Have an async function take part in `/health`: it returns None when all is well, else the reason.

        Args:
            needed: without it the service can't do its work, and gets no requests.
        """

        def declare(call: Call) -> Call:
            self.own_checks.append(Check(name, call, needed))
            return call

        return declare

    # What is usable while it runs.

    @property
    def node(self) -> Node:
        """The running instance.

        Raises:
            ConfigurationError: the service does not run.
        """
        if self.running_node is None:
            raise ConfigurationError(f'service "{self.name}" does not run yet: this is usable in handlers and hooks')
        return self.running_node

    @property
    def env(self) -> Env:
        """Time, randomness, ids and tasks."""
        return self.node.env

    @property
    def settings(self) -> S:
        """The service's own settings, read at first use."""
        if self._settings is None:
            self._settings = self._settings_class()
        return cast("S", self._settings)

    @property
    def log(self) -> FilteringBoundLogger:
        """The service's log; also usable before it runs."""
        return self.running_node.log if self.running_node is not None else self._log

    @property
    def tracer(self) -> Tracer:
        return self.node.tracer

    @property
    def metrics(self) -> Metrics:
        return self.node.metrics

    @property
    def database(self) -> Database:
        """The service's database; for handlers a `Session` parameter is simpler."""
        return self._found(self.node.parts.database, "no database: give it models=…")

    @property
    def durable(self) -> Durable:
        """Sagas, outbox, inbox and idempotency keys."""
        return self._found(self.node.parts.durable, "no database: give it models=…")

    @property
    def issuer(self) -> TokenIssuer:
        """Makes users' tokens; only in the service that holds the private key."""
        return self._found(self.node.parts.issuer, "no private key (HANSE_JWT_PRIVATE_KEY_FILE)")

    @property
    def passwords(self) -> Passwords:
        return self.node.parts.passwords

    @property
    def resilience(self) -> ResilienceRegistry:
        """What is shown at `/resilience`: the clients' patterns by themselves, and those that the service adds."""
        return self.node.parts.resilience

    async def publish(self, db: AsyncSession, event: BaseModel) -> str:
        """Publish an event if, and only if, the transaction of `db` commits.

        Returns: the event's id.
        """
        node = self.node
        envelope = Envelope.of(event, source=node.name, env=node.env, traceparent=traceparent())
        await self.durable.outbox.add(db, envelope)
        return envelope.id

    async def start(self, db: AsyncSession, saga: type, given: Any, *, saga_id: str | None = None) -> str:
        """Start a saga if, and only if, the transaction of `db` commits; it runs after that.

        Args:
            saga: a class decorated with `@saga`.
            given: its input.
            saga_id: makes starting idempotent: a taken one raises `SagaExists`.

        Returns: the saga's id.
        """
        return await self.durable.sagas.start(db, saga, given, saga_id=saga_id)

    @asynccontextmanager
    async def running(
        self,
        settings: ServiceSettings | None = None,
        *,
        own: S | None = None,
        env: Env | None = None,
        logs: Logs | None = None,
        http: HttpTransport | None = None,
    ) -> AsyncIterator["Service[S]"]:
        """Run the service in this process, for as long as the block lasts; it is then an ASGI application that answers.

        Args:
            settings: what the platform says; None reads the environment.
            own: the service's own settings; None reads them from the environment.
            env, logs, http: seams; None takes the real ones.

        Raises:
            ConfigurationError: it runs already, or the settings don't fit.
        """
        from hanse.service.wiring import build  # wiring knows all parts; who only declares a service need not load them

        if self.running_node is not None:
            raise ConfigurationError(f'service "{self.name}" runs already')
        if own is not None:
            self._settings = own
        node = build(self, settings or ServiceSettings(), env=env, logs=logs, http=http)
        self.running_node = node
        try:
            await node.start()
            yield self
            await node.drain(node.settings.grace_s)
        finally:
            try:
                await node.stop()
            finally:
                self.running_node = None
                if own is not None:
                    self._settings = None

    def build_middleware_stack(self) -> ASGIApp:
        """Starlette's hook: `Edge` around users' middleware around the router, and nothing else."""
        paths = Paths(self.router)
        app: ASGIApp = AsyncExitStackMiddleware(paths)
        for middleware, args, kwargs in reversed(self.user_middleware):
            app = middleware(app, *args, **kwargs)
        kept = {kind: handler for kind, handler in self.exception_handlers.items() if handler not in _REPLACED}
        return Edge(app, self, kept, paths)

    def _target(self) -> APIRouter:
        return self.router

    def _found(self, part: T | None, missing: str) -> T:
        if part is None:
            raise ConfigurationError(f'service "{self.name}" has {missing}')
        return part


@asynccontextmanager
async def _lifespan(service: FastAPI) -> AsyncIterator[None]:
    """For other ASGI servers: the service runs while the server does. Hanse's own server starts the node itself."""
    assert isinstance(service, Service)
    if service.running_node is not None:
        yield
        return
    async with service.running():
        yield


def _package(module: dict[str, Any]) -> str:
    """The package whose modules belong to the service that `module` creates; the module itself outside any package."""
    return str(module.get("__package__") or module.get("__name__") or "")
