"""Money: an amount in minor units and its currency. There is no floating point anywhere in the shop."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hanse.core.errors import InvalidInput

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]


class Money(BaseModel):
    """An amount of money, for example `{"amount": 1999, "currency": "EUR"}` for 19.99 euro."""

    model_config = ConfigDict(frozen=True)

    amount: int = Field(ge=0, le=10**12)
    """In the currency's minor unit (cents)."""
    currency: Currency

    def times(self, count: int) -> "Money":
        """This amount `count` (≥ 0) times."""
        return Money(amount=self.amount * count, currency=self.currency)

    def plus(self, other: "Money") -> "Money":
        """The sum. Raises InvalidInput when the currencies differ: the shop does not convert."""
        if other.currency != self.currency:
            raise InvalidInput(f"can't add {other.currency} to {self.currency}")
        return Money(amount=self.amount + other.amount, currency=self.currency)

    def __str__(self) -> str:
        return f"{self.amount // 100}.{self.amount % 100:02d} {self.currency}"


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum of `amounts`; zero of `currency` when there are none. Raises InvalidInput when a currency differs."""
    result = Money(amount=0, currency=currency)
    for amount in amounts:
        result = result.plus(amount)
    return result
