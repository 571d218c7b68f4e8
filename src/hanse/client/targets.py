"""The instances that a client may send to, and the choice among them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from hanse.core import Env
from hanse.registry import Instance
from hanse.resilience import BreakerConfig, BreakerSnapshot, CircuitBreaker, EventSink


class Target:
    """An instance as this client sees it: how many requests it has from us, and how they went."""

    __slots__ = ("breaker", "id", "in_flight", "instance", "span_facts", "url")

    def __init__(self, instance: Instance, breaker: CircuitBreaker) -> None:
        self.instance = instance
        self.id = instance.id
        self.url = instance.url
        self.breaker = breaker
        self.in_flight = 0
        self.span_facts: dict[str, dict[str, Any]] = {}
        """Attributes of the spans of requests to it, by method: they are the same each time."""


@dataclass(frozen=True, slots=True)
class TargetSnapshot:
    """A target's live state, for people."""

    instance: Instance
    in_flight: int
    breaker: BreakerSnapshot


class Targets:
    """The live instances of one service.

    An instance that stays keeps its breaker and its count when others come or go; one that moves to another address
    starts anew. Requests to an instance that has gone run to their end.
    """

    def __init__(self, env: Env, service: str, config: BreakerConfig, on_event: EventSink) -> None:
        self._env = env
        self._service = service
        self._config = config
        self._on_event = on_event
        self._targets: list[Target] = []
        self._weights: list[float] | None = None
        """Running sums of the weights; None while all are equal."""

    def update(self, instances: Sequence[Instance]) -> None:
        """Replace the set by the full current one. Instances of weight 0 get nothing."""
        known = {(target.id, target.url): target for target in self._targets}
        targets = []
        for instance in instances:
            if not instance.weight:
                continue
            target = known.get((instance.id, instance.url))
            if target is None:
                breaker = CircuitBreaker(
                    f"{self._service}/{instance.id}", self._env, self._config, on_event=self._on_event
                )
                target = Target(instance, breaker)
            target.instance = instance
            targets.append(target)
        self._targets = targets
        weights = [target.instance.weight for target in targets]
        self._weights = None if len(set(weights)) <= 1 else list(accumulate(map(float, weights)))

    def __len__(self) -> int:
        return len(self._targets)

    def choose(self, tried: Collection[Target] = ()) -> tuple[Target | None, int]:
        """Pick an instance and take a permit of its breaker.

        The less loaded of two drawn at random by weight; if that one was tried already or its breaker refuses, the
        least loaded of the others; of those that were tried only if there is no other.

        Returns: the target and the permit, to be reported to its breaker; (None, 0) when none can be used.
        Source: M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
        """
        targets = self._targets
        count = len(targets)
        if count == 1:
            target = targets[0]
        elif count:
            target = self._better_of_two(targets, count)
        else:
            return None, 0
        if (not tried or target not in tried) and (permit := target.breaker.acquire()):
            return target, permit
        for other in sorted(targets, key=lambda other: (other in tried, other.in_flight / other.instance.weight)):
            if permit := other.breaker.acquire():
                return other, permit
        return None, 0

    def another(self, tried: Collection[Target]) -> bool:
        """True when there is an instance that was not tried and whose breaker would admit a call."""
        return any(target not in tried and target.breaker.admits() for target in self._targets)

    def snapshot(self) -> list[TargetSnapshot]:
        """Their state now."""
        return [TargetSnapshot(t.instance, t.in_flight, t.breaker.snapshot()) for t in self._targets]

    def _better_of_two(self, targets: list[Target], count: int) -> Target:
        random = self._env.random
        if self._weights is None:
            first = int(random.random() * count)
            second = int(random.random() * (count - 1))
            one, two = targets[first], targets[second + (second >= first)]
            return two if two.in_flight < one.in_flight else one
        one, two = random.choices(targets, cum_weights=self._weights, k=2)
        lighter = two.in_flight * one.instance.weight < one.in_flight * two.instance.weight
        return two if lighter else one
