"""The events that payments publishes: money that moved, or would not."""

from pydantic import BaseModel

from hanse import event
from shop.money import Money


class PaymentEvent(BaseModel):
    """What happened to the payment of an order."""

    payment_id: str
    order_id: str
    provider: str
    amount: Money


@event("payment.captured", version=1, key="order_id")
class PaymentCaptured(PaymentEvent):
    """The shop has the money."""


@event("payment.declined", version=1, key="order_id")
class PaymentWasDeclined(PaymentEvent):
    """The provider refused the charge."""


@event("payment.refunded", version=1, key="order_id")
class PaymentRefunded(PaymentEvent):
    """The customer has `amount` back."""
