"""The cashier: asks providers, between a note of the intent and a note of the outcome.

Every operation may be repeated, by anybody, at any time: a crash between the two notes is resolved by asking the
provider again under the same id.
"""

from collections.abc import Iterable, Mapping

from hanse.core.errors import Conflict, InvalidInput
from shop.money import Money
from shop.payments import journal
from shop.payments.domain import CLOSED, PaymentDeclined, PaymentState
from shop.payments.providers import Provider
from shop.payments.service import service
from shop.payments.store import Payment, payment_of


class Cashier:
    """Takes money and gives it back. `open` says through whom."""

    def __init__(self) -> None:
        self._providers: Mapping[str, Provider] = {}

    def open(self, providers: Iterable[Provider]) -> None:
        """Work with these providers from now on."""
        self._providers = {provider.name: provider for provider in providers}

    async def authorise(self, order_id: str, provider: str, amount: Money, token: str) -> Payment:
        """Have a provider keep `amount` ready.

        Raises:
            InvalidInput: there is no such provider.
            PaymentDeclined: it refused; asked again it refuses again.
            PaymentClosed: the payment was voided, perhaps before it was asked for.
            PaymentMismatch: the order has another payment.
            Unavailable, OutcomeUnknown: ask again.
        """
        self._provider(provider)
        payment = await journal.intend_to_authorise(order_id, provider, amount, token)
        if payment.status is PaymentState.DECLINED:
            raise PaymentDeclined("the payment was declined")
        if payment.status is not PaymentState.AUTHORISING:
            return payment
        try:
            reference = await self._provider(provider).authorise(journal.charge_of(payment))
        except PaymentDeclined:
            await journal.declined(payment.id)
            raise
        return await journal.authorised(payment.id, reference)

    async def capture(self, order_id: str) -> Payment:
        """Take what was authorised, in full.

        Raises:
            NotFound: nothing was authorised.
            PaymentClosed: it was voided or refunded.
            PaymentDeclined: the provider does not let go of the money after all.
            Conflict: it was declined.
        """
        payment = await journal.intend_to_capture(order_id)
        if payment.status is PaymentState.CAPTURED:
            return payment
        try:
            await self._provider(payment.provider).capture(payment.reference, journal.charge_of(payment))
        except PaymentDeclined:
            await journal.captured(payment.id, taken=False)
            raise
        return await journal.captured(payment.id, taken=True)

    async def void(self, order_id: str) -> Payment:
        """Let go of what was authorised. Without any payment it leaves a tombstone, so that none can begin later.

        Raises:
            Conflict: it was captured; refund it.
            PaymentBusy: it is being captured.
        """
        payment = await journal.intend_to_void(order_id)
        if payment.status is not PaymentState.VOIDING:
            return payment
        provider, charge = self._provider(payment.provider), journal.charge_of(payment)
        try:
            # What was asked for and never answered is asked for again, under the same id, to learn its reference.
            reference = payment.reference or await provider.authorise(charge)
            await provider.void(reference, charge)
        except PaymentDeclined:
            pass  # there is nothing to let go of
        return await journal.voided(payment.id)

    async def refund(self, order_id: str, key: str, amount: int | None = None) -> Payment:
        """Give back `amount` (minor units), or all that is left; once per `key`.

        Raises:
            NotFound: there is no payment.
            Conflict: nothing was captured, or less is left.
        """
        payment, refund = await journal.intend_to_refund(order_id, key, amount)
        if refund is None or refund.done:
            return payment
        money = Money(amount=refund.amount, currency=payment.currency)
        await self._provider(payment.provider).refund(payment.reference, money, refund.key)
        return await journal.refunded(payment.id, refund.key)

    async def reverse(self, order_id: str) -> Payment:
        """Let go of the money or give it back, whichever fits: always granted, in the end.

        Raises:
            PaymentBusy: it is being captured; ask again.
        """
        async with service.database.read() as db:
            payment = await payment_of(db, order_id)
        if payment is not None and payment.status in (PaymentState.CAPTURED, PaymentState.REFUNDED):
            return await self.refund(order_id, "reverse")
        try:
            return await self.void(order_id)
        except Conflict as refusal:
            if refusal.details.get("state") == PaymentState.CAPTURED:
                return await self.refund(order_id, "reverse")
            if refusal.details.get("state") in CLOSED:
                return await self._payment(order_id)
            raise

    async def _payment(self, order_id: str) -> Payment:
        async with service.database.read() as db:
            return await journal.find(db, order_id)

    def _provider(self, name: str) -> Provider:
        provider = self._providers.get(name)
        if provider is None:
            raise InvalidInput(f'there is no payment provider "{name}"; known: {", ".join(sorted(self._providers))}')
        return provider
