"""
DPoP proofs (RFC 9449 4.3), in Okta's words: the same checks at the token endpoint and before an API.

The order is: form, signature, what the proof is for, time, single use, nonce. A proof that is refused only for its
nonce is used up too: the next one needs a `jti` of its own.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from proxy.emulator.errors import RefusalError
from proxy.emulator.freshness import Nonces, Spent
from proxy.emulator.jose import ASYMMETRIC, Jwt, is_signed, public_key, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a proof must be for. Times are in seconds."""

    method: str
    urls: tuple[str, ...]
    """Any of these is right for `htu`."""
    now: float
    spent: Spent
    nonces: Nonces | None = None
    age: float = 300.0
    """How old a proof may be."""
    skew: float = 0.0
    token: str | None = None
    """The access token that comes with it, whose hash must be in it; None at the token endpoint."""


def check(values: Sequence[str], expected: Expected) -> str:
    """
    Return the thumbprint (RFC 7638) of the key that the one proof in *values*, all `DPoP` headers, was signed with.

    Raises `RefusalError`.
    """
    if not values:
        raise RefusalError("invalid_dpop_proof_missing_header")
    if len(values) > 1:
        raise RefusalError("invalid_dpop_proof_multiple_headers_not_allowed")
    proof = read(values[0])
    if proof is None:
        raise RefusalError("invalid_dpop_proof_invalid_jwt")
    thumbprint = _signer(values[0], proof)
    if proof.claims.get("htm") != expected.method:
        raise RefusalError("invalid_dpop_proof_invalid_htm")
    if proof.text("htu") not in expected.urls:
        raise RefusalError("invalid_dpop_proof_invalid_htu")
    _check_time(proof, expected)
    if expected.token is not None and proof.claims.get("ath") != ath(expected.token):
        raise RefusalError("dpop_proof_invalid_ath")
    _check_single_use(proof, expected)
    return thumbprint


def _signer(text: str, proof: Jwt) -> str:
    if str(proof.header.get("typ")).lower() != "dpop+jwt":
        raise RefusalError("invalid_dpop_proof_invalid_type")
    if proof.algorithm not in ASYMMETRIC:
        raise RefusalError("invalid_dpop_proof_invalid_signature_algorithm")
    jwk = proof.header.get("jwk")
    key = public_key(jwk) if isinstance(jwk, dict) else None
    if key is None:
        # Also a key with private members, which RFC 9449 4.2 forbids.
        raise RefusalError("invalid_dpop_proof")
    if not is_signed(text, key, proof.algorithm):
        raise RefusalError("invalid_dpop_proof_invalid_signature")
    return key.thumbprint()


def _check_time(proof: Jwt, expected: Expected) -> None:
    issued = proof.number("iat")
    if issued is None:
        raise RefusalError("invalid_dpop_proof_invalid_iat")
    if issued > expected.now + expected.skew:
        raise RefusalError("invalid_dpop_proof_jwt_issued_in_future")
    if issued < expected.now - expected.age - expected.skew:
        raise RefusalError("invalid_dpop_proof_jwt_too_old")


def _check_single_use(proof: Jwt, expected: Expected) -> None:
    nonces = expected.nonces
    fresh = nonces is None or nonces.accepts(proof.claims.get("nonce"), expected.now)
    jti = proof.text("jti")
    if not jti and fresh:
        # Without a nonce Okta asks for that first: its guide sends a `jti` in the second request only.
        raise RefusalError("invalid_dpop_proof_invalid_jti")
    until = (proof.number("iat") or 0.0) + expected.age + expected.skew + 1
    if jti and not expected.spent.spend(jti, until, expected.now):
        raise RefusalError("dpop_proof_already_used")
    if not fresh:
        raise RefusalError("use_dpop_nonce")


def ath(token: str) -> str:
    """Return the hash of an access token that belongs into its proofs (RFC 9449 4.2)."""
    digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def okta_path(path: str) -> str:
    """
    Return a request's *path* as Okta's own APIs want it in `htu`: decoded, but for four characters.

    Okta compares with the path as it decoded it (okta-sdk-python#541); this rule is what its Java SDK does about that.
    """
    plain = unquote(path, errors="replace")
    for character in '% "#':
        plain = plain.replace(character, f"%{ord(character):02X}")
    return plain
