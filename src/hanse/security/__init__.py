"""Security: who somebody is, and how that is proven.

Purpose: password hashes, signing keys and their public sets, tokens issued and verified.
May import: core.
May touch: key files; the processor, through `Env.scope.blocking`, for password hashes.
Guarantees: asymmetric signatures only, by the algorithm of the key and never by the token's word; reasons for a refusal
    tell nothing that helps to forge.
"""

from hanse.security.issuer import TokenIssuer
from hanse.security.keys import ALGORITHM, SigningKey, jwks, write_jwks
from hanse.security.passwords import Passwords
from hanse.security.verifier import TokenVerifier

__all__ = ["ALGORITHM", "Passwords", "SigningKey", "TokenIssuer", "TokenVerifier", "jwks", "write_jwks"]
