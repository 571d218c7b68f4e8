"""What an error of a step means: try again or give up, and whether the step may have taken effect."""

import enum

from hanse.core.errors import DeadlineExceeded, HanseError, OutcomeUnknown
from hanse.durable.context import Failure

_LONGEST = 500


class Verdict(enum.Enum):
    """How an attempt failed."""

    REFUSED = "refused"
    """Definite: it took no effect and trying again is useless (a declined card)."""
    NOT_DONE = "not done"
    """It took no effect; trying again may help (the service is down)."""
    UNKNOWN = "unknown"
    """It may have taken effect; the same key may be tried again (a timeout after sending)."""
    BROKEN = "broken"
    """Not an error that was foreseen: it may have taken effect, and trying again is useless."""

    @property
    def retry(self) -> bool:
        return self in (Verdict.NOT_DONE, Verdict.UNKNOWN)

    @property
    def doubt(self) -> bool:
        return self in (Verdict.UNKNOWN, Verdict.BROKEN)


def judge(error: Exception) -> Verdict:
    """The verdict on what a step raised."""
    if isinstance(error, (OutcomeUnknown, TimeoutError)):
        return Verdict.UNKNOWN
    if isinstance(error, HanseError):
        return Verdict.NOT_DONE if error.retryable else Verdict.REFUSED
    return Verdict.BROKEN


def explain(error: BaseException) -> str:
    """One line for status and logs: the error's class and message, at most 500 characters."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:_LONGEST] if text else type(error).__name__


def failure_of(step: str, error: Exception) -> Failure:
    """What compensations are told of the error that ended the way forward."""
    refused = judge(error) is Verdict.REFUSED
    if isinstance(error, HanseError):
        return Failure(step, error.code, " ".join(error.message.split())[:_LONGEST], refused)
    code = DeadlineExceeded.code if isinstance(error, TimeoutError) else HanseError.code
    return Failure(step, code, explain(error), refused)
