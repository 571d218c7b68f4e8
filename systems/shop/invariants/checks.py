"""The checks: each takes a snapshot and names what is broken in it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from .snapshot import Row, Snapshot

_PAID = {"confirmed", "shipped", "delivered"}
_NEXT = {
    "pending": {"confirmed", "rejected", "cancelled"},
    "confirmed": {"shipped", "cancelled"},
    "shipped": {"delivered"},
    "delivered": {"refunded"},
}
_HOLDING = {"authorised", "capturing"}
_CHARGED = {"captured", "refunded"}


@dataclass(frozen=True, slots=True)
class Violation:
    """One invariant that one thing breaks."""

    invariant: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.subject}: {self.detail}"


def check(snapshot: Snapshot, *, settled: bool = False) -> list[Violation]:
    """All that is broken; empty when nothing is.

    Args:
        settled: nobody works on anything, so every order must have ended and every status must have been told.
    """
    checks = [_stock, _orders, _ledger, _charges, _money_and_orders, _stock_and_orders, _notifications]
    found = [violation for each in checks for violation in each(snapshot)]
    return found + list(_endings(snapshot)) if settled else found


def _stock(snapshot: Snapshot) -> Iterator[Violation]:
    held, sold = _pieces(snapshot, "held"), _pieces(snapshot, "committed")
    for product, row in sorted(snapshot.stock.items()):
        quantity, reserved = row["quantity"], row["reserved"]
        if not 0 <= reserved <= quantity:
            yield Violation("stock is possible", product, f"quantity {quantity}, reserved {reserved}")
        if reserved != held[product]:
            yield Violation("reserved is what orders hold", product, f"reserved {reserved}, held {held[product]}")
        if row["sold"] + quantity != row["received"]:
            text = f"sold {row['sold']} + left {quantity}, received {row['received']}"
            yield Violation("sold + left = received", product, text)
        if row["sold"] != sold[product]:
            yield Violation("sold is what orders bought", product, f"sold {row['sold']}, bought {sold[product]}")
        if quantity != snapshot.moved.get(product, 0):
            text = f"quantity {quantity}, movements {snapshot.moved.get(product, 0)}"
            yield Violation("movements explain the quantity", product, text)


def _orders(snapshot: Snapshot) -> Iterator[Violation]:
    for order_id, order in sorted(snapshot.orders.items()):
        way = snapshot.timelines.get(order_id, [])
        legal = way[:1] == ["pending"] and all(b in _NEXT.get(a, ()) for a, b in pairwise(way))
        if not legal or way[-1] != order["status"]:
            yield Violation("statuses follow each other legally", order_id, f"{' → '.join(way)}, is {order['status']}")


def _ledger(snapshot: Snapshot) -> Iterator[Violation]:
    for transaction, row in sorted(snapshot.transactions.items()):
        if row["sum"] != 0:
            text = "has no postings" if row["sum"] is None else f"sums to {row['sum']}"
            yield Violation("every transaction balances", transaction, text)
    for order_id, payment in sorted(snapshot.payments.items()):
        captured, refunded, held = _booked(snapshot, order_id)
        charged = payment["amount"] if payment["state"] in _CHARGED else 0
        if captured != charged:
            yield Violation("the books match the payment", order_id, f"{payment['state']}, captured {captured}")
        if held != (payment["amount"] if payment["state"] in _HOLDING else 0) and payment["state"] != "voiding":
            yield Violation("the books match the payment", order_id, f"{payment['state']}, held {held}")
        if payment["state"] == "refunded" and refunded != charged:
            yield Violation("the books match the payment", order_id, f"refunded, but only {refunded} of {charged}")


def _charges(snapshot: Snapshot) -> Iterator[Violation]:
    captures = Counter(row["order_id"] for row in snapshot.transactions.values() if row["kind"] == "capture")
    for order_id in sorted(snapshot.payments):
        captured, refunded, _ = _booked(snapshot, order_id)
        order = snapshot.orders.get(order_id)
        if captures[order_id] > 1 or (order is not None and captured > order["amount"]):
            yield Violation(
                "nobody is charged twice", order_id, f"captured {captured} in {captures[order_id]} captures"
            )
        if refunded > captured:
            yield Violation("nobody gets more back than they paid", order_id, f"{refunded} of {captured}")


def _money_and_orders(snapshot: Snapshot) -> Iterator[Violation]:
    for order_id in sorted(snapshot.payments.keys() - snapshot.orders.keys()):
        yield Violation("captured − refunded = confirmed orders", order_id, "there is a payment, and no such order")
    for order_id, order in _quiet(snapshot):
        captured, refunded, held = _booked(snapshot, order_id)
        owed = order["amount"] if order["status"] in _PAID else 0
        if captured - refunded != owed or held:
            text = f"{order['status']} over {order['amount']}, captured {captured}, refunded {refunded}, held {held}"
            yield Violation("captured − refunded = confirmed orders", order_id, text)


def _stock_and_orders(snapshot: Snapshot) -> Iterator[Violation]:
    for order_id in sorted(snapshot.reservations.keys() - snapshot.orders.keys()):
        yield Violation("stock sold = confirmed orders", order_id, "there is a reservation, and no such order")
    for order_id, order in _quiet(snapshot):
        row = snapshot.reservations.get(order_id)
        bound = json.loads(row["lines"]) if row is not None and row["state"] in ("held", "committed") else {}
        lines = {line["product_id"]: line["quantity"] for line in json.loads(order["lines"])}
        state = row["state"] if row is not None else "no reservation"
        wanted = lines if order["status"] in _PAID else {}
        if bound != wanted or (wanted and state != "committed"):
            yield Violation("stock sold = confirmed orders", order_id, f"{order['status']}, {state}: {bound}")


def _notifications(snapshot: Snapshot) -> Iterator[Violation]:
    for (order_id, kind), count in sorted(snapshot.told.items()):
        if count > 1:
            yield Violation("one notification per order and status", order_id, f"{kind} was told {count} times")
        if order_id in snapshot.timelines and _status(kind) not in snapshot.timelines[order_id]:
            yield Violation("one notification per order and status", order_id, f"{kind} was told and never happened")


def _endings(snapshot: Snapshot) -> Iterator[Violation]:
    for order_id, order in sorted(snapshot.orders.items()):
        if order["status"] == "pending" or not order["settled"]:
            yield Violation("every order ends", order_id, f"{order['status']}, settled {bool(order['settled'])}")
        for status in snapshot.timelines.get(order_id, []):
            if not snapshot.told[order_id, _event(status)]:
                yield Violation("one notification per order and status", order_id, f"{status} was never told")
    for order_id, row in sorted(snapshot.reservations.items()):
        if row["state"] == "held":
            yield Violation("every order ends", order_id, "its reservation is still held")


def _quiet(snapshot: Snapshot) -> Iterator[tuple[str, Row]]:
    """The orders that nobody works on."""
    return ((key, order) for key, order in sorted(snapshot.orders.items()) if key not in snapshot.working)


def _pieces(snapshot: Snapshot, state: str) -> Mapping[str, int]:
    """Pieces by product in all reservations of a state."""
    pieces: Counter[str] = Counter()
    for row in snapshot.reservations.values():
        if row["state"] == state:
            pieces.update(json.loads(row["lines"]))
    return pieces


def _booked(snapshot: Snapshot, order_id: str) -> tuple[int, int, int]:
    """Captured, refunded and held for an order, as the ledger says."""
    sums = snapshot.accounts.get(order_id, Counter())
    return -sums["sales"], sums["refunds"], -sums["held_from_customers"]


def _status(kind: str) -> str:
    status = kind.removeprefix("order.")
    return "pending" if status == "placed" else status


def _event(status: str) -> str:
    return f"order.{'placed' if status == 'pending' else status}"
