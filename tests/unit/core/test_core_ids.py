"""Ids are unique, ordered and say what they name."""

from hypothesis import given
from hypothesis import strategies as st

from hanse.core import Clock, Ids, Random


class SteppedClock(Clock):
    """A clock whose wall time is whatever the test says."""

    def __init__(self, times: list[float]) -> None:
        self._times = iter(times)
        self._last = 0.0
        self.now = self._next
        self.monotonic = self._next

    def _next(self) -> float:
        self._last = next(self._times, self._last)
        return self._last

    async def sleep(self, seconds: float) -> None: ...


@given(st.lists(st.floats(min_value=0, max_value=4e9), min_size=1, max_size=200))
def test_ids_of_a_node_are_ordered_even_when_the_clock_goes_back(times: list[float]) -> None:
    ids = Ids(SteppedClock(times), Random(1))
    made = [ids.uuid7() for _ in range(len(times) + 10)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_more_than_4096_ids_within_a_millisecond_stay_ordered() -> None:
    ids = Ids(SteppedClock([1000.0]), Random(1))
    made = [ids.new("order") for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_uuid7_carries_version_variant_and_time() -> None:
    made = Ids(SteppedClock([1_700_000_000.123]), Random(1)).uuid7()
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == 1_700_000_000_123


def test_the_same_seed_gives_the_same_ids() -> None:
    first, second = (Ids(SteppedClock([5.0]), Random(42)).new("evt") for _ in range(2))
    assert first == second
    assert first.startswith("evt_")
    assert len(first) == len("evt_") + 26
