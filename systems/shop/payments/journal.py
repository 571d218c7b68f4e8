"""The journal: every change of a payment, each in one transaction of its own, together with its ledger entries."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core.errors import Conflict, InvalidInput, NotFound
from shop.money import Money
from shop.payments.domain import CLOSED, PaymentClosed, PaymentMismatch, PaymentState, advance
from shop.payments.events import PaymentCaptured, PaymentRefunded, PaymentWasDeclined
from shop.payments.ledger import Kind
from shop.payments.providers import Charge
from shop.payments.service import service
from shop.payments.store import Payment, Refund, begin, book, move, payment_of, refunds_of


async def find(db: AsyncSession, order_id: str) -> Payment:
    """The payment of an order; NotFound when there is none."""
    payment = await payment_of(db, order_id)
    if payment is None:
        raise NotFound(f"{order_id} has no payment")
    return payment


def charge_of(payment: Payment) -> Charge:
    """What the provider is asked for."""
    return Charge(payment.id, payment.order_id, payment.money, payment.token, payment.attempts)


async def intend_to_authorise(order_id: str, provider: str, amount: Money, token: str) -> Payment:
    """Note that a provider is about to be asked; the first time, or once more.

    Raises:
        PaymentMismatch: the order has another payment.
        PaymentClosed: it was voided, perhaps before it was asked for.
    """
    async with service.database.transaction() as db:
        begun = await begin(db, _new(order_id, PaymentState.AUTHORISING, provider, amount, token))
        if begun is not None:
            return begun
        payment = await find(db, order_id)
        if payment.status in CLOSED:
            raise PaymentClosed(f"the payment of {order_id} is {payment.state}", state=payment.state)
        if (payment.provider, payment.money, payment.token) != (provider, amount, token):
            raise PaymentMismatch(f"{order_id} has a payment over {payment.money} through {payment.provider}")
        if payment.status is PaymentState.AUTHORISING:
            payment.attempts += 1
    return payment


async def authorised(payment_id: str, reference: str) -> Payment:
    """The provider keeps the money ready. Raises PaymentClosed when the payment was voided meanwhile."""
    async with service.database.transaction() as db:
        ready = await move(
            db,
            payment_id,
            PaymentState.AUTHORISING,
            PaymentState.AUTHORISED,
            at=service.env.clock.utc(),
            reference=reference,
        )
        if ready is not None:
            await book(db, ready, Kind.HOLD, ready.amount, at=ready.updated_at)
            return ready
        payment = await _get(db, payment_id)
        if payment.status in CLOSED:
            raise PaymentClosed(f"the payment of {payment.order_id} is {payment.state}", state=payment.state)
    return payment


async def declined(payment_id: str) -> None:
    """The provider refused."""
    async with service.database.transaction() as db:
        payment = await _get(db, payment_id)
        if payment.status is PaymentState.AUTHORISING:
            _move(payment, PaymentState.DECLINED)
            await service.publish(db, PaymentWasDeclined(**_facts(payment, payment.money)))


async def intend_to_capture(order_id: str) -> Payment:
    """Note that the money is about to be taken. Raises as `advance`."""
    async with service.database.transaction() as db:
        at = service.env.clock.utc()
        begun = await move(db, order_id, PaymentState.AUTHORISED, PaymentState.CAPTURING, at=at)
        if begun is not None:
            return begun
        payment = await find(db, order_id)
        if payment.status not in (PaymentState.CAPTURING, PaymentState.CAPTURED):
            _move(payment, PaymentState.CAPTURING)
    return payment


async def captured(payment_id: str, *, taken: bool) -> Payment:
    """The provider took the money, or refused to."""
    wanted = PaymentState.CAPTURED if taken else PaymentState.AUTHORISED
    async with service.database.transaction() as db:
        payment = await move(db, payment_id, PaymentState.CAPTURING, wanted, at=service.env.clock.utc())
        if payment is None:
            return await _get(db, payment_id)
        if taken:
            await book(db, payment, Kind.CAPTURE, payment.amount, at=payment.updated_at)
            await service.publish(db, PaymentCaptured(**_facts(payment, payment.money)))
    return payment


async def intend_to_void(order_id: str) -> Payment:
    """Note that the money is about to be let go; where nothing was asked for yet, leave a tombstone.

    Raises:
        Conflict: it was captured, so it can only be refunded.
        PaymentBusy: it is being captured.
    """
    async with service.database.transaction() as db:
        payment = await payment_of(db, order_id)
        if payment is None:
            nothing = Money(amount=0, currency=service.settings.currency)
            payment = Payment(**_new(order_id, PaymentState.VOIDED, "", nothing, ""))
            db.add(payment)
        elif payment.status not in (PaymentState.VOIDING, PaymentState.VOIDED, PaymentState.DECLINED):
            _move(payment, PaymentState.VOIDING)
    return payment


async def voided(payment_id: str) -> Payment:
    """The provider holds nothing any more."""
    async with service.database.transaction() as db:
        payment = await _get(db, payment_id)
        if payment.status is PaymentState.VOIDING:
            _move(payment, PaymentState.VOIDED)
            if payment.reference:
                await book(db, payment, Kind.RELEASE, payment.amount, at=payment.updated_at)
    return payment


async def intend_to_refund(order_id: str, key: str, amount: int | None) -> tuple[Payment, Refund | None]:
    """Note that money is about to go back.

    Args:
        key: names this refund; the same key is the same refund.
        amount: minor units; None gives back all that was not given back yet.

    Returns:
        the payment and the refund; no refund when nothing is left to give back.

    Raises:
        Conflict: more than is left, nothing was captured, or the key belongs to a refund of another amount.
    """
    async with service.database.transaction() as db:
        payment = await find(db, order_id)
        refunds = await refunds_of(db, payment.id)
        known = next((refund for refund in refunds if refund.key == f"{payment.id}:{key}"), None)
        if known is not None:
            if amount is not None and known.amount != amount:
                raise Conflict(f"the refund {key} is over {known.amount}, not {amount}")
            return payment, known
        left = payment.amount - sum(refund.amount for refund in refunds)
        if payment.status not in (PaymentState.CAPTURED, PaymentState.REFUNDED):
            raise Conflict(f"a payment that is {payment.state} can't be refunded", state=payment.state)
        if amount is None and left == 0:
            return payment, None
        wanted = left if amount is None else amount
        if wanted < 1:
            raise InvalidInput("a refund needs a positive amount")
        if wanted > left:
            raise Conflict(f"{wanted} asked for, {left} left to give back", left=left)
        now = service.env.clock.utc()
        refund = Refund(
            key=f"{payment.id}:{key}", payment_id=payment.id, amount=wanted, done=False, created_at=now, updated_at=now
        )
        db.add(refund)
    return payment, refund


async def refunded(payment_id: str, refund_key: str) -> Payment:
    """The money went back."""
    async with service.database.transaction() as db:
        payment = await _get(db, payment_id)
        refund = await db.get(Refund, refund_key)
        if refund is not None and not refund.done:
            now = service.env.clock.utc()
            refund.done, refund.updated_at = True, now
            await book(db, payment, Kind.REFUND, refund.amount, at=now, key=refund.key)
            if sum(each.amount for each in await refunds_of(db, payment.id) if each.done) == payment.amount:
                _move(payment, PaymentState.REFUNDED)
            amount = Money(amount=refund.amount, currency=payment.currency)
            await service.publish(db, PaymentRefunded(**_facts(payment, amount)))
    return payment


async def _get(db: AsyncSession, payment_id: str) -> Payment:
    payment = await db.get(Payment, payment_id)
    if payment is None:
        raise NotFound(f"there is no payment {payment_id}")
    return payment


def _new(order_id: str, state: PaymentState, provider: str, amount: Money, token: str) -> dict[str, Any]:
    """The columns of a new payment."""
    now = service.env.clock.utc()
    return {
        "id": service.env.ids.new("pay"),
        "order_id": order_id,
        "state": state.value,
        "provider": provider,
        "token": token,
        "amount": amount.amount,
        "currency": amount.currency,
        "reference": "",
        "attempts": 1 if state is PaymentState.AUTHORISING else 0,
        "created_at": now,
        "updated_at": now,
    }


def _move(payment: Payment, state: PaymentState) -> None:
    payment.state = advance(payment.status, state).value
    payment.updated_at = service.env.clock.utc()


def _facts(payment: Payment, amount: Money) -> dict[str, object]:
    return {"payment_id": payment.id, "order_id": payment.order_id, "provider": payment.provider, "amount": amount}
