"""
Compact JWTs (RFC 7519) as a server reads them: parsed without trust, then verified with one key.

Unknown header parameters are ignored (RFC 7515 4): joserfc alone would refuse them, and a header over 512 bytes, which
one with an RSA key in it is.
"""

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry

VerifyKey = RSAKey | ECKey | OctKey

LARGEST = 32 * 1024
"""Characters of a JWT that are looked at."""

ASYMMETRIC = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
"""What Okta lists for keys and for DPoP."""

SYMMETRIC = ("HS256", "HS384", "HS512")

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


class Jwt(NamedTuple):
    """What a JWT says, without its signature: it proves nothing, and cannot be used again."""

    header: Mapping[str, object]
    claims: Mapping[str, object]

    def text(self, name: str) -> str:
        """Return the claim *name* if it is a string, else `""`."""
        value = self.claims.get(name)
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> float | None:
        """Return the claim *name* if it is a number of seconds (RFC 7519 2, NumericDate), else None."""
        value = self.claims.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return value if isinstance(value, int) or math.isfinite(value) else None

    @property
    def algorithm(self) -> str:
        """The header's `alg`, `""` if it is no string."""
        value = self.header.get("alg")
        return value if isinstance(value, str) else ""


def read(token: str) -> Jwt | None:
    """Return what *token* says, None if it is no JWT. Nothing is verified."""
    if len(token) > LARGEST or not _COMPACT.fullmatch(token):
        return None
    header, claims, _ = token.split(".")
    try:
        content = _part(header), _part(claims)
    except (ValueError, RecursionError):
        return None
    return Jwt(*content)


def _part(encoded: str) -> dict[str, object]:
    text = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    content = json.loads(text.decode(), parse_constant=_no_number)
    if not isinstance(content, dict):
        raise ValueError("no JSON object")  # noqa: TRY004  # one kind of error for what cannot be read
    return content


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


class _Registry(JWSRegistry):
    max_header_length = LARGEST


def is_signed(token: str, key: VerifyKey, algorithm: str) -> bool:
    """Tell whether *key* signed *token* with *algorithm*; a key of the wrong type or curve for it did not."""
    registry = _Registry(algorithms=[algorithm], strict_check_header=False)
    try:
        jws.deserialize_compact(token, key, registry=registry)
    except (JoseError, ValueError, TypeError):
        # ValueError, TypeError: what joserfc lets through from below its own checks.
        return False
    return True


def public_key(jwk: Mapping[str, object]) -> RSAKey | ECKey | None:
    """Return the key of a JWK with public members only (RFC 7517 4), None for anything else."""
    kinds: Sequence[type[RSAKey | ECKey]] = (RSAKey, ECKey)
    for kind in kinds:
        if jwk.get("kty") != kind.key_type:
            continue
        try:
            key = kind.import_key(dict(jwk))  # type: ignore[arg-type]  # checked by what is called
        except (JoseError, ValueError, TypeError):
            return None
        return None if key.is_private else key
    return None
