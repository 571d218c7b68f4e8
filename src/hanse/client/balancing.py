"""Strategies of balancing: which of the usable instances gets the next request. One class each."""

from abc import ABC, abstractmethod
from bisect import bisect
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import TYPE_CHECKING

from hanse.core import Random

if TYPE_CHECKING:
    from hanse.client.targets import Target

_POINTS = 128


class Balancer(ABC):
    """A strategy.

    Args:
        random: of the node.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._targets: Sequence[Target] = ()

    def prepare(self, targets: Sequence["Target"]) -> None:
        """Choose among these from now on; called whenever they or their shares change. At least one."""
        self._targets = targets

    @abstractmethod
    def pick(self, key: str | None) -> "Target":
        """The instance for the next request.

        Args:
            key: the call's `hash_key`.
        """

    def rank(self, target: "Target", key: str | None) -> float:
        """By what the others are tried when the picked one can't be used: the lowest first."""
        return target.in_flight / target.share


class LeastRequest(Balancer):
    """The less loaded of two drawn at random by weight.

    Source: M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
    """

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self._sums: list[float] | None = None

    def prepare(self, targets: Sequence["Target"]) -> None:
        self._targets = targets
        self._sums = _sums(targets)

    def pick(self, key: str | None) -> "Target":
        targets = self._targets
        if self._sums is not None:
            one, two = self._random.choices(targets, cum_weights=self._sums, k=2)
            return two if two.in_flight * one.share < one.in_flight * two.share else one
        random, count = self._random.random, len(targets)
        first = int(random() * count)
        second = int(random() * (count - 1))
        one, two = targets[first], targets[second + (second >= first)] if count > 1 else targets[first]
        return two if two.in_flight < one.in_flight else one


class RoundRobin(Balancer):
    """One after the other; weights count for nothing."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self._next = int(random.random() * 1024)  # so that many clients do not begin with the same instance

    def pick(self, key: str | None) -> "Target":
        self._next += 1
        return self._targets[self._next % len(self._targets)]


class Weighted(Balancer):
    """One after the other, the heavier ones more often, evenly mixed.

    Source: smooth weighted round robin of nginx (`ngx_http_upstream_round_robin.c`).
    """

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self._credit: dict[str, float] = {}

    def prepare(self, targets: Sequence["Target"]) -> None:
        self._targets = targets
        self._credit = {target.id: self._credit.get(target.id, 0.0) for target in targets}

    def pick(self, key: str | None) -> "Target":
        credit, whole = self._credit, 0.0
        best = self._targets[0]
        for target in self._targets:
            credit[target.id] += target.share
            whole += target.share
            if credit[target.id] > credit[best.id]:
                best = target
        credit[best.id] -= whole
        return best


class RandomChoice(Balancer):
    """Drawn at random by weight."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self._sums: list[float] | None = None

    def prepare(self, targets: Sequence["Target"]) -> None:
        self._targets = targets
        self._sums = _sums(targets)

    def pick(self, key: str | None) -> "Target":
        if self._sums is not None:
            return self._random.choices(self._targets, cum_weights=self._sums)[0]
        return self._targets[int(self._random.random() * len(self._targets))]


class ConsistentHash(LeastRequest):
    """The same key goes to the same instance; when instances come or go, few keys move. Calls without a key go to the
    less loaded of two.

    Source: D. Karger et al., "Consistent Hashing and Random Trees", 1997; a ring with 128 points per instance.
    """

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self._ring: list[tuple[int, Target]] = []
        self._points: list[int] = []

    def prepare(self, targets: Sequence["Target"]) -> None:
        super().prepare(targets)
        heaviest = max(target.instance.weight for target in targets)
        self._ring = sorted(
            (
                (_hash(f"{target.id}#{number}"), target)
                for target in targets
                for number in range(max(_POINTS * target.instance.weight // heaviest, 1))
            ),
            key=lambda point: (point[0], point[1].id),
        )
        self._points = [point for point, _ in self._ring]

    def pick(self, key: str | None) -> "Target":
        if key is None:
            return super().pick(key)
        return self._ring[bisect(self._points, _hash(key)) % len(self._ring)][1]

    def rank(self, target: "Target", key: str | None) -> float:
        if key is None:
            return super().rank(target, key)
        start = bisect(self._points, _hash(key))
        count = len(self._ring)
        return next((step for step in range(count) if self._ring[(start + step) % count][1] is target), count)


BALANCERS: dict[str, type[Balancer]] = {
    "least_request": LeastRequest,
    "round_robin": RoundRobin,
    "weighted": Weighted,
    "random": RandomChoice,
    "hash": ConsistentHash,
}
"""By their names in `ClientOptions.balancing`."""


def _sums(targets: Sequence["Target"]) -> list[float] | None:
    """Running sums of the shares; None while all are equal."""
    shares = [target.share for target in targets]
    return None if len(set(shares)) <= 1 else list(accumulate(shares))


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
