"""Private keys for tests, each made once, and the forms in which people write them."""

import base64
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc.jwk import ECKey, RSAKey

PASSPHRASE = b"correct horse"
KID = "kid-4711"

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


def make(kind: str, number: int = 0) -> Private:
    """Return a key of *kind* (RSA, P-256, P-384, P-521); each *number* is another."""
    return _make(kind, number)


@cache
def _make(kind: str, _: int) -> Private:
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(CURVES[kind])


def jwk(private: Private, **members: str) -> dict[str, Any]:
    """Return the private JWK of a key, as joserfc writes it."""
    key: RSAKey | ECKey
    key = RSAKey.import_key(private) if isinstance(private, rsa.RSAPrivateKey) else ECKey.import_key(private)
    return {**key.as_dict(private=True), **members}


def public_jwk(private: Private, **members: str) -> dict[str, Any]:
    """Return the public JWK of a key, as it is registered at a server."""
    key: RSAKey | ECKey
    key = RSAKey.import_key(private) if isinstance(private, rsa.RSAPrivateKey) else ECKey.import_key(private)
    return {**key.as_dict(private=False), **members}


def pem(private: Private, form: PrivateFormat = PrivateFormat.PKCS8, passphrase: bytes | None = None) -> bytes:
    """Return a key as PEM."""
    return private.private_bytes(
        Encoding.PEM, form, BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    )


def public_pem(private: Private) -> bytes:
    """Return the public key as PEM."""
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def crlf(data: bytes) -> bytes:
    """Return *data* as an editor on Windows saves it."""
    return b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n")


TRADITIONAL = PrivateFormat.TraditionalOpenSSL
"""PKCS#1 for RSA, SEC1 for EC."""

FORMS: dict[str, Callable[[Private], bytes]] = {
    "PKCS#8": pem,
    "PKCS#1 or SEC1": lambda key: pem(key, TRADITIONAL),
    "PKCS#8, encrypted": lambda key: pem(key, passphrase=PASSPHRASE),
    "PKCS#1 or SEC1, encrypted": lambda key: pem(key, TRADITIONAL, PASSPHRASE),
    "one line with backslash n": lambda key: pem(key).replace(b"\n", b"\\n"),
    "one line in quotes": lambda key: json.dumps(pem(key).decode()).encode(),
    "one line with blanks": lambda key: pem(key).replace(b"\n", b" "),
    "CRLF and a BOM": lambda key: crlf(pem(key)),
    "text around it": lambda key: b"Bag Attributes\n  friendlyName: x\n" + pem(key) + b"\n\n",
    "with its public half": lambda key: public_pem(key) + pem(key),
    "JWK": lambda key: json.dumps(jwk(key)).encode(),
    "JWK, indented": lambda key: crlf(json.dumps(jwk(key, use="sig"), indent=2).encode()),
    "JWK set": lambda key: json.dumps({"keys": [public_jwk(make("RSA", 9)), jwk(key)]}).encode(),
}
"""What `oauth.private_key_file` may hold; encrypted ones need `PASSPHRASE`."""


def without_factors(private: rsa.RSAPrivateKey) -> dict[str, Any]:
    """Return an RSA JWK with nothing but modulus and exponents (RFC 7518 6.3.2)."""
    return {name: value for name, value in jwk(private).items() if name in {"kty", "n", "e", "d"}}


def part(text: str) -> dict[str, Any]:
    """Return a header or claims of a compact JWT, decoded here and not by the code under test."""
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return decoded
