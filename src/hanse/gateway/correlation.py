"""The correlation id: one name for a request from the client's log to the last service's."""

from hanse.gateway.resource import Resource, header, named, typed

CORRELATION_HEADER = "x-correlation-id"
REQUEST_ID_HEADER = "x-request-id"
CORRELATION_ID = "%REQ(X-CORRELATION-ID?X-REQUEST-ID)%"
"""The id in problem bodies; the second name is for errors that come before any filter has run."""
EARLY_ID = "early-%START_TIME(%s%9f)%-%CONNECTION_ID%"
"""The id of a request so malformed that it got none: made of what stays the same between header and body."""

_SANE = "[A-Za-z0-9._:~+/=@-]{1,128}"


def adopt_or_make() -> Resource:
    """The filter that keeps the client's id when it is sane, and else puts the request's own id in its place."""
    sane = {
        "single_predicate": {
            "input": named(
                "request-headers",
                "type.matcher.v3.HttpRequestHeaderMatchInput",
                header_name=CORRELATION_HEADER,
            ),
            "value_match": {"safe_regex": {"google_re2": {}, "regex": _SANE}},
        }
    }
    skip = {"action": named("skip", "extensions.filters.common.matcher.action.v3.SkipFilter")}
    return {
        "name": "hanse.correlation",
        "typed_config": typed(
            "extensions.common.matching.v3.ExtensionWithMatcher",
            extension_config=named(
                "envoy.filters.http.header_mutation",
                "extensions.filters.http.header_mutation.v3.HeaderMutation",
                mutations={"request_mutations": [{"append": header(CORRELATION_HEADER, "%REQ(X-REQUEST-ID)%")}]},
            ),
            xds_matcher={"matcher_list": {"matchers": [{"predicate": sane, "on_match": skip}]}},
        ),
    }
