"""The one lifecycle that everything with a start and an end follows."""


class Component:
    """A part of a node: start, ready, drain, stop.

    Guarantees asked of every subclass:
    the constructor does no I/O; `start` is safe after any crash of an earlier life; `stop` may be called twice and
    before `start`; correctness never depends on `drain` having run.
    """

    name: str = "component"

    async def start(self) -> None:
        """Acquire what is needed and begin to work. Raises when it can't; the caller then calls `stop`."""

    async def ready(self) -> str | None:
        """None when it can do its work; else the reason, in a few words for a person."""
        return None

    async def drain(self) -> None:
        """Take no new work; finish what is in hand. Bounded by the caller's grace."""

    async def stop(self) -> None:
        """Release everything. Idempotent."""
