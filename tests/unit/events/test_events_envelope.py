"""Envelopes: made from models, read back, and clear about poison; also as NATS headers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from hanse.core import Env, RequestContext, use
from hanse.core.errors import ConfigurationError, InvalidInput
from hanse.events import Envelope, PoisonEvent, event
from hanse.events.nats_wire import (
    delivery_numbers,
    encode,
    event_subject,
    publish_subject,
    read_envelope,
    read_headers,
    write_headers,
)


@event("order.placed", version=3, key="order_id")
class Placed(BaseModel):
    order_id: int
    lines: list[int] = []


words = st.text(st.sampled_from("abcXYZ019_-"), min_size=1, max_size=8)
types = st.lists(words, min_size=1, max_size=4).map(".".join)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
envelopes = st.builds(
    Envelope,
    id=texts,
    source=texts,
    type=types,
    time=st.datetimes(timezones=st.just(UTC)),
    data=st.binary(max_size=100),
    subject=st.one_of(st.just(""), texts),
    datacontenttype=texts,
    version=st.integers(1, 10**6),
    correlation_id=st.one_of(st.just(""), texts),
    traceparent=st.one_of(st.just(""), texts),
)


def test_made_from_a_model_and_the_running_request():
    env = Env.build("test")
    with use(RequestContext(correlation_id="corr-1")):
        made = Envelope.of(Placed(order_id=7), source="orders", env=env, traceparent="00-1")
    assert (made.type, made.version, made.subject, made.source) == ("order.placed", 3, "7", "orders")
    assert (made.correlation_id, made.traceparent, made.datacontenttype) == ("corr-1", "00-1", "application/json")
    assert made.time.tzinfo is UTC
    assert made.id.startswith("evt_")
    assert made.decode(Placed) == Placed(order_id=7)


def test_only_declared_events_travel():
    class Undeclared(BaseModel):
        pass

    with pytest.raises(ConfigurationError):
        Envelope.of(Undeclared(), source="orders", env=Env.build("test"))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"order_id": "x", "lines": ["y"]}', r"does not fit Placed: order_id: .* \(and 1 more\)"),
        (b"{}", "order_id: Field required"),
        (b"\xff", "does not fit Placed: data: "),
        (b"", "does not fit Placed: data: "),
    ],
)
def test_poison_says_what_is_wrong(data, says):
    envelope = Envelope("1", "orders", "order.placed", datetime.now(UTC), data)
    with pytest.raises(PoisonEvent, match=says):
        envelope.decode(Placed)


@given(envelopes)
def test_attributes_give_the_envelope_back(envelope):
    assert Envelope.from_attributes(envelope.attributes(), envelope.data) == envelope


@given(envelopes)
def test_headers_give_the_envelope_back(envelope):
    block = write_headers(envelope)
    assert read_envelope(block, envelope.data) == envelope
    assert block.startswith(b"NATS/1.0\r\n")
    assert block.endswith(b"\r\n\r\n")
    assert b"\r\n\r\n" not in block[:-4], "no value can end the block early"
    assert read_headers(block)["nats-msg-id"] == envelope.id


@given(envelopes)
def test_headers_of_others_are_read_in_any_order(envelope):
    first, *lines = write_headers(envelope).rstrip(b"\r\n").split(b"\r\n")
    shuffled = b"\r\n".join([first, *reversed(lines), b"X-Other: 1", b"", b""])
    assert read_envelope(shuffled, envelope.data) == envelope


@given(texts)
def test_header_values_are_plain(value):
    assert encode(value).isascii()
    assert not set(encode(value)) & set(' "\r\n')


@pytest.mark.parametrize("change", ["id", "source", "type", "time"])
def test_a_missing_attribute_is_poison(change):
    attributes = Envelope("1", "orders", "order.placed", datetime.now(UTC), b"").attributes()
    with pytest.raises(PoisonEvent, match=f"attribute '{change}' is missing"):
        Envelope.from_attributes({name: value for name, value in attributes.items() if name != change}, b"")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"time": "yesterday"}, "Invalid isoformat"),
        ({"time": "2026-01-01T00:00:00"}, "no offset"),
        ({"dataversion": "x"}, "invalid literal"),
        ({"id": ""}, "may not be empty"),
    ],
)
def test_a_bad_attribute_is_poison(change, says):
    attributes = Envelope("1", "orders", "order.placed", datetime.now(UTC), b"").attributes()
    with pytest.raises(PoisonEvent, match=says):
        Envelope.from_attributes({**attributes, **change}, b"")


@pytest.mark.parametrize("block", [None, b"", b"NATS/1.0\r\n\r\n", b"NATS/1.0\r\nce-id: 1\r\n\r\n", b"\xff\xfe"])
def test_headers_that_make_no_event(block):
    with pytest.raises(PoisonEvent):
        read_envelope(block, b"")


@pytest.mark.parametrize("time", [b"2026-01-01T00:00:00", b"2026-13-01T00:00:00+00:00"])
def test_times_in_headers_are_checked(time):
    envelope = Envelope("1", "orders", "order.placed", datetime(2026, 1, 1, tzinfo=UTC), b"")
    block = write_headers(envelope)
    assert b"2026-01-01T00:00:00+00:00" in block
    with pytest.raises(PoisonEvent):
        read_envelope(block.replace(b"2026-01-01T00:00:00+00:00", time), b"")


def test_times_of_other_zones_stay_the_same_moment():
    elsewhere = timezone(timedelta(hours=2))
    envelope = Envelope("1", "orders", "order.placed", datetime(2026, 1, 1, tzinfo=elsewhere), b"")
    assert read_envelope(write_headers(envelope), b"") == replace(envelope, time=envelope.time.astimezone(UTC))


def test_subjects():
    assert event_subject("order.placed") == "evt.order.placed"
    assert event_subject("order.#") == "evt.order.>"
    assert event_subject("#") == "evt.>"
    assert publish_subject("order.placed") == b"evt.order.placed"
    with pytest.raises(InvalidInput):
        publish_subject("order.placed 5\r\nPUB evil 0")


@pytest.mark.parametrize(
    "reply", [b"$JS.ACK.EVENTS.c.3.17.5.1700000000.9", b"$JS.ACK._.hash.EVENTS.c.3.17.5.1700000000.9.tok"]
)
def test_numbers_of_a_delivery(reply):
    assert delivery_numbers(reply) == (3, 17, 1700000000)
