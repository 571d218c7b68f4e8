"""Carts: priced from quotes, emptied of what was ordered."""

from hypothesis import given
from hypothesis import strategies as st

from shop.cart.domain import Quote, price, without
from shop.money import Money

CARTS = st.dictionaries(st.sampled_from("abcd"), st.integers(min_value=1, max_value=9))


def test_a_cart_is_priced_and_names_what_is_gone() -> None:
    cup = Quote(id="cup", name="Cup", price=Money(amount=1250, currency="EUR"), in_stock=False)
    cart = price({"cup": 2, "ufo": 1}, [cup])
    assert [(item.product_id, item.total.amount, item.in_stock) for item in cart.items] == [("cup", 2500, False)]
    assert (cart.total.amount, cart.count, cart.unavailable) == (2500, 2, ["ufo"])


def test_an_empty_cart_costs_nothing() -> None:
    assert price({}, []).total == Money(amount=0, currency="EUR")


@given(CARTS, CARTS)
def test_what_was_added_meanwhile_stays(lines: dict[str, int], ordered: dict[str, int]) -> None:
    rest = without(lines, ordered)
    for product in lines:
        assert rest.get(product, 0) == max(0, lines[product] - ordered.get(product, 0))
    assert set(rest) <= set(lines)
    assert all(quantity > 0 for quantity in rest.values())
    assert without(lines, lines) == {}
