"""The instances that a client may send to, and the choice among them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from hanse.client.balancing import BALANCERS
from hanse.client.options import ClientOptions
from hanse.client.outliers import Outliers
from hanse.core import Env
from hanse.registry import Instance
from hanse.resilience import BreakerSnapshot, CircuitBreaker, EventSink, Pattern

_LEAST_SHARE = 0.1
_STEPS = 20
_NEVER = float("inf")


class Target:
    """An instance as this client sees it: how many requests it has from us, and how they went."""

    __slots__ = (
        "breaker", "calls", "ejected_until", "ejections", "failures", "id", "in_flight", "instance", "share", "since",
        "span_facts", "url",
    )  # fmt: skip

    def __init__(self, instance: Instance, breaker: CircuitBreaker, since: float) -> None:
        self.instance = instance
        self.id = instance.id
        self.url = instance.url
        self.breaker = breaker
        self.since = since
        """When it joined, on the monotonic clock."""
        self.share = float(instance.weight)
        """Its weight, less while it starts slowly."""
        self.in_flight = 0
        self.calls = 0
        """Requests in the interval of outlier detection."""
        self.failures = 0
        """How many of those failed."""
        self.ejections = 0
        """How often it was ejected lately."""
        self.ejected_until = 0.0
        """On the monotonic clock; 0: it is not."""
        self.span_facts: dict[str, dict[str, Any]] = {}
        """Attributes of the spans of requests to it, by method: they are the same each time."""


@dataclass(frozen=True, slots=True)
class TargetSnapshot:
    """A target's live state, for people."""

    instance: Instance
    in_flight: int
    share: float
    """Its weight in the balancing now."""
    ejected_s: float
    """How long it still gets nothing as an outlier; 0: it is none."""
    breaker: BreakerSnapshot


class Targets:
    """The live instances of one service.

    An instance that stays keeps its breaker and its count when others come or go; one that moves to another address
    starts anew. Requests to an instance that has gone run to their end.
    """

    def __init__(self, env: Env, service: str, options: ClientOptions, on_event: EventSink) -> None:
        self._env = env
        self._service = service
        self._options = options
        self._on_event = on_event
        self._balancer = BALANCERS[options.balancing](env.random)
        config = options.outliers
        self._outliers = Outliers(env, service, config, on_event) if config is not None else None
        self._targets: list[Target] = []
        self._pool: list[Target] = []
        """Those that the balancing chooses from: in our zone if any is, and not ejected."""
        self._changes_at = _NEVER
        """When the pool or a share in it changes next, on the monotonic clock."""

    def update(self, instances: Sequence[Instance]) -> None:
        """Replace the set by the full current one. Instances of weight 0 get nothing."""
        known = {(target.id, target.url): target for target in self._targets}
        now = self._env.clock.monotonic()
        since = now if self._targets else -_NEVER  # nobody starts slowly when there is nobody else to take the load
        targets = []
        for instance in instances:
            if not instance.weight:
                continue
            target = known.get((instance.id, instance.url))
            if target is None:
                name = f"{self._service}/{instance.id}"
                breaker = CircuitBreaker(name, self._env, self._options.breaker, on_event=self._on_event)
                target = Target(instance, breaker, since)
            target.instance = instance
            targets.append(target)
        self._targets = targets
        self._arrange(now)

    def __len__(self) -> int:
        return len(self._targets)

    def choose(self, tried: Collection[Target], now: float, key: str | None = None) -> tuple[Target | None, int]:
        """Pick an instance and take a permit of its breaker.

        The one that the balancing picks; if that one was tried already or its breaker refuses, the next best of the
        others; of those that were tried only if there is no other, and an ejected one only as the last resort.

        Args:
            tried: instances that did not serve this call.
            now: on the monotonic clock.
            key: the call's `hash_key`.

        Returns: the target and the permit, to be reported to its breaker; (None, 0) when none can be used.
        """
        if now >= self._changes_at:
            self._arrange(now)
        pool = self._pool
        if not pool:
            return None, 0
        target = pool[0] if len(pool) == 1 else self._balancer.pick(key)
        if (not tried or target not in tried) and (permit := target.breaker.acquire()):
            return target, permit
        rank = self._balancer.rank
        order = sorted(self._targets, key=lambda other: (other in tried, other not in pool, rank(other, key)))
        for other in order:
            if permit := other.breaker.acquire():
                return other, permit
        return None, 0

    def another(self, tried: Collection[Target]) -> bool:
        """True when there is an instance that was not tried and whose breaker would admit a call."""
        return any(target not in tried and target.breaker.admits() for target in self._targets)

    def failed(self, target: Target) -> None:
        """Count a failure of a request that `target.calls` has counted already."""
        if self._outliers is not None and self._outliers.failed(target, self._targets):
            self._arrange(self._env.clock.monotonic())

    def snapshot(self) -> list[TargetSnapshot]:
        """Their state now."""
        now = self._env.clock.monotonic()
        return [
            TargetSnapshot(t.instance, t.in_flight, t.share, max(t.ejected_until - now, 0.0), t.breaker.snapshot())
            for t in self._targets
        ]

    def breakers(self) -> list[Pattern]:
        """Those of all instances, named `service/instance`."""
        return [target.breaker for target in self._targets]

    def _arrange(self, now: float) -> None:
        """Find the pool and the shares anew."""
        outliers, zone = self._outliers, self._options.zone
        if outliers is not None:
            outliers.readmit(self._targets, now)
        usable = [target for target in self._targets if not target.ejected_until] or self._targets
        near = [target for target in usable if target.instance.zone == zone] if zone else []
        self._pool = near or usable
        warming = self._warm(now)
        self._changes_at = min(outliers.returns_at if outliers is not None else _NEVER, warming)
        if self._pool:
            self._balancer.prepare(self._pool)

    def _warm(self, now: float) -> float:
        """Give each its share; returns when shares change next."""
        slow_s, changes_at = self._options.slow_start, _NEVER
        for target in self._targets:
            grown = (now - target.since) / slow_s if slow_s else 1.0
            target.share = target.instance.weight * min(max(grown, _LEAST_SHARE), 1.0)
            if grown < 1:
                changes_at = now + slow_s / _STEPS
        return changes_at
