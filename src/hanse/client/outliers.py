"""Outlier ejection: an instance that fails much more than the others gets nothing for a while.

A breaker sees one instance alone and failures in a row; this compares instances, and catches the one that fails every
other request. When all fail alike, none is ejected: then it is not the instance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hanse.core import Env
from hanse.core.errors import ConfigurationError
from hanse.resilience import EventSink, ResilienceEvent

if TYPE_CHECKING:
    from hanse.client.targets import Target

_TIMES_WORSE = 2.0


@dataclass(frozen=True, slots=True)
class OutlierConfig:
    """What makes an instance an outlier."""

    failure_share: float = 0.4
    """Of the requests to it in the interval, at least, and twice as much as of those to the others (0–1)."""
    requests: int = 20
    """It must have had so many in the interval (≥ 1)."""
    interval_s: float = 10.0
    """Requests are counted anew after it."""
    ejected_s: float = 10.0
    """How long it gets nothing the first time; so much longer with each further time."""
    ejected_max_s: float = 120.0
    max_ejected: float = 0.5
    """Share of all instances that may be ejected at once (0–1)."""

    def __post_init__(self) -> None:
        shares = 0 < self.failure_share <= 1 and 0 <= self.max_ejected <= 1
        if not shares or self.requests < 1 or self.interval_s <= 0 or not 0 < self.ejected_s <= self.ejected_max_s:
            raise ConfigurationError(
                "outliers need 0 < failure_share ≤ 1, 0 ≤ max_ejected ≤ 1, requests ≥ 1, interval_s > 0 "
                f"and 0 < ejected_s ≤ ejected_max_s, not {self}"
            )


@dataclass(frozen=True, slots=True)
class InstanceEjected(ResilienceEvent):
    """An instance gets nothing for a while."""

    for_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class InstanceReturned(ResilienceEvent):
    """An ejected instance gets requests again."""


class Outliers:
    """Judges the instances of one service. Costs something only when a request fails.

    Guarantees: never more than `max_ejected` of the instances are out at once; each comes back by itself.
    Source: the outlier detection of Envoy (failure percentage), which compares with a fixed bound only.
    """

    def __init__(self, env: Env, service: str, config: OutlierConfig, on_event: EventSink) -> None:
        self.returns_at = float("inf")
        """When the next ejected instance comes back, on the monotonic clock."""
        self._env = env
        self._service = service
        self._config = config
        self._on_event = on_event
        self._began = env.clock.monotonic()

    def failed(self, target: "Target", targets: Sequence["Target"]) -> bool:
        """Count a failed request of `target`, whose `calls` has it already. True when that ejects it."""
        now, config = self._env.clock.monotonic(), self._config
        if now - self._began >= config.interval_s:
            self._began = now
            for other in targets:
                if not other.failures:
                    other.ejections = max(other.ejections - 1, 0)
                other.calls = other.failures = 0
            target.calls = 1
        target.failures += 1
        if target.calls < config.requests or target.ejected_until or not self._stands_out(target, targets):
            return False
        out = sum(1 for other in targets if other.ejected_until)
        if (out + 1) > config.max_ejected * len(targets):
            return False
        target.ejections += 1
        for_s = min(config.ejected_s * target.ejections, config.ejected_max_s)
        target.ejected_until = now + for_s
        self.returns_at = min(self.returns_at, target.ejected_until)
        reason = f"{target.failures} of {target.calls} requests failed"
        self._on_event(InstanceEjected(f"{self._service}/{target.id}", self._env.clock.now(), for_s, reason))
        return True

    def readmit(self, targets: Sequence["Target"], now: float) -> None:
        """Let those come back whose time is over, with a clean sheet."""
        self.returns_at = float("inf")
        for target in targets:
            if not target.ejected_until:
                continue
            if target.ejected_until <= now:
                target.ejected_until = 0.0
                target.calls = target.failures = 0
                self._on_event(InstanceReturned(f"{self._service}/{target.id}", self._env.clock.now()))
            else:
                self.returns_at = min(self.returns_at, target.ejected_until)

    def _stands_out(self, target: "Target", targets: Sequence["Target"]) -> bool:
        share = target.failures / target.calls
        others = [other for other in targets if other is not target and not other.ejected_until]
        calls = sum(other.calls for other in others)
        if share < self._config.failure_share or not calls:
            return False
        return share >= _TIMES_WORSE * sum(other.failures for other in others) / calls
