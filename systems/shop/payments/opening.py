"""Opening and closing: which providers there are, and the connection to those outside."""

from hanse.client import HttpTransport, PyreqwestTransport
from hanse.core.errors import ConfigurationError
from shop.payments.cashier import Cashier
from shop.payments.providers import CardSandbox, InvoiceProvider, Provider, StripeProvider
from shop.payments.service import service

cashier = Cashier()
_outside: list[HttpTransport] = []


@service.on_start
async def open_cashier() -> None:
    """The card sandbox and invoices always; a PaymentIntents server when `SHOP_STRIPE_URL` names one."""
    providers: list[Provider] = [CardSandbox(service.env.clock), InvoiceProvider()]
    url, key = service.settings.stripe_url, service.settings.stripe_key
    if url is not None:
        if key is None:
            raise ConfigurationError("SHOP_STRIPE_URL is set, so SHOP_STRIPE_KEY must be set too")
        transport = PyreqwestTransport(user_agent="hanse-shop")
        await transport.start()
        _outside.append(transport)
        providers.append(StripeProvider(transport, url, key.get_secret_value()))
    cashier.open(providers)


@service.on_stop
async def close_connections() -> None:
    """Let go of the connections to providers outside."""
    while _outside:
        await _outside.pop().stop()
