"""Stock arithmetic: no sequence of operations leads to an impossible level."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.errors import Conflict, InvalidInput
from shop.inventory.domain import (
    CLOSED,
    Level,
    Operation,
    OutOfStock,
    ReservationState,
    released_state,
    reserve_all,
    runs_low,
)

COUNTS = st.integers(min_value=1, max_value=12)
STEPS = st.lists(
    st.tuples(st.sampled_from(["reserve", "release", "commit", "return", "add", "subtract", "set"]), COUNTS)
)


def test_a_new_product_has_nothing() -> None:
    assert Level() == Level(quantity=0, reserved=0, sold=0, received=0)
    assert Level().available == 0


def test_a_level_that_breaks_the_invariants_cannot_be_made() -> None:
    for broken in (
        {"quantity": -1, "received": -1},
        {"quantity": 2, "reserved": 3, "received": 2},
        {"quantity": 2, "received": 3},
        {"quantity": 3, "sold": -1, "received": 2},
    ):
        with pytest.raises(ValueError, match="impossible"):
            Level(**broken)


def test_a_sale_moves_pieces_from_the_shelf_to_sold() -> None:
    level = Level().adjust(Operation.ADD, 10).reserve(3)
    assert (level.quantity, level.reserved, level.available) == (10, 3, 7)
    level = level.commit(3)
    assert (level.quantity, level.reserved, level.sold, level.received) == (7, 0, 3, 10)
    assert level.restock(3) == Level(quantity=10, received=10)


def test_no_more_than_available_can_be_reserved() -> None:
    with pytest.raises(OutOfStock):
        Level(quantity=5, reserved=3, received=5).reserve(3)


def test_an_adjustment_cannot_take_what_is_promised() -> None:
    level = Level(quantity=5, reserved=3, received=5)
    with pytest.raises(Conflict) as refused:
        level.adjust(Operation.SUBTRACT, 3)
    assert refused.value.details == {"reserved": 3, "quantity": 5}
    assert level.adjust(Operation.SET, 3).available == 0


@given(STEPS)
def test_any_sequence_keeps_the_invariants(steps: list[tuple[str, int]]) -> None:
    level, held, sold = Level().adjust(Operation.ADD, 20), 0, 0
    for name, count in steps:
        try:
            match name:
                case "reserve":
                    level, held = level.reserve(count), held + count
                case "release" if held >= count:
                    level, held = level.release(count), held - count
                case "commit" if held >= count:
                    level, held, sold = level.commit(count), held - count, sold + count
                case "return" if sold >= count:
                    level, sold = level.restock(count), sold - count
                case "add" | "subtract" | "set":
                    level = level.adjust(Operation(name), count)
        except Conflict:
            continue
        assert level.reserved == held
        assert level.sold == sold
        assert level.reserved + level.available == level.quantity >= 0
        assert level.sold + level.quantity == level.received


def test_all_lines_are_reserved_or_none() -> None:
    levels = {"a": Level(quantity=5, received=5), "b": Level(quantity=1, received=1)}
    assert reserve_all(levels, {"a": 2, "b": 1})["a"].reserved == 2
    with pytest.raises(OutOfStock) as refused:
        reserve_all(levels, {"a": 2, "b": 2, "c": 1})
    assert refused.value.details["shortages"] == [
        {"product_id": "b", "wanted": 2, "available": 1},
        {"product_id": "c", "wanted": 1, "available": 0},
    ]
    assert refused.value.code == "out_of_stock"
    assert not refused.value.retryable


@pytest.mark.parametrize("lines", [{}, {"a": 0}])
def test_an_empty_reservation_is_refused(lines: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        reserve_all({"a": Level(quantity=5, received=5)}, lines)


def test_a_release_is_granted_in_every_state_and_final() -> None:
    assert released_state(ReservationState.HELD) is ReservationState.RELEASED
    assert released_state(ReservationState.COMMITTED) is ReservationState.RETURNED
    for state in CLOSED:
        assert released_state(state) is state
    for state in ReservationState:
        assert released_state(released_state(state)) in CLOSED


def test_low_stock_is_told_once_per_crossing() -> None:
    ten, nine, eight = (Level(quantity=n, received=n) for n in (10, 9, 8))
    assert runs_low(ten, nine, minimum=10)
    assert not runs_low(nine, eight, minimum=10)
    assert not runs_low(nine, ten, minimum=10)
