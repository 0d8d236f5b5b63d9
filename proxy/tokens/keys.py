"""
The private keys of the client, as they are at the moment. Only imported with `private_key_jwt`.

What is written in them is read by `proxy.config.signing_key`, which the configuration's checks use as well, so that
the same mistake has the same words at start and later.
"""

import hashlib

from proxy.config import Assertion, OAuth
from proxy.config.credentials import place_of
from proxy.config.key_forms import KeyProblem
from proxy.config.signing_key import usable_keys
from proxy.tokens.credentials import Credential, CredentialError, read_file


class KeySource:
    """Reads the keys anew each time, and works on what it has read only when that has changed."""

    def __init__(self, settings: OAuth) -> None:
        self._settings = settings
        self._digest = b""
        self._credentials: tuple[Credential, ...] = ()

    def read(self) -> tuple[Credential, ...]:
        """Return the keys in their order. Blocks on files; raises `CredentialError`."""
        settings, assertion = self._settings, self._settings.assertion or Assertion()
        if settings.private_key_file is None:
            name = "oauth.private_key"
            data = settings.private_key.reveal().encode() if settings.private_key is not None else b""
        else:
            name = "oauth.private_key_file"
            data = read_file(settings.private_key_file, name)
        passphrase = self._optional(settings.private_key_passphrase_file, "oauth.private_key_passphrase_file")
        certificate = self._optional(assertion.certificate_file, "oauth.assertion: certificate_file")
        digest = _digest(data, passphrase, certificate)
        if digest != self._digest:
            try:
                keys = usable_keys(data, passphrase, settings.private_key_id, assertion.algorithm, certificate)
            except KeyProblem as problem:
                remedy = "Mend it; it is read again when it changes."
                raise CredentialError(f"{place_of(problem, name)} {problem}", remedy) from None
            self._credentials = tuple(
                Credential(key.kid or str(place), key=key, algorithm=key.choose(assertion.algorithm))
                for place, key in enumerate(keys, 1)
            )
            self._digest = digest
        return self._credentials

    def _optional(self, path: str | None, name: str) -> bytes | None:
        return None if path is None else read_file(path, name)


def _digest(*contents: bytes | None) -> bytes:
    """Return what tells whether anything changed, and is no secret itself."""
    whole = hashlib.sha256()
    for content in contents:
        whole.update(hashlib.sha256(content or b"").digest())
    return whole.digest()
