"""The users service in this process: the first admin, and sessions that end when they should."""

import io
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from hanse.config import ServiceSettings
from hanse.core import Env
from hanse.security import SigningKey, write_jwks
from hanse.telemetry import Logs
from shop.settings import ShopSettings
from shop.users import accounts, sessions
from shop.users.app import service
from shop.users.domain import EmailTaken, SessionEnded, WrongCredentials


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    key = SigningKey.generate(Env.build("test"))
    key.save(tmp_path / "key.jwk")
    write_jwks(tmp_path / "jwks.json", [key])
    return ServiceSettings(
        system="shop",
        database_url=f"sqlite:///{tmp_path}/users.db",
        broker_url="memory://users",
        issuer="shop/users",
        jwks_file=tmp_path / "jwks.json",
        jwt_private_key_file=tmp_path / "key.jwk",
    )


async def start_and_read_log(settings: ServiceSettings, own: ShopSettings) -> str:
    stream = io.StringIO()
    logs = Logs("users", "1.0.0", stream=stream)
    async with service.running(settings, own=own, logs=logs):
        logs.flush()
    return stream.getvalue()


async def test_a_made_up_password_is_told_once_and_works(settings: ServiceSettings) -> None:
    own = ShopSettings(admin_password=None)
    told = re.findall(r"its password is (\S+) \(shown this once\)", await start_and_read_log(settings, own))
    assert len(told) == 1
    assert "password" not in await start_and_read_log(settings, own)
    async with service.running(settings, own=own):
        admin = await accounts.with_password("admin@shop.local", told[0])
    assert "admin" in admin.roles


async def test_a_given_password_is_not_told(settings: ServiceSettings) -> None:
    log = await start_and_read_log(settings, ShopSettings(admin_password=SecretStr("hush hush hush")))
    assert "admin@shop.local" in log
    assert "hush" not in log


async def test_sessions_rotate_and_end(settings: ServiceSettings) -> None:
    own = ShopSettings(refresh_token_s=1000)
    async with service.running(settings, own=own):
        account = await accounts.register("ida@example.org", "a long password", "Ida", ["customer"])
        with pytest.raises(EmailTaken):
            await accounts.register("ida@example.org", "a long password", "Ida", ["customer"])
        with pytest.raises(WrongCredentials):
            await accounts.with_password("ida@example.org", "another password")
        first = await sessions.open_session(account)
        second = await sessions.rotate(first.refresh_token)
        other = await sessions.open_session(account)
        with pytest.raises(SessionEnded):
            await sessions.rotate(first.refresh_token)
        with pytest.raises(SessionEnded):
            await sessions.rotate(second.refresh_token)
        third = await sessions.rotate(other.refresh_token)
        await sessions.close_all(account.id)
        with pytest.raises(SessionEnded):
            await sessions.rotate(third.refresh_token)
