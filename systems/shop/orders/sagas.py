"""The sagas of an order: how stock, money and the order become one promise, and how it is taken back.

Everything that can be refused comes before `confirm`; after it, `capture` is repeated until it succeeds. Stock is
committed before `confirm`, so that a reservation can't run out under a confirmed order. All calls name the order, so
each may be repeated, and undoing may overtake doing: inventory and payments keep tombstones. However long they are
away, undoing waits for them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import BaseModel

from hanse import SagaContext, Session, saga, step
from hanse.core.errors import HanseError, OutcomeUnknown, Unavailable
from hanse.durable import Failure
from shop.money import Money
from shop.orders import clerk
from shop.orders.service import inventory, payments, service
from shop.orders.store import settle

_MAY_REFUSE_CAPTURE = frozenset({"payment_declined", "payment_closed"})
_UNAVAILABLE = {
    "reserve": "inventory_unavailable",
    "authorise": "payment_unavailable",
    "sell": "inventory_unavailable",
}
"""The reason of a rejection when the step was not refused but could not be had."""


class Placement(BaseModel):
    """What the saga needs to know of an order."""

    order_id: str
    pieces: dict[str, int]
    total: Money
    provider: str
    token: str


class Undoing(BaseModel):
    """An order that is to be taken back."""

    order_id: str


@saga("place-order", version=2, ended="close")
class PlaceOrder:
    """Sees an order through to confirmed, or to rejected with everything undone."""

    @step(compensate="release", attempts=8, undo_attempts=0)
    async def reserve(self, placement: Placement) -> None:
        """Hold the pieces. Refused: `out_of_stock`."""
        await inventory.put(f"/internal/reservations/{placement.order_id}", {"items": placement.pieces})

    async def release(self, placement: Placement) -> None:
        """Give the pieces back, held or sold."""
        await inventory.put(f"/internal/reservations/{placement.order_id}/release")

    @step(compensate="reverse", timeout=12.0, attempts=8, undo_attempts=0)
    async def authorise(self, placement: Placement) -> None:
        """Have the provider keep the money ready. Refused: `payment_declined`."""
        order = {"amount": placement.total, "provider": placement.provider, "token": placement.token}
        await payments.put(f"/internal/payments/{placement.order_id}", order)

    async def reverse(self, placement: Placement) -> None:
        """Let go of the money, or give it back."""
        await payments.put(f"/internal/payments/{placement.order_id}/reverse")

    @step(attempts=8)
    async def sell(self, placement: Placement) -> None:
        """The pieces are sold and no longer expire. Refused when they have expired. `release` undoes this too."""
        await inventory.put(f"/internal/reservations/{placement.order_id}/commit")

    @step
    async def confirm(self, placement: Placement, db: Session) -> None:
        """The point of no return, unless the customer has changed their mind before it."""
        await clerk.confirm(db, placement.order_id)

    @step(attempts=0)
    async def capture(self, placement: Placement) -> None:
        """Take the money that was kept ready, however long that takes."""
        async with _in_the_end(_MAY_REFUSE_CAPTURE):
            await payments.put(f"/internal/payments/{placement.order_id}/capture")

    async def close(self, placement: Placement, context: SagaContext, db: Session) -> None:
        """Nothing is left to do for it, unless its cancellation has begun meanwhile; or tell the customer why not."""
        if context.failure is None:
            await settle(db, placement.order_id)
        else:
            await clerk.reject(db, await clerk.find(db, placement.order_id), _reason(context.failure))


@saga("undo-order", version=1)
class UndoOrder:
    """Takes a confirmed or delivered order back. Nobody may refuse; every step is repeated until it succeeds."""

    @step(attempts=0)
    async def give_back_money(self, undoing: Undoing) -> None:
        """Refund it, or let go of it if it was not taken yet."""
        async with _in_the_end():
            await payments.put(f"/internal/payments/{undoing.order_id}/reverse")

    @step(attempts=0)
    async def give_back_stock(self, undoing: Undoing) -> None:
        """What was sold is on the shelf again."""
        async with _in_the_end():
            await inventory.put(f"/internal/reservations/{undoing.order_id}/release")

    @step(attempts=0)
    async def conclude(self, undoing: Undoing, db: Session) -> None:
        """Tell the customer."""
        await clerk.conclude(db, await clerk.find(db, undoing.order_id))


def _reason(failure: Failure) -> str:
    """Why an order is rejected, as a code: the refusal's own, else who could not be had."""
    return failure.code if failure.refused else _UNAVAILABLE.get(failure.step, "unavailable")


@asynccontextmanager
async def _in_the_end(may_refuse: frozenset[str] = frozenset()) -> AsyncIterator[None]:
    """Past the point of no return a refusal is a fault of ours: log it and try again, until somebody mends it."""
    try:
        yield
    except HanseError as error:
        if error.retryable or isinstance(error, OutcomeUnknown) or error.code in may_refuse:
            raise
        service.log.error("a step that may not be refused was refused", code=error.code, reason=error.message)
        raise Unavailable(f"refused: {error.message}") from error
