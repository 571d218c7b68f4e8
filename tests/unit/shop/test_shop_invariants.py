"""The checker of invariants: silent over sound databases, and it names each kind of damage."""

import json
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from shop.invariants import check, read

SERVICES = ["orders", "inventory", "payments", "notifications"]
NOW = str(datetime(2026, 11, 21, tzinfo=UTC).replace(tzinfo=None))
LINES = json.dumps([{"product_id": "tea", "quantity": 2}])
ROOT = Path(__file__).parents[3]

SOUND = {
    "orders": [
        *[
            f"INSERT INTO orders VALUES ('{order}', 'ida', '{status}', '', '{LINES}', 1000, 'EUR', '{{}}', 'card', 0,"
            f" '', '', 1, '{NOW}', '{NOW}')"
            for order, status in [("bought", "confirmed"), ("refused", "rejected"), ("returned", "cancelled")]
        ],
        *[
            f"INSERT INTO timeline (order_id, status, reason, at) VALUES ('{order}', '{status}', '', '{NOW}')"
            for order, status in [
                ("bought", "pending"),
                ("refused", "pending"),
                ("returned", "pending"),
                ("bought", "confirmed"),
                ("refused", "rejected"),
                ("returned", "confirmed"),
                ("returned", "cancelled"),
            ]
        ],
    ],
    "inventory": [
        f"INSERT INTO stock VALUES ('tea', 'TEA', 'Tea', 8, 0, 2, 10, 1, 100, '{{}}', 0, 1, '{NOW}')",
        *[
            f"INSERT INTO reservations VALUES ('{order}', '{state}', '{{\"tea\": 2}}', '{NOW}', '{NOW}', '{NOW}')"
            for order, state in [("bought", "committed"), ("refused", "released"), ("returned", "returned")]
        ],
        *[
            f"INSERT INTO movements (product_id, kind, delta, reference, at) VALUES ('tea', 'x', {delta}, '', '{NOW}')"
            for delta in (10, -2, -2, 2)
        ],
    ],
    "payments": [
        *[
            f"INSERT INTO payments VALUES ('pay-{order}', '{order}', '{state}', 'card', '', 1000, 'EUR', 'r', 1,"
            f" '{NOW}', '{NOW}')"
            for order, state in [("bought", "captured"), ("refused", "declined"), ("returned", "refunded")]
        ],
        *[
            f"INSERT INTO ledger_transactions VALUES ('pay-{order}:{kind}', '{kind}', '{order}', 'EUR', '{NOW}')"
            for order, kind in [
                ("bought", "hold"),
                ("bought", "capture"),
                ("returned", "hold"),
                ("returned", "capture"),
                ("returned", "refund"),
            ]
        ],
        *[
            f"INSERT INTO ledger_postings VALUES ('pay-{transaction}', {number}, '{account}', {amount})"
            for order in ("bought", "returned")
            for transaction, number, account, amount in [
                (f"{order}:hold", 1, "holds:card", 1000),
                (f"{order}:hold", 2, "held_from_customers", -1000),
                (f"{order}:capture", 1, "holds:card", -1000),
                (f"{order}:capture", 2, "held_from_customers", 1000),
                (f"{order}:capture", 3, "receivable:card", 1000),
                (f"{order}:capture", 4, "sales", -1000),
            ]
        ],
        "INSERT INTO ledger_postings VALUES ('pay-returned:refund', 1, 'refunds', 1000)",
        "INSERT INTO ledger_postings VALUES ('pay-returned:refund', 2, 'receivable:card', -1000)",
    ],
    "notifications": [
        f"INSERT INTO notifications (id, recipient, kind, subject, dedupe, title, body, created_at, read_at)"
        f" VALUES ('{order}-{kind}', 'ida', 'order.{kind}', '{order}', '{order}:{kind}', '', '', '{NOW}', NULL)"
        for order, kind in [
            ("bought", "placed"),
            ("refused", "placed"),
            ("returned", "placed"),
            ("bought", "confirmed"),
            ("refused", "rejected"),
            ("returned", "confirmed"),
            ("returned", "cancelled"),
        ]
    ],
}

CAPTURED_AGAIN = f"""
INSERT INTO ledger_transactions VALUES ('again', 'capture', 'bought', 'EUR', '{NOW}');
INSERT INTO ledger_postings VALUES ('again', 1, 'receivable:card', 1000), ('again', 2, 'sales', -1000);
"""
CAPTURED_IN_TWO = (
    CAPTURED_AGAIN.replace("1000", "500")
    + "UPDATE ledger_postings SET amount = amount / 2 WHERE transaction_id = 'pay-bought:capture' AND number > 2;"
)
STRANGER = f"""
INSERT INTO payments VALUES ('p', 'nobody', 'voided', '', '', 0, 'EUR', '', 0, '{NOW}', '{NOW}')
"""
TOLD_TWICE = f"""
INSERT INTO notifications (id, recipient, kind, subject, dedupe, title, body, created_at)
VALUES ('again', 'ida', 'order.confirmed', 'bought', 'other', '', '', '{NOW}')
"""
TOLD_WRONGLY = TOLD_TWICE.replace("order.confirmed", "order.shipped")

DAMAGE = [
    ("inventory", "UPDATE stock SET quantity = -1", "stock is possible"),
    ("inventory", "UPDATE stock SET reserved = 9", "stock is possible"),
    ("inventory", "UPDATE stock SET reserved = 1", "reserved is what orders hold"),
    ("inventory", "UPDATE stock SET received = 11", "sold + left = received"),
    ("inventory", "UPDATE stock SET sold = 1, quantity = 9", "sold is what orders bought"),
    ("inventory", "UPDATE movements SET delta = 11 WHERE delta = 10", "movements explain the quantity"),
    ("inventory", "UPDATE reservations SET state = 'held' WHERE order_id = 'refused'", "stock sold = confirmed orders"),
    (
        "inventory",
        "UPDATE reservations SET state = 'expired' WHERE order_id = 'bought'",
        "stock sold = confirmed orders",
    ),
    ("inventory", "UPDATE reservations SET lines = '{\"tea\": 3}'", "stock sold = confirmed orders"),
    ("inventory", "DELETE FROM reservations WHERE order_id = 'bought'", "stock sold = confirmed orders"),
    ("orders", "UPDATE orders SET status = 'shipped' WHERE id = 'bought'", "statuses follow each other legally"),
    ("orders", "DELETE FROM timeline WHERE status = 'pending'", "statuses follow each other legally"),
    ("orders", "UPDATE orders SET status = 'rejected' WHERE id = 'bought'", "captured − refunded = confirmed orders"),
    ("orders", "UPDATE orders SET amount = 999 WHERE id = 'bought'", "captured − refunded = confirmed orders"),
    ("orders", "UPDATE orders SET settled = 0 WHERE id = 'bought'", "every order ends"),
    ("orders", "UPDATE orders SET status = 'pending' WHERE id = 'refused'", "every order ends"),
    ("payments", "UPDATE ledger_postings SET amount = 999 WHERE number = 3", "every transaction balances"),
    ("payments", "DELETE FROM ledger_postings WHERE transaction_id LIKE '%refund'", "every transaction balances"),
    ("payments", "DELETE FROM ledger_transactions WHERE kind = 'capture'", "the books match the payment"),
    ("payments", "UPDATE payments SET state = 'authorised' WHERE order_id = 'bought'", "the books match the payment"),
    ("payments", CAPTURED_AGAIN, "nobody is charged twice"),
    ("payments", CAPTURED_IN_TWO, "nobody is charged twice"),
    ("payments", "UPDATE ledger_postings SET amount = amount * 2 WHERE account = 'refunds'", "nobody gets more back"),
    ("payments", "DELETE FROM ledger_postings WHERE transaction_id LIKE '%refund'", "captured − refunded"),
    ("payments", STRANGER, "captured − refunded = confirmed orders"),
    ("notifications", TOLD_TWICE, "one notification per order and status"),
    ("notifications", TOLD_WRONGLY, "one notification per order and status"),
    (
        "notifications",
        "DELETE FROM notifications WHERE kind = 'order.rejected'",
        "one notification per order and status",
    ),
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    for service in SERVICES:
        engine = create_engine(f"sqlite:///{folder}/{service}.db")
        import_module(f"shop.{service}.store").metadata.create_all(engine)
        engine.dispose()
        write(folder, service, ";".join(SOUND[service]))
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    for service in SERVICES:
        shutil.copy(sound / f"{service}.db", tmp_path)
    return tmp_path


def write(folder: Path, service: str, sql: str) -> None:
    connection = sqlite3.connect(folder / f"{service}.db")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute("PRAGMA synchronous = OFF")
    connection.executescript(f"BEGIN; {sql}; COMMIT")
    connection.close()


def test_sound_databases_are_sound(folder: Path) -> None:
    snapshot = read(folder)
    assert len(snapshot.orders) == 3
    assert check(snapshot) == []
    assert check(snapshot, settled=True) == []


@pytest.mark.parametrize(("service", "damage", "invariant"), DAMAGE)
def test_every_kind_of_damage_is_named(folder: Path, service: str, damage: str, invariant: str) -> None:
    write(folder, service, damage)
    named = [violation.invariant for violation in check(read(folder), settled=True)]
    assert any(name.startswith(invariant) for name in named), named


def test_an_order_in_work_is_not_compared_with_other_databases(folder: Path) -> None:
    write(folder, "orders", "UPDATE orders SET settled = 0 WHERE id = 'bought'")
    write(folder, "inventory", "UPDATE reservations SET state = 'held' WHERE order_id = 'bought'")
    write(folder, "inventory", "UPDATE stock SET quantity = 10, reserved = 2, sold = 0")
    write(folder, "inventory", "UPDATE movements SET delta = 0 WHERE delta = -2 AND id = 2")
    assert check(read(folder)) == []
    assert check(read(folder), settled=True) != []


def test_the_command_says_what_is_broken_and_fails(folder: Path) -> None:
    command = [sys.executable, "-m", "systems.shop.invariants", str(folder), "--settled"]
    healthy = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (healthy.returncode, healthy.stderr) == (0, "")
    assert "all invariants hold" in healthy.stdout
    write(folder, "inventory", "UPDATE stock SET received = 11")
    broken = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert broken.returncode == 1
    assert "BROKEN  sold + left = received: tea: sold 2 + left 8, received 11" in broken.stdout
    missing = subprocess.run(
        [*command[:3], str(folder / "none")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert missing.returncode == 2
