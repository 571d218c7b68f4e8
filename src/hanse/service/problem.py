"""Errors as HTTP answers: one place decides what a caller is told, and what stays in the log.

Source: RFC 9457 (problem details); `code` and `correlation_id` are extension members on every problem.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from math import ceil
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from hanse.client import CallFailure, UpstreamError
from hanse.core.errors import HanseError, LimitExceeded, Unauthenticated, Unavailable

MEDIA_TYPE = b"application/problem+json"
_TYPE = "urn:hanse:problem:"
_CODES = {
    400: "bad_request",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "payload_too_large",
    415: "unsupported_media_type",
    422: "invalid_input",
    429: "limit_exceeded",
    503: "unavailable",
    504: "outcome_unknown",
}
_PLACES = ("body", "query", "path", "header", "cookie")


@dataclass(frozen=True, slots=True)
class Problem:
    """One error as a caller sees it."""

    status: int
    code: str
    """Stable, in snake case: what programs tell errors apart by."""
    detail: str = ""
    members: Mapping[str, Any] = field(default_factory=dict)
    """Extension members, JSON-compatible."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    expected: bool = True
    """False: nobody meant this to happen; the stack belongs in the log."""

    def body(self, *, instance: str, correlation_id: str) -> bytes:
        """The JSON document.

        Args:
            instance: the path of the request.
        """
        title = self.code.replace("_", " ").capitalize()
        document: dict[str, Any] = {"type": _TYPE + self.code, "title": title, "status": self.status}
        if self.detail:
            document["detail"] = self.detail
        document |= {"instance": instance, "code": self.code, "correlation_id": correlation_id, **self.members}
        return orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS)


def problem_of(error: BaseException) -> Problem:
    """What a caller is told about `error`.

    An error that nobody raised on purpose becomes a 500 that says nothing. What another service answered never passes
    as our own answer: its 404 does not mean that the caller's URL is wrong, so it becomes a 502 that names the service.
    """
    if isinstance(error, UpstreamError):
        return _upstream(error)
    if isinstance(error, CallFailure) and error.service:
        return _unanswered(error)
    if isinstance(error, HanseError):
        return _own(error)
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        return _http(error)
    return Problem(
        500, "internal", "The service failed to answer. The log has more, by the correlation id.", expected=False
    )


def _own(error: HanseError) -> Problem:
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    retry_after = error.details.get("retry_after")
    if isinstance(error, LimitExceeded | Unavailable) and isinstance(retry_after, int | float):
        headers.append((b"retry-after", b"%d" % max(ceil(retry_after), 0)))
    members = {"details": error.details} if error.details else {}
    return Problem(error.status, error.code, error.message, members, tuple(headers), expected=error.status != 500)


def _upstream(error: UpstreamError) -> Problem:
    status = 503 if error.upstream_status == 503 else 504 if error.upstream_status == 504 else 502
    told = {"service": error.service, "status": error.upstream_status}
    if isinstance(code := error.problem.get("code"), str):
        told["code"] = code
    detail = f'The service "{error.service}" answered {error.upstream_status}.'
    return Problem(status, "upstream_error", detail, {"upstream": told})


def _unanswered(error: CallFailure) -> Problem:
    """Whom it hangs on, and no more: the error's own text names internal paths, addresses and system errors."""
    outcome = {502: "sent an answer that can't be understood", 503: "is not available"}
    detail = f'The service "{error.service}" {outcome.get(error.status, "did not answer in time")}.'
    return replace(_own(error), detail=detail, members={"upstream": {"service": error.service}})


def _http(error: HTTPException) -> Problem:
    headers = tuple((name.lower().encode(), value.encode("latin-1")) for name, value in (error.headers or {}).items())
    if error.status_code == 400 and isinstance(error.__cause__, ValueError | RecursionError):
        return Problem(
            422,
            "invalid_input",
            "The body can't be read.",
            {"errors": [_entry("body", "", "unreadable", "json_invalid")]},
        )
    code = _CODES.get(error.status_code, "internal" if error.status_code >= 500 else "request_failed")
    if isinstance(error.detail, str):
        phrase = HTTPStatus(error.status_code).phrase if error.status_code in HTTPStatus._value2member_map_ else ""
        detail = "" if error.detail == phrase else error.detail
        return Problem(error.status_code, code, detail or _explanation(error.status_code), headers=headers)
    return Problem(error.status_code, code, members={"details": error.detail}, headers=headers)


def _explanation(status: int) -> str:
    match status:
        case 404:
            return "There is nothing at this path."
        case 405:
            return "This path does not take this method."
        case 413:
            return "The body is larger than this service takes."
    return ""


def _invalid(error: RequestValidationError) -> Problem:
    entries = [_error_entry(problem) for problem in error.errors()]
    first = entries[0] if entries else _entry("body", "", "invalid", "invalid")
    where = f"{first['in']} {first['field']}".strip()
    return Problem(422, "invalid_input", f"{where}: {first['message']}", {"errors": entries})


def _error_entry(problem: Mapping[str, Any]) -> dict[str, str]:
    """One entry of `errors`. What was sent is not repeated: it may be a password."""
    place, *rest = problem["loc"]
    if place not in _PLACES:
        place, rest = "body", [place, *rest]
    kind = problem["type"]
    if kind == "json_invalid":
        return _entry("body", "", f"not valid JSON at position {rest[0] if rest else 0}", kind)
    return _entry(place, ".".join(map(str, rest)), problem["msg"], kind)


def _entry(place: str, name: str, message: str, kind: str) -> dict[str, str]:
    return {"in": place, "field": name, "message": message, "type": kind}
