"""Randomness as a seam: one `Random` per node, seeded by the machine or by a simulation."""

import os
import random
from collections.abc import Callable


class Random(random.Random):
    """A pseudo-random generator of one node, plus a source of secrets.

    Args:
        seed: fixes the sequence (simulation, tests); None takes the machine's entropy.
        entropy: gives `n` unpredictable bytes for keys, tokens and salts. A simulation passes a seeded one.
    """

    def __init__(self, seed: int | None = None, *, entropy: Callable[[int], bytes] | None = None) -> None:
        super().__init__(seed)
        self._entropy = entropy or (os.urandom if seed is None else self.randbytes)

    def secret(self, n: int = 32) -> bytes:
        """`n` bytes fit for keys and tokens."""
        return self._entropy(n)
