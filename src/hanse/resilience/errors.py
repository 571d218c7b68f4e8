"""Refusals by a pattern itself: the call was not made, so that repeating it is safe."""

from hanse.core.errors import HanseError, LimitExceeded, Unavailable


class Refusal(HanseError):
    """Base of what a pattern of this process raises instead of calling: it says nothing about what would be called."""


class BreakerOpen(Refusal, Unavailable):
    """The circuit breaker is open: what stands behind it has failed too often. Nothing was sent.

    `details["retry_after"]` is the time in seconds until it lets a probe through.
    """

    code = "breaker_open"


class BulkheadFull(Refusal, Unavailable):
    """Too many calls are under way already, and the queue for a place is full or took too long. Nothing was sent."""

    code = "bulkhead_full"


class RateLimited(Refusal, LimitExceeded):
    """The rate limit is used up. Nothing was sent. `details["retry_after"]` is the time in seconds until it isn't."""

    code = "rate_limited"


class Overloaded(Refusal, Unavailable):
    """An adaptive limit sheds calls of this priority at the moment. Nothing was sent.

    `details["retry_after"]` is a time in seconds after which trying again makes sense.
    """

    code = "overloaded"
