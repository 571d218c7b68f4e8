"""Payments' endpoints: for other services only. Every PUT may be repeated."""

from typing import Annotated

from pydantic import BaseModel, Field

from hanse import Session
from shop.money import Money
from shop.payments import journal
from shop.payments.domain import PaymentState
from shop.payments.opening import cashier
from shop.payments.service import service
from shop.payments.store import Payment, balances


class AuthoriseForm(BaseModel):
    """What is to be kept ready, and through whom."""

    amount: Money
    provider: Annotated[str, Field(min_length=1, max_length=32)]
    token: Annotated[str, Field(max_length=200, repr=False)] = ""


class RefundForm(BaseModel):
    """What is to be given back."""

    amount: Annotated[int, Field(ge=1)] | None = None
    """Minor units; all that is left when absent."""


class PaymentView(BaseModel):
    """The payment of an order."""

    id: str
    order_id: str
    state: PaymentState
    provider: str
    amount: Money
    reference: str

    @classmethod
    def of(cls, payment: Payment) -> "PaymentView":
        return cls(
            id=payment.id,
            order_id=payment.order_id,
            state=payment.status,
            provider=payment.provider,
            amount=payment.money,
            reference=payment.reference,
        )


class Balance(BaseModel):
    """What stands in one account of the ledger."""

    account: str
    currency: str
    balance: int
    """Debit > 0, credit < 0."""


class Books(BaseModel):
    """The whole ledger in one look."""

    accounts: list[Balance]
    balanced: bool
    """All accounts of each currency sum to zero."""


@service.put("/internal/payments/{order_id}", internal=True)
async def authorise(order_id: str, body: AuthoriseForm) -> PaymentView:
    """Have the provider keep the money ready; 402 `payment_declined`, 409 `payment_closed`."""
    return PaymentView.of(await cashier.authorise(order_id, body.provider, body.amount, body.token))


@service.get("/internal/payments/{order_id}", internal=True)
async def read_payment(order_id: str, db: Session) -> PaymentView:
    """The payment of an order."""
    return PaymentView.of(await journal.find(db, order_id))


@service.put("/internal/payments/{order_id}/capture", internal=True)
async def capture(order_id: str) -> PaymentView:
    """Take the money."""
    return PaymentView.of(await cashier.capture(order_id))


@service.put("/internal/payments/{order_id}/void", internal=True)
async def void(order_id: str) -> PaymentView:
    """Let go of the money."""
    return PaymentView.of(await cashier.void(order_id))


@service.put("/internal/payments/{order_id}/refunds/{key}", internal=True)
async def refund(order_id: str, key: str, body: RefundForm) -> PaymentView:
    """Give money back, once per key."""
    return PaymentView.of(await cashier.refund(order_id, key, body.amount))


@service.put("/internal/payments/{order_id}/reverse", internal=True)
async def reverse(order_id: str) -> PaymentView:
    """Let go of the money or give it back, whichever fits."""
    return PaymentView.of(await cashier.reverse(order_id))


@service.get("/internal/ledger", internal=True)
async def read_books(db: Session) -> Books:
    """The balances of all accounts."""
    found = await balances(db)
    sums: dict[str, int] = {}
    for (_, currency), balance in found.items():
        sums[currency] = sums.get(currency, 0) + balance
    accounts = [Balance(account=name, currency=currency, balance=value) for (name, currency), value in found.items()]
    return Books(accounts=accounts, balanced=not any(sums.values()))
