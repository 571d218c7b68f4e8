"""Where the counts of a distributed rate limiter are kept: a map with compare-and-set."""

from abc import abstractmethod
from dataclasses import dataclass

from hanse.core import Component


@dataclass(frozen=True, slots=True)
class Stored:
    """What is kept under a key."""

    state: bytes
    revision: int
    """Grows with each save (≥ 1)."""


class RateStore(Component):
    """A map from keys to small states, shared by all replicas. Backends: `MemoryRateStore`, `nats.NatsRateStore`."""

    @abstractmethod
    async def load(self, key: str) -> Stored | None:
        """The present state; None when there is none.

        Raises:
            HanseError: the store does not answer, or not as it should.
        """

    @abstractmethod
    async def save(self, key: str, state: bytes, revision: int, ttl_s: float) -> int | None:
        """Replace the state if it still has `revision` (0: there is none).

        Args:
            ttl_s: how long it must be kept; it may be kept longer.

        Returns: the new revision; None when somebody else was faster, and nothing was changed.

        Raises:
            OutcomeUnknown: it may have been replaced.
            HanseError: it was not.
        """

    @abstractmethod
    async def clear(self, key: str) -> None:
        """Forget a state. Raises as `save` does."""


class MemoryRateStore(RateStore):
    """In this process. For tests, simulation and systems of one process; forgets nothing."""

    name = "rate-store"

    def __init__(self) -> None:
        self._states: dict[str, Stored] = {}
        self._revision = 0

    async def load(self, key: str) -> Stored | None:
        return self._states.get(key)

    async def save(self, key: str, state: bytes, revision: int, ttl_s: float) -> int | None:
        found = self._states.get(key)
        if (found.revision if found else 0) != revision:
            return None
        self._revision += 1
        self._states[key] = Stored(state, self._revision)
        return self._revision

    async def clear(self, key: str) -> None:
        self._states.pop(key, None)
