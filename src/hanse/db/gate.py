"""The writer gate: one writer at a time in a process, in the order they came."""

import asyncio
from collections import deque
from typing import Any

from hanse.core.errors import ConfigurationError, Unavailable


class Gate:
    """A fair lock whose release hands ownership straight to the longest-waiting task.

    SQLite lets one transaction write. Without a queue the others would poll for the lock and the unlucky ones starve;
    an `asyncio.Lock` would let a newcomer overtake a task that has been woken but has not run yet.

    Args:
        patience_s: how long a task may wait before it gets `Unavailable`.
    """

    __slots__ = ("_owner", "_patience_s", "_waiting", "locked")

    def __init__(self, patience_s: float = 30.0) -> None:
        self.locked = False
        self._patience_s = patience_s
        self._owner: asyncio.Task[Any] | None = None
        self._waiting: deque[tuple[asyncio.Future[None], asyncio.Task[Any] | None]] = deque()

    def try_acquire(self) -> bool:
        """Take the gate if it is free.

        Raises:
            ConfigurationError: this task holds it already, so waiting would never end.
        """
        task = asyncio.current_task()
        if not self.locked:
            self.locked, self._owner = True, task
            return True
        if task is not None and self._owner is task:
            raise ConfigurationError(
                "this task is already inside a write transaction: pass its session on instead of opening a second one"
            )
        return False

    async def acquire(self) -> None:
        """Take the gate, waiting for those who came before.

        Raises:
            Unavailable: `patience_s` passed; nothing was done.
            ConfigurationError: this task holds the gate already.
        """
        if self.try_acquire():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, asyncio.current_task()))
        try:
            async with asyncio.timeout(self._patience_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.release()  # the turn came in the same instant as the cancellation: pass it on
            if isinstance(error, TimeoutError):
                raise Unavailable("the database is busy: another transaction holds the writer's turn") from error
            raise

    def release(self) -> None:
        """Hand the gate to the next in line, or leave it free."""
        while self._waiting:
            turn, task = self._waiting.popleft()
            if not turn.done():
                self._owner = task
                turn.set_result(None)
                return
        self.locked, self._owner = False, None
