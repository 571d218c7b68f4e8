"""Spans nest, sample, travel between processes, and never report themselves twice."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, context, trace
from opentelemetry.trace import SpanKind, StatusCode

from hanse.core import Random
from hanse.telemetry import (
    MemorySink,
    Span,
    Tracer,
    current_span,
    extract,
    inject,
    parse_traceparent,
    trace_id_hex,
    traceparent,
)
from hanse.telemetry.propagation import parse_baggage


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def tracer(sink: MemorySink) -> Tracer:
    return Tracer("orders", sink, random=Random(7))


def test_spans_nest_and_end_once(tracer: Tracer, sink: MemorySink) -> None:
    with tracer.span("outer") as outer:
        assert current_span() is outer
        assert trace_id_hex() == f"{outer.trace_id:032x}"
        with tracer.span("inner", kind=SpanKind.CLIENT, attributes={"a": 1}) as inner:
            pass
        inner.end()
        inner.set_attribute("late", 1)
        assert current_span() is outer
    assert not current_span().is_recording()
    assert trace_id_hex() == ""
    assert [span.name for span in sink.spans] == ["inner", "outer"]
    assert inner.trace_id == outer.trace_id
    assert inner.parent is not None
    assert inner.parent.span_id == outer.span_id
    assert inner.attributes == {"a": 1}
    assert outer.end_ns >= inner.end_ns >= inner.start_ns >= outer.start_ns


def test_an_exception_is_recorded_and_goes_on(tracer: Tracer, sink: MemorySink) -> None:
    with pytest.raises(KeyError), tracer.span("work"):
        raise KeyError("x")
    (span,) = sink.spans
    assert span.status is StatusCode.ERROR
    assert span.events is not None
    assert span.events[0][2]["exception.type"] == "KeyError"


def test_a_cancelled_span_is_no_error(tracer: Tracer, sink: MemorySink) -> None:
    with pytest.raises(asyncio.CancelledError), tracer.span("work"):
        raise asyncio.CancelledError
    assert sink.spans[0].status is StatusCode.UNSET


def test_ok_is_final(tracer: Tracer) -> None:
    span = tracer.span("work")
    span.set_status(StatusCode.OK)
    span.set_status(StatusCode.ERROR, "no")
    assert (span.status, span.error) == (StatusCode.OK, "")


def test_what_is_not_sampled_is_not_reported_but_travels(sink: MemorySink) -> None:
    tracer = Tracer("orders", sink, sample=0.0)
    with tracer.span("work") as span:
        assert not span.is_recording()
        assert traceparent().endswith("-00")
        with tracer.span("inner") as inner:
            assert inner.trace_id == span.trace_id
    assert not sink.spans


def test_the_share_of_recorded_traces_follows_the_rate(sink: MemorySink) -> None:
    tracer = Tracer("orders", sink, sample=0.25, random=Random(3))
    for _ in range(2000):
        tracer.span("work").end()
    assert 420 < len(sink.spans) < 580


def test_a_sampled_caller_decides_for_the_callee(sink: MemorySink) -> None:
    tracer = Tracer("orders", sink, sample=0.0)
    parent = parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    tracer.span("work", parent=parent).end()
    assert len(sink.spans) == 1


def test_opentelemetrys_api_sees_our_span(tracer: Tracer) -> None:
    with tracer.span("work") as span:
        seen = trace.get_current_span()
        assert seen is span
        assert seen.get_span_context().is_valid
        assert isinstance(seen, Span)


def test_tasks_inherit_the_span_and_do_not_share_it(tracer: Tracer) -> None:
    async def child() -> str:
        with tracer.span("child") as span:
            await asyncio.sleep(0)
            assert current_span() is span
            return trace_id_hex()

    async def main() -> None:
        with tracer.span("parent") as parent:
            ids = await asyncio.gather(child(), child())
            assert set(ids) == {f"{parent.trace_id:032x}"}
            assert current_span() is parent

    asyncio.run(main())


@pytest.mark.parametrize(
    "header",
    [
        "",
        "garbage",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n",
        "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ],
)
def test_a_malformed_traceparent_starts_a_new_trace(header: str) -> None:
    assert parse_traceparent(header) is None
    assert parse_traceparent(header.encode()) is None


def test_a_later_version_of_traceparent_is_understood() -> None:
    parent = parse_traceparent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more")
    assert parent is not None
    assert (parent.is_remote, parent.trace_flags) == (True, 1)


def test_context_survives_the_way_through_headers(tracer: Tracer) -> None:
    headers = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=1",
        "baggage": "user=ada%20l%2Cx;secret=1, plan=gold,broken",
    }
    token = context.attach(extract(headers))
    try:
        assert baggage.get_all() == {"user": "ada l,x", "plan": "gold"}
        with tracer.span("work") as span:
            out: dict[str, str] = {}
            inject(out)
    finally:
        context.detach(token)
    assert out["traceparent"] == f"00-0af7651916cd43dd8448eb211c80319c-{span.span_id:016x}-01"
    assert out["tracestate"] == "vendor=1"
    assert parse_baggage(out["baggage"]) == {"user": "ada l,x", "plan": "gold"}


def test_nothing_is_injected_outside_a_span() -> None:
    headers: dict[str, str] = {}
    inject(headers)
    assert headers == {}


@given(st.text())
def test_any_header_is_survived(text: str) -> None:
    parse_traceparent(text)
    parse_baggage(text)
