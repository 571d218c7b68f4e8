"""One call under way: what stays the same over its attempts, and what its failures so far mean."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from hanse.client.errors import CallFailure, ResponseTooLarge, TimedOut, Unanswered, Unreachable
from hanse.client.targets import Target
from hanse.client.transport import DEFAULT_LIMIT_BYTES, TransportFailure
from hanse.core.errors import InvalidInput

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
"""Methods that may be repeated without changing the result (RFC 9110, section 9.2.2)."""

REPEATABLE_STATUS = frozenset({502, 503, 504})
"""Answers after which an idempotent call is repeated."""


class Upload:
    """A body that is read once: when it has begun to flow, the call can't be repeated."""

    def __init__(self, pieces: AsyncIterable[bytes]) -> None:
        self.begun = False
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun = True
        async for piece in self._pieces:
            yield piece


class Call:
    """One call of a client."""

    __slots__ = (
        "answered_by", "attempts", "body", "end", "hash_key", "headers", "limit_bytes", "method", "path", "repeatable",
        "rounds", "service", "tells_time", "tried", "uncertain",
    )  # fmt: skip

    def __init__(
        self, service: str, method: str, path: str, body: bytes | Upload | None, headers: dict[str, str]
    ) -> None:
        self.service = service
        self.method = method
        self.path = path
        self.body = body
        self.headers = headers
        self.repeatable = method in IDEMPOTENT or "idempotency-key" in headers
        self.end = 0.0
        """By when the call must have ended, on the monotonic clock."""
        self.limit_bytes = DEFAULT_LIMIT_BYTES
        """Of the answer's body."""
        self.hash_key: str | None = None
        """What decides about the instance, where the balancing goes by it."""
        self.tells_time = True
        """False for a stream without a deadline: the called service must not stop work on it."""
        self.attempts = 0
        """Attempts made."""
        self.rounds = 0
        """Failures that the retry policy was asked about; going on to another instance at once is none."""
        self.tried: list[Target] = []
        """Instances that did not serve it, in order."""
        self.answered_by = ""
        """Id of the instance whose answer counts."""
        self.uncertain = False
        """True once an attempt was sent and not answered."""

    @property
    def replayable(self) -> bool:
        """True while the body can be sent (again)."""
        return not (isinstance(self.body, Upload) and self.body.begun)

    def error(self, reason: str, *, timed_out: bool = False) -> CallFailure:
        """What the caller gets when no attempt was answered.

        Args:
            reason: why the last attempt failed, or was not made.
            timed_out: it was the time that ran out.
        """
        what = f"{self.method} {self.path.partition('?')[0]}"
        facts: dict[str, Any] = {"service": self.service, "attempts": self.attempts}
        found: CallFailure
        if not self.uncertain:
            found = Unreachable(f"{self.service} could not be reached for {what}: {reason}", **facts)
        elif timed_out:
            found = TimedOut(
                f"{self.service} did not answer {what} in time; it may or may not have taken effect", **facts
            )
        else:
            found = Unanswered(
                f"{self.service} did not answer {what} ({reason}); it may or may not have taken effect", **facts
            )
        return self.describe(found)

    def too_large(self) -> CallFailure:
        """What the caller gets when the answer was too large to be read."""
        text = (
            f"{self.service} answered {self.method} {self.path.partition('?')[0]} with more than {self.limit_bytes} B"
        )
        return self.describe(ResponseTooLarge(text, service=self.service, limit_bytes=self.limit_bytes))

    def describe(self, error: CallFailure) -> CallFailure:
        """Write into `error` whom the call was for and what was tried."""
        error.service = self.service
        error.instance = self.answered_by or (self.tried[-1].id if self.tried else "")
        error.attempts = self.attempts
        error.correlation_id = self.headers["x-correlation-id"]
        return error

    def failed(self, target: Target, failure: TransportFailure) -> None:
        """Remember an attempt without an answer."""
        self.tried.append(target)
        self.uncertain = self.uncertain or failure.sent


def target_path(path: str, params: Mapping[str, Any] | None) -> str:
    """Path and query as they go over the wire.

    Args:
        path: begins with "/"; may have a query already.
        params: added to the query; None values are left out, booleans are lower case, lists are repeated.

    Raises:
        InvalidInput: the path does not begin with "/": it could name another host.
    """
    if not path.startswith("/"):
        raise InvalidInput(f'a path begins with "/", not "{path[:80]}"')
    if not params:
        return path
    pairs = [(name, _text(value)) for name, value in params.items() if value is not None]
    if not pairs:
        return path
    return f"{path}{'&' if '?' in path else '?'}{urlencode(pairs, doseq=True)}"


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that an answer asks to wait (RFC 9110, section 10.2.3); None when it does not, or not readably.

    Args:
        now: Unix time.
    """
    text = headers.get("retry-after")
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now, 0.0)


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return [_text(item) for item in value]
    return value
