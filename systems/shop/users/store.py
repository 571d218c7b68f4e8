"""Users' tables, and the queries that read them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, MetaData, String, Text, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hanse.db import Json, UtcDateTime
from shop.users.domain import RefreshToken


class Base(DeclarativeBase):
    """Users' own metadata."""

    metadata = MetaData()


metadata = Base.metadata


class Account(Base):
    """Somebody who can sign in."""

    __tablename__ = "accounts"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    """In lower case."""
    name: Mapped[str] = mapped_column(String(100))
    password_hash: Mapped[str] = mapped_column(String(255))
    roles: Mapped[list[str]] = mapped_column(Json)
    bio: Mapped[str] = mapped_column(Text)
    avatar: Mapped[str] = mapped_column(String(500))
    """Address of a picture."""
    location: Mapped[str] = mapped_column(String(100))
    preferences: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class StoredToken(Base):
    """One refresh token of a sign-in, as its hash; tokens that descend from one sign-in share a family."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index("ix_refresh_tokens_family", "family"), Index("ix_refresh_tokens_account", "account_id"))

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    family: Mapped[str] = mapped_column(String(64))
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def token(self) -> RefreshToken:
        return RefreshToken(self.digest, self.family, self.account_id, self.expires_at, self.used_at, self.revoked_at)


async def account_by_email(db: AsyncSession, email: str) -> Account | None:
    """The account of a normalised address."""
    return await db.scalar(select(Account).where(Account.email == email))


async def revoke_family(db: AsyncSession, family: str, now: datetime) -> None:
    """End a sign-in: none of its refresh tokens works any more."""
    await db.execute(
        update(StoredToken).where(StoredToken.family == family, StoredToken.revoked_at.is_(None)).values(revoked_at=now)
    )


async def revoke_account(db: AsyncSession, account_id: str, now: datetime) -> None:
    """End all sign-ins of an account."""
    await db.execute(
        update(StoredToken)
        .where(StoredToken.account_id == account_id, StoredToken.revoked_at.is_(None))
        .values(revoked_at=now)
    )
