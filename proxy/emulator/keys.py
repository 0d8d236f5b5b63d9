"""
The RSA key that signs access tokens, and what a resource server checks a signature with.

Making one costs about 100 ms of CPU, so a process makes it once, off the event loop, and all servers share it: two
servers still tell their tokens apart by the issuer.
"""

import asyncio
import secrets
import threading
from collections.abc import Mapping

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

ALGORITHM = "RS256"


class SigningKey:
    """An RSA-2048 key with a `kid`, as an authorization server has it."""

    def __init__(self) -> None:
        self.kid = secrets.token_urlsafe(32)
        self._key = RSAKey.generate_key(2048, {"kid": self.kid, "use": "sig", "alg": ALGORITHM})
        self._keys = KeySet([self._key])

    def __repr__(self) -> str:
        return f"<SigningKey {self.kid}>"

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return *claims* as a JWT. Its header is Okta's for custom authorization servers: `kid`, `alg`, no `typ`."""
        header = {"kid": self.kid, "alg": ALGORITHM}
        return jwt.encode(header, dict(claims), self._key, algorithms=[ALGORITHM], default_type=None)

    def claims(self, token: str) -> dict[str, object] | None:
        """Return the claims of *token* if this key signed it, else None. Looks at nothing but the signature."""
        try:
            return dict(jwt.decode(token, self._keys, algorithms=[ALGORITHM]).claims)
        except (JoseError, ValueError):
            # ValueError: bytes that are no base64, no UTF-8 or no JSON, from below the library's own checks.
            return None

    def jwks(self) -> dict[str, object]:
        """Return the JWK set to publish: public members only."""
        return {"keys": [dict(self._key.as_dict(private=False))]}


_lock = threading.Lock()
_shared: list[SigningKey] = []


def _make_once() -> SigningKey:
    with _lock:
        if not _shared:
            _shared.append(SigningKey())
        return _shared[0]


async def signing_key() -> SigningKey:
    """Return this process's key; the first call makes it in a thread."""
    if _shared:
        return _shared[0]
    return await asyncio.to_thread(_make_once)
