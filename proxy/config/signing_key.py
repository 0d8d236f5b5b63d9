"""
The private keys that a file holds, and what the header of a JWT says of each. Pure.

One key, or a JWK set of several (RFC 7517 5). Only imported when there is a key: cryptography takes 8 MB.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy.config.key_forms import PUBLIC, KeyProblem, PrivateKey, from_jwk, from_pem, json_object

ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
}
"""What each kind of key can sign with (RFC 7518 3.1), its default first."""
_KINDS = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, with what its owner says of it."""

    private: PrivateKey = field(repr=False)
    kid: str | None = None
    algorithm: str | None = None
    """What a JWK names as its `alg`."""
    digest: str | None = None
    """`x5t#S256`, if its certificate is known."""

    @property
    def kind(self) -> str:
        """A key of `ALGORITHMS`."""
        return "RSA" if isinstance(self.private, rsa.RSAPrivateKey) else _KINDS[self.private.curve.name]

    def choose(self, algorithm: str | None) -> str:
        """Return the algorithm to sign with: *algorithm* if it is set. Raises `KeyProblem` if this key cannot."""
        wanted = algorithm or self.algorithm or ALGORITHMS[self.kind][0]
        if wanted not in ALGORITHMS[self.kind]:
            held = "an RSA key" if self.kind == "RSA" else f"an EC key ({self.kind})"
            raise KeyProblem(
                f"holds {held}, which cannot sign with {wanted} (oauth.assertion, or the alg of a JWK): "
                f"it can with {', '.join(ALGORITHMS[self.kind])}"
            )
        return wanted


def usable_keys(
    data: bytes,
    passphrase: bytes | None = None,
    kid: str | None = None,
    algorithm: str | None = None,
    certificate: bytes | None = None,
) -> tuple[SigningKey, ...]:
    """
    Return the keys of `read_keys`, if they can sign with *algorithm* and one is the key of *certificate* (PEM).

    Line breaks at the end of *passphrase* are no part of it. Raises `KeyProblem`.
    """
    keys = read_keys(data, None if passphrase is None else passphrase.rstrip(b"\r\n"), kid)
    for key in keys:
        key.choose(algorithm)
    return keys if certificate is None else _with_certificate(keys, certificate)


def read_keys(data: bytes, passphrase: bytes | None = None, kid: str | None = None) -> tuple[SigningKey, ...]:
    """
    Return the private keys that *data* holds, in their order: one, unless it is a JWK set.

    *kid* names a key that has no name of its own, or chooses one that has. Raises `KeyProblem`.
    """
    text = data.decode("utf-8-sig", errors="replace")
    document = json_object(text)
    if document is None:
        keys: tuple[SigningKey, ...] = (SigningKey(from_pem(text, passphrase)),)
    elif isinstance(listed := document.get("keys"), list):
        keys = _from_set(listed)
    else:
        keys = (_from_jwk(document),)
    if kid is None:
        return keys
    named = tuple(key for key in keys if key.kid == kid)
    if named:
        return named
    if len(keys) == 1 and keys[0].kid is None:
        return (replace(keys[0], kid=kid),)
    raise KeyProblem("holds no key with the kid that oauth.private_key_id names")


def _from_set(listed: list[object]) -> tuple[SigningKey, ...]:
    members = [member for member in listed if isinstance(member, dict) and member.get("use", "sig") == "sig"]
    private = [member for member in members if "d" in member]
    if not private:
        raise KeyProblem(PUBLIC if members else "holds a JWK set without a key to sign with")
    keys = tuple(_from_jwk(member) for member in private)
    kids = {key.kid for key in keys}
    if len(keys) > 1 and (None in kids or len(kids) < len(keys)):
        raise KeyProblem("holds several keys, and each needs a kid of its own")
    return keys


def _from_jwk(jwk: Mapping[str, Any]) -> SigningKey:
    kid, algorithm = jwk.get("kid"), jwk.get("alg")
    if not all(value is None or _is_name(value) for value in (kid, algorithm)):
        raise KeyProblem("holds a JWK whose kid or alg is no text of printable ASCII")
    return SigningKey(from_jwk(jwk), kid, algorithm)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[\x20-\x7e]{1,512}", value) is not None


def _with_certificate(keys: tuple[SigningKey, ...], data: bytes) -> tuple[SigningKey, ...]:
    """Return *keys*, the one whose certificate is the first in *data* with its `x5t#S256` (RFC 7515 4.1.8)."""
    try:
        certificate = x509.load_pem_x509_certificate(data)
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        what = "names a file that has no certificate in PEM form (-----BEGIN CERTIFICATE-----)"
        raise KeyProblem(what, "certificate") from None
    if not any(key.private.public_key() == public for key in keys):
        raise KeyProblem("names a certificate of another key than the private one that is configured", "certificate")
    digest = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode("ascii")
    return tuple(replace(key, digest=digest) if key.private.public_key() == public else key for key in keys)
