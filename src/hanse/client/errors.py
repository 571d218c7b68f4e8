"""What a caller sees. Every failed call is a `CallFailure` that says whom it was for and what was tried."""

from collections.abc import Mapping
from typing import Any

from hanse.core.errors import DeadlineExceeded, HanseError, OutcomeUnknown, Unavailable

_RETRYABLE = frozenset({408, 425, 429})
_PASSED_ON = frozenset({503, 504})
_NEVER_WORKS = frozenset({501, 505})


class CallFailure(HanseError):
    """A call of another service that brought no result. Base of all errors of a `ServiceClient` but refusals by its own
    bulkhead and breaker (`BulkheadFull`, `BreakerOpen`), which never got as far as a call."""

    service: str = ""
    """Who was called."""
    instance: str = ""
    """Id of the instance that was tried last; "" when there was none."""
    attempts: int = 0
    """How many attempts were made."""
    correlation_id: str = ""
    """What the logs of the called service are found by."""


class Unreachable(CallFailure, Unavailable):
    """Nothing was sent, or certainly nothing happened. Safe to try again."""


class Unanswered(CallFailure, OutcomeUnknown):
    """It was sent and no answer came: it may or may not have taken effect."""


class TimedOut(CallFailure, DeadlineExceeded):
    """It was sent and the time ran out: it may or may not have taken effect."""


class UpstreamError(CallFailure):
    """The called service answered, and the answer is not a success.

    A 4xx is definite: the call did nothing, and repeating it is useless (except 408, 425 and 429). A 5xx is
    `retryable`; whether the call took effect is then known to the called service at best.

    `status` and `code` are for the caller's own decisions: those of a 4xx as the called service gave them, else 502
    (503, 504 unchanged) and `upstream_error`. What a service answers that lets the error pass is up to
    `hanse.service`: always a 502, 503 or 504 that names the called service.

    Args:
        status: of the answer; kept as `upstream_status`.
        problem: the problem document (RFC 9457) of the answer; empty when it had none.
        service, instance: who answered.
        attempts: how many attempts were made.
        correlation_id: under which the call was made.
    """

    code, status = "upstream_error", 502

    def __init__(
        self,
        status: int,
        problem: Mapping[str, Any],
        service: str,
        instance: str,
        attempts: int,
        correlation_id: str = "",
    ) -> None:
        definite = 400 <= status < 500
        said = problem.get("detail") or problem.get("title") if definite else None
        facts: dict[str, Any] = {"service": service, "upstream_status": status}
        if definite and isinstance(problem.get("errors"), list):
            facts["errors"] = problem["errors"]
        super().__init__(str(said) if said else f"{service} answered {status}", **facts)
        self.retryable = status in _RETRYABLE if definite else status >= 500 and status not in _NEVER_WORKS
        self.upstream_status = status
        self.problem = problem
        self.service = service
        self.instance = instance
        self.attempts = attempts
        self.correlation_id = correlation_id
        if definite or status in _PASSED_ON:
            self.status = status
        if definite and isinstance(problem.get("code"), str):
            self.code = problem["code"]


class InvalidResponse(CallFailure):
    """The called service answered with success, and the body is not what the caller's model asks for.

    The call took effect. Repeating it is useless: caller and called disagree about the contract.
    """

    code, status = "invalid_response", 502


class ResponseTooLarge(InvalidResponse):
    """The body of the answer is larger than `ClientOptions.limit_bytes`; it was not read. The call took effect."""
