"""Passwords are kept as argon2id hashes."""

import asyncio
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from hanse.core import Env
from hanse.core.errors import InvalidInput

_LONGEST = 1024
_SALT_BYTES = 16
_AT_ONCE = 2


class Passwords:
    """Hashes and verifies passwords off the event loop.

    At most two hashes run at once in a node: each takes 64 MiB and tens of milliseconds of processor, and the other
    threads are needed by others (the database flushes its log there).

    Args:
        env: the seams.
        hasher: the cost; by default that of RFC 9106, section 4, second recommendation. Cheaper ones are for tests.
    """

    def __init__(self, env: Env, hasher: PasswordHasher | None = None) -> None:
        self._env = env
        self._hasher = hasher or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def hash(self, password: str) -> str:
        """The hash to store, with its salt and cost in it.

        Raises:
            InvalidInput: the password is empty or longer than 1024 characters.
        """
        if not 0 < len(password) <= _LONGEST:
            raise InvalidInput(f"a password has 1 to {_LONGEST} characters")
        salt = self._env.random.secret(_SALT_BYTES)
        async with self._turns:
            return await self._env.scope.blocking(self._hash, _plain(password), salt)

    async def verify(self, hashed: str, password: str) -> bool:
        """Whether `password` is the one that was hashed. False too when `hashed` is no hash at all."""
        if len(password) > _LONGEST:
            return False
        async with self._turns:
            return await self._env.scope.blocking(self._matches, hashed, _plain(password))

    async def verify_nothing(self, password: str) -> bool:
        """False, after the time that `verify` takes: for unknown users, so that they can't be told from known ones."""
        if len(password) <= _LONGEST:
            await self.hash(password or "-")
        return False

    def needs_rehash(self, hashed: str) -> bool:
        """True when `hashed` was made at another cost: hash anew at the next successful sign-in."""
        try:
            return self._hasher.check_needs_rehash(hashed)
        except InvalidHashError:
            return True

    def _hash(self, password: bytes, salt: bytes) -> str:
        return self._hasher.hash(password, salt=salt)

    def _matches(self, hashed: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False


def _plain(password: str) -> bytes:
    """One form for characters that keyboards compose differently (NIST SP 800-63B, section 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
