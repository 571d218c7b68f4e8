"""Payment by invoice: the customer pays later, so nothing can be refused now."""

from shop.money import Money
from shop.payments.providers.contract import Charge, Provider


class InvoiceProvider(Provider):
    """Authorising makes the invoice, capturing sends it, a refund is a credit note; the books hold the rest."""

    name = "invoice"

    async def authorise(self, charge: Charge) -> str:
        return f"INV-{charge.payment_id.rpartition('_')[2].upper()}"

    async def capture(self, reference: str, charge: Charge) -> None:
        """The ledger's receivable is the invoice."""

    async def void(self, reference: str, charge: Charge) -> None:
        """An invoice that was not sent needs no credit note."""

    async def refund(self, reference: str, amount: Money, key: str) -> None:
        """The ledger's refund is the credit note."""
