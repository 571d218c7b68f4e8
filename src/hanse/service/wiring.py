"""Wiring: the one place where the parts of a service are built and put together. Nothing is started here."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from opentelemetry.trace import SpanKind
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

from hanse.client import HttpTransport, ServiceClient
from hanse.client.pyreqwest import PyreqwestTransport
from hanse.config import ServiceSettings
from hanse.core import Component, Env
from hanse.core.errors import ConfigurationError
from hanse.db import Database
from hanse.durable import Attempt, Durable, Hooks, SagaEnd
from hanse.events import Transport, transport_from_url
from hanse.events.contract import Notice
from hanse.registry import from_url as registry_from_url
from hanse.resilience import ResilienceRegistry
from hanse.security import Passwords, SigningKey, TokenIssuer, TokenVerifier
from hanse.service.consumer import Consumer
from hanse.service.dependencies import session
from hanse.service.health import Check
from hanse.service.identity import Identity
from hanse.service.node import Node, Parts
from hanse.service.routes import IdempotentRoute
from hanse.service.service import Service
from hanse.service.shedding import Gate
from hanse.telemetry import Logs, Metrics, NoSink, OtlpHttpSink, Span, SpanSink, Tracer, parse_traceparent, traceparent


def build(
    service: Service[Any],
    settings: ServiceSettings,
    *,
    env: Env | None = None,
    logs: Logs | None = None,
    http: HttpTransport | None = None,
) -> Node:
    """A node of `service`, ready to be started.

    Args:
        settings: what the platform says.
        env, logs, http: seams; None takes the real ones.

    Raises:
        ConfigurationError: the declarations and the settings do not fit together.
    """
    env = env or Env.build(settings.instance or service.name)
    settings = _named(service, settings, env)
    name = settings.service
    logs = logs or Logs(
        name,
        service.version,
        instance=settings.instance,
        level=settings.log_level,
        fmt=settings.log_format,
        clock=env.clock,
    )
    log = logs.logger()
    env.scope.on_error = lambda task, error: log.error("background task failed", task=task, exc_info=error)
    metrics = Metrics(process=True)
    exporter = _exporter(service, settings, env)
    sink: SpanSink = exporter or NoSink()
    tracer = Tracer(name, sink, settings.trace_sample, clock=env.clock, random=env.random)
    identity = _identity(settings, env)
    transport = transport_from_url(env, settings.broker_url, name)
    registry = registry_from_url(env, settings.registry_url)
    database = _database(service, settings, env)
    durable = _durable(service, name, env, database, transport, tracer, metrics)
    clients, sender = _clients(service, env, registry, tracer, metrics, identity, http)
    resilience = ResilienceRegistry(env)
    for client in clients.values():
        resilience.add_source(client.patterns)
    gate = Gate(env, settings, metrics, identity) if settings.load_shedding else None
    if gate is not None:
        resilience.add(gate.limit)
    _watch_transport(transport, logs, metrics)
    components = [exporter, database, transport, durable, registry, sender, *clients.values()]
    parts = Parts(
        settings=settings,
        env=env,
        logs=logs,
        tracer=tracer,
        metrics=metrics,
        identity=identity,
        issuer=_issuer(settings, env),
        passwords=Passwords(env),
        resilience=resilience,
        gate=gate,
        transport=transport,
        registry=registry,
        database=database,
        durable=durable,
        clients=clients,
        consumers=[Consumer(handler) for handler in service.handlers],
        components=[component for component in components if component is not None],
        checks=_checks(service, database, durable, transport, registry),
    )
    node = Node(name, service.version, parts, service.start_hooks, service.stop_hooks)
    for consumer in parts.consumers:
        consumer.node = node
    return node


def _named(service: Service[Any], settings: ServiceSettings, env: Env) -> ServiceSettings:
    """The settings with name and instance id filled in; the name that the platform gives wins."""
    name = settings.service or service.name
    instance = settings.instance or f"{name}-{env.random.getrandbits(32):08x}"
    return settings.model_copy(update={"service": name, "instance": instance})


def _exporter(service: Service[Any], settings: ServiceSettings, env: Env) -> OtlpHttpSink | None:
    if settings.otlp_endpoint is None:
        return None
    resource = {
        "service.name": settings.service,
        "service.version": service.version,
        "service.namespace": settings.system,
        "service.instance.id": settings.instance,
        "deployment.environment.name": settings.environment,
        "telemetry.sdk.name": "hanse",
        "telemetry.sdk.language": "python",
    }
    return OtlpHttpSink(env, settings.otlp_endpoint, resource)


def _identity(settings: ServiceSettings, env: Env) -> Identity:
    verifier = None
    if settings.jwks_file is not None:
        issuers = {issuer for issuer in (settings.issuer, settings.system) if issuer}
        verifier = TokenVerifier(env, settings.jwks_file, issuers, settings.audience or settings.system)
    token = settings.service_token.get_secret_value() if settings.service_token is not None else None
    return Identity(verifier, settings.issuer, settings.system, token)


def _issuer(settings: ServiceSettings, env: Env) -> TokenIssuer | None:
    if settings.jwt_private_key_file is None:
        return None
    if settings.issuer is None:
        raise ConfigurationError("HANSE_JWT_PRIVATE_KEY_FILE is set, so HANSE_ISSUER must say who issues the tokens")
    key = SigningKey.load(settings.jwt_private_key_file)
    return TokenIssuer(env, key, settings.issuer, settings.audience or settings.system)


def _database(service: Service[Any], settings: ServiceSettings, env: Env) -> Database | None:
    if service.models is None and not _asks_for_sessions(service):
        return None
    if settings.database_url is None:
        raise ConfigurationError(
            f'service "{service.name}" needs a database: set HANSE_DATABASE_URL, '
            f"for example to sqlite:///data/{service.name}.db"
        )
    if service.models is None:
        return Database(env, settings.database_url)
    module = importlib.import_module(service.models)
    folder = Path(module.__file__).parent / "migrations" if module.__file__ else None
    migrations = folder if folder is not None and any(folder.glob("*.py")) else None
    return Database(env, settings.database_url, metadata=_metadata(module), migrations=migrations)


def _metadata(module: ModuleType) -> MetaData:
    """The tables of a models module: its `metadata`, or that of the declarative base it defines or uses."""
    found = getattr(module, "metadata", None)
    if isinstance(found, MetaData):
        return found
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, DeclarativeBase) and value is not DeclarativeBase:
            return value.metadata
    raise ConfigurationError(f"{module.__name__} has neither `metadata` nor a DeclarativeBase with tables")


def _asks_for_sessions(service: Service[Any]) -> bool:
    """Does a route, an event handler or a saga need a database, although there are no tables?"""
    if service.sagas or any(handler.session is not None for handler in service.handlers):
        return True
    routes = [context.original_route for context in iter_route_contexts(service.routes)]
    return any(
        isinstance(route, IdempotentRoute) or (isinstance(route, APIRoute) and _uses(route.dependant))
        for route in routes
    )


def _uses(dependant: Dependant) -> bool:
    return dependant.call is session or any(_uses(inner) for inner in dependant.dependencies)


def _durable(
    service: Service[Any],
    name: str,
    env: Env,
    database: Database | None,
    transport: Transport,
    tracer: Tracer,
    metrics: Metrics,
) -> Durable | None:
    if database is None:
        return None
    ended = metrics.counter("saga_ended_total", "Sagas that reached a final state.", ("saga", "state"))
    took = metrics.histogram("saga_duration_seconds", "From the start of a saga to its end.", ("saga",))

    def around(attempt: Attempt) -> Span:
        attributes: dict[str, Any] = {"saga.id": attempt.saga_id, "saga.name": attempt.saga, "saga.step": attempt.step}
        attributes |= {"saga.attempt": attempt.number, "saga.compensating": attempt.compensating}
        title = f"{'undo' if attempt.compensating else 'step'} {attempt.saga}/{attempt.step}"
        return tracer.span(
            title, kind=SpanKind.INTERNAL, attributes=attributes, parent=parse_traceparent(attempt.traceparent)
        )

    def count(end: SagaEnd) -> None:
        ended.labels(end.name, end.state.name.lower()).inc()
        took.labels(end.name).observe(end.duration_s)

    hooks = Hooks(traceparent=traceparent, attempt=around, ended=count)
    durable = Durable(env, database, name=name, sink=transport, hooks=hooks)
    for cls in dict.fromkeys([*service.sagas, *_sagas_of(service.package)]):
        durable.sagas.register(cls)
    return durable


def _sagas_of(package: str) -> list[type]:
    """The sagas declared in the loaded modules of a package, so that a restart can go on with those it left."""
    names = sorted(name for name in sys.modules if name == package or name.startswith(f"{package}."))
    members = [value for name in names for value in vars(sys.modules[name]).values()]
    return [value for value in members if isinstance(value, type) and "__hanse_saga__" in vars(value)]


def _clients(
    service: Service[Any],
    env: Env,
    registry: Any,
    tracer: Tracer,
    metrics: Metrics,
    identity: Identity,
    http: HttpTransport | None,
) -> tuple[dict[str, ServiceClient], HttpTransport | None]:
    if not service.upstreams:
        return {}, None
    sender = http or PyreqwestTransport(user_agent=f"hanse/{service.name}")
    clients = {
        name: ServiceClient(
            env,
            name,
            registry,
            upstream.options,
            tracer=tracer,
            metrics=metrics,
            identity=identity.own_token,
            transport=sender,
        )
        for name, upstream in service.upstreams.items()
    }
    return clients, sender if http is None else None


def _watch_transport(transport: Transport, logs: Logs, metrics: Metrics) -> None:
    log = logs.logger("events")
    notices = metrics.counter("event_notices_total", "What the transport of events reported.", ("kind", "group"))

    def notice(notice: Notice) -> None:
        notices.labels(notice.kind, notice.group).inc()
        if notice.kind != "failed":  # a failed delivery has its own line, with the handler's stack
            facts = {"group": notice.group, "event_id": notice.event, "attempt": notice.attempt}
            told = {key: value for key, value in facts.items() if value}
            level = log.info if notice.kind == "connected" else log.warning
            level(f"events: {notice.kind.replace('_', ' ')}", error=str(notice.error or ""), **told)

    transport.on_notice = notice


def _checks(
    service: Service[Any],
    database: Database | None,
    durable: Durable | None,
    transport: Component,
    registry: Component,
) -> list[Check]:
    checks = [Check(part.name, part.ready) for part in (database, durable) if part is not None]
    checks.append(Check("events", transport.ready, needed=False))
    checks.append(Check("registry", registry.ready, needed=False))
    return checks + service.own_checks
