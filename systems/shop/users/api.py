"""Users' endpoints."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from hanse import Session, User
from hanse.core.errors import NotFound
from shop.users import accounts, sessions
from shop.users.domain import CUSTOMER, Email, Password
from shop.users.service import service
from shop.users.sessions import Tokens
from shop.users.store import Account

Name = Annotated[str, Field(min_length=1, max_length=100)]
AnyPassword = Annotated[str, Field(max_length=256, repr=False)]


class RegisterForm(BaseModel):
    """What somebody sends to get an account."""

    email: Email
    password: Annotated[Password, Field(repr=False)]
    name: Name


class LoginForm(BaseModel):
    """What somebody sends to sign in."""

    email: Email
    password: AnyPassword


class RefreshForm(BaseModel):
    """A refresh token, to be rotated or revoked."""

    refresh_token: Annotated[str, Field(max_length=200, repr=False)]


class PasswordForm(BaseModel):
    """What somebody sends to change their password."""

    current_password: AnyPassword
    new_password: Annotated[Password, Field(repr=False)]


class ProfileChange(BaseModel):
    """What somebody changes about themselves; what is left out stays."""

    name: Name | None = None
    bio: Annotated[str, Field(max_length=2000)] | None = None
    avatar: Annotated[str, Field(max_length=500, pattern=r"^(https?://\S+)?$")] | None = None
    location: Annotated[str, Field(max_length=100)] | None = None
    preferences: Annotated[dict[str, Any], Field(max_length=50)] | None = None


class UserView(BaseModel):
    """An account as its owner sees it."""

    id: str
    email: str
    name: str
    roles: list[str]
    bio: str
    avatar: str
    location: str
    preferences: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, account: Account) -> "UserView":
        return cls.model_validate(account, from_attributes=True)


@service.post("/auth/register", status_code=201)
async def register(body: RegisterForm) -> UserView:
    """Get an account; 409 `email_taken`."""
    return UserView.of(await accounts.register(body.email, body.password, body.name, [CUSTOMER]))


@service.post("/auth/login")
async def login(body: LoginForm) -> Tokens:
    """Sign in; 401 `wrong_credentials`."""
    return await sessions.open_session(await accounts.with_password(body.email, body.password))


@service.post("/auth/refresh")
async def refresh(body: RefreshForm) -> Tokens:
    """Rotate; 401 `session_ended`. A token that is used twice ends the session of all who hold one of its family."""
    return await sessions.rotate(body.refresh_token)


@service.post("/auth/logout", status_code=204)
async def logout(body: RefreshForm) -> None:
    """Sign out. Always succeeds, so that nothing can be learnt about tokens here."""
    await sessions.close_session(body.refresh_token)


@service.get("/users/me")
async def read_me(user: User, db: Session) -> UserView:
    """The signed-in user."""
    account = await db.get(Account, user.subject)
    if account is None:
        raise NotFound("there is no such account")
    return UserView.of(account)


@service.patch("/users/me")
async def change_me(body: ProfileChange, user: User, db: Session) -> UserView:
    """Change the signed-in user's profile."""
    account = await db.get(Account, user.subject)
    if account is None:
        raise NotFound("there is no such account")
    for name, value in body.model_dump(exclude_none=True).items():
        setattr(account, name, value)
    account.updated_at = service.env.clock.utc()
    return UserView.of(account)


@service.post("/users/me/password", status_code=204)
async def change_password(body: PasswordForm, user: User) -> None:
    """Change the password and end all sessions; 401 `wrong_credentials` when the current one is wrong."""
    account = await accounts.find(user.subject)
    await accounts.with_password(account.email, body.current_password)
    await accounts.set_password(account.id, body.new_password)
    await sessions.close_all(account.id)


@service.get("/.well-known/jwks.json")
async def read_keys() -> dict[str, Any]:
    """The public keys of users' tokens (RFC 7517)."""
    return service.issuer.jwks()
