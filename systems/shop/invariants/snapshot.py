"""What the databases of the shop say, read with nothing but sqlite3."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]

_TRANSACTIONS = """
SELECT t.id, t.kind, t.order_id, SUM(p.amount) AS sum
FROM ledger_transactions t LEFT JOIN ledger_postings p ON p.transaction_id = t.id GROUP BY t.id
"""
_ACCOUNTS = """
SELECT t.order_id, p.account, SUM(p.amount) AS sum
FROM ledger_transactions t JOIN ledger_postings p ON p.transaction_id = t.id GROUP BY t.order_id, p.account
"""


@dataclass(slots=True)
class Snapshot:
    """What the databases say; each of them at one moment of its own."""

    orders: dict[str, Row] = field(default_factory=dict)
    timelines: dict[str, list[str]] = field(default_factory=dict)
    stock: dict[str, Row] = field(default_factory=dict)
    reservations: dict[str, Row] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    """Sum of all movements, by product."""
    payments: dict[str, Row] = field(default_factory=dict)
    """By order."""
    transactions: dict[str, Row] = field(default_factory=dict)
    """Of the ledger, by id; with `sum` of their postings, None when there are none."""
    accounts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """What each account of the ledger holds, by order."""
    told: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each (order, event) was told."""
    working: set[str] = field(default_factory=set)
    """Orders that somebody was working on while the databases were read."""


def read(folder: Path) -> Snapshot:
    """Read the databases in `folder`. Orders are read first and last, to see which of them moved meanwhile."""
    before = {row["id"]: row for row in _rows(folder, "orders", "SELECT * FROM orders")}
    snapshot = Snapshot()
    with closing(_open(folder, "inventory")) as db:
        db.execute("BEGIN")  # one moment for all that is compared with each other
        snapshot.stock = {row["product_id"]: row for row in _query(db, "SELECT * FROM stock")}
        snapshot.reservations = {row["order_id"]: row for row in _query(db, "SELECT * FROM reservations")}
        moved = _query(db, "SELECT product_id, SUM(delta) AS delta FROM movements GROUP BY product_id")
        snapshot.moved = {row["product_id"]: row["delta"] for row in moved}
    with closing(_open(folder, "payments")) as db:
        db.execute("BEGIN")
        snapshot.payments = {row["order_id"]: row for row in _query(db, "SELECT * FROM payments")}
        snapshot.transactions = {row["id"]: row for row in _query(db, _TRANSACTIONS)}
        for row in _query(db, _ACCOUNTS):
            snapshot.accounts[row["order_id"]][row["account"]] = row["sum"]
    for row in _rows(folder, "notifications", "SELECT subject, kind FROM notifications WHERE kind LIKE 'order.%'"):
        snapshot.told[row["subject"], row["kind"]] += 1
    with closing(_open(folder, "orders")) as db:
        db.execute("BEGIN")
        snapshot.orders = {row["id"]: row for row in _query(db, "SELECT * FROM orders")}
        for row in _query(db, "SELECT order_id, status FROM timeline ORDER BY position"):
            snapshot.timelines.setdefault(row["order_id"], []).append(row["status"])
    snapshot.working = {
        order_id for order_id, order in snapshot.orders.items() if not order["settled"] or before.get(order_id) != order
    }
    return snapshot


def _open(folder: Path, service: str) -> sqlite3.Connection:
    path = folder / f"{service}.db"
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


def _query(db: sqlite3.Connection, sql: str) -> Iterator[Row]:
    return (dict(row) for row in db.execute(sql))


def _rows(folder: Path, service: str, sql: str) -> list[Row]:
    with closing(_open(folder, service)) as db:
        return list(_query(db, sql))
