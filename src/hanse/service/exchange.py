"""`Exchange`: one HTTP request while it is served: what came with it, how it is traced, what was answered."""

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from hanse.core import RequestContext
from hanse.core.errors import DeadlineExceeded
from hanse.service.problem import MEDIA_TYPE, Problem
from hanse.telemetry import parse_traceparent
from hanse.telemetry.propagation import context_of, parse_baggage

if TYPE_CHECKING:
    from hanse.service.node import Node
    from hanse.service.shedding import Place

_WANTED = frozenset(
    {
        b"traceparent",
        b"tracestate",
        b"baggage",
        b"x-correlation-id",
        b"x-request-id",
        b"x-request-timeout-ms",
        b"x-envoy-expected-rq-timeout-ms",
        b"content-length",
        b"transfer-encoding",
        b"user-agent",
    }
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})
_OTHER = "_OTHER"
_MAX_CORRELATION = 128
_MAX_TIMEOUT_MS = 3_600_000
_MAX_LENGTH_DIGITS = 15
_STREAM = b"text/event-stream"
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_CLOSE = (b"connection", b"close")


class Exchange:
    """Stands between the server and the application for one request: adds what every response carries, counts the
    body, and knows the outcome."""

    __slots__ = (
        "_chunked_bytes",
        "_found",
        "_receive",
        "_send",
        "_task",
        "began",
        "code",
        "context",
        "correlation_id",
        "cut",
        "method",
        "node",
        "otel",
        "path",
        "place",
        "remaining_s",
        "scope",
        "span",
        "status",
        "streaming",
    )

    def __init__(self, node: "Node", scope: Scope, receive: Receive, send: Send) -> None:
        self.node = node
        self.scope = scope
        self.began = node.env.clock.monotonic()
        self.path: str = scope["path"]
        method: str = scope["method"]
        self.method = method if method in _METHODS else _OTHER
        self.status = 0
        """0 until the response has begun."""
        self.code = ""
        """Of the problem that was answered."""
        self.streaming = False
        """The response is a stream of events, which has no end of its own."""
        self.cut = False
        """The node has ended this exchange early."""
        self.place: Place | None = None
        """Held until the response begins."""
        self._chunked_bytes = 0
        self._receive = receive
        self._send = send
        self._task: asyncio.Task[object] | None = None
        self._found = found = {name: value for name, value in scope["headers"] if name in _WANTED}
        state = found.get(b"tracestate")
        parent = parse_traceparent(found.get(b"traceparent"), state.decode("latin-1") if state else None)
        client = scope.get("client")
        self.span = node.tracer.start(
            self.method,
            SpanKind.SERVER,
            parent,
            {
                "http.request.method": self.method,
                "url.path": self.path,
                "url.scheme": scope.get("scheme", "http"),
                "client.address": client[0] if client else "",
                "user_agent.original": found.get(b"user-agent", b"").decode("latin-1"),
            },
        )
        self.correlation_id = _correlation(found) or f"{self.span.trace_id:032x}"
        self.remaining_s = _remaining_s(found)
        deadline = None if self.remaining_s is None else self.began + self.remaining_s
        self.context = RequestContext(self.correlation_id, deadline)
        bag = found.get(b"baggage")
        self.otel: Context = context_of(self.span, parse_baggage(bag.decode("latin-1")) if bag else {})

    def begin(self) -> Receive:
        """Check what can be checked before any work is done; returns what the application reads the body from.

        Raises:
            HTTPException: 413 for a body that says it is too large, 400 for one whose length is ambiguous.
            DeadlineExceeded: the caller has given up already.
        """
        self._task = asyncio.current_task()
        found = self._found
        length = found.get(b"content-length")
        if b"transfer-encoding" in found:
            if length is not None:  # RFC 9112, section 6.1: a sign of request smuggling
                raise HTTPException(400, "Content-Length and Transfer-Encoding exclude each other.")
            return self._counted
        if length is not None:
            if not length.isdigit():
                raise HTTPException(400, "Content-Length is not a number.")
            if len(length) > _MAX_LENGTH_DIGITS or int(length) > self.node.settings.body_limit_bytes:
                raise HTTPException(413, headers={"connection": "close"})
        if self.remaining_s is not None and self.remaining_s <= 0:
            raise DeadlineExceeded("the time for this request had run out before it arrived")
        return self._receive

    def send(self, message: Message) -> Awaitable[None]:
        """What the application sends through."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.place is not None:
                self.place.leave(self.status)
                self.place = None
            headers = [
                *message.get("headers", ()),
                (b"x-correlation-id", self.correlation_id.encode("latin-1")),
                (b"x-trace-id", b"%032x" % self.span.trace_id),
                *_HEADERS,
            ]
            if self.node.draining:
                headers.append(_CLOSE)
            for name, value in headers:
                if name == b"content-type":
                    self.streaming = value.startswith(_STREAM)
                    break
            message["headers"] = headers
            if self.streaming and self.node.draining:
                self.end_early()
        return self._send(message)

    async def answer(self, problem: Problem) -> None:
        """Send `problem` as the response."""
        self.code = problem.code
        body = problem.body(instance=self.path, correlation_id=self.correlation_id)
        headers = [
            (b"content-type", MEDIA_TYPE),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            *problem.headers,
        ]
        await self.send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})

    def end_early(self) -> None:
        """Have the application stop: streams end as if they were complete, everything else is answered with 503."""
        if not self.cut and self._task is not None:
            self.cut = True
            self._task.cancel()

    async def finish_early(self) -> None:
        """Say the last word of an exchange that was ended early."""
        if self.status:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self.answer(
                Problem(503, "unavailable", "The service stops; ask again.", headers=((b"retry-after", b"1"),))
            )

    def record(self) -> None:
        """Tell metrics, trace and log how it went."""
        if self.place is not None:
            self.place.abandon()
            self.place = None
        took_s = self.node.env.clock.monotonic() - self.began
        route, status, span, method = route_of(self.scope), self.status or 500, self.span, self.method
        attributes = span.attributes
        attributes["http.response.status_code"] = status
        if route:
            attributes["http.route"] = route
            span.name = f"{method} {route}"
        if status >= 500:
            attributes["error.type"] = self.code or str(status)
            span.set_status(StatusCode.ERROR)
        span.end()
        self.node.observe(method, route, status, took_s)
        line = {
            "method": method,
            "path": self.path,
            "route": route,
            "status": status,
            "duration_ms": round(took_s * 1000, 3),
            "correlation_id": self.correlation_id,
            "trace_id": f"{span.trace_id:032x}",
            "span_id": f"{span.span_id:016x}",
            "client": attributes["client.address"],
        }
        if self.code:
            line["code"] = self.code
        self.node.logs.request(line)

    async def _counted(self) -> Message:
        """`receive` for a body of unknown length."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._chunked_bytes += len(message.get("body", b""))
            if self._chunked_bytes > self.node.settings.body_limit_bytes:
                raise HTTPException(413, headers={"connection": "close"})
        return message


def _correlation(found: dict[bytes, bytes]) -> str:
    """The caller's id if it is printable ASCII of at most 128 characters; "" otherwise."""
    value = found.get(b"x-correlation-id") or found.get(b"x-request-id")
    if value is None or len(value) > _MAX_CORRELATION:
        return ""
    text = value.decode("latin-1")
    return text if text.isascii() and text.isprintable() else ""


def _remaining_s(found: dict[bytes, bytes]) -> float | None:
    """How long the caller waits, in seconds: the smaller of our header and Envoy's; None if neither says."""
    told = [found.get(b"x-request-timeout-ms"), found.get(b"x-envoy-expected-rq-timeout-ms")]
    if told == [None, None]:
        return None
    limits = [int(value) for value in told if value is not None and value.isdigit() and len(value) < 10]
    return min(min(limits), _MAX_TIMEOUT_MS) / 1000 if limits else None


def route_of(scope: Scope) -> str:
    """The matched route's template with all prefixes; "" when nothing matched."""
    known = scope.get("fastapi")
    effective = known.get("effective_route_context") if known else None
    if effective is not None:
        return str(effective.path_format)
    route = scope.get("route")
    return str(getattr(route, "path_format", None) or getattr(route, "path", "")) if route is not None else ""
