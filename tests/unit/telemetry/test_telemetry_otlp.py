"""The encoder's bytes, read back field by field by a reader that knows only the protobuf wire format."""

import struct
from typing import Any

from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState

from hanse.core import Random
from hanse.core.clock import Clock
from hanse.telemetry import MemorySink, Tracer, otlp


class StillClock(Clock):
    def __init__(self) -> None:
        self.at = 1_700_000_000.25
        self.now = lambda: self.at
        self.monotonic = lambda: self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def read(data: bytes) -> dict[int, list[Any]]:
    """Field number → values, in order: ints for varints, raw bytes for everything else."""
    fields: dict[int, list[Any]] = {}
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = number()
        kind = tag & 7
        if kind == 0:
            value: Any = number()
        else:
            size = {1: 8, 5: 4}.get(kind) or number()
            value = data[at : at + size]
            assert len(value) == size
            at += size
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def fixed(value: bytes) -> int:
    return int.from_bytes(value, "little")


def any_value(data: bytes) -> Any:
    ((kind, (value, *rest)),) = read(data).items()
    assert not rest
    match kind:
        case 1:
            return value.decode()
        case 2:
            return bool(value)
        case 3:
            return value - (1 << 64) if value >= 1 << 63 else value
        case 4:
            return struct.unpack("<d", value)[0]
        case 5:
            return [any_value(item) for item in read(value).get(1, [])]
        case 6:
            return attributes(read(value).get(1, []))
        case 7:
            return value
    raise AssertionError(kind)


def attributes(pairs: list[bytes]) -> dict[str, Any]:
    decoded = {}
    for pair in pairs:
        fields = read(pair)
        decoded[fields[1][0].decode()] = any_value(fields[2][0])
    return decoded


EVERY_KIND_OF_VALUE: dict[str, Any] = {
    "text": "grüße",
    "long": "x" * 300,
    "yes": True,
    "no": False,
    "one": 1,
    "zero": 0,
    "negative": -7,
    "big": 1 << 40,
    "min": -(1 << 63),
    "huge": 1 << 70,
    "half": 0.5,
    "list": ["a", 1, 2.5],
    "bytes": b"\x00\xff",
    "map": {"k": "v"},
}


def test_every_field_of_a_span_arrives() -> None:
    clock, sink = StillClock(), MemorySink()
    tracer = Tracer("orders", sink, clock=clock, random=Random(1))
    parent = SpanContext(0xABC << 100, 0xDEF, True, TraceFlags(1), TraceState([("vendor", "1")]))
    other = SpanContext(77, 88, False, TraceFlags(1))
    span = tracer.span("GET /orders/{id}", kind=SpanKind.SERVER, parent=parent, attributes=EVERY_KIND_OF_VALUE)
    clock.at += 0.5
    span.add_event("checked", {"n": 3})
    span.add_link(Link(other).context, {"why": "batch"})
    try:
        raise ValueError("bad thing")
    except ValueError as error:
        span.record_exception(error)
    span.set_status(StatusCode.ERROR, "it broke")
    clock.at += 1.0
    span.end()

    request = read(otlp.encode_request(otlp.resource({"service.name": "orders"}), [otlp.encode_span(span)] * 2))
    (resource_spans,) = map(read, request[1])
    assert attributes(read(resource_spans[1][0])[1]) == {"service.name": "orders"}
    (scope_spans,) = map(read, resource_spans[2])
    assert read(scope_spans[1][0])[1] == [b"hanse"]
    assert len(scope_spans[2]) == 2

    fields = read(scope_spans[2][0])
    assert sorted(fields) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 16]
    assert fields[1] == [(0xABC << 100).to_bytes(16, "big")]
    assert fields[2] == [span.span_id.to_bytes(8, "big")]
    assert fields[3] == [b"vendor=1"]
    assert fields[4] == [(0xDEF).to_bytes(8, "big")]
    assert fields[5] == [b"GET /orders/{id}"]
    assert fields[6] == [2]  # SPAN_KIND_SERVER
    assert fixed(fields[7][0]) == 1_700_000_000_250_000_000
    assert fixed(fields[8][0]) == 1_700_000_001_750_000_000
    assert attributes(fields[9]) == {**EVERY_KIND_OF_VALUE, "huge": str(1 << 70)}
    assert fixed(fields[16][0]) == 0x301

    checked, failed = map(read, fields[11])
    assert fixed(checked[1][0]) == 1_700_000_000_750_000_000
    assert (checked[2], attributes(checked[3])) == ([b"checked"], {"n": 3})
    assert failed[2] == [b"exception"]
    facts = attributes(failed[3])
    assert (facts["exception.type"], facts["exception.message"]) == ("ValueError", "bad thing")
    assert 'raise ValueError("bad thing")' in facts["exception.stacktrace"]

    (link,) = map(read, fields[13])
    assert (link[1], link[2]) == ([(77).to_bytes(16, "big")], [(88).to_bytes(8, "big")])
    assert (attributes(link[4]), fixed(link[6][0])) == ({"why": "batch"}, 0x101)

    status = read(fields[15][0])
    assert (status[2], status[3]) == ([b"it broke"], [2])


def test_a_bare_root_span_has_no_optional_fields() -> None:
    span = Tracer("orders", MemorySink(), clock=StillClock()).span("work")
    span.end()
    fields = read(read(otlp.encode_span(span))[2][0])
    assert sorted(fields) == [1, 2, 5, 6, 7, 8, 16]
    assert fields[6] == [1]  # SPAN_KIND_INTERNAL
    assert fixed(fields[16][0]) == 0x101


def test_text_that_is_not_unicode_does_not_break_the_encoder() -> None:
    span = Tracer("orders", MemorySink()).span("bad \ud800", attributes={"lone": "\ud800" * 100, "object": object()})
    span.end()
    assert attributes(read(read(otlp.encode_span(span))[2][0])[9])["lone"] == "?" * 100
