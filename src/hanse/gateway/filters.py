"""The chain of filters that every request passes, in order, and what a route changes about them."""

from hanse.gateway.correlation import CORRELATION_HEADER, adopt_or_make
from hanse.gateway.limits import LIMIT_TYPE
from hanse.gateway.model import GatewayModel
from hanse.gateway.resource import Resource, header, named, type_url, typed
from hanse.gateway.route import ONE_MIB, Route
from hanse.gateway.tokens import (
    API_KEY_FILTER,
    CLAIM_HEADERS,
    CLIENT_HEADER,
    JWT_FILTER,
    JWT_TYPE,
    RBAC_FILTER,
    credentials,
)

BUFFER_FILTER = "envoy.filters.http.buffer"
LIMIT_FILTER = "hanse.limit"
HEALTH_PATH = "/healthz"
"""Of the gateway itself: 200, or 503 while it drains."""

_INSIDE_ONLY = ("x-service-authorization", CLIENT_HEADER, *CLAIM_HEADERS.values(), "x-forwarded-host")
"""Headers in which services believe each other or the gateway; from outside they are lies."""
_INSIDE_PREFIXES = ("x-envoy-",)


_ON_REQUEST = {"disabled": True}
"""Off, unless a route has a configuration for the filter."""


def chain(*, upgrade: bool) -> list[Resource]:
    """All filters. `upgrade` is the chain of WebSockets: they have no body to wait for, so nothing buffers them."""
    return [
        adopt_or_make(),
        _sanitize(),
        _health(),
        named("envoy.filters.http.cors", "extensions.filters.http.cors.v3.Cors"),
        _discovered(JWT_FILTER, "jwt.json", JWT_TYPE),
        {**named(API_KEY_FILTER, "extensions.filters.http.api_key_auth.v3.ApiKeyAuth"), **_ON_REQUEST},
        {**named(RBAC_FILTER, "extensions.filters.http.rbac.v3.RBAC"), **_ON_REQUEST},
        {**_discovered(LIMIT_FILTER, "limit.json", LIMIT_TYPE), **_ON_REQUEST},
        *([] if upgrade else [_body_limit()]),
        _router(),
    ]


def per_route(route: Route, model: GatewayModel) -> Resource:
    """What one route changes about the filters."""
    changes = credentials(route, model)
    if route.rate:
        changes[LIMIT_FILTER] = {"@type": type_url("config.route.v3.FilterConfig"), "config": {}}
    if route.max_body_bytes != ONE_MIB:
        changes[BUFFER_FILTER] = typed(
            "extensions.filters.http.buffer.v3.BufferPerRoute", buffer={"max_request_bytes": route.max_body_bytes}
        )
    return changes


def _sanitize() -> Resource:
    """Runs before the token check, which sets the claim headers anew: a check that a route has switched off would
    let forged ones pass. On the way back it puts the correlation id on every answer."""
    prefixes = [{"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in _INSIDE_PREFIXES]
    return named(
        "envoy.filters.http.header_mutation",
        "extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={
            "request_mutations": [*({"remove": name} for name in _INSIDE_ONLY), *prefixes],
            "response_mutations": [
                {"append": header(CORRELATION_HEADER, "%REQ(X-CORRELATION-ID)%")},
                {"remove": "server"},
            ],
        },
    )


def _health() -> Resource:
    return named(
        "envoy.filters.http.health_check",
        "extensions.filters.http.health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[{"name": ":path", "string_match": {"exact": HEALTH_PATH}}],
    )


def _body_limit() -> Resource:
    return named(BUFFER_FILTER, "extensions.filters.http.buffer.v3.Buffer", max_request_bytes=ONE_MIB)


def _router() -> Resource:
    """Without statistics for each status of each service, which would cost as much as a filter: the access log and the
    services' own metrics tell that."""
    return named(
        "envoy.filters.http.router",
        "extensions.filters.http.router.v3.Router",
        dynamic_stats=False,
        suppress_envoy_headers=True,
    )


def _discovered(name: str, file: str, message: str) -> Resource:
    """A filter whose configuration comes from a file of its own (ECDS), so that it can change under the listener."""
    return {"name": name, "config_discovery": {"config_source": file_source(file), "type_urls": [type_url(message)]}}


def file_source(file: str) -> Resource:
    """A file of the gateway's folder, which is Envoy's working directory.

    No `watched_directory`: with it every rename in the folder would load every file again.
    """
    return {"path_config_source": {"path": f"./{file}"}, "resource_api_version": "V3"}
