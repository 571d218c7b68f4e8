"""Verifying tokens."""

import json
import math
from collections.abc import Collection
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from jwt import PyJWK, PyJWS, PyJWTError

from hanse.core import Env, Principal
from hanse.core.errors import ConfigurationError, Unauthenticated, Unavailable
from hanse.security.keys import ACCEPTED

_LEEWAY_S = 30.0
_LONGEST = 8192
_LATEST = 1e12
_CACHED = 4096
_REREAD_PAUSE_S = 1.0
_REREAD_AGE_S = 30.0


class _Key(NamedTuple):
    public: PyJWK
    issuer: str | None
    """The only one whose tokens it signs; None: not bound."""


class TokenVerifier:
    """Checks who issued a token, for whom, when and for how long, and that nobody has touched it (RFC 8725).

    A token that was verified is remembered until it expires, or until the keys change: the signature costs more than
    everything else in a request. The file of keys is read again when a token names an unknown key, at most once a
    second, and every 30 s: a key that is taken out stops to be trusted by then.

    Args:
        env: time.
        keys: the public set, or the file that holds it.
        issuers: accepted values of `iss`. A key that names an issuer itself (member `iss`) signs only for that one:
            who may issue users' tokens can't make those of services.
        audience: must be among the token's `aud`.
    """

    def __init__(self, env: Env, keys: dict[str, Any] | Path, issuers: Collection[str], audience: str) -> None:
        self._clock = env.clock
        self._file = keys if isinstance(keys, Path) else None
        self._keys: dict[str, _Key] = {} if isinstance(keys, Path) else _parse(keys)
        self._issuers = frozenset(issuers)
        self._audience = audience
        self._signatures = PyJWS()
        self._verified: dict[str, tuple[float, Principal]] = {}
        self._read_at = -math.inf
        self._text: str | None = None

    def verify(self, token: str) -> Principal:
        """Who the token speaks of.

        Raises:
            Unauthenticated: it is not to be trusted; the message says why, in words fit for the caller.
            Unavailable: the file of keys is missing or broken, so that nothing can be verified.
        """
        self._reread(_REREAD_AGE_S)
        known = self._verified.get(token)
        now = self._clock.now()
        if known is not None:
            if now < known[0] + _LEEWAY_S:
                return known[1]
            del self._verified[token]
        claims, bound = self._claims(token)
        until = self._check(claims, bound, now)
        principal = _principal(claims, token)
        if len(self._verified) >= _CACHED:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = (until, principal)
        return principal

    def _claims(self, token: str) -> tuple[dict[str, Any], str | None]:
        """What the token says, and the issuer to whom the key that signed it is bound, if it is."""
        if len(token) > _LONGEST:
            _refuse("malformed", "the token is too long")
        try:
            header = self._signatures.get_unverified_header(token)
        except (PyJWTError, ValueError, RecursionError) as error:
            _refuse("malformed", "this is not a token", error)
        key, issuer = self._key(header.get("kid"))
        if header.get("alg") != key.algorithm_name:
            _refuse("signature", "the token's signature is not valid")
        try:
            payload = self._signatures.decode(token, key, algorithms=[key.algorithm_name])
        except (PyJWTError, ValueError) as error:
            _refuse("signature", "the token's signature is not valid", error)
        try:
            claims = json.loads(payload)
        except (ValueError, RecursionError) as error:
            _refuse("malformed", "the token holds no claims", error)
        if not isinstance(claims, dict):
            _refuse("malformed", "the token holds no claims")
        return claims, issuer

    def _key(self, kid: Any) -> _Key:
        if not isinstance(kid, str):
            _refuse("unknown_key", "the token does not say which key signed it")
        if kid not in self._keys:
            self._reread(_REREAD_PAUSE_S)
        if kid not in self._keys:
            _refuse("unknown_key", "the token is signed by an unknown key")
        return self._keys[kid]

    def _check(self, claims: dict[str, Any], bound: str | None, now: float) -> float:
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or issuer not in self._issuers:
            _refuse("issuer", "the token comes from an unknown issuer")
        if bound not in (None, issuer):
            _refuse("issuer", "the token is signed with another issuer's key")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            _refuse("audience", "the token is meant for another audience")
        until = _instant(claims, "exp")
        if until is None:
            _refuse("malformed", "the token has no end")
        if now >= until + _LEEWAY_S:
            _refuse("expired", "the token has expired")
        for name in ("nbf", "iat"):
            if now < (_instant(claims, name) or 0.0) - _LEEWAY_S:
                _refuse("not_yet_valid", "the token is not valid yet")
        return until

    def _reread(self, older_than_s: float) -> None:
        now = self._clock.monotonic()
        if self._file is None or now - self._read_at < older_than_s:
            return
        try:
            text = self._file.read_text(encoding="utf-8")
            keys = _parse(json.loads(text)) if text != self._text else self._keys
        except (OSError, ValueError, ConfigurationError) as error:
            if not self._keys:
                raise Unavailable("the keys that verify tokens can't be read") from error
            self._read_at = now  # the keys that are known go on being trusted, as when an issuer does not answer
            return
        self._read_at = now
        if text != self._text:
            self._text, self._keys = text, keys
            self._verified.clear()


def _parse(keys: Any) -> dict[str, _Key]:
    """The keys of a set that verify signatures. Keys for other uses, or of other kinds, are left out (RFC 7517, 5)."""
    members = keys.get("keys") if isinstance(keys, dict) else None
    if not isinstance(members, list):
        raise ConfigurationError("this is no set of keys (RFC 7517): it has no list `keys`")
    parsed = {}
    for member in members:
        try:
            key = PyJWK(member)
        except (PyJWTError, ValueError, TypeError, AttributeError):
            continue
        if key.key_id and key.algorithm_name in ACCEPTED and key.public_key_use in (None, "sig"):
            issuer = member.get("iss")
            parsed[key.key_id] = _Key(key, issuer if isinstance(issuer, str) else None)
    return parsed


def _principal(claims: dict[str, Any], token: str) -> Principal:
    subject, roles, scope = claims.get("sub"), claims.get("roles", []), claims.get("scope", "")
    if not isinstance(subject, str) or not subject:
        _refuse("malformed", "the token names nobody")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles) or not isinstance(scope, str):
        _refuse("malformed", "the token's roles or scopes can't be read")
    others = {name: value for name, value in claims.items() if name not in ("sub", "roles", "scope")}
    return Principal(subject, frozenset(roles), frozenset(scope.split()), MappingProxyType(others), token)


def _instant(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LATEST:
        _refuse("malformed", f"the token's {name} is not a time")
    return float(value)


def _refuse(reason: str, message: str, error: Exception | None = None) -> NoReturn:
    raise Unauthenticated(message, reason=reason) from error
