"""Stock arithmetic: pure values, no database. Each operation returns a new level that obeys the invariants."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from hanse.core.errors import Conflict, InvalidInput


class OutOfStock(Conflict):
    """Less is available than was asked for. `details["shortages"]` names each product that is short."""

    code = "out_of_stock"


class ReservationClosed(Conflict):
    """The reservation was released or has expired; it can't be had or committed any more."""

    code = "reservation_closed"


class Operation(StrEnum):
    """How an adjustment changes a quantity."""

    ADD = "add"
    SUBTRACT = "subtract"
    SET = "set"


@dataclass(frozen=True, slots=True)
class Level:
    """The stock of one product.

    Invariants: `0 ≤ reserved ≤ quantity`, `sold ≥ 0`, `quantity + sold = received`.
    """

    quantity: int = 0
    """On the shelf, reserved pieces included."""
    reserved: int = 0
    """On the shelf, but promised to an order."""
    sold: int = 0
    """Left for good, less what came back."""
    received: int = 0
    """All that ever came in, less corrections."""

    def __post_init__(self) -> None:
        if not 0 <= self.reserved <= self.quantity or self.sold < 0 or self.quantity + self.sold != self.received:
            raise ValueError(f"impossible stock level: {self}")

    @property
    def available(self) -> int:
        """What can still be reserved."""
        return self.quantity - self.reserved

    def reserve(self, count: int) -> Self:
        """Promise `count` pieces to an order. Raises OutOfStock."""
        if count > self.available:
            raise OutOfStock(f"{count} asked for, {self.available} available")
        return replace(self, reserved=self.reserved + count)

    def release(self, count: int) -> Self:
        """Take a promise back."""
        return replace(self, reserved=self.reserved - count)

    def commit(self, count: int) -> Self:
        """Promised pieces leave the shelf: sold."""
        return replace(self, quantity=self.quantity - count, reserved=self.reserved - count, sold=self.sold + count)

    def restock(self, count: int) -> Self:
        """Sold pieces come back to the shelf."""
        return replace(self, quantity=self.quantity + count, sold=self.sold - count)

    def adjust(self, operation: Operation, count: int) -> Self:
        """Correct the quantity after a delivery, a breakage or a stock-take.

        Raises:
            Conflict: fewer pieces would remain than are promised to orders.
        """
        match operation:
            case Operation.ADD:
                quantity = self.quantity + count
            case Operation.SUBTRACT:
                quantity = self.quantity - count
            case Operation.SET:
                quantity = count
        if quantity < self.reserved:
            raise Conflict(
                f"{self.reserved} pieces are reserved for orders, so at least that many must remain",
                reserved=self.reserved,
                quantity=self.quantity,
            )
        return replace(self, quantity=quantity, received=self.received + quantity - self.quantity)


class ReservationState(StrEnum):
    """Life of a reservation. `held` is the only state that binds stock; the last three are final."""

    HELD = "held"
    COMMITTED = "committed"
    RELEASED = "released"
    EXPIRED = "expired"
    RETURNED = "returned"


CLOSED = frozenset({ReservationState.RELEASED, ReservationState.EXPIRED, ReservationState.RETURNED})


def reserve_all(levels: Mapping[str, Level], lines: Mapping[str, int]) -> dict[str, Level]:
    """Reserve every line or none.

    Args:
        levels: the products that exist, by id.
        lines: pieces wanted (≥ 1) by product id; not empty.

    Raises:
        InvalidInput: there is no line, or a count below 1.
        OutOfStock: with all shortages, not only the first; an unknown product counts as having none.
    """
    if not lines or min(lines.values()) < 1:
        raise InvalidInput("a reservation needs at least one piece of each product")
    shortages = [
        {"product_id": product_id, "wanted": wanted, "available": levels.get(product_id, Level()).available}
        for product_id, wanted in sorted(lines.items())
        if levels.get(product_id, Level()).available < wanted
    ]
    if shortages:
        names = ", ".join(str(shortage["product_id"]) for shortage in shortages)
        raise OutOfStock(f"not enough in stock: {names}", shortages=shortages)
    return {product_id: levels[product_id].reserve(wanted) for product_id, wanted in sorted(lines.items())}


def released_state(state: ReservationState) -> ReservationState:
    """The state after a release: a release is always granted, whatever came before it."""
    match state:
        case ReservationState.HELD:
            return ReservationState.RELEASED
        case ReservationState.COMMITTED:
            return ReservationState.RETURNED
        case _:
            return state


def runs_low(before: Level, after: Level, minimum: int) -> bool:
    """True when a change crosses the line below which somebody should reorder; once per crossing."""
    return after.available < minimum <= before.available
