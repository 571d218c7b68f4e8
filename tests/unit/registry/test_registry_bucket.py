"""Instances as stored entries, and as the sets that watchers get."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core import Env
from hanse.core.errors import ConfigurationError, InvalidInput
from hanse.registry import Instance, from_url
from hanse.registry.contract import group, ttl_s
from hanse.registry.nats_bucket import Entry, delete_headers, put_headers, read_entry, removal, subject, write_entry

names = st.text(st.sampled_from("abcXYZ019_-"), min_size=1, max_size=12).filter(lambda name: name.strip("-_"))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
instances = st.builds(
    Instance,
    service=names,
    id=names,
    host=texts,
    port=st.integers(1, 65535),
    version=texts,
    weight=st.integers(0, 1000),
    zone=texts,
    tags=st.lists(texts, max_size=3).map(tuple),
    metadata=st.dictionaries(texts, texts, max_size=3),
)


@given(instances, st.integers(1, 100))
def test_an_entry_is_read_as_it_was_written(instance, ttl):
    assert read_entry(write_entry(Entry(instance, ttl))) == Entry(instance, ttl)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'"x"', b'{"service":"a","id":"b","host":"h","port":0,"ttl_s":1}', b"\xff"]
)
def test_what_is_no_entry(data):
    with pytest.raises(InvalidInput):
        read_entry(data)


def test_fields_of_newer_versions_are_ignored():
    data = b'{"service":"a","id":"b","host":"h","port":1,"ttl_s":9,"colour":"green"}'
    assert read_entry(data) == Entry(Instance("a", "b", "h", 1), 9)


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        (None, ""),
        (put_headers(9), ""),
        (delete_headers(), "deleted"),
        (b"NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 60s\r\n\r\n", "expired"),
        (b"NATS/1.0\r\nNats-Marker-Reason: Purge\r\n\r\n", "deleted"),
    ],
)
def test_why_a_key_went(headers, why):
    assert removal(headers) == why


@given(st.lists(instances, max_size=6))
def test_sets_are_sorted_and_complete(found):
    everything = group(found, None)
    assert sum(map(len, everything.values())) == len(found)
    assert list(everything) == sorted(everything)
    for service, members in everything.items():
        assert [member.id for member in members] == sorted(member.id for member in members)
        assert group(found, service) == {service: members}
    assert group(found, "no.such") == {"no.such": ()}


def test_subjects_and_times():
    assert subject("orders", "a") == "$KV.REG.orders.a"
    assert [ttl_s(heartbeat) for heartbeat in (0.3, 1.0, 3.0, 3.1)] == [1, 3, 9, 10]


def test_urls():
    with pytest.raises(ConfigurationError, match="phonebook"):
        from_url(Env.build("test"), "phonebook://x")
    with pytest.raises(ConfigurationError, match="heartbeat"):
        from_url(Env.build("test"), "memory://x", heartbeat_s=0.1)
