"""Payments' tables, and the queries on them.

What happens with every order is a prepared statement; the rest goes through mapped objects.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    MetaData,
    String,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hanse.db import Prepared, UtcDateTime
from shop.money import Money
from shop.payments.domain import PaymentState
from shop.payments.ledger import Kind, postings


class Base(DeclarativeBase):
    """Payments' own metadata."""

    metadata = MetaData()


metadata = Base.metadata


class Payment(Base):
    """The one payment of an order."""

    __tablename__ = "payments"
    __table_args__ = (CheckConstraint("amount >= 0", name="payment_amount"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    order_id: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    provider: Mapped[str] = mapped_column(String(32))
    """Empty for the tombstone of a payment that was voided before it was asked for."""
    token: Mapped[str] = mapped_column(String(200))
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    reference: Mapped[str] = mapped_column(String(200))
    """The provider's own id; empty until known."""
    attempts: Mapped[int]
    """How often the provider was asked to authorise it."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @property
    def money(self) -> Money:
        return Money(amount=self.amount, currency=self.currency)

    @property
    def status(self) -> PaymentState:
        return PaymentState(self.state)


class Refund(Base):
    """Money that goes, or went, back to a customer."""

    __tablename__ = "refunds"
    __table_args__ = (CheckConstraint("amount > 0", name="refund_amount"),)

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    payment_id: Mapped[str] = mapped_column(ForeignKey("payments.id"), index=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    done: Mapped[bool]
    """False while it is an intent: the provider may or may not have acted yet."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LedgerTransaction(Base):
    """One movement of money. Its id says what it is for, so that nothing is booked twice."""

    __tablename__ = "ledger_transactions"

    id: Mapped[str] = mapped_column(String(300), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    order_id: Mapped[str] = mapped_column(String(64), index=True)
    currency: Mapped[str] = mapped_column(String(3))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class LedgerPosting(Base):
    """One line of a transaction; debit > 0, credit < 0. Lines are added, never changed."""

    __tablename__ = "ledger_postings"
    __table_args__ = (
        CheckConstraint("amount <> 0", name="posting_amount"),
        Index("ix_ledger_postings_account", "account"),
    )

    transaction_id: Mapped[str] = mapped_column(ForeignKey("ledger_transactions.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    account: Mapped[str] = mapped_column(String(64))
    amount: Mapped[int] = mapped_column(BigInteger)


_PAYMENTS, _TRANSACTIONS, _POSTINGS = (
    metadata.tables[name] for name in ("payments", "ledger_transactions", "ledger_postings")
)
_BEGIN = Prepared(
    sqlite.insert(_PAYMENTS).on_conflict_do_nothing(index_elements=["order_id"]).returning(_PAYMENTS.c.id)
)
_MOVE = Prepared(
    update(_PAYMENTS)
    .where(
        or_(_PAYMENTS.c.id == bindparam("which"), _PAYMENTS.c.order_id == bindparam("which")),
        _PAYMENTS.c.state == bindparam("present"),
    )
    .values(
        state=bindparam("wanted"),
        reference=func.coalesce(bindparam("known"), _PAYMENTS.c.reference),
        updated_at=bindparam("at"),
    )
    .returning(_PAYMENTS)
)
_BOOK, _POST = Prepared(insert(_TRANSACTIONS)), Prepared(insert(_POSTINGS))


async def begin(db: AsyncSession, values: dict[str, Any]) -> Payment | None:
    """Store a payment, unless its order has one. What is returned is a copy: changing it changes no row."""
    return Payment(**values) if await _BEGIN.run(db, values) else None


async def move(
    db: AsyncSession,
    which: str,
    present: PaymentState,
    wanted: PaymentState,
    *,
    at: datetime,
    reference: str | None = None,
) -> Payment | None:
    """Give a payment another state if it is in `present`; None else. What is returned is a copy of the row.

    Args:
        which: the payment's id, or its order's.
        reference: the provider's own id, when it is known now.
    """
    values = {"which": which, "present": present.value, "wanted": wanted.value, "at": at, "known": reference}
    rows = await _MOVE.run(db, values)
    return Payment(**rows[0]) if rows else None


async def payment_of(db: AsyncSession, order_id: str) -> Payment | None:
    """The payment of an order, if there is one."""
    return await db.scalar(select(Payment).where(Payment.order_id == order_id))


async def refunds_of(db: AsyncSession, payment_id: str) -> Sequence[Refund]:
    """All refunds of a payment, done or not, oldest first."""
    query = select(Refund).where(Refund.payment_id == payment_id).order_by(Refund.created_at, Refund.key)
    return (await db.scalars(query)).all()


async def book(db: AsyncSession, payment: Payment, kind: Kind, amount: int, *, at: datetime, key: str = "") -> None:
    """Write one balanced transaction into the ledger.

    Args:
        key: tells transactions of one kind and payment apart (refunds).

    Raises:
        Conflict: it is booked already.
    """
    booked = ":".join(filter(None, (payment.id, kind.value, key)))
    order = {"order_id": payment.order_id, "currency": payment.currency}
    await _BOOK.run(db, {"id": booked, "kind": kind.value, "at": at, **order})
    lines = enumerate(postings(kind, payment.provider, amount), start=1)
    await _POST.run_all(
        db,
        [
            {"transaction_id": booked, "number": no, "account": line.account, "amount": line.amount}
            for no, line in lines
        ],
    )


async def balances(db: AsyncSession) -> dict[tuple[str, str], int]:
    """The balance of each account, by (account, currency). They sum to zero in each currency."""
    query = (
        select(LedgerPosting.account, LedgerTransaction.currency, func.sum(LedgerPosting.amount))
        .join(LedgerTransaction, LedgerTransaction.id == LedgerPosting.transaction_id)
        .group_by(LedgerPosting.account, LedgerTransaction.currency)
        .order_by(LedgerPosting.account, LedgerTransaction.currency)
    )
    return {(account, currency): balance for account, currency, balance in (await db.execute(query)).all()}
