"""
The service app: its id, the secrets and the public keys that are registered for it.

Both may be several at a time, as during a rotation, and change at any time.
"""

import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from proxy.config import Secret

KeySource = Mapping[str, object] | str | bytes
"""A JWK or a JWK set as a mapping or as JSON, or a key or a certificate as PEM. Private members are dropped."""


class PublicKey(NamedTuple):
    """A registered key, by the two names under which an assertion may ask for it."""

    kid: str
    """The JWK's, else its thumbprint (RFC 7638)."""
    thumbprint: str | None
    """`x5t#S256` (RFC 7515 4.1.8), None for a key without a certificate."""
    key: RSAKey | ECKey


class Client:
    """The one client of an authorization server."""

    def __init__(self, client_id: str, secrets: Iterable[str], keys: Iterable[KeySource]) -> None:
        self.id = client_id
        self.secrets: tuple[Secret, ...] = ()
        self.keys: tuple[PublicKey, ...] = ()
        self.accept(*secrets)
        self.accept_keys(*keys)

    def __repr__(self) -> str:
        return f"<Client {self.id} [{len(self.secrets)} secrets, {len(self.keys)} keys]>"

    def accept(self, *secrets: str) -> None:
        """Have these secrets and no others."""
        self.secrets = tuple(Secret(secret) for secret in secrets)

    def accept_keys(self, *sources: KeySource) -> None:
        """Have these keys and no others. Raises `ValueError` for what is no key, and for a `kid` that comes twice."""
        keys = tuple(key for source in sources for key in public_keys(source))
        if len({key.kid for key in keys}) < len(keys):
            raise ValueError("each key needs a kid of its own")
        self.keys = keys

    def retire(self, kid: str) -> None:
        """Have the key *kid* no more. Raises `KeyError` if there is none."""
        left = tuple(key for key in self.keys if key.kid != kid)
        if len(left) == len(self.keys):
            raise KeyError(kid)
        self.keys = left

    def has_secret(self, secret: str) -> bool:
        """Tell whether *secret* is registered, in a time that tells nothing about those that are."""
        matches = [hmac.compare_digest(secret.encode(), known.reveal().encode()) for known in self.secrets]
        return any(matches)


def public_keys(source: KeySource) -> list[PublicKey]:
    """Return the public keys in *source*. Raises `ValueError` if there is one that is no RSA or EC key."""
    if isinstance(source, Mapping):
        entries = source.get("keys", [source])
        if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
            raise ValueError("a JWK set has a list of keys")
        return [_registered(_imported(dict(entry))) for entry in entries]
    text = source.decode() if isinstance(source, bytes) else source
    if text.lstrip().startswith("{"):
        return public_keys(json.loads(text))
    key = _imported(text)
    return [_registered(key, _certificate_digest(text) if "BEGIN CERTIFICATE" in text else None)]


def _registered(key: RSAKey | ECKey, thumbprint: str | None = None) -> PublicKey:
    values = key.as_dict(private=False)
    jwk_thumbprint = values.get("x5t#S256")
    if isinstance(jwk_thumbprint, str):
        thumbprint = jwk_thumbprint
    # Imported again: what stays here holds no private member.
    public = type(key).import_key(values)
    return PublicKey(key.kid or key.thumbprint(), thumbprint, public)


def _imported(source: str | dict[str, object]) -> RSAKey | ECKey:
    for kind in (RSAKey, ECKey):
        try:
            return kind.import_key(source)  # type: ignore[arg-type]  # checked by what is called
        except (JoseError, ValueError, TypeError):
            continue
    raise ValueError("this is no RSA or EC key")


def _certificate_digest(pem: str) -> str:
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
