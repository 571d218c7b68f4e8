"""The errors of Hanse: each says what went wrong, whether trying again can help, and how HTTP would put it.

Vendors' errors are translated once, at the edge of the backend that uses the vendor, with `raise … from`.
"""

from typing import Any


class HanseError(Exception):
    """Base of all errors that Hanse raises on purpose.

    Args:
        message: one sentence for a person; must be safe to show to a caller (no secrets, no stack).
        details: machine-readable facts, JSON-compatible, shown to the caller too.
        code, retryable: override the class's own.
    """

    code: str = "internal"
    status: int = 500
    """The HTTP status that a service answers with when this error leaves a handler."""
    retryable: bool = False
    """True when the same call may succeed later without any change."""

    def __init__(self, message: str, *, retryable: bool | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if retryable is not None:
            self.retryable = retryable


class InvalidInput(HanseError):
    """The caller sent something that can't be right. Correct it; repeating it is useless."""

    code, status = "invalid_input", 422


class Unauthenticated(HanseError):
    """No valid proof of who is calling. Sign in and call again."""

    code, status = "unauthenticated", 401


class PermissionDenied(HanseError):
    """The caller is known and may not do this."""

    code, status = "permission_denied", 403


class NotFound(HanseError):
    """The thing does not exist, or the caller may not know that it does."""

    code, status = "not_found", 404


class Conflict(HanseError):
    """The request contradicts the present state. Read the state, decide anew."""

    code, status = "conflict", 409


class LimitExceeded(HanseError):
    """Too many requests. Wait for `details["retry_after"]` seconds."""

    code, status = "limit_exceeded", 429
    retryable = True


class Unavailable(HanseError):
    """A needed part did not answer, and certainly did nothing. Safe to try again."""

    code, status = "unavailable", 503
    retryable = True


class OutcomeUnknown(HanseError):
    """The request was sent and no answer came: it may or may not have taken effect.

    Repeat it only with the same idempotency key, or find out first.
    """

    code, status = "outcome_unknown", 504


class DeadlineExceeded(OutcomeUnknown):
    """The time given for the call ran out while it was under way."""

    code, status = "deadline_exceeded", 504


class ConfigurationError(HanseError):
    """The program was put together wrongly: found before anything starts. The message says where and what to do."""

    code = "configuration"


class MissingExtra(ConfigurationError):
    """A backend was chosen whose library is not installed."""

    code = "missing_extra"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'hanse[{extra}]'")
