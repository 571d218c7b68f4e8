"""Patterns: matching, and making a set of them disjoint without losing a type."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.errors import ConfigurationError
from hanse.events import Subscription
from hanse.events.patterns import check_pattern, covers, disjoint, matcher, matches, overlap

word = st.sampled_from(["a", "b", "c"])
type_names = st.lists(word, min_size=1, max_size=4).map(".".join)
patterns = st.builds(
    lambda words, tail: ".".join([*words, *tail]) or "#",
    st.lists(st.one_of(word, st.just("*")), max_size=3),
    st.sampled_from([(), ("#",)]),
)
ALL_TYPES = [".".join(parts) for size in (1, 2, 3, 4) for parts in product("abc", repeat=size)]


@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        ("order.placed", ["order.placed"], ["order", "order.placed.x", "xorder.placed", "orderxplaced"]),
        ("order.*", ["order.placed"], ["order", "order.line.added", "orders.placed"]),
        ("*.placed", ["order.placed"], ["placed", "a.b.placed"]),
        ("order.#", ["order.placed", "order.line.added"], ["order", "orders.placed"]),
        ("#", ["tick", "order.line.added"], []),
    ],
)
def test_matching(pattern, hits, misses):
    check_pattern(pattern)
    assert all(matches(pattern, hit) for hit in hits)
    assert not any(matches(pattern, miss) for miss in misses)


@pytest.mark.parametrize("bad", ["", ".", "a.", "#.a", "a.#.b", "a b", "a*", ">", "a.>"])
def test_bad_patterns(bad):
    with pytest.raises(ConfigurationError, match="event pattern"):
        check_pattern(bad)


@given(patterns, patterns)
def test_covers_and_overlap_agree_with_matching(one, other):
    ours = {name for name in ALL_TYPES if matches(one, name)}
    theirs = {name for name in ALL_TYPES if matches(other, name)}
    assert covers(one, other) == (theirs <= ours)
    assert overlap(one, other) == bool(ours & theirs) == overlap(other, one)


@given(st.lists(patterns, min_size=1, max_size=5))
def test_disjoint_loses_nothing_and_overlaps_nowhere(asked):
    found = disjoint(asked)
    wants, gives = matcher(asked), matcher(found)
    assert all(gives(name) for name in ALL_TYPES if wants(name))
    assert not any(overlap(one, other) for one in found for other in found if one != other)
    assert len(set(found)) == len(found)


def test_disjoint_leaves_alone_what_is():
    assert disjoint(["b.*", "a.x", "a.y"]) == ("a.x", "a.y", "b.*")
    assert disjoint(["a.*", "a.x"]) == ("a.*",)
    assert disjoint(["a.*", "*.b"]) == ("*.*",)


@pytest.mark.parametrize(
    "bad",
    [
        {"service": ""},
        {"service": "a.b"},
        {"group": "ü"},
        {"types": ()},
        {"types": ("a b",)},
        {"max_deliver": 0},
        {"concurrency": 0},
        {"ack_wait_s": 0},
        {"retry_delays_s": ()},
        {"retry_delays_s": (-1.0,)},
    ],
    ids=str,
)
def test_subscriptions_that_can_not_be(bad):
    with pytest.raises(ConfigurationError):
        Subscription(**{"service": "billing", "types": ("a",), **bad})


def test_the_last_pause_repeats():
    subscription = Subscription("billing", ("a",), retry_delays_s=(1.0, 2.0))
    assert [subscription.retry_delay_s(attempt) for attempt in (1, 2, 3, 9)] == [1.0, 2.0, 2.0, 2.0]
