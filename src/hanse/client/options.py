"""How a client treats one service."""

from dataclasses import dataclass, field

from hanse.core.errors import ConfigurationError
from hanse.resilience import BreakerConfig, BudgetConfig, BulkheadConfig


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Policy of a `ServiceClient`. Checked when it is made."""

    timeout: float = 5.0
    """Seconds for a whole call, all attempts and pauses included; a request's own deadline may be earlier."""
    attempt_timeout: float | None = None
    """Seconds for one attempt; None: what is left of the call."""
    retry: int = 2
    """Repetitions of a failed attempt, where repeating is safe (≥ 0)."""
    first_pause: float = 0.025
    """Upper bound in seconds of the pause before the first repetition; doubles with each (full jitter)."""
    max_pause: float = 1.0
    """Upper bound in seconds of any pause; a longer Retry-After is given to the caller instead of waited for."""
    breaker: BreakerConfig = field(default_factory=BreakerConfig)
    """For each instance."""
    bulkhead: BulkheadConfig = field(default_factory=lambda: BulkheadConfig(limit=256, queue=1024, wait_s=1.0))
    """For the service as a whole."""
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    """For the service as a whole; repetitions of what was not sent are free, because they put no load on it."""

    def __post_init__(self) -> None:
        if self.timeout <= 0 or (self.attempt_timeout is not None and self.attempt_timeout <= 0):
            raise ConfigurationError(
                f"a client's timeouts must be above 0 s, not {self.timeout}, {self.attempt_timeout}"
            )
        if self.retry < 0:
            raise ConfigurationError(f"a client can't retry {self.retry} times")
