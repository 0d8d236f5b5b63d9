"""
A JWS in its compact form (RFC 7515 3.1), and what a secret signs. Pure.

The signatures of keys are in `proxy.tokens.signatures`, which needs cryptography.
"""

import hmac
from binascii import b2a_base64
from collections.abc import Callable, Mapping

import msgspec

Sign = Callable[[bytes], bytes]

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_HASHES = {"256": "sha256", "384": "sha384", "512": "sha512"}


def base64url(data: bytes) -> bytes:
    """Return *data* as RFC 7515 has it: URL-safe, without padding."""
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_URL_SAFE)


def part(content: Mapping[str, object]) -> bytes:
    """Return a header or claims as they stand in a JWS."""
    return base64url(msgspec.json.encode(content))


def compact(header: bytes, claims: Mapping[str, object], sign: Sign) -> str:
    """Return the JWT of *header*, as `part` makes it, and *claims*, with what *sign* says of them."""
    signed = b"%b.%b" % (header, part(claims))
    return (b"%b.%b" % (signed, base64url(sign(signed)))).decode("ascii")


def with_secret(secret: str, algorithm: str) -> Sign:
    """Return the HMAC of HS256, HS384 or HS512 (RFC 7518 3.2)."""
    key, digest = secret.encode(), _HASHES[algorithm[2:]]
    return lambda message: hmac.digest(key, message, digest)
