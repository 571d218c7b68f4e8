"""Signals: wake whoever waits for a key to change, inside one process.

Live endpoints (SSE, WebSocket) read their news from the database, which is the truth for all replicas. A signal only
spares them the wait: a change made by this process wakes them at once, one made by another replica is found by the
next poll.
"""

import asyncio


class Signals:
    """Keys on which tasks wait."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}
        self._waiting: dict[str, int] = {}

    def notify(self, key: str) -> None:
        """Wake everybody who waits for `key`. Nothing is remembered for those who come later."""
        event = self._events.pop(key, None)
        if event is not None:
            event.set()

    async def wait(self, key: str, timeout_s: float) -> bool:
        """Wait until `key` is notified, at most `timeout_s` seconds; True when it was."""
        event = self._events.setdefault(key, asyncio.Event())
        self._waiting[key] = self._waiting.get(key, 0) + 1
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
                self._events.pop(key, None)
