"""`Keys`: who the services and the users of a system are, as signing keys in `.hanse/keys/`."""

from pathlib import Path

from hanse.core import Env
from hanse.security import SigningKey, TokenIssuer, write_jwks
from hanse.system.topology import System

_TOKEN_TTL_S = 30 * 24 * 3600.0


class Keys:
    """Makes the keys of a system once, and signs what each child shows to the others.

    Two keys: the system's, which signs the identity of services and never leaves the supervisor, and the issuer's,
    which signs users' tokens and is given to the issuing service alone. Both public halves are in one JWKS file, each
    bound to its issuer, so that the issuing service can't pass for another service.
    """

    def __init__(self, env: Env, folder: Path, system: System) -> None:
        self._env = env
        self._folder = folder
        self._system = system
        self.jwks_file = folder / "jwks.json"
        self.issuer_file = folder / "issuer.jwk"
        self._tokens: TokenIssuer | None = None

    def prepare(self) -> None:
        """Load the keys, or make them on first start; write the public ones."""
        own = self._key(self._folder / "system.jwk")
        keys = {self._system.name: own}
        self._tokens = TokenIssuer(self._env, own, self._system.name, self._system.name)
        if self._system.trusted is not None:
            keys[self._system.trusted.name] = self._key(self.issuer_file)
        write_jwks(self.jwks_file, keys)

    def token(self, service: str) -> str:
        """Proof that the bearer is that service: subject `service:<name>`, role `service`, for 30 days."""
        if self._tokens is None:
            raise RuntimeError("prepare() comes first")
        return self._tokens.issue(f"service:{service}", roles=("service",), ttl_s=_TOKEN_TTL_S)

    def _key(self, file: Path) -> SigningKey:
        if file.exists():
            return SigningKey.load(file)
        key = SigningKey.generate(self._env)
        key.save(file)
        return key
