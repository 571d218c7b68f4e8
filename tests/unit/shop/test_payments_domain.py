"""Payments: legal states, books that balance, the sandbox's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core import Env
from hanse.core.errors import Conflict, Unavailable
from shop.money import Money
from shop.payments.domain import CLOSED, PaymentBusy, PaymentClosed, PaymentDeclined, PaymentState, advance
from shop.payments.ledger import HELD_FROM_CUSTOMERS, SALES, Kind, postings
from shop.payments.providers import CardSandbox, Charge, InvoiceProvider
from shop.payments.providers.card import SLOW_S, verdict

AMOUNTS = st.integers(min_value=1, max_value=10**9)


def charge(token: str, attempt: int = 1) -> Charge:
    return Charge("pay_1", "order_1", Money(amount=1999, currency="EUR"), token, attempt)


@given(st.sampled_from(list(Kind)), AMOUNTS)
def test_every_transaction_balances(kind: Kind, amount: int) -> None:
    assert sum(posting.amount for posting in postings(kind, "card", amount)) == 0


@given(AMOUNTS)
def test_a_capture_ends_the_hold_and_books_the_sale(amount: int) -> None:
    books: dict[str, int] = {}
    for kind in (Kind.HOLD, Kind.CAPTURE):
        for posting in postings(kind, "card", amount):
            books[posting.account] = books.get(posting.account, 0) + posting.amount
    assert books == {"holds:card": 0, HELD_FROM_CUSTOMERS: 0, "receivable:card": amount, SALES: -amount}


@given(AMOUNTS)
def test_a_release_undoes_a_hold(amount: int) -> None:
    books: dict[str, int] = {}
    for kind in (Kind.HOLD, Kind.RELEASE):
        for posting in postings(kind, "invoice", amount):
            books[posting.account] = books.get(posting.account, 0) + posting.amount
    assert set(books.values()) == {0}


def test_nothing_is_booked_for_nothing() -> None:
    with pytest.raises(ValueError, match="positive"):
        postings(Kind.CAPTURE, "card", 0)


def test_the_way_of_a_payment() -> None:
    state = PaymentState.AUTHORISING
    for wanted in (PaymentState.AUTHORISED, PaymentState.CAPTURING, PaymentState.CAPTURED, PaymentState.REFUNDED):
        state = advance(state, wanted)
    assert state is PaymentState.REFUNDED


@pytest.mark.parametrize("state", sorted(CLOSED))
def test_a_closed_payment_takes_no_money(state: PaymentState) -> None:
    for wanted in (PaymentState.AUTHORISED, PaymentState.CAPTURING, PaymentState.CAPTURED):
        with pytest.raises(PaymentClosed):
            advance(state, wanted)


def test_an_intent_under_way_is_worth_another_try() -> None:
    with pytest.raises(PaymentBusy) as busy:
        advance(PaymentState.CAPTURING, PaymentState.VOIDING)
    assert busy.value.retryable
    with pytest.raises(Conflict) as refused:
        advance(PaymentState.DECLINED, PaymentState.CAPTURING)
    assert not refused.value.retryable


def test_the_sandbox_follows_the_token() -> None:
    assert verdict("tok_ok", 1).outcome == "ok"
    assert verdict("tok_declined", 9).outcome == "declined"
    assert verdict("4242424242424242", 1).outcome == "declined"
    assert (verdict("tok_slow", 1).outcome, verdict("tok_slow", 1).delay_s) == ("ok", SLOW_S)
    assert [verdict("tok_flaky", attempt).outcome for attempt in (1, 2, 3, 4)] == ["unavailable"] * 2 + ["ok"] * 2


async def test_providers_answer_with_a_stable_reference_or_a_telling_error() -> None:
    card = CardSandbox(Env.build("test").clock)
    assert await card.authorise(charge("tok_ok")) == await card.authorise(charge("tok_ok", 2)) == "card_pay_1"
    with pytest.raises(PaymentDeclined) as declined:
        await card.authorise(charge("tok_declined"))
    assert (declined.value.code, declined.value.status, declined.value.retryable) == ("payment_declined", 402, False)
    with pytest.raises(Unavailable):
        await card.authorise(charge("tok_flaky"))
    assert await InvoiceProvider().authorise(charge("")) == "INV-1"


def test_a_token_never_shows_in_logs() -> None:
    assert "tok_ok" not in repr(charge("tok_ok"))
