"""The card sandbox: a card processor whose answers the token decides, as the test tokens of real processors do."""

from dataclasses import dataclass

from hanse.core import Clock
from hanse.core.errors import Unavailable
from shop.money import Money
from shop.payments.domain import PaymentDeclined
from shop.payments.providers.contract import Charge, Provider

SLOW_S = 3.0
FLAKY_FAILURES = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the sandbox does with a charge."""

    outcome: str
    """`ok`, `declined` or `unavailable`."""
    delay_s: float = 0.0


def verdict(token: str, attempt: int) -> Verdict:
    """The rules: `tok_ok` succeeds, `tok_declined` declines, `tok_slow` takes 3 s, `tok_flaky` fails twice before it
    succeeds; any other token is declined.
    """
    match token:
        case "tok_ok":
            return Verdict("ok")
        case "tok_slow":
            return Verdict("ok", SLOW_S)
        case "tok_flaky":
            return Verdict("unavailable" if attempt <= FLAKY_FAILURES else "ok")
        case _:
            return Verdict("declined")


class CardSandbox(Provider):
    """Accepts and declines cards by their token; takes nobody's money."""

    name = "card"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def authorise(self, charge: Charge) -> str:
        ruling = verdict(charge.token, charge.attempt)
        if ruling.delay_s:
            await self._clock.sleep(ruling.delay_s)
        match ruling.outcome:
            case "declined":
                raise PaymentDeclined("the card was declined")
            case "unavailable":
                raise Unavailable("the card processor is not available")
            case _:
                return f"card_{charge.payment_id}"

    async def capture(self, reference: str, charge: Charge) -> None:
        """Always succeeds."""

    async def void(self, reference: str, charge: Charge) -> None:
        """Always succeeds."""

    async def refund(self, reference: str, amount: Money, key: str) -> None:
        """Always succeeds."""
