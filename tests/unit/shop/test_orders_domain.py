"""Orders: what may follow what, and what they cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.errors import InvalidInput
from shop.money import Money
from shop.orders.domain import (
    ENDED,
    MAX_QUANTITY,
    IllegalTransition,
    OrderStatus,
    Quote,
    Wanted,
    advance,
    merge,
    order_total,
    price,
)

S = OrderStatus
LEGAL = {
    (S.PENDING, S.CONFIRMED),
    (S.PENDING, S.REJECTED),
    (S.PENDING, S.CANCELLED),
    (S.CONFIRMED, S.SHIPPED),
    (S.CONFIRMED, S.CANCELLED),
    (S.SHIPPED, S.DELIVERED),
    (S.DELIVERED, S.REFUNDED),
}


def quote(name: str, cents: int, currency: str = "EUR") -> Quote:
    return Quote(id=name, sku=name.upper(), name=name, price=Money(amount=cents, currency=currency))


@pytest.mark.parametrize("present", list(S))
@pytest.mark.parametrize("wanted", list(S))
def test_exactly_the_legal_transitions_are_possible(present: OrderStatus, wanted: OrderStatus) -> None:
    if (present, wanted) in LEGAL:
        assert advance(present, wanted) is wanted
        return
    with pytest.raises(IllegalTransition) as refused:
        advance(present, wanted)
    assert refused.value.status == 409
    assert refused.value.details == {"status": present.value, "wanted": wanted.value}


@given(st.lists(st.sampled_from(list(S))))
def test_no_status_is_reached_twice(wishes: list[OrderStatus]) -> None:
    seen = [S.PENDING]
    for wish in wishes:
        try:
            seen.append(advance(seen[-1], wish))
        except IllegalTransition:
            continue
    assert len(set(seen)) == len(seen)
    assert all(status not in ENDED for status in seen[:-1])


def test_lines_of_one_product_are_merged() -> None:
    wanted = [
        Wanted(product_id="a", quantity=1),
        Wanted(product_id="b", quantity=2),
        Wanted(product_id="a", quantity=3),
    ]
    assert merge(wanted) == {"a": 4, "b": 2}


def test_an_order_of_nothing_or_of_too_much_is_refused() -> None:
    with pytest.raises(InvalidInput):
        merge([])
    with pytest.raises(InvalidInput):
        merge([Wanted(product_id="a", quantity=MAX_QUANTITY), Wanted(product_id="a", quantity=1)])
    with pytest.raises(InvalidInput):
        merge([Wanted(product_id=str(n), quantity=1) for n in range(101)])


def test_an_order_is_priced_line_by_line() -> None:
    lines = price({"tea": 3, "cup": 1}, [quote("cup", 1250), quote("tea", 499)])
    assert [(line.product_id, line.quantity, line.total.amount) for line in lines] == [
        ("tea", 3, 1497),
        ("cup", 1, 1250),
    ]
    assert order_total(lines) == Money(amount=2747, currency="EUR")


def test_what_the_catalogue_does_not_know_cannot_be_ordered() -> None:
    with pytest.raises(InvalidInput) as refused:
        price({"tea": 1, "ufo": 1}, [quote("tea", 499)])
    assert refused.value.details == {"unknown_products": ["ufo"]}


def test_currencies_are_not_mixed() -> None:
    with pytest.raises(InvalidInput, match="can't add"):
        price({"tea": 1, "cup": 1}, [quote("tea", 499), quote("cup", 1250, "USD")])
