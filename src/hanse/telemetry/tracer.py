"""`Tracer`: starts spans and decides which traces are recorded."""

from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind

from hanse.core import Clock, Random, SystemClock
from hanse.telemetry.sink import SpanSink
from hanse.telemetry.span import Span

_RATIO_BITS = 56
_RATIO_MASK = (1 << _RATIO_BITS) - 1


class Tracer:
    """Makes the spans of one service.

    A trace begun here is recorded with probability `sample`, decided by its id (the 56 random bits of W3C trace
    context level 2), so that all services agree; a trace that comes from outside follows its sampled flag.

    Args:
        service: the name under which the spans are reported; the sink's resource should say the same.
        sink: takes the ended, sampled spans.
        sample: 0 to 1.
        clock, random: the seams of the node; default to those of the machine.
    """

    def __init__(
        self,
        service: str,
        sink: SpanSink,
        sample: float = 1.0,
        *,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self.service = service
        self.sink = sink
        self._clock = clock or SystemClock()
        self._bits = (random or Random()).getrandbits
        self._bound = int(min(max(sample, 0.0), 1.0) * (1 << _RATIO_BITS))

    def span(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        parent: SpanContext | None = None,
        links: tuple[SpanContext, ...] = (),
    ) -> Span:
        """Start a span; use it in a `with` block, or call `end` yourself.

        Args:
            parent: of another process or task; None takes the current span, if there is one.
            links: traces that caused this one without being its parent.
        """
        if parent is None:
            parent = trace.get_current_span().get_span_context()
        span = self.start(name, kind, parent if parent.is_valid else None, dict(attributes) if attributes else {})
        for link in links:
            span.add_link(link)
        return span

    def start(self, name: str, kind: SpanKind, parent: SpanContext | None, attributes: dict[str, Any]) -> Span:
        """The short way for hot paths: no look at the current span, and `attributes` belongs to the span."""
        bits = self._bits
        if parent is None:
            trace_id = bits(128) or 1
            sampled = trace_id & _RATIO_MASK < self._bound
        else:
            trace_id = parent.trace_id
            sampled = bool(parent.trace_flags & 1)
        emit = self.sink.put if sampled else None
        return Span(name, kind, (trace_id, bits(64) or 1), parent, attributes, self._clock, emit)


def current_span() -> trace.Span:
    """The span of the running task; one that records nothing when there is none."""
    return trace.get_current_span()


def trace_id_hex() -> str:
    """The id of the current trace in 32 hex digits; "" outside any trace."""
    span = trace.get_current_span()
    trace_id = span.trace_id if isinstance(span, Span) else span.get_span_context().trace_id
    return f"{trace_id:032x}" if trace_id else ""
