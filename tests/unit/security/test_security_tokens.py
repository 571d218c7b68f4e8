"""Tokens: what was issued is recognised; everything else is refused, with a reason that helps nobody to forge."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from hanse.core import Clock, Env
from hanse.core.errors import ConfigurationError, Unauthenticated, Unavailable
from hanse.security import SigningKey, TokenIssuer, TokenVerifier, jwks, write_jwks
from hanse.security.keys import Name

NOW = 1_800_000_000.0


class SetClock(Clock):
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.value = NOW
        self.now = self.monotonic = lambda: self.value

    async def sleep(self, seconds: float) -> None:
        self.value += seconds


CLOCK = SetClock()
ENV = Env.build("test", clock=CLOCK)
KEY = SigningKey.generate(ENV, "main")
ISSUER = TokenIssuer(ENV, KEY, "shop/users", "shop")


@pytest.fixture(autouse=True)
def _reset_clock() -> None:
    CLOCK.value = NOW


@pytest.fixture
def verifier() -> TokenVerifier:
    return TokenVerifier(ENV, jwks([KEY]), {"shop", "shop/users"}, "shop")


def encoded(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(key: SigningKey = KEY, kid: Any = "main", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token with any claims; those given as None are left out."""
    usual = {"iss": "shop/users", "aud": "shop", "sub": "u1", "exp": NOW + 60, "iat": NOW, "nbf": NOW}
    payload = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return jwt.api_jws.PyJWS().encode(
        json.dumps(payload).encode(), key.private, key.algorithm, headers={"kid": kid, **(headers or {})}
    )


def refusal(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        verifier.verify(token)
    assert token not in str(refused.value) or len(token) < 8
    return str(refused.value.details["reason"])


@pytest.mark.parametrize("algorithm", get_args(Name))
def test_what_was_issued_is_recognised(algorithm: Name) -> None:
    key = SigningKey.generate(ENV, algorithm=algorithm)
    token = TokenIssuer(ENV, key, "shop/users", "shop").issue(
        "u1", roles=["admin", "user"], scopes=["orders:read", "orders:write"], ttl_s=60, claims={"name": "Ada"}
    )
    principal = TokenVerifier(ENV, jwks([KEY, key]), {"shop/users"}, "shop").verify(token)
    assert (principal.subject, principal.token) == ("u1", token)
    assert (principal.roles, principal.scopes) == ({"admin", "user"}, {"orders:read", "orders:write"})
    assert principal.claims["name"] == "Ada"
    assert (principal.claims["iss"], principal.claims["exp"]) == ("shop/users", NOW + 60)
    assert token not in repr(principal)


def test_each_token_has_an_id_of_its_own() -> None:
    ids = {jwt.decode(ISSUER.issue("u", ttl_s=1), options={"verify_signature": False})["jti"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW - 30}, "expired"),
        ({"exp": None}, "malformed"),
        ({"exp": "tomorrow"}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"exp": float("nan")}, "malformed"),
        ({"exp": float("inf")}, "malformed"),
        ({"exp": 10**400}, "malformed"),
        ({"nbf": NOW + 31}, "not_yet_valid"),
        ({"iat": NOW + 31}, "not_yet_valid"),
        ({"nbf": "soon"}, "malformed"),
        ({"aud": "other"}, "audience"),
        ({"aud": ["other", "third"]}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": {"shop": 1}}, "audience"),
        ({"iss": "shop/orders"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"iss": ["shop/users"]}, "issuer"),
        ({"sub": None}, "malformed"),
        ({"sub": ""}, "malformed"),
        ({"sub": 7}, "malformed"),
        ({"roles": "admin"}, "malformed"),
        ({"roles": [1]}, "malformed"),
        ({"scope": ["a"]}, "malformed"),
    ],
)
def test_claims_that_do_not_fit_are_refused(verifier: TokenVerifier, claims: dict[str, Any], reason: str) -> None:
    assert refusal(verifier, signed(**claims)) == reason


@pytest.mark.parametrize(
    "claims", [{"exp": NOW - 29}, {"nbf": NOW + 29}, {"aud": ["other", "shop"]}, {"iat": None, "nbf": None}]
)
def test_claims_within_the_leeway_are_accepted(verifier: TokenVerifier, claims: dict[str, Any]) -> None:
    assert verifier.verify(signed(**claims)).subject == "u1"


def test_a_foreign_key_is_refused_whatever_it_calls_itself(verifier: TokenVerifier) -> None:
    foreign = SigningKey.generate(ENV)
    assert refusal(verifier, signed(foreign, kid=foreign.kid)) == "unknown_key"
    assert refusal(verifier, signed(foreign, kid="main")) == "signature"


@pytest.mark.parametrize("kid", ["other", "", 7, None, ["main"], {"a": 1}])
def test_a_token_must_name_a_known_key(verifier: TokenVerifier, kid: Any) -> None:
    header, payload, signature = signed().split(".")
    bad = encoded({"alg": KEY.algorithm, "typ": "JWT", "kid": kid})
    assert refusal(verifier, f"{bad}.{payload}.{signature}") in ("unknown_key", "malformed")
    assert header != bad


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", None, "HS256", "RS256", "ES256", 7, ["none"]])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_the_token_does_not_choose_the_algorithm(verifier: TokenVerifier, alg: Any, signature: str) -> None:
    payload = signed().split(".")[1]
    token = f"{encoded({'alg': alg, 'kid': 'main'})}.{payload}.{signature}"
    assert refusal(verifier, token) in ("signature", "malformed")


def public_forms(key: SigningKey) -> list[bytes]:
    public = key.private.public_key()
    forms = [public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)]
    forms.append(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    forms.append(json.dumps(key.jwk()).encode())
    if "x" in key.jwk():
        forms.append(base64.urlsafe_b64decode(key.jwk()["x"] + "=="))
    return forms


@pytest.mark.parametrize("algorithm", get_args(Name))
def test_a_public_key_used_as_a_secret_forges_nothing(algorithm: Name) -> None:
    key = SigningKey.generate(ENV, "main", algorithm=algorithm)
    verifier = TokenVerifier(ENV, jwks([key]), {"shop/users"}, "shop")
    payload = signed().split(".")[1]
    for secret in public_forms(key):
        content = f"{encoded({'alg': 'HS256', 'kid': 'main'})}.{payload}"
        forged = hmac.new(secret, content.encode(), hashlib.sha256).digest()
        assert refusal(verifier, f"{content}.{encoded(forged)}") == "signature"


def test_symmetric_keys_of_a_set_are_left_out() -> None:
    secret = {"kty": "oct", "k": encoded(b"s" * 32), "kid": "main", "alg": "HS256"}
    verifier = TokenVerifier(ENV, {"keys": [secret]}, {"shop/users"}, "shop")
    token = jwt.encode({"sub": "u1"}, b"s" * 32, "HS256", headers={"kid": "main"})
    assert refusal(verifier, token) == "unknown_key"


def test_keys_that_nobody_knows_do_not_spoil_the_set() -> None:
    others = [{"kty": "new"}, {"kty": "OKP", "crv": "X448", "x": "AA"}, "text", {**KEY.jwk(), "kid": "e", "use": "enc"}]
    verifier = TokenVerifier(ENV, {"keys": [*others, KEY.jwk()]}, {"shop/users"}, "shop")
    assert verifier.verify(signed()).subject == "u1"
    assert refusal(verifier, signed(kid="e")) == "unknown_key"


@pytest.mark.parametrize("keys", [{}, {"keys": {}}, {"keys": "x"}])
def test_what_is_no_set_of_keys_is_refused(keys: Any) -> None:
    with pytest.raises(ConfigurationError):
        TokenVerifier(ENV, keys, {"shop"}, "shop")


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}, {"b64": False}])
def test_headers_that_change_the_meaning_are_refused(verifier: TokenVerifier, header: dict[str, Any]) -> None:
    _, payload, signature = signed().split(".")
    head = encoded({"alg": KEY.algorithm, "kid": "main", **header})
    assert refusal(verifier, f"{head}.{payload}.{signature}") in ("malformed", "signature")


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"nonsense", b"\xff", b"[" * 5000])
def test_a_signed_token_without_claims_is_refused(verifier: TokenVerifier, payload: bytes) -> None:
    token = jwt.api_jws.PyJWS().encode(payload, KEY.private, KEY.algorithm, headers={"kid": "main"})
    assert refusal(verifier, token) == "malformed"


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a.b.c", "Bearer x", "é.é.é", "\ud800.a.b", "x" * 9000, f"{encoded(b'[' * 5000)}.e30.AA"],
)
def test_what_is_no_token_is_refused(verifier: TokenVerifier, token: str) -> None:
    assert refusal(verifier, token) == "malformed"


@given(st.text() | st.binary().map(encoded) | st.lists(st.binary().map(encoded), min_size=3, max_size=3).map(".".join))
def test_no_garbage_gets_through_or_breaks_anything(token: str) -> None:
    refusal(TokenVerifier(ENV, jwks([KEY]), {"shop/users"}, "shop"), token)


_NAMES = st.text(min_size=1, max_size=20)
_SCOPES = st.lists(_NAMES.filter(lambda scope: scope.split() == [scope]), max_size=4)


@given(_NAMES, st.lists(_NAMES, max_size=4), _SCOPES, st.floats(0.001, 1e6), st.dictionaries(_NAMES, st.text()))
def test_anything_issued_is_read_back(
    subject: str, roles: list[str], scopes: list[str], ttl_s: float, claims: dict[str, str]
) -> None:
    verifier = TokenVerifier(ENV, jwks([KEY]), {"shop/users"}, "shop")
    claims = {name: value for name, value in claims.items() if name not in jwt_names()}
    principal = verifier.verify(ISSUER.issue(subject, roles=roles, scopes=scopes, ttl_s=ttl_s, claims=claims))
    assert (principal.subject, principal.roles, principal.scopes) == (subject, set(roles), set(scopes))
    assert claims.items() <= dict(principal.claims).items()


def jwt_names() -> set[str]:
    return {"iss", "aud", "sub", "iat", "nbf", "exp", "jti", "roles", "scope"}


@given(st.data())
def test_a_token_that_somebody_touched_is_refused(data: st.DataObject) -> None:
    token = signed()
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCabc019-_.é"))
    touched = token[:place] + letter + token[place + 1 :]
    verifier = TokenVerifier(ENV, jwks([KEY]), {"shop/users"}, "shop")
    if decoded(touched) == decoded(token):
        return  # base64 has unused bits in its last letter: the same token, spelled otherwise
    refusal(verifier, touched)


def decoded(token: str) -> list[bytes] | None:
    try:
        return [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split(".")]
    except ValueError:
        return None


def test_a_payload_of_another_token_does_not_fit(verifier: TokenVerifier) -> None:
    header, _, signature = signed().split(".")
    payload = signed(roles=["admin"]).split(".")[1]
    assert refusal(verifier, f"{header}.{payload}.{signature}") == "signature"


def test_a_remembered_token_expires_too(verifier: TokenVerifier) -> None:
    token = ISSUER.issue("u1", ttl_s=60)
    assert verifier.verify(token) is verifier.verify(token)
    CLOCK.value = NOW + 89
    assert verifier.verify(token).subject == "u1"
    CLOCK.value = NOW + 90
    assert refusal(verifier, token) == "expired"


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, verifier: TokenVerifier) -> None:
    monkeypatch.setattr("hanse.security.verifier._CACHED", 3)
    for number in range(10):
        verifier.verify(ISSUER.issue(str(number), ttl_s=60))
    assert len(verifier._verified) == 3


def test_a_new_key_in_the_file_is_found_and_a_removed_one_is_forgotten(tmp_path: Path) -> None:
    path, new = tmp_path / "jwks.json", SigningKey.generate(ENV, "new")
    verifier = TokenVerifier(ENV, path, {"shop/users"}, "shop")
    with pytest.raises(Unavailable):
        verifier.verify(signed())
    write_jwks(path, [KEY])
    old = signed(exp=NOW + 1000)
    assert verifier.verify(old).subject == "u1"
    write_jwks(path, [KEY, new])
    assert refusal(verifier, signed(new, kid="new")) == "unknown_key", "asked again too soon"
    CLOCK.value += 1
    assert verifier.verify(signed(new, kid="new")).subject == "u1"
    write_jwks(path, [new])
    assert verifier.verify(old).subject == "u1", "trusted until the file is read again"
    CLOCK.value += 30
    assert refusal(verifier, old) == "unknown_key"


def test_unknown_keys_do_not_make_the_file_be_read_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jwks.json"
    write_jwks(path, [KEY])
    verifier = TokenVerifier(ENV, path, {"shop/users"}, "shop")
    verifier.verify(signed())
    reads: list[Path] = []
    original: Callable[..., str] = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self, **kwargs: reads.append(self) or original(self, **kwargs))
    for _ in range(50):
        refusal(verifier, signed(kid="unknown"))
    CLOCK.value += 1
    for _ in range(50):
        refusal(verifier, signed(kid="unknown"))
    assert len(reads) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": 1}'])
def test_a_file_that_breaks_leaves_the_known_keys_in_force(tmp_path: Path, content: str) -> None:
    path = tmp_path / "jwks.json"
    write_jwks(path, [KEY])
    verifier = TokenVerifier(ENV, path, {"shop/users"}, "shop")
    verifier.verify(signed())
    path.write_text(content)
    CLOCK.value += 31
    assert verifier.verify(signed()).subject == "u1"
    with pytest.raises(Unavailable):
        TokenVerifier(ENV, path, {"shop/users"}, "shop").verify(signed())


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": ""},
        {"ttl_s": 0},
        {"ttl_s": -1},
        {"scopes": ["a b"]},
        {"scopes": [""]},
        {"claims": {"sub": "root"}},
        {"claims": {"exp": 1}},
    ],
)
def test_tokens_that_make_no_sense_are_not_issued(wrong: dict[str, Any]) -> None:
    arguments = {"subject": "u1", "ttl_s": 60, **wrong}
    with pytest.raises(ConfigurationError):
        ISSUER.issue(arguments.pop("subject"), **arguments)


def test_a_key_signs_for_its_own_issuer_only(tmp_path: Path) -> None:
    services = SigningKey.generate(ENV)
    write_jwks(tmp_path / "jwks.json", {"shop/users": KEY, "shop": services})
    verifier = TokenVerifier(ENV, tmp_path / "jwks.json", {"shop", "shop/users"}, "shop")
    assert verifier.verify(signed()).subject == "u1"
    assert verifier.verify(signed(services, services.kid, iss="shop")).subject == "u1"
    assert refusal(verifier, signed(iss="shop", sub="service:orders", roles=["service"])) == "issuer"
    assert refusal(verifier, signed(services, services.kid)) == "issuer"
