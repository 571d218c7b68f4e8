"""The cashier: whatever is repeated, overtaken or left in the dark, nobody is charged twice and the books balance."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hanse.config import ServiceSettings
from hanse.core.errors import Conflict, InvalidInput, NotFound, OutcomeUnknown, Unavailable
from shop.money import Money
from shop.payments.app import service
from shop.payments.cashier import Cashier
from shop.payments.domain import PaymentClosed, PaymentDeclined, PaymentMismatch, PaymentState
from shop.payments.providers import Charge, Provider
from shop.payments.store import balances, payment_of

PRICE = Money(amount=1999, currency="EUR")


class Bank(Provider):
    """A provider that can be told to fail, and remembers what it has done."""

    name = "bank"

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.taken: dict[str, int] = {}
        self.given_back: dict[str, int] = {}
        self.faults: list[Exception] = []
        self.lost_answers = 0
        """So many of the next calls take effect and are not answered."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    async def authorise(self, charge: Charge) -> str:
        self.asked.set()
        await self.gate.wait()
        self._fail()
        if charge.token == "bad":
            raise PaymentDeclined("the card was declined")
        if charge.payment_id not in self.taken:
            self.held[charge.payment_id] = charge.amount.amount
        self._lose()
        return f"ref-{charge.payment_id}"

    async def capture(self, reference: str, charge: Charge) -> None:
        self._fail()
        assert reference == f"ref-{charge.payment_id}"
        self.taken[charge.payment_id] = self.taken.get(charge.payment_id) or self.held.pop(charge.payment_id)
        self._lose()

    async def void(self, reference: str, charge: Charge) -> None:
        self._fail()
        assert reference == f"ref-{charge.payment_id}"
        self.held.pop(charge.payment_id, None)
        self._lose()

    async def refund(self, reference: str, amount: Money, key: str) -> None:
        self._fail()
        self.given_back[key] = amount.amount
        self._lose()

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    def _lose(self) -> None:
        if self.lost_answers:
            self.lost_answers -= 1
            raise OutcomeUnknown("no answer")


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Bank]:
    settings = ServiceSettings(database_url=f"sqlite:///{tmp_path}/payments.db", broker_url="memory://cashier")
    async with service.running(settings):
        yield Bank()


@pytest.fixture
def cashier(bank: Bank) -> Cashier:
    cashier = Cashier()
    cashier.open([bank])
    return cashier


async def books() -> dict[str, int]:
    async with service.database.read() as db:
        found = {account: balance for (account, _), balance in (await balances(db)).items()}
    assert sum(found.values()) == 0
    return {account: balance for account, balance in found.items() if balance}


async def state(order: str = "o1") -> PaymentState:
    async with service.database.read() as db:
        payment = await payment_of(db, order)
        assert payment is not None
        return payment.status


async def authorise(cashier: Cashier, token: str = "good") -> None:
    await cashier.authorise("o1", "bank", PRICE, token)


async def test_the_usual_way_however_often(cashier: Cashier, bank: Bank) -> None:
    for _ in range(3):
        await authorise(cashier)
    assert await books() == {"holds:bank": 1999, "held_from_customers": -1999}
    for _ in range(3):
        await cashier.capture("o1")
    assert await books() == {"receivable:bank": 1999, "sales": -1999}
    for _ in range(3):
        await cashier.reverse("o1")
    assert await books() == {"refunds": 1999, "sales": -1999}
    assert (len(bank.taken), list(bank.given_back.values()), bank.held) == (1, [1999], {})
    assert await state() is PaymentState.REFUNDED


async def test_a_refusal_is_final(cashier: Cashier, bank: Bank) -> None:
    for _ in range(2):
        with pytest.raises(PaymentDeclined):
            await authorise(cashier, "bad")
    with pytest.raises(Conflict):
        await cashier.capture("o1")
    await cashier.reverse("o1")
    assert await state() is PaymentState.DECLINED
    assert await books() == {}


async def test_a_void_that_overtakes_its_authorisation_wins(cashier: Cashier, bank: Bank) -> None:
    await cashier.void("o1")
    with pytest.raises(PaymentClosed):
        await authorise(cashier)
    assert (await state(), bank.held) == (PaymentState.VOIDED, {})


async def test_a_void_during_an_authorisation_leaves_nothing_held(cashier: Cashier, bank: Bank) -> None:
    bank.gate.clear()
    asking = asyncio.ensure_future(authorise(cashier))
    await bank.asked.wait()
    voiding = asyncio.ensure_future(cashier.reverse("o1"))
    bank.gate.set()
    await voiding
    with pytest.raises(PaymentClosed):
        await asking
    assert (await state(), bank.held, await books()) == (PaymentState.VOIDED, {}, {})


async def test_an_authorisation_nobody_answered_is_found_and_let_go(cashier: Cashier, bank: Bank) -> None:
    bank.lost_answers = 1
    with pytest.raises(OutcomeUnknown):
        await authorise(cashier)
    assert (await state(), len(bank.held)) == (PaymentState.AUTHORISING, 1)
    await cashier.reverse("o1")
    assert (await state(), bank.held, await books()) == (PaymentState.VOIDED, {}, {})


@pytest.mark.parametrize("fault", [Unavailable("down"), OutcomeUnknown("slow")])
async def test_failures_pass_and_nothing_is_booked_for_them(cashier: Cashier, bank: Bank, fault: Exception) -> None:
    bank.faults = [fault]
    with pytest.raises(type(fault)):
        await authorise(cashier)
    assert await books() == {}
    await authorise(cashier)
    bank.lost_answers = 1
    with pytest.raises(OutcomeUnknown):
        await cashier.capture("o1")
    assert (await state(), list(bank.taken.values())) == (PaymentState.CAPTURING, [1999])
    await cashier.capture("o1")
    assert await books() == {"receivable:bank": 1999, "sales": -1999}
    bank.lost_answers = 1
    with pytest.raises(OutcomeUnknown):
        await cashier.reverse("o1")
    await cashier.reverse("o1")
    assert (await books(), len(bank.given_back)) == ({"refunds": 1999, "sales": -1999}, 1)


async def test_a_capture_under_way_is_not_voided(cashier: Cashier, bank: Bank) -> None:
    await authorise(cashier)
    bank.lost_answers = 1
    with pytest.raises(OutcomeUnknown):
        await cashier.capture("o1")
    with pytest.raises(Unavailable):
        await cashier.reverse("o1")
    await cashier.capture("o1")
    await cashier.reverse("o1")
    assert await state() is PaymentState.REFUNDED


async def test_a_refused_capture_can_still_be_voided(cashier: Cashier, bank: Bank) -> None:
    await authorise(cashier)
    bank.faults = [PaymentDeclined("the authorisation is over")]
    with pytest.raises(PaymentDeclined):
        await cashier.capture("o1")
    await cashier.reverse("o1")
    with pytest.raises(PaymentClosed):
        await cashier.capture("o1")
    assert (await state(), await books()) == (PaymentState.VOIDED, {})


async def test_refunds_in_parts_and_never_too_much(cashier: Cashier, bank: Bank) -> None:
    await authorise(cashier)
    with pytest.raises(Conflict):
        await cashier.refund("o1", "early", 1)
    await cashier.capture("o1")
    for _ in range(2):
        await cashier.refund("o1", "a", 500)
    with pytest.raises(Conflict):
        await cashier.refund("o1", "a", 501)
    with pytest.raises(Conflict):
        await cashier.refund("o1", "b", 1500)
    assert await state() is PaymentState.CAPTURED
    await cashier.refund("o1", "rest")
    assert await state() is PaymentState.REFUNDED
    await cashier.reverse("o1")
    assert sorted(bank.given_back.values()) == [500, 1499]
    assert await books() == {"refunds": 1999, "sales": -1999}


async def test_one_order_has_one_payment(cashier: Cashier, bank: Bank) -> None:
    await authorise(cashier)
    with pytest.raises(PaymentMismatch):
        await cashier.authorise("o1", "bank", PRICE.times(2), "good")
    with pytest.raises(InvalidInput):
        await cashier.authorise("o2", "piggy", PRICE, "good")
    with pytest.raises(NotFound):
        await cashier.capture("o2")


async def test_ten_at_once_charge_once(cashier: Cashier, bank: Bank) -> None:
    await asyncio.gather(*[authorise(cashier) for _ in range(10)])
    await asyncio.gather(*[cashier.capture("o1") for _ in range(10)])
    assert (list(bank.taken.values()), await books()) == ([1999], {"receivable:bank": 1999, "sales": -1999})
    await asyncio.gather(*[cashier.reverse("o1") for _ in range(10)])
    assert await books() == {"refunds": 1999, "sales": -1999}
