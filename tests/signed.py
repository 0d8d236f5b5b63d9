"""
Client assertions and DPoP proofs made by hand, for tests of what checks them.

Nothing of the package's own signing is used: what is wrong there would be wrong here too. Everything can be said wrong
on purpose, since header and claims are sent as they stand.
"""

import datetime as dt
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry

Key = RSAKey | ECKey | OctKey

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CLIENT_ID = "0oa1"

_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


_made: dict[tuple[str, str], Any] = {}


def rsa(name: str = "rsa") -> RSAKey:
    """Return the RSA key with this `kid`, made once in a run: it takes a while."""
    return _once("RSA", name, lambda: RSAKey.generate_key(2048, {"kid": name}))


def ec(name: str = "ec", curve: str = "P-256") -> ECKey:
    """Return the EC key with this `kid`."""
    return _once(curve, name, lambda: ECKey.generate_key(curve, {"kid": name}))


def _once(kind: str, name: str, make: Callable[[], Any]) -> Any:
    if (kind, name) not in _made:
        _made[kind, name] = make()
    return _made[kind, name]


def public(key: RSAKey | ECKey) -> dict[str, Any]:
    """Return the JWK to register: public members, and the `kid`."""
    return dict(key.as_dict(private=False))


def certificate(name: str = "rsa") -> str:
    """Return the certificate of `rsa(name)` in PEM form."""
    return _once("certificate", name, lambda: _self_signed(name))


def _self_signed(name: str) -> str:
    private = rsa(name).private_key
    assert private is not None
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=subject,
        subject_name=subject,
        public_key=private.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now,
        not_valid_after=now + dt.timedelta(days=1),
    )
    return builder.sign(private, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def jwt(key: Key, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """Return *claims* signed with *key*; None leaves a parameter or a claim out. `alg` follows from the key's type."""
    said = {"alg": algorithm(key)} | dict(header)
    content = {name: value for name, value in claims.items() if value is not None}
    kept = {name: value for name, value in said.items() if value is not None}
    registry = JWSRegistry(algorithms=[kept["alg"]], strict_check_header=False)
    return jws.serialize_compact(kept, json.dumps(content), key, registry=registry)


def algorithm(key: Key) -> str:
    """Return the algorithm that a client takes for this key by default."""
    if isinstance(key, ECKey):
        return _CURVES[str(key.as_dict(private=False)["crv"])]
    return "RS256" if isinstance(key, RSAKey) else "HS256"


def assertion(
    key: Key, audience: object, *, now: float | None = None, header: Mapping[str, Any] | None = None, **claims: Any
) -> str:
    """Return a good client assertion for *audience*, but for what *header* and *claims* say otherwise."""
    at = int(time.time() if now is None else now)
    said = {
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "aud": audience,
        "iat": at,
        "exp": at + 300,
        "jti": secrets.token_urlsafe(16),
    }
    named = {} if isinstance(key, OctKey) else {"kid": key.kid}
    return jwt(key, named | dict(header or {}), said | claims)


def assertion_form(text: str, **more: str | None) -> dict[str, str]:
    """Return the form of a token request with the assertion *text*; None leaves a parameter out."""
    form = {
        "grant_type": "client_credentials",
        "scope": "api.read",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": text,
    }
    return {name: value for name, value in (form | more).items() if value is not None}


def proof(
    key: RSAKey | ECKey,
    method: str,
    url: str,
    *,
    now: float | None = None,
    header: Mapping[str, Any] | None = None,
    **claims: Any,
) -> str:
    """Return a good DPoP proof (RFC 9449 4.2) for a request, but for what *header* and *claims* say otherwise."""
    at = int(time.time() if now is None else now)
    jwk = {name: value for name, value in public(key).items() if name != "kid"}
    said = {"htm": method, "htu": url, "iat": at, "jti": secrets.token_urlsafe(16)}
    return jwt(key, {"typ": "dpop+jwt", "jwk": jwk} | dict(header or {}), said | claims)
