"""Refusals by a pattern itself: the call was not made, so that repeating it is safe."""

from hanse.core.errors import Unavailable


class BreakerOpen(Unavailable):
    """The circuit breaker is open: what stands behind it has failed too often. Nothing was sent.

    `details["retry_after"]` is the time in seconds until it lets a probe through.
    """

    code = "breaker_open"


class BulkheadFull(Unavailable):
    """Too many calls are under way already, and the queue for a place is full or took too long. Nothing was sent."""

    code = "bulkhead_full"
