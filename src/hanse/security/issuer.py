"""Issuing tokens."""

from collections.abc import Iterable, Mapping
from typing import Any

import jwt

from hanse.core import Env
from hanse.core.errors import ConfigurationError
from hanse.security.keys import SigningKey, jwks

RESERVED = frozenset({"iss", "aud", "sub", "iat", "nbf", "exp", "jti", "roles", "scope"})
"""The claims that a token has by itself."""


class TokenIssuer:
    """Signs tokens (RFC 7519) in one issuer's name.

    Args:
        env: time and ids.
        key: signs.
        issuer: the claim `iss`, for example `shop/users`.
        audience: the claim `aud`: the system that may accept the token.
    """

    def __init__(self, env: Env, key: SigningKey, issuer: str, audience: str) -> None:
        self.issuer = issuer
        self.audience = audience
        self._env = env
        self._key = key

    def jwks(self) -> dict[str, Any]:
        """The public key set that these tokens are verified with (RFC 7517), for `/.well-known/jwks.json`."""
        return jwks([self._key])

    def issue(
        self,
        subject: str,
        *,
        roles: Iterable[str] = (),
        scopes: Iterable[str] = (),
        ttl_s: float,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """A signed token for `subject`, valid from now for `ttl_s` seconds (rounded up to whole ones).

        Args:
            subject: opaque id of a user, or `service:<name>`.
            roles: the claim `roles`, a list.
            scopes: the claim `scope`, joined by spaces (RFC 8693, section 4.2); no scope may contain one.
            claims: further ones, JSON-compatible.

        Raises:
            ConfigurationError: `claims` would replace one that a token has by itself; or the subject is empty, or
                `ttl_s` is not positive, or a scope has a space in it.
        """
        further = dict(claims or {})
        scopes = list(scopes)
        if taken := sorted(RESERVED & further.keys()):
            raise ConfigurationError(f"claims that every token has can't be given: {', '.join(taken)}")
        if not subject or ttl_s <= 0 or any(not scope or scope.split() != [scope] for scope in scopes):
            raise ConfigurationError("a token needs a subject, a positive lifetime and scopes without spaces")
        now = int(self._env.clock.now())
        payload = {
            **further,
            "iss": self.issuer,
            "aud": self.audience,
            "sub": subject,
            "iat": now,
            "nbf": now,
            "exp": now - int(-ttl_s // 1),
            "jti": self._env.ids.new("tok"),
            "roles": sorted(roles),
            "scope": " ".join(scopes),
        }
        return jwt.encode(payload, self._key.private, self._key.algorithm, headers={"kid": self._key.kid})
