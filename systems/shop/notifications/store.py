"""Notifications' table, and the queries on it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Index, MetaData, String, Text, func, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hanse.db import Prepared, UtcDateTime


class Base(DeclarativeBase):
    """Notifications' own metadata."""

    metadata = MetaData()


metadata = Base.metadata


class Notification(Base):
    """Something that somebody should know."""

    __tablename__ = "notifications"
    __table_args__ = (Index("ix_notifications_recipient", "recipient", "number"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    """In the order they were made; what a live follower has seen up to."""
    id: Mapped[str] = mapped_column(String(64), unique=True)
    recipient: Mapped[str] = mapped_column(String(64))
    """A user's id, or `role:admin`."""
    kind: Mapped[str] = mapped_column(String(64))
    """The event that it tells of: `order.confirmed`."""
    subject: Mapped[str] = mapped_column(String(64))
    """What it is about: the order's id."""
    dedupe: Mapped[str] = mapped_column(String(200), unique=True)
    """`order:<id>:<status>` for orders: one notification per (order, status)."""
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    read_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


_NOTIFICATIONS = metadata.tables["notifications"]
_MAKE = Prepared(
    sqlite.insert(_NOTIFICATIONS).on_conflict_do_nothing(index_elements=["dedupe"]).returning(_NOTIFICATIONS.c.number)
)


async def make(db: AsyncSession, notification: dict[str, Any]) -> bool:
    """Store a notification, its columns by name; False when it was made already."""
    return bool(await _MAKE.run(db, notification))


async def page_for(
    db: AsyncSession, recipients: Collection[str], *, unread_only: bool, offset: int, limit: int
) -> tuple[Sequence[Notification], int]:
    """One page of what `recipients` got, latest first, and how many there are in all."""
    mine = Notification.recipient.in_(sorted(recipients))
    chosen = mine & Notification.read_at.is_(None) if unread_only else mine
    total = await db.scalar(select(func.count(Notification.number)).where(chosen)) or 0
    query = select(Notification).where(chosen).order_by(Notification.number.desc()).offset(offset).limit(limit)
    return (await db.scalars(query)).all(), total


async def unread(db: AsyncSession, recipients: Collection[str]) -> int:
    """How many `recipients` have not read yet."""
    chosen = Notification.recipient.in_(sorted(recipients)) & Notification.read_at.is_(None)
    return await db.scalar(select(func.count(Notification.number)).where(chosen)) or 0


async def last_number(db: AsyncSession) -> int:
    """The number of the latest notification; 0 before any."""
    return await db.scalar(select(func.max(Notification.number))) or 0


async def made_since(db: AsyncSession, recipients: Collection[str], number: int) -> Sequence[Notification]:
    """What `recipients` got after `number`, oldest first; at most 100."""
    query = (
        select(Notification)
        .where(Notification.recipient.in_(sorted(recipients)), Notification.number > number)
        .order_by(Notification.number)
        .limit(100)
    )
    return (await db.scalars(query)).all()


async def recipients_since(db: AsyncSession, number: int) -> tuple[Sequence[str], int]:
    """Who got something after `number`, and the number of the latest notification."""
    query = select(Notification.recipient, Notification.number).where(Notification.number > number)
    found = (await db.execute(query.order_by(Notification.number))).all()
    return [recipient for recipient, _ in found], found[-1][1] if found else number


async def mark_read(db: AsyncSession, recipients: Collection[str], ids: Collection[str], now: datetime) -> int:
    """Mark those of `ids` as read that belong to `recipients`; how many were unread until now."""
    chosen = Notification.recipient.in_(sorted(recipients)) & Notification.id.in_(sorted(ids))
    fresh = chosen & Notification.read_at.is_(None)
    count = await db.scalar(select(func.count(Notification.number)).where(fresh)) or 0
    if count:
        await db.execute(update(Notification).where(fresh).values(read_at=now))
    return count
