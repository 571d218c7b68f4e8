"""Refusals by a pattern itself: the call was not made, so that repeating it is safe."""

from hanse.core.errors import LimitExceeded, Unavailable


class BreakerOpen(Unavailable):
    """The circuit breaker is open: what stands behind it has failed too often. Nothing was sent.

    `details["retry_after"]` is the time in seconds until it lets a probe through.
    """

    code = "breaker_open"


class BulkheadFull(Unavailable):
    """Too many calls are under way already, and the queue for a place is full or took too long. Nothing was sent."""

    code = "bulkhead_full"


class RateLimited(LimitExceeded):
    """The rate limit is used up. Nothing was sent. `details["retry_after"]` is the time in seconds until it isn't."""

    code = "rate_limited"


class Overloaded(Unavailable):
    """An adaptive limit sheds calls of this priority at the moment. Nothing was sent.

    `details["retry_after"]` is a time in seconds after which trying again makes sense.
    """

    code = "overloaded"
