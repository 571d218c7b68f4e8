"""What a rate limit is: its config, and what is left of it."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from hanse.core.errors import ConfigurationError
from hanse.resilience.pattern import Snapshot

Strategy = Literal["token_bucket", "sliding_window", "fixed_window"]

_UNITS_S = {
    "s": 1.0,
    "second": 1.0,
    "m": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}
_RATE = re.compile(r"\s*(\d+)\s*/\s*(\d*)\s*([a-z]+?)s?\s*")


@dataclass(frozen=True, slots=True)
class RateConfig:
    """So many calls in so much time, per key."""

    requests: int = 100
    """Calls allowed in one window (≥ 1)."""
    window_s: float = 60.0
    """Length of the window (> 0)."""
    strategy: Strategy = "token_bucket"
    """`token_bucket`: a steady rate with bursts; `sliding_window`: never more than `requests` in any span of
    `window_s`; `fixed_window`: windows follow each other, up to twice `requests` around their border."""
    burst: int | None = None
    """`token_bucket`: calls that may come at once after a pause; None: `requests`."""
    buckets: int = 10
    """`sliding_window`: in how many parts old calls fall out (≥ 1)."""
    wait_s: float = 0.0
    """The longest a call waits for its turn; 0 refuses at once."""
    max_keys: int = 10_000
    """Keys that are remembered (≥ 1). Beyond it, the ones that have their full quota go first, then the oldest."""

    def __post_init__(self) -> None:
        if self.requests < 1 or self.window_s <= 0 or self.wait_s < 0 or min(self.buckets, self.max_keys) < 1:
            raise ConfigurationError(f"a rate limit needs requests, buckets, max_keys ≥ 1 and window_s > 0, not {self}")
        if self.strategy not in get_args(Strategy):
            raise ConfigurationError(f"strategy is one of {', '.join(get_args(Strategy))}, not {self.strategy!r}")
        if self.burst is not None and self.burst < 1:
            raise ConfigurationError(f"burst starts at 1, not {self.burst}")

    @classmethod
    def parse(cls, text: str, strategy: Strategy = "token_bucket") -> "RateConfig":
        """Read `100/15m`, `1000/minute`, `5/s`, `10000/2 days`."""
        found = _RATE.fullmatch(text.lower())
        unit = _UNITS_S.get(found[3]) or _UNITS_S.get(f"{found[3]}s") if found else None
        if found is None or unit is None:
            raise ConfigurationError(f'a rate is written like "100/15m" or "5/second", not "{text}"')
        return cls(int(found[1]), int(found[2] or 1) * unit, strategy)

    @property
    def most_at_once(self) -> int:
        """The most that a key can ever take at one time."""
        return self.burst or self.requests if self.strategy == "token_bucket" else self.requests


@dataclass(frozen=True, slots=True)
class Quota:
    """What a key has left, as the `RateLimit` header fields say it."""

    limit: int
    remaining: int
    reset_s: float
    """Seconds until the quota is full again, if nothing else is taken."""


@dataclass(frozen=True, slots=True)
class LimiterSnapshot(Snapshot):
    """A rate limiter's live state, for people."""

    strategy: str
    requests: int
    window_s: float
    keys: int
    """Keys remembered at present."""
    allowed: int
    rejected: int
    """Calls let through and refused since it was built."""
    store: str = ""
    """`connected` or `away`, for a limiter that shares its counts; empty for one that does not."""
