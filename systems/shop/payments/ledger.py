"""The ledger's rules: double entry. Every movement of money is a transaction of postings that sum to zero.

A debit is positive, a credit negative. Holds are booked too, so that an authorisation which nobody resolved shows.
"""

from dataclasses import dataclass
from enum import StrEnum

SALES = "sales"
REFUNDS = "refunds"
HELD_FROM_CUSTOMERS = "held_from_customers"


class Kind(StrEnum):
    """What a transaction records."""

    HOLD = "hold"
    RELEASE = "release"
    CAPTURE = "capture"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of a transaction."""

    account: str
    amount: int
    """Minor units; debit > 0, credit < 0."""


def postings(kind: Kind, provider: str, amount: int) -> tuple[Posting, ...]:
    """The lines of a transaction of `amount` (> 0, minor units). They sum to zero.

    A capture also ends the hold that came before it.
    """
    if amount <= 0:
        raise ValueError(f"a ledger transaction needs a positive amount, not {amount}")
    holds, receivable = f"holds:{provider}", f"receivable:{provider}"
    match kind:
        case Kind.HOLD:
            return Posting(holds, amount), Posting(HELD_FROM_CUSTOMERS, -amount)
        case Kind.RELEASE:
            return Posting(holds, -amount), Posting(HELD_FROM_CUSTOMERS, amount)
        case Kind.CAPTURE:
            return *postings(Kind.RELEASE, provider, amount), Posting(receivable, amount), Posting(SALES, -amount)
        case Kind.REFUND:
            return Posting(REFUNDS, amount), Posting(receivable, -amount)
