"""The gateway's own answers: problem+json (RFC 9457) with the correlation id, in the words that services use.

Only answers that Envoy makes itself are rewritten; what a service answered passes through as it is.
"""

from dataclasses import dataclass

from hanse.core import errors
from hanse.gateway.correlation import CORRELATION_HEADER, CORRELATION_ID, EARLY_ID, REQUEST_ID_HEADER
from hanse.gateway.resource import Resource, header, named

CONTENT_TYPE = "application/problem+json"
_INSTANCE = "%PATH(NQ:ORIG_OR_PATH)%"
_REASON = "%LOCAL_REPLY_BODY%"


def _fact(name: str) -> str:
    return f"%METADATA(ROUTE:hanse:{name})%"


@dataclass(frozen=True, slots=True)
class Problem:
    """How the gateway puts one kind of failure.

    Args:
        status: Envoy's status, by which the failure is known.
        title: of the status, as HTTP calls it.
        code: as in `hanse.core.errors`.
        detail: one sentence; may hold formatters.
        service: whether the body names the service in a member of its own.
        retry_after: whether a Retry-After header tells when to come back.
    """

    status: int
    title: str
    code: str
    detail: str
    service: bool = False
    retry_after: bool = False


PROBLEMS = (
    Problem(400, "Bad Request", "bad_request", "The request is malformed: %RESPONSE_CODE_DETAILS%"),
    Problem(401, "Unauthorized", errors.Unauthenticated.code, "A valid token or API key is needed: " + _REASON),
    Problem(403, "Forbidden", errors.PermissionDenied.code, f"This needs one of the roles: {_fact('roles')}"),
    Problem(404, "Not Found", errors.NotFound.code, f"Nothing is found at {_INSTANCE}"),
    Problem(405, "Method Not Allowed", "method_not_allowed", f"Allowed here: {_fact('methods')}"),
    Problem(408, "Request Timeout", "request_timeout", "The request did not arrive in time"),
    Problem(413, "Payload Too Large", "payload_too_large", f"The body is larger than {_fact('max_body')} bytes"),
    Problem(
        429,
        "Too Many Requests",
        errors.LimitExceeded.code,
        f"The limit is {_fact('rate')}; try again in {_fact('retry_after')} s",
        retry_after=True,
    ),
    Problem(431, "Request Header Fields Too Large", "headers_too_large", "The request's headers are too large"),
    Problem(
        502,
        "Bad Gateway",
        "bad_gateway",
        f"The service {_fact('service')} sent an answer that can't be understood",
        service=True,
    ),
    Problem(
        503,
        "Service Unavailable",
        errors.Unavailable.code,
        f"The service {_fact('service')} is not available",
        service=True,
    ),
    Problem(
        504,
        "Gateway Timeout",
        errors.DeadlineExceeded.code,
        f"The service {_fact('service')} did not answer within {_fact('timeout')} s",
        service=True,
    ),
)
_EARLY = (400, 408, 431)
"""What may go wrong before a request has an id."""
_UNKNOWN = Problem(0, "Error", "internal", "The gateway can't serve this request")
_FOREIGN_AUDIENCE = Problem(
    403, "Unauthorized", errors.Unauthenticated.code, "A valid token is needed: this one is meant for somebody else"
)


def local_replies() -> Resource:
    """The rules, first match counts. A format for everything would also rewrite the gateway's own 200s."""
    foreign = named(
        "envoy.access_loggers.extension_filters.cel",
        "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression="response.code == 403 && response.code_details.startsWith('jwt_authn')",
    )
    nameless = {"header_filter": {"header": {"name": REQUEST_ID_HEADER, "present_match": True, "invert_match": True}}}
    early = [problem for problem in PROBLEMS if problem.status in _EARLY]
    return {
        "mappers": [
            *(_mapper(p, {"and_filter": {"filters": [_status("EQ", p.status), nameless]}}, EARLY_ID) for p in early),
            {**_mapper(_FOREIGN_AUDIENCE, {"extension_filter": foreign}), "status_code": 401},
            *(_mapper(problem, _status("EQ", problem.status)) for problem in PROBLEMS),
            _mapper(_UNKNOWN, {"and_filter": {"filters": [_status("GE", 400), nameless]}}, EARLY_ID),
            _mapper(_UNKNOWN, _status("GE", 400)),
        ]
    }


def _mapper(problem: Problem, condition: Resource, correlation_id: str = CORRELATION_ID) -> Resource:
    headers = [header(CORRELATION_HEADER, correlation_id)]
    if problem.retry_after:
        headers.append(header("retry-after", _fact("retry_after")))
    body = {"json_format": _body(problem, correlation_id), "content_type": CONTENT_TYPE}
    return {"filter": condition, "headers_to_add": headers, "body_format_override": body}


def _body(problem: Problem, correlation_id: str) -> Resource:
    body: Resource = {
        "type": "about:blank",
        "title": problem.title,
        "status": "%RESPONSE_CODE%",
        "detail": problem.detail,
        "instance": _INSTANCE,
        "code": problem.code,
        "correlation_id": correlation_id,
    }
    if problem.service:
        body["service"] = _fact("service")
    return body


def _status(op: str, code: int) -> Resource:
    value = {"default_value": code, "runtime_key": f"hanse.local_reply.{op}.{code}"}
    return {"status_code_filter": {"comparison": {"op": op, "value": value}}}
