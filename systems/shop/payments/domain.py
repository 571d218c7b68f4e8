"""Payment rules: states and what may happen in each; the errors that callers can tell apart."""

from enum import StrEnum

from hanse.core.errors import Conflict, HanseError, Unavailable


class PaymentDeclined(HanseError):
    """The provider refused the charge. Final for this payment; the customer may order again with another card."""

    code, status = "payment_declined", 402


class PaymentClosed(Conflict):
    """The payment was voided or refunded; nothing can be taken through it any more."""

    code = "payment_closed"


class PaymentMismatch(Conflict):
    """The order already has a payment, and it is for something else."""

    code = "payment_mismatch"


class PaymentBusy(Unavailable):
    """Another operation on the same payment is under way. Try again in a moment."""

    code = "payment_busy"


class PaymentState(StrEnum):
    """Life of a payment. The states that end in `-ing` are intents: a provider may or may not have acted yet."""

    AUTHORISING = "authorising"
    AUTHORISED = "authorised"
    DECLINED = "declined"
    CAPTURING = "capturing"
    CAPTURED = "captured"
    VOIDING = "voiding"
    VOIDED = "voided"
    """Also the tombstone of a payment that was voided before it was asked for."""
    REFUNDED = "refunded"
    """All that was captured went back; a payment refunded in part stays captured."""


_LEGAL: dict[PaymentState, frozenset[PaymentState]] = {
    PaymentState.AUTHORISING: frozenset({PaymentState.AUTHORISED, PaymentState.DECLINED, PaymentState.VOIDING}),
    PaymentState.AUTHORISED: frozenset({PaymentState.CAPTURING, PaymentState.VOIDING}),
    PaymentState.CAPTURING: frozenset({PaymentState.CAPTURED, PaymentState.AUTHORISED}),
    PaymentState.CAPTURED: frozenset({PaymentState.REFUNDED}),
    PaymentState.VOIDING: frozenset({PaymentState.VOIDED}),
    PaymentState.DECLINED: frozenset(),
    PaymentState.VOIDED: frozenset(),
    PaymentState.REFUNDED: frozenset(),
}

CLOSED = frozenset({PaymentState.VOIDING, PaymentState.VOIDED, PaymentState.REFUNDED})


def advance(present: PaymentState, wanted: PaymentState) -> PaymentState:
    """`wanted`, if a payment may go there from `present`.

    Raises:
        PaymentClosed: the payment was voided or refunded.
        PaymentBusy: an intent is under way that must be resolved first; retryable.
        Conflict: the step makes no sense, for example capturing a declined payment.
    """
    if wanted in _LEGAL[present]:
        return wanted
    if present in CLOSED:
        raise PaymentClosed(f"the payment is {present}", state=present.value)
    if present in (PaymentState.AUTHORISING, PaymentState.CAPTURING):
        raise PaymentBusy(f"the payment is {present}", state=present.value)
    raise Conflict(f"a payment that is {present} can't become {wanted}", state=present.value)
