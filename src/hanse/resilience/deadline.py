"""A point in time by which the whole of a call must have ended, however many attempts it takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hanse.core import Clock, current
from hanse.core.errors import DeadlineExceeded


class Deadline:
    """An instant on the monotonic clock of this node. Immutable by convention; handed down, never extended.

    Args:
        clock: the node's clock.
        at: seconds on `clock.monotonic`.
    """

    __slots__ = ("_clock", "at")

    def __init__(self, clock: Clock, at: float) -> None:
        self._clock = clock
        self.at = at

    @classmethod
    def within(cls, clock: Clock, seconds: float) -> "Deadline":
        """`seconds` (≥ 0) from now, or the deadline of the request being served if that is earlier."""
        at = clock.monotonic() + seconds
        inherited = current().deadline
        return cls(clock, at if inherited is None or at < inherited else inherited)

    def remaining(self) -> float:
        """Seconds left; 0 when it has passed."""
        left = self.at - self._clock.monotonic()
        return left if left > 0 else 0.0

    @property
    def passed(self) -> bool:
        """True when no time is left."""
        return self._clock.monotonic() >= self.at

    def earlier(self, seconds: float) -> "Deadline":
        """The deadline of a part of the work: `seconds` from now, but never later than this one."""
        return Deadline(self._clock, min(self.at, self._clock.monotonic() + seconds))

    @asynccontextmanager
    async def enforce(self, what: str) -> AsyncIterator[None]:
        """Cancel the block when the deadline passes.

        Args:
            what: the work, for the error's message (`payment`).

        Raises:
            DeadlineExceeded: the block was still running; what it did is unknown.
        """
        try:
            async with asyncio.timeout(self.remaining()) as limit:
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise DeadlineExceeded(f"{what} did not end in the time it was given") from error
