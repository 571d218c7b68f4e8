"""When a circuit breaker opens and how it recovers."""

from dataclasses import InitVar, dataclass
from enum import StrEnum

from hanse.core.errors import ConfigurationError
from hanse.resilience.pattern import Snapshot


class BreakerState(StrEnum):
    """closed: calls pass; open: calls are refused; half_open: a few probes pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerConfig:
    """When a breaker opens and how it recovers.

    The short names `failures`, `recovery_s`, `recovery_max_s`, `probes` and `successes` are taken, too.
    """

    failure_threshold: int = 5
    """Consecutive failures that open it; 0: however many."""
    error_percentage: float = 50.0
    """Share of failures in the rolling window that opens it, above 0 to 100; 0: whatever share."""
    request_volume_threshold: int = 20
    """Calls in the rolling window below which the share means nothing (≥ 1)."""
    rolling_window_s: float = 10.0
    """How far back the share looks."""
    rolling_buckets: int = 10
    """In how many parts calls fall out of the rolling window (≥ 1)."""
    recovery_timeout_s: float = 1.0
    """How long it stays open the first time; doubles with every probe that fails."""
    recovery_timeout_max_s: float = 30.0
    """The longest it stays open without a probe."""
    half_open_probes: int = 1
    """Calls let through at the same time while half open (≥ 1)."""
    success_threshold: int = 1
    """Probes that must succeed before it closes (≥ 1)."""
    timeout_s: float | None = None
    """After that a call is cut off and counts as failed; None: no bound."""
    slow_call_s: float | None = None
    """A call that took longer counts as failed although it succeeded; None: however long."""
    failures: InitVar[int | None] = None
    recovery_s: InitVar[float | None] = None
    recovery_max_s: InitVar[float | None] = None
    probes: InitVar[int | None] = None
    successes: InitVar[int | None] = None

    def __post_init__(
        self,
        failures: int | None,
        recovery_s: float | None,
        recovery_max_s: float | None,
        probes: int | None,
        successes: int | None,
    ) -> None:
        for field, short in (
            ("failure_threshold", failures),
            ("recovery_timeout_s", recovery_s),
            ("recovery_timeout_max_s", recovery_max_s),
            ("half_open_probes", probes),
            ("success_threshold", successes),
        ):
            if short is not None:
                if field == "failure_threshold" and not short:
                    raise ConfigurationError("failures starts at 1")
                object.__setattr__(self, field, short)
        if self.failure_threshold < 0 or not 0 <= self.error_percentage <= 100:
            raise ConfigurationError(
                f"a breaker needs failure_threshold ≥ 0 and 0 ≤ error_percentage ≤ 100, not {self}"
            )
        if not self.failure_threshold and not self.error_percentage:
            raise ConfigurationError("a breaker that neither failure_threshold nor error_percentage opens is none")
        if min(self.half_open_probes, self.success_threshold, self.request_volume_threshold, self.rolling_buckets) < 1:
            raise ConfigurationError(f"a breaker's probes, thresholds and buckets start at 1, not {self}")
        if not 0 < self.recovery_timeout_s <= self.recovery_timeout_max_s or self.rolling_window_s <= 0:
            raise ConfigurationError(f"a breaker needs 0 < recovery_timeout_s ≤ recovery_timeout_max_s, not {self}")
        if any(bound is not None and bound <= 0 for bound in (self.timeout_s, self.slow_call_s)):
            raise ConfigurationError(f"a breaker's timeout_s and slow_call_s are above 0, not {self}")


@dataclass(frozen=True, slots=True)
class BreakerSnapshot(Snapshot):
    """A breaker's live state, for people."""

    state: BreakerState
    failures: int
    """Consecutive failures so far, while closed."""
    rejected: int
    """Calls refused since it was built."""
    retry_after_s: float
    """Time until the next probe may pass; 0 unless open; while forced open, the longest recovery time."""
    calls: int = 0
    """Calls in the rolling window that ended while it was closed."""
    errors: int = 0
    """Those of them that failed."""
    error_percentage: float = 0.0
    """Their share in percent."""
    forced: bool = False
    """Held in its state by hand, until reset."""
