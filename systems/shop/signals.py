"""Signals: wake whoever waits for a key to change, inside one process.

Live endpoints (SSE, WebSocket) read their news from the database, which is the truth for all replicas; a signal tells
them when to look. Changes of this process signal when they are committed, those of other replicas through `Tail`.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Listener:
    """One that waits for its keys."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def clear(self) -> None:
        """Forget what was signalled so far. Do it before looking, so that nothing is missed between look and wait."""
        self._event.clear()

    def wake(self) -> None:
        self._event.set()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the next signal, at most `timeout_s` seconds; True when it came."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        return True


class Signals:
    """Keys, and who listens to each."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}

    @property
    def anybody(self) -> bool:
        """Whether anybody listens to anything."""
        return bool(self._listeners)

    @contextmanager
    def listen(self, *keys: str) -> Iterator[Listener]:
        """Listen to all of `keys` inside the block."""
        listener = Listener()
        for key in keys:
            self._listeners.setdefault(key, []).append(listener)
        try:
            yield listener
        finally:
            for key in keys:
                self._listeners[key].remove(listener)
                if not self._listeners[key]:
                    del self._listeners[key]

    def notify(self, key: str) -> None:
        """Wake everybody who listens to `key`."""
        for listener in self._listeners.get(key, ()):
            listener.wake()

    def notify_all(self) -> None:
        """Wake everybody."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.wake()
