"""Rate limits: a token bucket per route and caller, kept inside Envoy."""

from hanse.gateway.limit import LimitKey
from hanse.gateway.model import GatewayModel
from hanse.gateway.resource import Resource, always, seconds, typed
from hanse.gateway.tokens import CLAIM_HEADERS, CLIENT_HEADER

LIMIT_TYPE = "extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_POLICY = "policy"
_MAX_CALLERS = 50_000
_UNLIMITED = {"max_tokens": 4_000_000, "tokens_per_fill": 4_000_000, "fill_interval": "1s"}
_CALLERS: dict[LimitKey, Resource] = {
    "ip": {"remote_address": {}},
    "user": {"request_headers": {"header_name": CLAIM_HEADERS["sub"], "descriptor_key": "user"}},
    "key": {"request_headers": {"header_name": CLIENT_HEADER, "descriptor_key": "key"}},
}
_DESCRIPTOR: dict[LimitKey, str] = {"ip": "remote_address", "user": "user", "key": "key"}


def limits(model: GatewayModel, facts: str) -> Resource:
    """The configuration of all limits, delivered apart from the routes: inside a route, its buckets would be filled
    again by every change of the route table.

    Args:
        facts: namespace of the route's metadata that holds the name of its limit.
    """
    limited = [(route.label, rate) for route in model.routes if (rate := route.rate)]
    policy = {
        "metadata": {
            "descriptor_key": _POLICY,
            "metadata_key": {"key": facts, "path": [{"key": "limit"}]},
            "source": "ROUTE_ENTRY",
        }
    }
    return typed(
        LIMIT_TYPE,
        stat_prefix="limit",
        token_bucket=_UNLIMITED,
        filter_enabled=always(),
        filter_enforced=always(),
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
        always_consume_default_token_bucket=False,
        max_dynamic_descriptors=_MAX_CALLERS,
        rate_limits=[{"actions": [policy, _CALLERS[per]]} for per in sorted({rate.per for _, rate in limited})],
        descriptors=[
            {
                "entries": [{"key": _POLICY, "value": name}, {"key": _DESCRIPTOR[rate.per]}],
                "token_bucket": {
                    "max_tokens": rate.requests,
                    "tokens_per_fill": rate.requests,
                    "fill_interval": seconds(rate.window_s),
                },
            }
            for name, rate in limited
        ],
    )
