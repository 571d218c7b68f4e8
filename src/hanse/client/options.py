"""How a client treats one service."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from hanse.client.outliers import OutlierConfig
from hanse.client.transport import DEFAULT_LIMIT_BYTES
from hanse.core.errors import ConfigurationError
from hanse.resilience import BreakerConfig, BudgetConfig, BulkheadConfig

Balancing = Literal["least_request", "round_robin", "weighted", "random", "hash"]


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
    hedge_after: float | None = None
    """Seconds after which a repeatable call that has no answer yet is sent to a second instance, too; the first good
    answer counts. It takes from the retry budget. About the 95th percentile of the answer times; None: never."""
    balancing: Balancing = "least_request"
    """`least_request`: the less loaded of two drawn by weight; `round_robin`: in turn; `weighted`: in turn, by weight;
    `random`: drawn by weight; `hash`: the same `hash_key` goes to the same instance, as long as it lives."""
    slow_start: float = 0.0
    """Seconds over which an instance that joins gets its full share; 0: at once. For all that goes by weight."""
    zone: str = ""
    """Instances of this zone are preferred as long as one of them can be used; "": no preference."""
    limit_bytes: int = DEFAULT_LIMIT_BYTES
    """The largest body of an answer that is taken (not for streams)."""
    outliers: OutlierConfig | None = field(default_factory=OutlierConfig)
    """When an instance that is worse than the others gets nothing for a while; None: never."""
    breaker: BreakerConfig = field(default_factory=BreakerConfig)
    """For each instance."""
    service_breaker: BreakerConfig | None = None
    """For the service as a whole: counts calls, not attempts. None: the instances' own breakers are enough."""
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
        if self.hedge_after is not None and self.hedge_after <= 0:
            raise ConfigurationError(f"a client's hedge_after must be above 0 s, not {self.hedge_after}")
        if self.slow_start < 0 or self.limit_bytes < 1:
            raise ConfigurationError("a client needs slow_start ≥ 0 and limit_bytes ≥ 1")
        if self.balancing not in get_args(Balancing):
            known = ", ".join(get_args(Balancing))
            raise ConfigurationError(f'a client\'s balancing is one of {known}, not "{self.balancing}"')
