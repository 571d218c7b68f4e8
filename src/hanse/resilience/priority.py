"""How much a call matters when not all can be served."""

from enum import IntEnum


class Priority(IntEnum):
    """Classes of calls, from the first to be shed to the one that never is."""

    LOW = 0
    """Background work, prefetching, crawlers."""
    NORMAL = 1
    HIGH = 2
    """What the business lives on, such as paying."""
    CRITICAL = 3
    """Never shed: health checks and administration."""

    @classmethod
    def parse(cls, text: str | None, *, most: "Priority") -> "Priority":
        """Read a class from a header.

        Args:
            text: a name in any case; anything else counts as NORMAL.
            most: the highest class that the sender may claim.
        """
        named = cls.__members__.get(text.strip().upper(), cls.NORMAL) if text else cls.NORMAL
        return min(named, most)
