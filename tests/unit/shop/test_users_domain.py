"""Accounts and sessions: tokens work once, and a copied one ends the session."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel, ValidationError

from hanse.core import Random
from shop.users.domain import Email, Password, RefreshToken, Ruling, digest, expiry, judge, new_refresh_token

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class Form(BaseModel):
    email: Email = "ada@example.org"
    password: Password = "correct horse"


def token(**changes: datetime) -> RefreshToken:
    return RefreshToken("d", "family", "user", expiry(NOW, 60), **changes)


def test_a_fresh_token_rotates() -> None:
    assert judge(token(), NOW) is Ruling.ROTATE
    assert judge(token(), NOW + timedelta(seconds=59)) is Ruling.ROTATE


def test_a_used_token_means_theft_even_when_expired() -> None:
    assert judge(token(used_at=NOW), NOW) is Ruling.REUSED
    assert judge(token(used_at=NOW), NOW + timedelta(days=1)) is Ruling.REUSED


def test_unknown_expired_and_revoked_tokens_are_refused() -> None:
    assert judge(None, NOW) is Ruling.REFUSE
    assert judge(token(), NOW + timedelta(seconds=60)) is Ruling.REFUSE
    assert judge(token(revoked_at=NOW), NOW) is Ruling.REFUSE
    assert judge(token(revoked_at=NOW, used_at=NOW), NOW) is Ruling.REFUSE


def test_tokens_are_unguessable_and_stored_as_hashes() -> None:
    first, second = new_refresh_token(Random()), new_refresh_token(Random())
    assert first != second
    assert len(first) >= 46
    assert first not in digest(first)
    assert digest(first) == digest(first) != digest(second)


@pytest.mark.parametrize(
    "text", ["", "ada", "ada@", "@example.org", "a b@example.org", "ada@example", "ada@x..org", "a\x00@b.de"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Form(email=text)


def test_addresses_are_compared_without_case() -> None:
    assert Form(email=" Ada@Example.ORG ").email == "ada@example.org"


@pytest.mark.parametrize("text", ["short77", "x" * 257])
def test_passwords_have_bounds(text: str) -> None:
    with pytest.raises(ValidationError):
        Form(password=text)
