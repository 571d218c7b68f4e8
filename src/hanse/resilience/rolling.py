"""Counts of calls over the last seconds, in buckets that fall out one by one."""


class RollingWindow:
    """Calls and failures of the last `window_s`, exact to one bucket.

    The caller says what time it is, and calls `advance` when `now >= end` before it counts:

        if now >= window.end:
            window.advance(now)
        window.fresh_calls += 1

    Args:
        window_s: span (> 0).
        buckets: how many parts it falls out in (≥ 1).
        now: on the caller's monotonic clock.
    """

    __slots__ = ("_at", "_bucket_s", "_calls", "_failures", "end", "fresh_calls", "fresh_failures")

    def __init__(self, window_s: float, buckets: int, now: float) -> None:
        self._bucket_s = window_s / buckets
        self._calls = [0] * (buckets - 1)
        self._failures = [0] * (buckets - 1)
        self._at = 0
        self.fresh_calls = 0
        """Calls in the present bucket, failed ones included."""
        self.fresh_failures = 0
        self.end = now + self._bucket_s
        """When the present bucket is over."""

    def advance(self, now: float) -> None:
        """Go on to the bucket of `now` (≥ `end`)."""
        older = len(self._calls)
        passed = int((now - self.end) / self._bucket_s) + 1
        for _ in range(min(passed, older)):
            self._calls[self._at] = self.fresh_calls
            self._failures[self._at] = self.fresh_failures
            self._at = (self._at + 1) % older
            self.fresh_calls = self.fresh_failures = 0
        if passed > older:
            self._calls = [0] * older
            self._failures = [0] * older
        self.fresh_calls = self.fresh_failures = 0
        self.end += passed * self._bucket_s

    def counts(self, now: float) -> tuple[int, int]:
        """Calls and failures in the window."""
        if now >= self.end:
            self.advance(now)
        return sum(self._calls) + self.fresh_calls, sum(self._failures) + self.fresh_failures
