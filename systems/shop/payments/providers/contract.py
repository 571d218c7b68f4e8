"""The contract of a payment provider."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from shop.money import Money


@dataclass(frozen=True, slots=True)
class Charge:
    """What a provider is asked to take."""

    payment_id: str
    """Also the provider's idempotency key: the same id is never charged twice."""
    order_id: str
    amount: Money
    token: str = field(repr=False)
    """What the customer's browser got from the provider instead of card data; never logged."""
    attempt: int = 1
    """How often this charge has been asked for, this time included."""


class Provider(ABC):
    """Takes money and gives it back.

    All calls are idempotent by payment id (refunds by key). They raise `PaymentDeclined` for a definite refusal,
    `Unavailable` when certainly nothing happened, `OutcomeUnknown` when nobody can tell; after the last two the same
    call is made again.
    """

    name: str

    @abstractmethod
    async def authorise(self, charge: Charge) -> str:
        """Reserve the amount on the customer's account.

        Returns:
            the provider's reference, the same one each time.
        """

    @abstractmethod
    async def capture(self, reference: str, charge: Charge) -> None:
        """Take what was authorised, in full."""

    @abstractmethod
    async def void(self, reference: str, charge: Charge) -> None:
        """Let go of what was authorised and not captured."""

    @abstractmethod
    async def refund(self, reference: str, amount: Money, key: str) -> None:
        """Give back `amount` of what was captured; at most once per `key`."""
