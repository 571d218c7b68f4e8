"""`System`: which services there are and how the outside reaches them. Declares only; nothing here does I/O."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_GATEWAY_PORT = 8080


def _where(depth: int) -> str:
    """`file:line` of the caller `depth` frames up, as short as the working directory allows."""
    frame = sys._getframe(depth + 1)
    return f"{shown(frame.f_code.co_filename)}:{frame.f_lineno}"


def shown(path: str | Path) -> str:
    """A path the way a person at the prompt would type it: relative where that is shorter."""
    absolute = os.path.abspath(path)  # noqa: PTH100 - symbolic links stay as they were typed
    relative = os.path.relpath(absolute)
    return relative if len(relative) < len(absolute) and not relative.startswith("..") else absolute


@dataclass(frozen=True, slots=True)
class ServiceRef:
    """One service of a system, and how many processes of it run."""

    name: str
    app: str
    """`package.module:attribute` of a `Service`."""
    replicas: int = 1
    port: int | None = None
    """Wanted port of the first replica; the others, and None, take free ones."""
    fixed: bool = False
    """True: a taken `port` is an error. False: another port is chosen, and said."""
    env: Mapping[str, str] = field(default_factory=dict)
    where: str = ""

    @property
    def module(self) -> str:
        return self.app.partition(":")[0]

    @property
    def attribute(self) -> str:
        return self.app.partition(":")[2]


@dataclass(frozen=True, slots=True)
class IssuerRef:
    """The service whose tokens say who a user is."""

    system: str
    service: str
    where: str = ""

    @property
    def name(self) -> str:
        """The `iss` claim of its tokens."""
        return f"{self.system}/{self.service}"


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """One route of the gateway; the fields are those of `hanse.gateway.Route`."""

    path: str
    service: str
    strip: str = ""
    methods: tuple[str, ...] = ()
    auth: bool = False
    roles: tuple[str, ...] = ()
    limit: str | None = None
    timeout: float = 15.0
    stream: bool = False
    max_body_bytes: int | None = None
    where: str = ""


@dataclass(slots=True)
class GatewaySpec:
    """The one door of a system, on one port."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_GATEWAY_PORT
    fixed: bool = False
    jwt: IssuerRef | None = None
    cors: tuple[str, ...] = ()
    """Origins of web pages that may call, for example `https://shop.example`."""
    routes: list[RouteSpec] = field(default_factory=list)
    where: str = ""

    def route(  # noqa: PLR0913 - a route reads best as one line; each is a field of RouteSpec
        self,
        path: str,
        service: ServiceRef | str,
        *,
        strip: str = "",
        methods: Sequence[str] = (),
        auth: bool = False,
        roles: Sequence[str] = (),
        limit: str | None = None,
        timeout: float = 15.0,
        stream: bool = False,
        max_body_bytes: int | None = None,
    ) -> RouteSpec:
        """Send requests for `path` to `service`.

        Args:
            path: a prefix (`/api/orders`), exact with `=` in front, or with parameters (`/api/orders/{id}/events`).
            service: what `system.service` returned, or its name.
            strip: taken off the front of the path before the service sees it.
            methods: only these (upper case); empty means all.
            auth: a valid user token is needed.
            roles: one of these is needed; implies `auth`.
            limit: `"100/minute per user"`, `per ip` or `per key`.
            timeout: seconds for the whole request; ignored with `stream`.
            stream: server-sent events or WebSocket; no time limit.
            max_body_bytes: larger requests get 413; None takes the gateway's default of 1 MiB.
        """
        spec = RouteSpec(
            path=path,
            service=service if isinstance(service, str) else service.name,
            strip=strip,
            methods=tuple(methods),
            auth=auth or bool(roles),
            roles=tuple(roles),
            limit=limit,
            timeout=timeout,
            stream=stream,
            max_body_bytes=max_body_bytes,
            where=_where(1),
        )
        self.routes.append(spec)
        return spec


class System:
    """A deployment: named services behind one gateway.

    Args:
        name: lower-case letters, digits and dashes; the audience of its tokens.
        file: where it is declared; taken from the caller when left out. Its folder is the system's package, and the
            folder above that is the import root, so `systems/shop/system.py` names `shop.orders.app:service`.
        root: another import root.
    """

    def __init__(self, name: str, *, file: Path | None = None, root: Path | None = None) -> None:
        self.name = name
        self.where = _where(1)
        self.file = Path(os.path.abspath(file or sys._getframe(1).f_code.co_filename))  # noqa: PTH100
        self.folder = self.file.parent
        self.root = root or self.folder.parent
        self.state = self.folder / ".hanse"
        self.services: list[ServiceRef] = []
        self.gateways: list[GatewaySpec] = []

    def service(
        self,
        app: str,
        name: str | None = None,
        *,
        replicas: int = 1,
        port: int | None = None,
        fixed: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> ServiceRef:
        """Declare a service.

        Args:
            app: `package.module:attribute`; without an attribute `service` is meant.
            name: what others call it; default is the package that holds the module (`shop.orders.app` is `orders`).
            replicas: processes to run, 1 to 64.
            port: wanted port of the first replica. `fixed` makes a taken port an error.
            env: more environment variables for it.
        """
        app = app if ":" in app else f"{app}:service"
        parts = app.partition(":")[0].split(".")
        name = name or (parts[-2] if len(parts) > 1 else parts[-1])
        ref = ServiceRef(name, app, replicas, port, fixed, dict(env or {}), _where(1))
        self.services.append(ref)
        return ref

    def issuer(self, service: ServiceRef | str) -> IssuerRef:
        """The service that signs user tokens: it alone gets the private key; the gateway and all others trust it."""
        return IssuerRef(self.name, service if isinstance(service, str) else service.name, _where(1))

    def gateway(
        self,
        host: str = "127.0.0.1",
        port: int = DEFAULT_GATEWAY_PORT,
        *,
        fixed: bool = False,
        jwt: IssuerRef | None = None,
        cors: Sequence[str] = (),
    ) -> GatewaySpec:
        """Declare the gateway. A taken port is named and another chosen, unless it is `fixed`."""
        spec = GatewaySpec(host, port, fixed, jwt, tuple(cors), where=_where(1))
        self.gateways.append(spec)
        return spec

    @property
    def door(self) -> GatewaySpec | None:
        """The gateway, if one was declared."""
        return self.gateways[0] if self.gateways else None

    @property
    def trusted(self) -> IssuerRef | None:
        """Who signs the user tokens, if anybody."""
        return self.door.jwt if self.door else None

    def named(self, service: str) -> ServiceRef | None:
        """The service of that name, or None."""
        return next((ref for ref in self.services if ref.name == service), None)

    def validate(self) -> list[str]:
        """What is wrong with the topology: one line each, with file and line; empty when it can be started."""
        from hanse.system.validate import problems

        return problems(self)
