"""What travels with a request: correlation id, deadline and who is calling."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling: a person or a service, as a verified token says."""

    subject: str
    """Opaque id of the user, or the name of the service."""
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict)
    """The token's other claims, as they came."""
    token: str = field(default="", repr=False)
    """The raw bearer token, to be passed on to the next service; never logged."""


@dataclass(slots=True)
class RequestContext:
    """The context of one request, message or saga step. Mutable only by the layer that opened it."""

    correlation_id: str = ""
    deadline: float | None = None
    """On the monotonic clock of this node; None where nobody set one."""
    principal: Principal | None = None
    """The user on whose behalf the work is done, if any."""
    caller: Principal | None = None
    """The service that sent the request, if it proved who it is."""


_EMPTY = RequestContext()
_CURRENT: ContextVar[RequestContext] = ContextVar("hanse_request", default=_EMPTY)


def current() -> RequestContext:
    """The context of the running task; an empty one outside any request (do not change that one)."""
    return _CURRENT.get()


def enter(context: RequestContext) -> None:
    """Make `context` that of the running task, for the rest of its life. For tasks that serve exactly one request."""
    _CURRENT.set(context)


@contextmanager
def use(context: RequestContext) -> Iterator[RequestContext]:
    """Make `context` that of the running task inside the `with` block."""
    token = _CURRENT.set(context)
    try:
        yield context
    finally:
        _CURRENT.reset(token)
