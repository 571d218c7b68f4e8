"""Passwords: salted, verified, rehashed, and never in the way of the event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from hanse.core import Env, Random
from hanse.core.errors import InvalidInput
from hanse.security import Passwords

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.fixture
async def env() -> AsyncIterator[Env]:
    env = Env.build("test")
    yield env
    await env.scope.close()


@pytest.fixture
def passwords(env: Env) -> Passwords:
    return Passwords(env, CHEAP)


async def test_the_right_password_is_recognised_and_others_are_not(passwords: Passwords) -> None:
    hashed = await passwords.hash("correct horse")
    assert await passwords.verify(hashed, "correct horse")
    assert not await passwords.verify(hashed, "correct horsf")
    assert not await passwords.verify(hashed, "")
    assert not await passwords.verify(hashed, "x" * 5000)


async def test_two_hashes_of_one_password_differ(passwords: Passwords) -> None:
    assert await passwords.hash("same") != await passwords.hash("same")


async def test_salts_come_from_the_node(env: Env) -> None:
    one, two = (Passwords(Env.build("node", random=Random(7)), CHEAP) for _ in range(2))
    assert await one.hash("same") == await two.hash("same")
    for passwords in (one, two):
        await passwords._env.scope.close()


async def test_the_default_is_argon2id_at_the_cost_of_the_rfc(env: Env) -> None:
    parameters = extract_parameters(await Passwords(env).hash("secret"))
    assert (parameters.type, parameters.memory_cost, parameters.time_cost) == (Type.ID, 65536, 3)


async def test_one_character_has_one_form(passwords: Passwords) -> None:
    assert await passwords.verify(await passwords.hash("caf\u00e9"), "cafe\u0301")


@pytest.mark.parametrize("hashed", ["", "nonsense", "$argon2id$v=19$m=64,t=1,p=1$AAAA$", "$argon2id$" + "x" * 90])
async def test_what_is_no_hash_matches_nothing(passwords: Passwords, hashed: str) -> None:
    assert not await passwords.verify(hashed, "secret")
    assert passwords.needs_rehash(hashed)


async def test_a_hash_of_another_cost_is_to_be_renewed(passwords: Passwords, env: Env) -> None:
    hashed = await passwords.hash("secret")
    assert not passwords.needs_rehash(hashed)
    assert Passwords(env).needs_rehash(hashed)


@pytest.mark.parametrize("password", ["", "x" * 1025])
async def test_unfit_passwords_are_refused(passwords: Passwords, password: str) -> None:
    with pytest.raises(InvalidInput):
        await passwords.hash(password)


async def test_an_unknown_user_costs_one_hash(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes: list[Any] = []
    original = Passwords._hash
    monkeypatch.setattr(Passwords, "_hash", lambda self, *args: hashes.append(args) or original(self, *args))
    assert not await passwords.verify_nothing("guess")
    assert len(hashes) == 1


async def test_at_most_two_hashes_at_once_leave_threads_for_others(env: Env) -> None:
    running, most, lock, release = 0, 0, threading.Lock(), threading.Event()

    class Slow(PasswordHasher):
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            assert release.wait(10)
            with lock:
                running -= 1
            return "hash"

    passwords = Passwords(env, Slow())
    tasks = [asyncio.create_task(passwords.hash(str(number))) for number in range(6)]
    while running < 2:
        await asyncio.sleep(0)
    assert await env.scope.blocking(lambda: "still answered") == "still answered"
    release.set()
    await asyncio.gather(*tasks)
    assert most == 2
