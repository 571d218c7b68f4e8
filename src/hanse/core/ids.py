"""Ids as a seam: time-ordered, unique across nodes without coordination."""

from uuid import UUID

from hanse.core.clock import Clock
from hanse.core.random import Random

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_COUNTER_BITS = 12


class Ids:
    """Makes UUIDs of version 7 (RFC 9562, section 5.7) and opaque ids with a kind in front.

    Ids of one node sort in the order they were made, also within a millisecond and when the wall clock goes back.
    """

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._last_ms = 0
        self._counter = 0

    def uuid7(self) -> UUID:
        """A new time-ordered UUID: 48 bits of milliseconds, 12 bits of counter, 62 random bits."""
        ms = max(int(self._clock.now() * 1000), self._last_ms)
        if ms == self._last_ms:
            self._counter += 1
            if self._counter >> _COUNTER_BITS:
                ms, self._counter = ms + 1, 0
        else:
            self._counter = 0
        self._last_ms = ms
        return UUID(int=ms << 80 | 0x7 << 76 | self._counter << 64 | 0b10 << 62 | self._random.getrandbits(62))

    def new(self, kind: str) -> str:
        """A new opaque id, for example `order_01hf3z…`: the kind, then a UUIDv7 in 26 characters of base 32.

        Args:
            kind: what it names, in lower case (`order`, `evt`).
        """
        value = self.uuid7().int
        digits = [_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5)]
        return f"{kind}_{''.join(digits)}"
