"""Rules of accounts and sessions. Pure, no database."""

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from hanse.core import Random
from hanse.core.errors import Conflict, Unauthenticated

CUSTOMER, ADMIN = "customer", "admin"


class EmailTaken(Conflict):
    """Somebody has registered with this address. Sign in, or take another one."""

    code = "email_taken"


class WrongCredentials(Unauthenticated):
    """E-mail or password is wrong; which of them is not told."""

    code = "wrong_credentials"


class SessionEnded(Unauthenticated):
    """The refresh token is unknown, expired, revoked or was used before. Sign in again."""

    code = "session_ended"


def normalise_email(text: str) -> str:
    """The address in lower case without blanks around it: the form in which it is unique."""
    return text.strip().lower()


Email = Annotated[
    str,
    Field(min_length=3, max_length=254, pattern=r"^\s*[^@\s\p{Cc}]+@[^@\s.\p{Cc}]+(\.[^@\s.\p{Cc}]+)+\s*$"),
    AfterValidator(normalise_email),
]
Password = Annotated[str, Field(min_length=8, max_length=256)]


class Ruling(StrEnum):
    """What becomes of a refresh token that somebody shows."""

    ROTATE = "rotate"
    REUSED = "reused"
    """Shown for the second time: a copy exists, so nobody who holds one of the family is trusted any more."""
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What is kept of a refresh token; the token itself is not."""

    digest: str
    family: str
    """All tokens that descend from one sign-in."""
    user_id: str
    expires_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None


def judge(token: RefreshToken | None, now: datetime) -> Ruling:
    """Decide about a refresh token; None when nobody knows it."""
    if token is None or token.revoked_at is not None:
        return Ruling.REFUSE
    if token.used_at is not None:
        return Ruling.REUSED
    return Ruling.ROTATE if now < token.expires_at else Ruling.REFUSE


def new_refresh_token(random: Random) -> str:
    """An unguessable refresh token (256 bits)."""
    return f"rt_{urlsafe_b64encode(random.secret(32)).decode().rstrip('=')}"


def digest(refresh_token: str) -> str:
    """The form in which a refresh token is stored: SHA-256, enough for a secret of 256 random bits."""
    return hashlib.sha256(refresh_token.encode()).hexdigest()


def expiry(now: datetime, ttl_s: float) -> datetime:
    """When something made `now` ends."""
    return now + timedelta(seconds=ttl_s)
