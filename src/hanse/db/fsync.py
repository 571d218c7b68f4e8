"""Group fsync: commits are appended at once, and one fsync in a thread makes all of them durable.

The writer commits with `synchronous = NORMAL`, which leaves the write-ahead log in the page cache. Here everything
committed so far is flushed by one `fdatasync` of the log, off the loop; those who wait are told after it. Meanwhile
the next transactions run and gather for the next flush. Reasons, figures and the part of checkpoints: ADR 0003.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from hanse.core import Scope
from hanse.db.errors import DurabilityLost

Flush = Callable[[int], None]
"""Makes what was written to a file descriptor durable (`os.fdatasync`)."""


class GroupFsync:
    """Makes commits of one database file durable.

    Guarantees:
        `wait` returns only after a flush that began after the call: all that was committed before is on the disk.
        An error of the disk reaches all who wait for that flush and everybody after them. It is not tried again:
        the kernel drops the pages it could not write, so that a second fsync would succeed without them
        (https://wiki.postgresql.org/wiki/Fsync_Errors).

    Args:
        scope: runs the flushes.
        log: the file `<database>-wal`. It keeps its inode while a connection of this process is open.
        flush: replaced by tests and simulations.
    """

    def __init__(self, scope: Scope, log: Path, flush: Flush = os.fdatasync) -> None:
        self.failure: OSError | None = None
        """The error that ended durability, if any."""
        self.flushes = 0
        """Flushes done; commits per flush is the measure of how well grouping works."""
        self._scope = scope
        self._log = log
        self._flush = flush
        self._file: int | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._flushing: list[asyncio.Future[None]] = []
        self._running: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Open the log and make its name durable. Blocks for one fsync; for the start of a node."""
        self.close()
        self._file = os.open(self._log, os.O_RDWR)
        folder = os.open(self._log.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def wait(self) -> asyncio.Future[None]:
        """Ask for all commits so far to be made durable.

        Returns:
            A future that is done when they are; `DurabilityLost` when the disk fails.
        """
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(durable)
        if self._running is None:
            self._begin()
        return durable

    async def settle(self) -> None:
        """Wait until no flush is under way."""
        while self._running is not None:
            await asyncio.wait([self._running])

    def close(self) -> None:
        """Close the log. Idempotent; a flush under way is waited for by `settle`."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    async def _run(self) -> None:
        while self._waiting:
            self._flushing, self._waiting = self._waiting, []
            if self.failure is None:
                try:
                    await self._scope.blocking(self._flush_once)
                    self.flushes += 1
                except OSError as error:
                    self.failure = error
            self._tell(self._flushing)
            self._flushing = []

    def _begin(self) -> None:
        self._running = self._scope.spawn(self._run(), name="fsync")
        self._running.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Called also when the task was cancelled before its first step, where no `finally` of its own would run."""
        self._running = None
        if not task.cancelled() and task.exception() is None:
            if self._waiting:  # came between the task's last look and its end
                self._begin()
            return
        abandoned, self._flushing, self._waiting = self._flushing + self._waiting, [], []
        for durable in abandoned:
            if not durable.done():
                durable.set_exception(DurabilityLost("the process ended before the disk confirmed the commit"))

    def _flush_once(self) -> None:
        if self._file is None:
            raise OSError("the write-ahead log is not open")
        if os.fstat(self._file).st_nlink == 0:
            raise OSError("the write-ahead log was deleted while the database was open")
        self._flush(self._file)

    def _tell(self, waiting: list[asyncio.Future[None]]) -> None:
        for durable in waiting:
            if durable.done():
                continue
            if self.failure is None:
                durable.set_result(None)
            else:
                durable.set_exception(DurabilityLost(f"the disk did not confirm the commit: {self.failure}"))
