"""Keys: kept private, found again, published without their secret."""

import json
import stat
from pathlib import Path
from typing import get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hanse.core import Env, Random
from hanse.core.errors import ConfigurationError
from hanse.security import ALGORITHM, SigningKey, jwks, write_jwks
from hanse.security.keys import Name, thumbprint

ALGORITHMS = get_args(Name)


@pytest.fixture
def env() -> Env:
    return Env.build("test")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kid", [None, "mine"])
def test_a_key_is_saved_for_its_owner_and_found_again(
    env: Env, tmp_path: Path, algorithm: Name, kid: str | None
) -> None:
    key = SigningKey.generate(env, kid, algorithm=algorithm)
    path = tmp_path / "keys" / "signing.jwk"
    key.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = SigningKey.load(path)
    assert (again.kid, again.algorithm, again.jwk()) == (key.kid, key.algorithm, key.jwk())
    key.save(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["signing.jwk"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pem_is_read_too(env: Env, tmp_path: Path, algorithm: Name) -> None:
    key = SigningKey.generate(env, algorithm=algorithm)
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    assert SigningKey.load(tmp_path / "key.pem").jwk() == key.jwk()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_published_holds_no_secret(env: Env, tmp_path: Path, algorithm: Name) -> None:
    key = SigningKey.generate(env, algorithm=algorithm)
    assert not {"d", "p", "q", "dp", "dq", "qi", "k", "key_ops"} & key.jwk().keys()
    assert (key.jwk()["kid"], key.jwk()["alg"], key.jwk()["use"]) == (key.kid, algorithm, "sig")
    write_jwks(tmp_path / "jwks.json", [key])
    assert json.loads((tmp_path / "jwks.json").read_text()) == jwks([key])
    assert repr(key) == f"SigningKey({algorithm}, {key.kid})"


def test_new_keys_use_the_one_constant(env: Env) -> None:
    assert SigningKey.generate(env).algorithm == ALGORITHM


def test_a_seeded_node_makes_the_same_key() -> None:
    one, two = (SigningKey.generate(Env.build("node", random=Random(3)), algorithm="EdDSA") for _ in range(2))
    assert one.jwk() == two.jwk()
    assert one.kid != SigningKey.generate(Env.build("node", random=Random(4)), algorithm="EdDSA").kid


def test_the_thumbprint_is_that_of_the_rfc() -> None:
    """RFC 8037, appendix A.3."""
    public = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(public) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


P384 = ec.generate_private_key(ec.SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"{}",
        b'{"kty": "oct", "k": "AAAA", "alg": "HS256"}',
        b'{"kty": "OKP"}',
        b"{",
        b"\xff\xfe",
        P384,
    ],
)
def test_what_is_no_key_is_refused_with_the_path(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"no signing key in .*key"):
        SigningKey.load(tmp_path / "key")


def test_a_public_key_can_not_sign(env: Env, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(json.dumps(SigningKey.generate(env).jwk()))
    with pytest.raises(ConfigurationError):
        SigningKey.load(tmp_path / "key")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        SigningKey.load(tmp_path / "nowhere")
