"""The route table. Whatever differs from route to route is here, so that a change never touches the listener."""

import json
import re
from collections.abc import Iterable

from hanse.gateway.cors import cors_policy
from hanse.gateway.filters import per_route
from hanse.gateway.lookup import Entry, lookup
from hanse.gateway.model import GatewayModel
from hanse.gateway.resource import Resource, header, seconds, typed
from hanse.gateway.route import PathKind, Route

TABLE = "gateway"
FACTS = "hanse"
"""Namespace of the route's metadata: limits read it, and problem bodies name service, roles and times from it."""
INTERNAL = "/internal"
"""Paths of a service that no route reaches, whatever it strips."""

_DEADLINE_HEADER = "x-request-timeout-ms"
_ORIGINAL_PATH_HEADER = "x-envoy-original-path"
_IDEMPOTENT = "GET|HEAD|OPTIONS|PUT|DELETE"
_RETRY_ON = "connect-failure,refused-stream,reset,retriable-status-codes"


def routes(model: GatewayModel) -> Resource:
    """The one virtual host: closed paths first, then routes from the most specific path to the least."""
    found = entries(model)
    return {
        "name": TABLE,
        "validate_clusters": False,
        "virtual_hosts": [
            {
                "name": TABLE,
                "domains": ["*"],
                **({"matcher": lookup(found)} if found else {}),
                "typed_per_filter_config": {"envoy.filters.http.cors": cors_policy(model.origins)},
            }
        ],
    }


def entries(model: GatewayModel) -> list[Entry]:
    """All routes in the order in which they are tried."""
    by_path: dict[str, list[Route]] = {}
    for route in sorted(model.routes, key=lambda route: route.precedence):
        by_path.setdefault(json.dumps(_path_match(route)), []).append(route)
    closed = sorted({path for route in model.routes for path in _closed_paths(route)})
    table = [(path, _closed(path)) for path in closed]
    for same_path in by_path.values():
        found = [_route(route, model) for route in same_path]
        if all(route.methods for route in same_path):
            found += [*([_preflight(same_path[0])] if model.origins else []), _other_methods(same_path)]
        table += [(same_path[0].pattern.partition("{")[0], resource) for resource in found]
    return table


def _route(route: Route, model: GatewayModel) -> Resource:
    match = _path_match(route)
    if route.methods:
        match["headers"] = [_method_is("|".join(route.methods))]
    return {
        "name": route.label,
        "match": match,
        "route": _action(route),
        "metadata": {"filter_metadata": {FACTS: _facts(route)}},
        "typed_per_filter_config": per_route(route, model),
        **_headers(route),
    }


def _headers(route: Route) -> Resource:
    """What the service is told beside the request. Its deadline is the gateway's, not one that a client makes up."""
    added, removed = [], []
    if route.stream:
        removed.append(_DEADLINE_HEADER)
    else:
        added.append(header(_DEADLINE_HEADER, str(int(route.timeout * 1000))))
    if route.strip:
        # By it problem bodies and the access log know what the client asked for. The router would add it only together
        # with others that nobody reads.
        added.append(header(_ORIGINAL_PATH_HEADER, "%REQ(:PATH)%"))
    return {"request_headers_to_add": added, "request_headers_to_remove": removed}


def _path_match(route: Route) -> Resource:
    if route.kind is PathKind.EXACT:
        return {"path": route.pattern}
    if route.kind is PathKind.PATTERN:
        parts = [r"[^/]+" if part.startswith("{") else re.escape(part) for part in route.pattern.split("/")]
        return {"safe_regex": {"regex": "/".join(parts)}}
    return {"prefix": "/"} if route.pattern == "/" else {"path_separated_prefix": route.pattern}


def _action(route: Route) -> Resource:
    """A stream has no timeout: a route's timeout would cut server-sent events in the middle, without a word."""
    action: Resource = {
        "cluster": route.service,
        "timeout": "0s" if route.stream else seconds(route.timeout),
        "upgrade_configs": [{"upgrade_type": "websocket", "enabled": route.stream}],
    }
    if route.stream:
        action["idle_timeout"] = "0s"
    if route.retries:
        action["retry_policy"] = _retry(route.retries)
    if strip := route.strip.rstrip("/"):
        # A plain prefix rewrite to "/" would give "//" for what is below it.
        action["regex_rewrite"] = {
            "pattern": {"regex": f"^{re.escape(strip)}/?(.*)$"},
            "substitution": "/\\1",
        }
    return action


def _retry(attempts: int) -> Resource:
    return {
        "retry_on": _RETRY_ON,
        "retriable_status_codes": [503],
        "retriable_request_headers": [_method_is(_IDEMPOTENT)],
        "num_retries": attempts,
        "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"},
        "host_selection_retry_max_attempts": 3,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": typed("extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
            }
        ],
    }


def _facts(route: Route) -> Resource:
    facts = {"service": route.service, "timeout": f"{route.timeout:g}", "max_body": str(route.max_body_bytes)}
    if route.roles:
        facts["roles"] = ", ".join(route.roles)
    if rate := route.rate:
        facts |= {"limit": route.label, "rate": str(rate), "retry_after": str(rate.retry_after_s)}
    return facts


def _other_methods(members: Iterable[Route]) -> Resource:
    """405 for a path whose routes take certain methods only (RFC 9110, 15.5.6)."""
    routed = list(members)
    allowed = sorted({method for route in routed for method in route.methods})
    return {
        "name": f"405 {routed[0].path}",
        "match": _path_match(routed[0]),
        "direct_response": {"status": 405},
        "response_headers_to_add": [header("allow", ", ".join(allowed))],
        "metadata": {"filter_metadata": {FACTS: {"methods": ", ".join(allowed)}}},
    }


def _preflight(route: Route) -> Resource:
    """What the CORS filter answers needs a route to a service, whatever methods that takes: the filter leaves direct
    responses alone. The condition is the filter's own, so nothing of this is ever forwarded."""
    asked = ("origin", "access-control-request-method")
    present = [{"name": name, "string_match": {"safe_regex": {"regex": ".+"}}} for name in asked]
    return {
        "name": f"preflight {route.path}",
        "match": {**_path_match(route), "headers": [_method_is("OPTIONS"), *present]},
        "route": {"cluster": route.service},
    }


def _closed_paths(route: Route) -> list[str]:
    reaches_all = route.kind is PathKind.PREFIX and route.reached == "/"
    return [route.pattern.rstrip("/") + INTERNAL] if reaches_all else []


def _closed(path: str) -> Resource:
    return {"name": f"closed {path}", "match": {"path_separated_prefix": path}, "direct_response": {"status": 404}}


def _method_is(regex: str) -> Resource:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": regex}}}
