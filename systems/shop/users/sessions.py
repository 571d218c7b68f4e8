"""Sessions: tokens given out, rotated and revoked."""

from typing import Literal

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from shop.users.domain import Ruling, SessionEnded, digest, expiry, judge, new_refresh_token
from shop.users.service import service
from shop.users.store import Account, StoredToken, revoke_account, revoke_family


class Tokens(BaseModel):
    """What a client gets when it signs in or rotates."""

    access_token: str
    """A JWT for `Authorization: Bearer`."""
    refresh_token: str
    """Works once."""
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a scheme, no secret
    expires_in: int
    """Seconds until the access token ends."""


async def open_session(account: Account) -> Tokens:
    """Sign an account in: the first tokens of a new family."""
    async with service.database.transaction() as db:
        return await _give(db, account, service.env.ids.new("fam"))


async def rotate(refresh_token: str) -> Tokens:
    """New tokens for an unused refresh token.

    Raises:
        SessionEnded: it is unknown, expired or revoked; or it was used before, and then its family is revoked too.
    """
    now = service.env.clock.utc()
    async with service.database.transaction() as db:
        stored = await db.get(StoredToken, digest(refresh_token))
        ruling = judge(stored.token if stored is not None else None, now)
        if stored is not None and ruling is Ruling.ROTATE:
            account = await db.get(Account, stored.account_id)
            if account is not None:
                stored.used_at = now
                return await _give(db, account, stored.family)
        if stored is not None and ruling is Ruling.REUSED:
            await revoke_family(db, stored.family, now)
    if stored is not None and ruling is Ruling.REUSED:
        service.log.warning("a refresh token was used twice", user_id=stored.account_id, family=stored.family)
    raise SessionEnded("this session has ended, sign in again")


async def close_session(refresh_token: str) -> None:
    """Sign out: revoke the family of a refresh token. An unknown one is ignored."""
    async with service.database.transaction() as db:
        stored = await db.get(StoredToken, digest(refresh_token))
        if stored is not None:
            await revoke_family(db, stored.family, service.env.clock.utc())


async def close_all(account_id: str) -> None:
    """Sign an account out everywhere; access tokens work until they expire."""
    async with service.database.transaction() as db:
        await revoke_account(db, account_id, service.env.clock.utc())


async def _give(db: AsyncSession, account: Account, family: str) -> Tokens:
    now, ttl_s = service.env.clock.utc(), service.settings.access_token_s
    refresh_token = new_refresh_token(service.env.random)
    db.add(
        StoredToken(
            digest=digest(refresh_token),
            family=family,
            account_id=account.id,
            created_at=now,
            expires_at=expiry(now, service.settings.refresh_token_s),
            used_at=None,
            revoked_at=None,
        )
    )
    claims = {"name": account.name, "email": account.email}
    access_token = service.issuer.issue(account.id, roles=account.roles, ttl_s=ttl_s, claims=claims)
    return Tokens(access_token=access_token, refresh_token=refresh_token, expires_in=int(ttl_s))
