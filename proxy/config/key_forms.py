"""
The forms in which a private key is written: PEM and JWK (RFC 7517), to a key of cryptography's. Pure.

No message quotes anything of a key.

RSA keys are not checked for primes: that takes 250 ms for 4096 bits, during which cryptography holds the whole
process. What is checked is that the parts fit each other, by one signature.
"""

import base64
import json
import re
import warnings
from collections.abc import Mapping
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

CURVES: Mapping[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
"""By their names in a JWK (RFC 7518 6.2.1.1)."""

_LEAST_BITS, _MOST_BITS = 2048, 16384
_NO_KEY = 'holds no private key: write PEM (-----BEGIN PRIVATE KEY-----) or a JWK ({"kty": ...})'
PUBLIC = "holds a public key: the private one is needed, which Okta shows once, when it makes the pair"
_NOT_WHOLE = "holds a key that is damaged: copy it again, whole"
_OTHER_KIND = "holds a key of a kind that is not used here: RSA, or EC with P-256, P-384 or P-521"


class KeyProblem(Exception):  # noqa: N818  # what is wrong with a file, for a person
    """Why there is no key to sign with. The message continues the name of what it is `about` and quotes nothing."""

    def __init__(self, message: str, about: Literal["key", "passphrase", "certificate"] = "key") -> None:
        super().__init__(message)
        self.about = about


def from_pem(text: str, passphrase: bytes | None) -> PrivateKey:
    """Return the one private key of a PEM text: PKCS#8, PKCS#1 or SEC1, encrypted or not, also on one line."""
    # One line with a backslash and an n for each break is how a key gets into an environment variable.
    text = text.replace("\\r", "").replace("\\n", "\n")
    found = re.findall(r"-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----(.*?)-----END \1-----", text, re.DOTALL)
    if len(found) > 1:
        raise KeyProblem("holds several PEM keys: write them as a JWK set, each with its kid")
    if not found:
        raise KeyProblem(_what_instead(text))
    label, body = found[0]
    if label == "OPENSSH PRIVATE KEY":
        raise KeyProblem("holds a key in OpenSSH's own form: `ssh-keygen -p -m PKCS8 -f FILE` makes it PEM")
    # Headers stand only in the old encrypted form; without them a blank in the place of a line break is mended too.
    lines = body.strip() if ":" in body else "\n".join(re.findall(r".{1,64}", "".join(body.split())))
    pem = f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()
    encrypted = label == "ENCRYPTED PRIVATE KEY" or "ENCRYPTED" in body
    if encrypted and passphrase is None:
        raise KeyProblem("holds an encrypted key: set oauth.private_key_passphrase_file")
    return _usable(_load(pem, passphrase if encrypted else None))


def _load(pem: bytes, passphrase: bytes | None) -> object:
    try:
        with warnings.catch_warnings():
            # Old ciphers and small keys are judged here, and not by a line on standard error.
            warnings.simplefilter("ignore")
            return serialization.load_pem_private_key(pem, passphrase, unsafe_skip_rsa_key_validation=True)
    except UnsupportedAlgorithm:
        raise KeyProblem(_OTHER_KIND) from None
    except (ValueError, TypeError):
        if passphrase is None:
            raise KeyProblem(_NOT_WHOLE) from None
        # A wrong one may decrypt to anything, so a damaged key cannot always be told from it.
        raise KeyProblem(
            "holds a passphrase that does not open the private key, if that is whole", "passphrase"
        ) from None


def _what_instead(text: str) -> str:
    if "PUBLIC KEY-----" in text or re.match(r"\s*(ssh-|ecdsa-)", text):
        return PUBLIC
    if "BEGIN CERTIFICATE" in text:
        return "holds a certificate and no private key: add the key to it, or name the key's file"
    return _NOT_WHOLE if "PRIVATE KEY" in text else _NO_KEY


def from_jwk(jwk: Mapping[str, Any]) -> PrivateKey:
    """Return the private key that a JWK describes."""
    kty = jwk.get("kty")
    if kty == "oct":
        raise KeyProblem("holds a symmetric key: write it as oauth.client_secret, with client_secret_jwt")
    if kty not in ("RSA", "EC"):
        raise KeyProblem(_OTHER_KIND if isinstance(kty, str) else _NO_KEY)
    if "d" not in jwk:
        raise KeyProblem(PUBLIC)
    try:
        return _usable(_rsa(jwk) if kty == "RSA" else _ec(jwk))
    except (KeyError, ValueError, TypeError, OverflowError):
        raise KeyProblem(_NOT_WHOLE) from None


def _rsa(jwk: Mapping[str, Any]) -> rsa.RSAPrivateKey:
    """RFC 7518 6.3. What follows from modulus and exponents may be left out, and must fit them where it stands."""
    n, e, d = (_integer(jwk[name]) for name in ("n", "e", "d"))
    if n.bit_length() > _MOST_BITS:
        raise ValueError
    if "p" in jwk and "q" in jwk:
        p, q = _integer(jwk["p"]), _integer(jwk["q"])
    else:
        p, q = rsa.rsa_recover_prime_factors(n, e, d)
    dp, dq, qi = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    if p * q != n or any(
        _integer(jwk[name]) != made for name, made in (("dp", dp), ("dq", dq), ("qi", qi)) if name in jwk
    ):
        raise ValueError
    numbers = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, n))
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _ec(jwk: Mapping[str, Any]) -> ec.EllipticCurvePrivateKey:
    """RFC 7518 6.2."""
    curve = CURVES.get(jwk["crv"])
    if curve is None:
        raise KeyProblem(_OTHER_KIND)
    public = ec.EllipticCurvePublicNumbers(_integer(jwk["x"]), _integer(jwk["y"]), curve)
    return ec.EllipticCurvePrivateNumbers(_integer(jwk["d"]), public).private_key()


def _usable(key: object) -> PrivateKey:
    """Return *key* if it is one to sign with and its parts fit each other."""
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < _LEAST_BITS:
            raise KeyProblem(f"holds an RSA key of {key.key_size} bits: RFC 7518 wants {_LEAST_BITS} at least")
    elif not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(
        key.curve, tuple(map(type, CURVES.values()))
    ):
        raise KeyProblem(_OTHER_KIND)
    try:
        if isinstance(key, rsa.RSAPrivateKey):
            made = key.sign(b"", padding.PKCS1v15(), hashes.SHA256())
            key.public_key().verify(made, b"", padding.PKCS1v15(), hashes.SHA256())
        else:
            made = key.sign(b"", ec.ECDSA(hashes.SHA256()))
            key.public_key().verify(made, b"", ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        raise KeyProblem(_NOT_WHOLE) from None
    return key


def _integer(text: str) -> int:
    if not re.fullmatch(r"[A-Za-z0-9_-]+=*", text):
        raise ValueError
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def json_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object that *text* is, None if it is none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
