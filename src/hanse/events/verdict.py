"""What becomes of a delivery once its handler has ended: the same rule for every transport."""

from dataclasses import dataclass
from typing import Literal

from hanse.events.contract import Notice, Subscription
from hanse.events.errors import PoisonEvent


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with the event."""

    action: Literal["retry", "bury"]
    delay_s: float = 0.0
    reason: str = ""
    """For the dead letter: the error's type and message, at most 500 characters."""

    def notice(self, subscription: Subscription, event: str, attempt: int, error: Exception | None) -> Notice:
        """What an operator is told of it."""
        kind: Literal["failed", "dead_lettered"] = "failed" if self.action == "retry" else "dead_lettered"
        return Notice(kind, subscription.service, subscription.group, event, attempt, error)


def after_failure(subscription: Subscription, attempt: int, error: Exception) -> Verdict:
    """The verdict on delivery number `attempt`, whose handler raised `error`.

    Poison is buried at once, anything else after `max_deliver` deliveries; until then it is retried after the
    subscription's pause.
    """
    if isinstance(error, PoisonEvent) or attempt >= subscription.max_deliver:
        return Verdict("bury", reason=f"{type(error).__name__}: {error}"[:500])
    return Verdict("retry", delay_s=subscription.retry_delay_s(attempt))


def before_handling(subscription: Subscription, attempt: int) -> Verdict | None:
    """A verdict without asking the handler: buried, when every allowed delivery was cut short; else None."""
    if attempt <= subscription.max_deliver:
        return None
    return Verdict("bury", reason=f"delivered {attempt - 1} times, and no handler came to an end")
