"""A route: which requests go to which service, and under which rules."""

import re
from dataclasses import dataclass
from enum import IntEnum

from hanse.core.errors import ConfigurationError
from hanse.gateway.limit import RateLimit

ONE_MIB = 1 << 20
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;:@/{}-]*")
_PARAMETER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_MAX_BODY_BYTES = 1 << 30


class PathKind(IntEnum):
    """How a route's path is matched; the order is that of precedence between paths of the same length."""

    PREFIX = 0
    PATTERN = 1
    EXACT = 2


@dataclass(frozen=True, slots=True)
class Route:
    """One rule of the gateway. The most specific path wins, whatever the order in which routes are written.

    Args:
        path: `/api/orders` and all below it; `=/api/orders` exactly that; `/api/orders/{id}/events` any one
            segment in place of the braces, and nothing below.
        service: name of the service that answers.
        methods: only these; other methods get 405 unless another route of the same path takes them. Empty: all.
        strip: the front of the path that the service does not see (`/api`); must be the path or whole segments of it.
        auth: needs a valid token of one of the gateway's providers.
        roles: needs one of these in the token's `roles`; implies `auth`.
        api_key: needs an `X-API-Key` that the gateway knows.
        limit: `100/minute per user`, see `RateLimit.parse`.
        timeout: seconds for the whole answer, retries included; 0 < timeout ≤ 3600. Not applied to streams.
        stream: the answer may last for ever (server-sent events) or be a WebSocket.
        retries: repetitions of idempotent requests that failed on the way, 0 to 10.
        max_body_bytes: larger requests get 413.
        name: for logs and metrics; by default the methods and the path.
    """

    path: str
    service: str
    methods: tuple[str, ...] = ()
    strip: str = ""
    auth: bool = False
    roles: tuple[str, ...] = ()
    api_key: bool = False
    limit: str | RateLimit | None = None
    timeout: float = 15.0
    stream: bool = False
    retries: int = 2
    max_body_bytes: int = ONE_MIB
    name: str = ""

    @property
    def kind(self) -> PathKind:
        if self.path.startswith("="):
            return PathKind.EXACT
        return PathKind.PATTERN if "{" in self.path else PathKind.PREFIX

    @property
    def pattern(self) -> str:
        """The path without the mark of an exact one and without a closing slash."""
        path = self.path.removeprefix("=")
        return path if path == "/" or self.kind is PathKind.EXACT else path.rstrip("/")

    @property
    def reached(self) -> str:
        """The path as the service sees it."""
        return self.pattern.removeprefix(self.strip.rstrip("/")) or "/"

    @property
    def label(self) -> str:
        return self.name or " ".join(filter(None, (",".join(self.methods), self.path)))

    @property
    def needs_token(self) -> bool:
        return self.auth or bool(self.roles)

    @property
    def rate(self) -> RateLimit | None:
        """The limit, parsed. Raises ConfigurationError when its text says none."""
        return RateLimit.parse(self.limit) if isinstance(self.limit, str) else self.limit

    @property
    def precedence(self) -> tuple[int, int, int, int]:
        """Sorts routes: the more segments (literal ones first), the closer the kind, the narrower the methods."""
        segments = [part for part in self.pattern.split("/") if part]
        literal = sum(1 for part in segments if "{" not in part)
        return (-len(segments), -literal, -int(self.kind), 0 if self.methods else 1)

    def problems(self) -> list[str]:
        """One clear line for each thing that is wrong with this route by itself."""
        where = f"route {self.path!r}"
        found: list[str] = []
        if not _PATH.fullmatch(self.path.removeprefix("=")) or "//" in self.path:
            found.append(f'{where}: a path starts with "/" (or "=/") and has no blanks, "?", "#" or "//"')
        elif any(c in _PARAMETER.sub("", self.path) for c in "{}") or not self._parameters_fill_segments():
            found.append(f'{where}: a parameter is one whole segment, as in "/orders/{{id}}/events"')
        elif self.kind is PathKind.EXACT and "{" in self.path:
            found.append(f'{where}: a path with parameters is exact already; drop the "="')
        if not _NAME.fullmatch(self.service):
            found.append(f"{where}: {self.service!r} is no name of a service (letters, digits, _ and -)")
        found += [f"{where}: method {m!r} is unknown" for m in self.methods if m not in METHODS]
        if self.strip and not self._strips_whole_segments():
            found.append(f"{where}: strip {self.strip!r} is not the beginning of the path")
        if self.reached.split("/")[1:2] == ["internal"]:
            found.append(f"{where}: leads to /internal of {self.service!r}, which is never routed")
        found += self._bounds(where)
        return found + self._limit_problems(where)

    def _parameters_fill_segments(self) -> bool:
        return all(_PARAMETER.fullmatch(part) for part in self.path.split("/") if "{" in part)

    def _strips_whole_segments(self) -> bool:
        strip = self.strip.rstrip("/")
        return "{" not in strip and (self.pattern == strip or self.pattern.startswith(f"{strip}/"))

    def _bounds(self, where: str) -> list[str]:
        found = []
        if not 0 < self.timeout <= 3600:
            found.append(f"{where}: timeout {self.timeout} is not between 0 and 3600 seconds")
        if not 0 <= self.retries <= 10:
            found.append(f"{where}: retries {self.retries} is not between 0 and 10")
        if not 0 < self.max_body_bytes <= _MAX_BODY_BYTES:
            found.append(f"{where}: max_body_bytes {self.max_body_bytes} is not between 1 and {_MAX_BODY_BYTES}")
        return found

    def _limit_problems(self, where: str) -> list[str]:
        try:
            rate = self.rate
        except ConfigurationError as error:
            return [f"{where}: {error.message}"]
        if rate and rate.per == "user" and not self.needs_token:
            return [f"{where}: a limit per user needs auth=True"]
        if rate and rate.per == "key" and not self.api_key:
            return [f"{where}: a limit per key needs api_key=True"]
        return []
