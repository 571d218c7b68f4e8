"""The access log: one JSON line per request, without queries, because a query may hold a token."""

from hanse.gateway.correlation import CORRELATION_HEADER
from hanse.gateway.resource import Resource, named
from hanse.gateway.tokens import CLAIM_HEADERS

_LINE = {
    "ts": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "level": "info",
    "event": "access",
    "service": "gateway",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ:ORIG_OR_PATH)%",
    "status": "%RESPONSE_CODE%",
    "reason": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "duration_ms": "%DURATION%",
    "received_bytes": "%BYTES_RECEIVED%",
    "sent_bytes": "%BYTES_SENT%",
    "correlation_id": f"%RESP({CORRELATION_HEADER})%",
    "trace_id": "%TRACE_ID%",
    "traceparent": "%REQ(TRACEPARENT)%",
    "route": "%ROUTE_NAME%",
    "upstream_service": "%UPSTREAM_CLUSTER%",
    "upstream_address": "%UPSTREAM_HOST%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "subject": f"%REQ({CLAIM_HEADERS['sub']})%",
}


def access_log(path: str) -> list[Resource]:
    """The log to a file or `/dev/stdout`; nothing for an empty path."""
    if not path:
        return []
    return [
        named(
            "envoy.access_loggers.file",
            "extensions.access_loggers.file.v3.FileAccessLog",
            path=path,
            log_format={"json_format": _LINE},
        )
    ]
