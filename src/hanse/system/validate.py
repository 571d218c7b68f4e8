"""What can be wrong with a topology, found before anything starts. Reads source files; imports no application code."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from hanse.system.door import rule
from hanse.system.source import defines, definitions, find_module
from hanse.system.topology import GatewaySpec, RouteSpec, ServiceRef, System, shown

_NAME = re.compile(r"[a-z][a-z0-9-]{0,47}")
_MAX_REPLICAS = 64
_MAX_PORT = 65535


def problems(system: System) -> list[str]:
    """One line per problem, in the order of the file; empty when the topology can be started."""
    found = list(_of_system(system))
    for service in system.services:
        found += [f"{service.where}: {text}" for text in _of_service(service, system)]
    for gateway in system.gateways:
        found += [f"{gateway.where}: {text}" for text in _of_gateway(gateway, system)]
        for route in gateway.routes:
            found += [f"{route.where}: {text}" for text in _of_route(route, gateway, system)]
    return found


def _of_system(system: System) -> Iterator[str]:
    if not _NAME.fullmatch(system.name):
        yield f'{system.where}: system name "{system.name}": use lower-case letters, digits and dashes'
    if not system.services:
        yield f'{system.where}: system "{system.name}" has no service; add: system.service("package.module:service")'
    for second in system.gateways[1:]:
        yield f"{second.where}: a second gateway; a system has one"


def _of_service(service: ServiceRef, system: System) -> Iterator[str]:
    label = f'service "{service.name}"'
    first = system.named(service.name)
    if first is not service and first is not None:
        yield f"{label} is already declared at {first.where}"
    if not _NAME.fullmatch(service.name) or service.name in {"hanse", "nats", "gateway"}:
        yield f"{label}: use lower-case letters, digits and dashes; not hanse, nats or gateway"
    if not 1 <= service.replicas <= _MAX_REPLICAS:
        yield f"{label}: replicas={service.replicas}; 1 to {_MAX_REPLICAS} can run"
    if service.fixed and service.port is None:
        yield f"{label}: fixed=True needs a port"
    yield from _of_port(service, label, system)
    yield from _of_app(service, label, system)


def _of_port(owner: ServiceRef | GatewaySpec, label: str, system: System) -> Iterator[str]:
    if owner.port is None:
        return
    if not 1 <= owner.port <= _MAX_PORT:
        yield f"{label}: port {owner.port} is not a port"
    owners: list[ServiceRef | GatewaySpec] = [*system.services, *system.gateways]
    for other in owners:
        if other is owner:
            return
        if other.port == owner.port:
            name = f'service "{other.name}"' if isinstance(other, ServiceRef) else "the gateway"
            yield f"{label}: port {owner.port} is already that of {name}, declared at {other.where}"


def _of_app(service: ServiceRef, label: str, system: System) -> Iterator[str]:
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", service.app):
        yield f'{label}: "{service.app}" is not of the form "package.module:attribute"'
        return
    file = find_module(service.module, system.root)
    if file is None:
        yield f"{label}: there is no module {service.module} under {shown(system.root)}"
        return
    try:
        found = definitions(file)
    except (SyntaxError, OSError):
        return  # the service's own failure: shown with its traceback, and tried again when the file changes
    if not defines(found, service.attribute):
        names = [item.name for item in found]
        yield f'{label}: {shown(file)} defines no "{service.attribute}".{_meant(service.attribute, names)}'
    for item in found:
        if item.name == service.attribute and item.called == "Service" and item.first_argument != service.name:
            yield f'{label} calls itself "{item.first_argument}" at {shown(file)}:{item.line}; use one name for both'


def _of_gateway(gateway: GatewaySpec, system: System) -> Iterator[str]:
    yield from _of_port(gateway, "gateway", system)
    if gateway.jwt is not None and system.named(gateway.jwt.service) is None:
        yield f'gateway: the issuer is service "{gateway.jwt.service}", {_unknown(gateway.jwt.service, system)}'
    if not gateway.routes:
        yield 'gateway: no routes; add: gateway.route("/api/…", service)'


def _of_route(route: RouteSpec, gateway: GatewaySpec, system: System) -> Iterator[str]:
    label = f'route "{route.path}"'
    if system.named(route.service) is None:
        yield f'{label} goes to service "{route.service}", {_unknown(route.service, system)}'
    for text in rule(route).problems():
        yield text.replace(f"route {route.path!r}", label, 1)
    if route.auth and gateway.jwt is None:
        yield f'{label} needs a user, but the gateway has no issuer; write: system.gateway(jwt=system.issuer("users"))'
    for other in gateway.routes:
        if other is route:
            break
        if other.path == route.path and _overlap(other.methods, route.methods):
            yield f"{label} is already routed at {other.where}"


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return not one or not other or bool(set(one) & set(other))


def _unknown(name: str, system: System) -> str:
    return f"which does not exist.{_meant(name, [ref.name for ref in system.services])}"


def _meant(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, sorted(names), 1)
    return f' Did you mean "{close[0]}"?' if close else ""
