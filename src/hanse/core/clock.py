"""Time as a seam: every deadline, lease and timestamp in Hanse comes from a `Clock`."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime


class Clock(ABC):
    """Wall time and monotonic time.

    `now` and `monotonic` are attributes that hold plain functions, because they are called on hot paths:
    `clock.now()` costs no more than `time.time()`.
    """

    now: Callable[[], float]
    """Unix time in seconds; may jump when the machine's clock is set."""

    monotonic: Callable[[], float]
    """Seconds since an unknown start; never goes back. For deadlines, timeouts and durations."""

    def utc(self) -> datetime:
        """The wall time as an aware UTC datetime."""
        return datetime.fromtimestamp(self.now(), UTC)

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Suspend the calling task for `seconds` (≥ 0)."""


class SystemClock(Clock):
    """The machine's clock."""

    def __init__(self) -> None:
        self.now = time.time
        self.monotonic = time.monotonic

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
