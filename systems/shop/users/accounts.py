"""Accounts: made and found; passwords checked, always off the event loop and outside a transaction."""

from hanse.core.errors import Conflict, NotFound
from shop.users.domain import EmailTaken, WrongCredentials
from shop.users.events import UserRegistered
from shop.users.service import service
from shop.users.store import Account, account_by_email


async def register(email: str, password: str, name: str, roles: list[str]) -> Account:
    """Make an account. Raises EmailTaken."""
    async with service.database.read() as db:
        if await account_by_email(db, email) is not None:
            raise EmailTaken("there is an account with this address")
    hashed = await service.passwords.hash(password)
    now = service.env.clock.utc()
    account = Account(
        id=service.env.ids.new("user"),
        email=email,
        name=name,
        password_hash=hashed,
        roles=roles,
        bio="",
        avatar="",
        location="",
        preferences={},
        created_at=now,
        updated_at=now,
    )
    try:
        async with service.database.transaction() as db:
            db.add(account)
            await db.flush()
            await service.publish(db, UserRegistered(user_id=account.id, email=email, name=name))
    except Conflict as taken:
        raise EmailTaken("there is an account with this address") from taken
    return account


async def with_password(email: str, password: str) -> Account:
    """The account of whoever knows its password.

    Raises:
        WrongCredentials: after the same time, whether the address or the password is wrong.
    """
    async with service.database.read() as db:
        account = await account_by_email(db, email)
    if account is None:
        await service.passwords.verify_nothing(password)
        raise WrongCredentials("e-mail or password is wrong")
    if not await service.passwords.verify(account.password_hash, password):
        raise WrongCredentials("e-mail or password is wrong")
    if service.passwords.needs_rehash(account.password_hash):
        await set_password(account.id, password)
    return account


async def set_password(account_id: str, password: str) -> None:
    """Store another password, or the same one at today's cost."""
    hashed = await service.passwords.hash(password)
    async with service.database.transaction() as db:
        account = await db.get(Account, account_id)
        if account is not None:
            account.password_hash, account.updated_at = hashed, service.env.clock.utc()


async def find(account_id: str) -> Account:
    """The account; NotFound when it is gone."""
    async with service.database.read() as db:
        account = await db.get(Account, account_id)
    if account is None:
        raise NotFound("there is no such account")
    return account
