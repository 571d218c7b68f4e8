"""Providers: who moves the money. One contract, one file per provider.

Purpose: `Provider` and its implementations: the card sandbox, invoices, and the Stripe PaymentIntents protocol.
May import: hanse's public doors, shop.money, shop.payments.domain.
May touch: the provider's own servers, nothing else; no database.
Guarantees: vendors' errors are translated here; every call may be repeated with the same key.
"""

from shop.payments.providers.card import CardSandbox
from shop.payments.providers.contract import Charge, Provider
from shop.payments.providers.invoice import InvoiceProvider
from shop.payments.providers.stripe import StripeProvider

__all__ = ["CardSandbox", "Charge", "InvoiceProvider", "Provider", "StripeProvider"]
