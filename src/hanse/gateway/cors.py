"""Browsers of other origins (the Fetch standard's CORS protocol): who may call, and what preflights are told."""

from hanse.gateway.correlation import CORRELATION_HEADER
from hanse.gateway.resource import Resource, typed
from hanse.gateway.route import METHODS

_REQUEST_HEADERS = (
    "authorization",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "traceparent",
    "tracestate",
    "x-api-key",
    CORRELATION_HEADER,
)
_RESPONSE_HEADERS = (
    CORRELATION_HEADER,
    "x-trace-id",
    "retry-after",
    "location",
    "etag",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
)
_MAX_AGE_S = 600


def cors_policy(origins: tuple[str, ...]) -> Resource:
    """The policy of every route. There is one also without any origin: a preflight that matches nothing is answered
    here and never forwarded, for otherwise it would pass by the check of tokens and reach the service."""
    matchers = [{"safe_regex": {"regex": ".+"}}] if "*" in origins else [{"exact": origin} for origin in origins]
    policy = typed(
        "extensions.filters.http.cors.v3.CorsPolicy",
        allow_origin_string_match=matchers,
        forward_not_matching_preflights=False,
    )
    if matchers:
        policy |= {
            "allow_methods": ", ".join(sorted(METHODS)),
            "allow_headers": ", ".join(_REQUEST_HEADERS),
            "expose_headers": ", ".join(_RESPONSE_HEADERS),
            "max_age": str(_MAX_AGE_S),
        }
    return policy
