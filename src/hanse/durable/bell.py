"""A wake-up call for loops that otherwise poll slowly."""

import asyncio


class Bell:
    """Rung by whoever has work; waited for by one loop. A ring before the wait is not lost."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """End the present wait, or the next one."""
        self._event.set()

    async def wait(self, at_most_s: float) -> bool:
        """Return when rung (True), or after `at_most_s` seconds (False)."""
        if not self._event.is_set():
            try:
                async with asyncio.timeout(at_most_s):
                    await self._event.wait()
            except TimeoutError:
                return False
        self._event.clear()
        return True
