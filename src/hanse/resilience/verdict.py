"""What an error says about the chances of a repetition, and about whose fault it was."""

from collections.abc import Callable

from hanse.core.errors import HanseError, LimitExceeded, OutcomeUnknown

Verdict = Callable[[Exception], bool]
"""A question about an error. Must be quick and must not raise."""

_SERVER_ERROR = 500
_NOT_IMPLEMENTED = 501


def safe_to_repeat(error: Exception) -> bool:
    """True for errors that say: nothing happened, and it may work later."""
    return isinstance(error, HanseError) and error.retryable and not isinstance(error, OutcomeUnknown)


def transient(error: Exception) -> bool:
    """True for what may pass: network errors, timeouts, 429 and 5xx, also where something may have happened.

    For repetition only around operations that are idempotent.
    """
    if isinstance(error, HanseError):
        if error.retryable or isinstance(error, OutcomeUnknown | LimitExceeded):
            return True
        return error.code != "configuration" and error.status >= _SERVER_ERROR and error.status != _NOT_IMPLEMENTED
    return isinstance(error, TimeoutError | ConnectionError)


def upstream_at_fault(error: Exception) -> bool:
    """True unless the error blames the caller (a `HanseError` with a 4xx status)."""
    return not isinstance(error, HanseError) or error.status >= _SERVER_ERROR
