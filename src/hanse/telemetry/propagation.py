"""Trace context between processes: the headers `traceparent`, `tracestate` and `baggage`.

Source: W3C Trace Context level 2 (sections 3.2 and 3.3), W3C Baggage (section 3).
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

from hanse.telemetry.span import Span

_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_FLAGS = (TraceFlags(TraceFlags.DEFAULT), TraceFlags(TraceFlags.SAMPLED))
_BAGGAGE_MAX_BYTES = 8192
_BAGGAGE_MAX_PAIRS = 180
_BAGGAGE_SAFE = "!#$&'()*+-./:<=>?@[]^_`{|}~"


def parse_traceparent(value: str | bytes | None, state: str | None = None) -> SpanContext | None:
    """The remote parent that a `traceparent` header names; None when it is absent or malformed.

    Args:
        value: the header as it came.
        state: the `tracestate` header, passed on as it is.
    """
    if not value:
        return None
    raw = value.encode("latin-1", "replace") if isinstance(value, str) else value
    found = _PARENT.fullmatch(raw)
    if found is None:
        return None
    version, trace_hex, span_hex, flags, rest = found.groups()
    if version == b"ff" or (version == b"00" and rest is not None):
        return None
    trace_id, span_id = int(trace_hex, 16), int(span_hex, 16)
    if not trace_id or not span_id:
        return None
    states = TraceState.from_header([state]) if state else None
    return SpanContext(trace_id, span_id, True, _FLAGS[int(flags, 16) & 1], states)


def traceparent(span: trace.Span | None = None) -> str:
    """The `traceparent` of `span`, or of the current span; "" when there is none."""
    span = span or trace.get_current_span()
    if isinstance(span, Span):
        return f"00-{span.trace_id:032x}-{span.span_id:016x}-{'01' if span.sampled else '00'}"
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


def parse_baggage(value: str) -> dict[str, str]:
    """The entries of a `baggage` header; properties and malformed entries are dropped, as is what exceeds 8 KiB."""
    entries: dict[str, str] = {}
    if len(value) > _BAGGAGE_MAX_BYTES:
        return entries
    for member in value.split(",")[:_BAGGAGE_MAX_PAIRS]:
        key, found, text = member.partition(";")[0].partition("=")
        if found and (key := key.strip()):
            entries[key] = unquote(text.strip())
    return entries


def context_of(span: trace.Span, bag: Mapping[str, str]) -> Context:
    """An OpenTelemetry context that holds just `span` and `bag`."""
    context = set_span_in_context(span, Context())
    for key, value in bag.items():
        context = baggage.set_baggage(key, value, context)
    return context


def inject(headers: dict[str, str], span: trace.Span | None = None) -> None:
    """Write `span`, or else the current one, and the baggage into `headers`; nothing when there is no span."""
    span = span or trace.get_current_span()
    parent = traceparent(span)
    if not parent:
        return
    headers["traceparent"] = parent
    context = span.parent if isinstance(span, Span) else span.get_span_context()
    state = context.trace_state if context is not None else None
    if state:
        headers["tracestate"] = state.to_header()
    if bag := baggage.get_all():
        text = ",".join(f"{key}={quote(str(value), safe=_BAGGAGE_SAFE)}" for key, value in bag.items())
        if len(text) <= _BAGGAGE_MAX_BYTES:
            headers["baggage"] = text


def extract(headers: Mapping[str, str]) -> Context:
    """The OpenTelemetry context that `headers` (names in lower case) carry: remote span and baggage.

    Attach it, or give it to OpenTelemetry's API; for a span of ours `parse_traceparent` is enough.
    """
    parent = parse_traceparent(headers.get("traceparent"), headers.get("tracestate"))
    span: trace.Span = NonRecordingSpan(parent) if parent is not None else trace.INVALID_SPAN
    return context_of(span, parse_baggage(headers.get("baggage", "")))
