"""Keys that sign tokens, and the public sets by which others verify them."""

import json
import os
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt import PyJWTError
from jwt.algorithms import Algorithm, get_default_algorithms

from hanse.core import Env
from hanse.core.errors import ConfigurationError

Name = Literal["EdDSA", "ES256", "RS256"]

ALGORITHM: Name = "EdDSA"
"""What new keys sign with: EdDSA (Ed25519), ES256 or RS256."""

ACCEPTED: tuple[Name, ...] = ("EdDSA", "ES256", "RS256")
"""What is verified. Symmetric algorithms never: whoever can verify with them can forge."""

_THUMBPRINT_MEMBERS = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}


class SigningKey:
    """A private key with its id.

    Args:
        private: a private key of the `cryptography` package that fits `algorithm`.
        algorithm: one of `ACCEPTED`.
        kid: the id that tokens carry; by default the key's thumbprint (RFC 7638).
    """

    def __init__(self, private: Any, algorithm: Name, kid: str | None = None) -> None:
        self.private = private
        self.algorithm: Name = algorithm
        self._public = _as_jwk(algorithm, private.public_key())
        self.kid = kid or thumbprint(self._public)

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm}, {self.kid})"

    @classmethod
    def generate(cls, env: Env, kid: str | None = None, *, algorithm: Name = ALGORITHM) -> "SigningKey":
        """A new key. An Ed25519 key comes from the node's own entropy, so that a simulation can repeat it."""
        private: Any
        if algorithm == "EdDSA":
            private = Ed25519PrivateKey.from_private_bytes(env.random.secret(32))
        elif algorithm == "ES256":
            private = ec.generate_private_key(ec.SECP256R1())
        else:
            private = rsa.generate_private_key(65537, 3072)
        return cls(private, algorithm, kid)

    @classmethod
    def load(cls, path: Path) -> "SigningKey":
        """The key in a file: a private JWK as `save` writes it (RFC 7517), or PEM (PKCS 8, without password).

        Raises:
            ConfigurationError: there is no such file, or no private key of a known kind in it.
        """
        try:
            text = path.read_text(encoding="utf-8")
            if text.lstrip().startswith("{"):
                jwk = json.loads(text)
                algorithm = _algorithm_of_jwk(jwk)
                return cls(_algorithm(algorithm).from_jwk(jwk), algorithm, jwk.get("kid"))
            private = load_pem_private_key(text.encode(), password=None)
            return cls(private, _algorithm_of_private(private))
        except (OSError, ValueError, TypeError, AttributeError, PyJWTError) as error:
            raise ConfigurationError(f"no signing key in {path}: {error}") from error

    def save(self, path: Path) -> None:
        """Write the private key, readable by the owner only; replaces a file that exists, in one step."""
        jwk = {**_as_jwk(self.algorithm, self.private), "kid": self.kid, "alg": self.algorithm, "use": "sig"}
        _replace(path, json.dumps(jwk, indent=2) + "\n", 0o600)

    def jwk(self, issuer: str | None = None) -> dict[str, Any]:
        """The public key (RFC 7517): safe to publish.

        Args:
            issuer: whose tokens it may sign; a `TokenVerifier` refuses those that name another. None: anybody's.
        """
        bound = {} if issuer is None else {"iss": issuer}
        return {**self._public, "kid": self.kid, "alg": self.algorithm, "use": "sig", **bound}


def jwks(keys: Iterable[SigningKey]) -> dict[str, Any]:
    """The public set of `keys`. To rotate: publish the new key beside the old, then sign with it, then drop the old."""
    return {"keys": [key.jwk() for key in keys]}


def write_jwks(path: Path, keys: Iterable[SigningKey] | Mapping[str, SigningKey]) -> None:
    """Write the public set of `keys` to a file, in one step: a reader sees the old set or the new one.

    Args:
        keys: a mapping from issuer to key binds each key to its issuer (see `SigningKey.jwk`).
    """
    bound = {"keys": [key.jwk(issuer) for issuer, key in keys.items()]} if isinstance(keys, Mapping) else jwks(keys)
    _replace(path, json.dumps(bound, indent=2) + "\n", 0o644)


def thumbprint(jwk: dict[str, Any]) -> str:
    """The key's own id: a hash of its public part (RFC 7638)."""
    members = {member: jwk[member] for member in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    digest = sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _algorithm(name: Name) -> Algorithm:
    return get_default_algorithms()[name]


def _as_jwk(name: Name, key: Any) -> dict[str, Any]:
    members = _algorithm(name).to_jwk(key, as_dict=True)
    return {member: value for member, value in members.items() if member != "key_ops"}


def _algorithm_of_jwk(jwk: dict[str, Any]) -> Name:
    name = jwk.get("alg") or {"OKP": "EdDSA", "EC": "ES256", "RSA": "RS256"}.get(jwk.get("kty", ""))
    if name not in ACCEPTED:
        raise ValueError(f"algorithm {name!r} is not one of {', '.join(ACCEPTED)}")
    return name


def _algorithm_of_private(private: Any) -> Name:
    if isinstance(private, Ed25519PrivateKey):
        return "EdDSA"
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name == "secp256r1":
        return "ES256"
    if isinstance(private, rsa.RSAPrivateKey):
        return "RS256"
    raise ValueError("the key is neither Ed25519 nor P-256 nor RSA")


def _replace(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
