"""The gateway as a value: everything that the compiler needs to know, and nothing it would have to ask for."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hanse.core.errors import ConfigurationError
from hanse.gateway.route import Route
from hanse.gateway.tracing import Tracing

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")
_HOST = re.compile(r"[A-Za-z0-9_.:-]+")
_MIN_API_KEY = 16


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one instance of a service listens.

    Args:
        host: an IP address or a name.
        port: 1 to 65535.
        weight: 1 to 1000; an instance with twice the weight gets about twice the requests.
    """

    host: str
    port: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Cluster:
    """The instances of one service, and how the gateway treats them. Without endpoints it answers 503.

    Args:
        endpoints: in any order; the compiler sorts them.
        connect_timeout: seconds.
        idle_timeout: seconds until an idle connection is closed; must be below the server's own keep-alive
            (uvicorn and Node: 5 s), else requests meet connections that are just being closed.
        max_requests: at once; more get 503.
        eject_after: failures of connection in a row, after which an instance is left alone for `eject_for` seconds.
    """

    endpoints: tuple[Endpoint, ...] = ()
    connect_timeout: float = 0.5
    idle_timeout: float = 4.0
    max_requests: int = 4096
    eject_after: int = 5
    eject_for: float = 3.0

    def with_endpoints(self, endpoints: Iterable[Endpoint]) -> "Cluster":
        return replace(self, endpoints=tuple(endpoints))

    def problems(self, name: str) -> list[str]:
        """One clear line for each thing that is wrong with the service `name`."""
        where, found = f"service {name!r}", []
        for what in ("connect_timeout", "idle_timeout", "eject_for"):
            if not 0 < getattr(self, what) <= 3600:
                found.append(f"{where}: {what} {getattr(self, what)} is not between 0 and 3600 seconds")
        for what in ("max_requests", "eject_after"):
            if not 1 <= getattr(self, what) <= 1_000_000:
                found.append(f"{where}: {what} {getattr(self, what)} is not between 1 and 1000000")
        for endpoint in self.endpoints:
            if not _HOST.fullmatch(endpoint.host) or not 1 <= endpoint.port <= 65535:
                found.append(f"{where}: {endpoint.host}:{endpoint.port} is no address")
            if not 1 <= endpoint.weight <= 1000:
                found.append(f"{where}: weight {endpoint.weight} is not between 1 and 1000")
        return found


@dataclass(frozen=True, slots=True)
class JwtProvider:
    """Who signs the tokens that the gateway accepts.

    Args:
        name: for metrics and messages.
        issuer: the `iss` of its tokens; one provider per issuer.
        audience: must be in the token's `aud`.
        jwks: its public keys (RFC 7517): the JSON object, its text, or a file, which is then followed.
    """

    name: str
    issuer: str
    audience: str
    jwks: Mapping[str, Any] | str | Path

    def keys(self) -> list[dict[str, Any]]:
        """The public keys.

        Raises:
            ConfigurationError: the JWKS is not loaded, no JSON, has no keys, or has keys that are not public ones.
        """
        where = f"provider {self.name!r}"
        if isinstance(self.jwks, Path):
            raise ConfigurationError(f"{where}: {self.jwks} is not loaded")
        try:
            jwks = json.loads(self.jwks) if isinstance(self.jwks, str) else self.jwks
            keys = [dict(key) for key in jwks["keys"]]
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(f'{where}: the JWKS is not a JSON object with a list "keys"') from None
        if not keys:
            raise ConfigurationError(f"{where}: the JWKS has no keys")
        if any(key.get("kty") not in ("OKP", "RSA", "EC") or "d" in key for key in keys):
            raise ConfigurationError(f"{where}: only public keys of kty OKP, RSA or EC belong into a JWKS")
        return keys


@dataclass(frozen=True, slots=True)
class GatewayModel:
    """A whole gateway.

    Args:
        routes: in any order.
        providers: of tokens, for routes with `auth` or `roles`.
        clusters: by name of service; a routed service that is absent has no instances.
        host, port: where it listens.
        api_keys: client's name → its key, for routes with `api_key`.
        origins: of browsers that may call (CORS): `https://app.example`, or `*` for any. Credentials are never
            allowed: tokens travel in the Authorization header.
        access_log: file for one JSON line per request; `/dev/stdout`; empty for none.
        tracing: where the gateway sends its own spans; None: it passes traceparent through.
        port_kept: the caller holds a socket on the port that bars everybody else, so it is bound with SO_REUSEPORT.
    """

    routes: tuple[Route, ...] = ()
    providers: tuple[JwtProvider, ...] = ()
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 8080
    api_keys: Mapping[str, str] = field(default_factory=dict)
    origins: tuple[str, ...] = ()
    access_log: str = ""
    tracing: Tracing | None = None
    port_kept: bool = False

    @property
    def services(self) -> tuple[str, ...]:
        """Every service that a route names, sorted."""
        return tuple(sorted({route.service for route in self.routes}))

    def with_clusters(self, clusters: Mapping[str, Cluster]) -> "GatewayModel":
        return replace(self, clusters=clusters)

    def problems(self) -> list[str]:
        """One clear line for each thing that is wrong; empty when it can be compiled."""
        found = [line for route in self.routes for line in route.problems()]
        found += self._overlaps() + self._credential_problems()
        if not 1 <= self.port <= 65535:
            found.append(f"port {self.port} is not between 1 and 65535")
        found += [
            f'origin {o!r}: write "https://app.example" without a path, or "*"'
            for o in self.origins
            if not _is_origin(o)
        ]
        found += [line for name, cluster in sorted(self.clusters.items()) for line in cluster.problems(name)]
        return found + (self.tracing.problems() if self.tracing else [])

    def check(self) -> None:
        """Raise ConfigurationError with all problems, one per line."""
        if found := self.problems():
            raise ConfigurationError("\n".join(found))

    def _overlaps(self) -> list[str]:
        found: list[str] = []
        taken: dict[tuple[str, str], Route] = {}
        names: set[str] = set()
        for route in self.routes:
            for method in route.methods or ("",):
                other = taken.setdefault((_anonymous(route), method), route)
                if other is not route:
                    found.append(f"route {route.path!r}: {method or 'every method'} goes to {other.service!r} already")
            if route.label in names and route.name:
                found.append(f"route {route.path!r}: the name {route.name!r} is taken")
            names.add(route.label)
        return found

    def _credential_problems(self) -> list[str]:
        found: list[str] = []
        for provider in self.providers:
            try:
                provider.keys()
            except ConfigurationError as error:
                found.append(error.message)
        for what, values in (
            ("name", [p.name for p in self.providers]),
            ("issuer", [p.issuer for p in self.providers]),
        ):
            found += [
                f"two providers have the {what} {v!r}" for v in sorted({v for v in values if values.count(v) > 1})
            ]
        if not self.providers:
            found += [
                f"route {r.path!r}: needs a token, and the gateway has no provider of tokens"
                for r in self.routes
                if r.needs_token
            ]
        if not self.api_keys:
            found += [f"route {r.path!r}: needs an API key, and the gateway has none" for r in self.routes if r.api_key]
        found += [
            f"API key of {c!r}: at least {_MIN_API_KEY} characters"
            for c, k in sorted(self.api_keys.items())
            if len(k) < _MIN_API_KEY
        ]
        if len(set(self.api_keys.values())) < len(self.api_keys):
            found.append("two clients have the same API key")
        return found


def _anonymous(route: Route) -> str:
    """The path with its parameters' names taken out: two routes that differ only there match the same requests."""
    return re.sub(r"\{[^}]*\}", "{}", ("=" if route.path.startswith("=") else "") + route.pattern)


def _is_origin(text: str) -> bool:
    return text == "*" or bool(_ORIGIN.fullmatch(text))
