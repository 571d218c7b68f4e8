"""How many requests one caller may make: the limit that a person writes and the bucket that Envoy fills."""

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from hanse.core.errors import ConfigurationError

LimitKey = Literal["ip", "user", "key"]

_WINDOWS_S = {"second": 1, "s": 1, "minute": 60, "m": 60, "hour": 3600, "h": 3600, "day": 86400, "d": 86400}
_TEXT = re.compile(r"(?P<requests>\d+)\s*/\s*(?P<times>\d*)\s*(?P<window>[a-z]+)(\s+per\s+(?P<key>\w+))?")
_MAX_REQUESTS = 1_000_000


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `requests` within `window_s` for each caller, refilled evenly; a full bucket may be spent at once.

    Args:
        requests: 1 to 1,000,000.
        window_s: whole seconds, 1 second to 1 day.
        per: who counts as one caller: the client's address, the token's subject, or the API key's client.
    """

    requests: int
    window_s: int
    per: LimitKey = "ip"

    @classmethod
    def parse(cls, text: str) -> "RateLimit":
        """Read `100/minute per user`, `10/second`, `1000/15m per ip`, `5000/day per key`. Without `per`: ip.

        Raises:
            ConfigurationError: the text says no limit; the message shows what is understood.
        """
        match = _TEXT.fullmatch(text.strip().lower())
        if match is None or match["window"] not in _WINDOWS_S:
            raise ConfigurationError(f'limit "{text}" is not understood; write for example "100/minute per user"')
        per = match["key"] or "ip"
        if per not in get_args(LimitKey):
            raise ConfigurationError(f'limit "{text}": "per {per}" is unknown; one of per ip, per user, per key')
        requests, window_s = int(match["requests"]), int(match["times"] or 1) * _WINDOWS_S[match["window"]]
        if not 1 <= requests <= _MAX_REQUESTS:
            raise ConfigurationError(f'limit "{text}": between 1 and {_MAX_REQUESTS} requests')
        if not 1 <= window_s <= _WINDOWS_S["day"]:
            raise ConfigurationError(f'limit "{text}": the window is between 1 second and 1 day')
        return cls(requests, window_s, per)  # type: ignore[arg-type]  # checked against LimitKey above

    @property
    def retry_after_s(self) -> int:
        """Whole seconds until an empty bucket has a token again: what `Retry-After` says (RFC 9110, 10.2.3)."""
        return max(1, math.ceil(self.window_s / self.requests))

    def __str__(self) -> str:
        return f"{self.requests} in {self.window_s} s per {self.per}"
