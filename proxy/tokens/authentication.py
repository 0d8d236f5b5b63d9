"""
How the client proves who it is at the token endpoint (RFC 6749 2.3.1, RFC 7523 2.2).

`authenticate` and `assert_identity` are pure; `ClientAuthentication` reads what they need and signs.
"""

import asyncio
import base64
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from proxy.config import Assertion, AuthMethod, OAuth
from proxy.tokens import assertion, jws
from proxy.tokens.clock import Clock, ServerTime
from proxy.tokens.command import TIMEOUT, SecretCommand
from proxy.tokens.credentials import Credential, as_credentials, read_secrets

if TYPE_CHECKING:
    from proxy.tokens.keys import KeySource

Fields = tuple[dict[str, str], list[tuple[str, str]]]
"""Headers and form fields."""


def authenticate(method: AuthMethod, client_id: str, secret: str) -> Fields:
    """
    Return the headers and the form fields that carry the client's id and its secret: one of the two, never both.

    For Basic both parts are form-urlencoded first, as RFC 6749 2.3.1 has it and Keycloak insists on
    (requests-oauthlib#568): otherwise a `+`, `%` or `:` in a secret would be read as something else.
    """
    if method == "client_secret_basic":
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}, []
    return {}, [("client_id", client_id), ("client_secret", secret)]


def assert_identity(client_id: str, signed: str) -> Fields:
    """
    Return the form fields that carry an assertion.

    The client's id is in it already (RFC 7521 4.2 makes the parameter optional), but Entra ID wants it.
    """
    return {}, [
        ("client_id", client_id),
        ("client_assertion_type", assertion.ASSERTION_TYPE),
        ("client_assertion", signed),
    ]


class ClientAuthentication:
    """Authenticates token requests as the settings say. *time* is the token endpoint's; *command_timeout* is in s."""

    def __init__(self, settings: OAuth, clock: Clock, time: ServerTime, *, command_timeout: float = TIMEOUT) -> None:
        self._settings = settings
        self._rules = settings.assertion or Assertion()
        self._time = time
        command = settings.client_secret_command
        self._command = SecretCommand(command, clock, timeout=command_timeout) if command else None
        self._keys = _key_source(settings)

    async def credentials(self, seconds: float) -> tuple[Credential, ...]:
        """
        Return what there is to authenticate with now, at least one, in its order.

        Files are given so many *seconds*, then it is a `TimeoutError`; a command has its own time. `CredentialError`.
        """
        if self._command is not None:
            return as_credentials(await self._command.read(), self._settings)
        async with asyncio.timeout(seconds):
            return await asyncio.to_thread(self._read_files)

    def _read_files(self) -> tuple[Credential, ...]:
        if self._keys is not None:
            return self._keys.read()
        return as_credentials(read_secrets(self._settings), self._settings)

    def refused(self) -> None:
        """Take nothing that was read for known: the server refused it."""
        if self._command is not None:
            self._command.forget()

    @property
    def signs(self) -> bool:
        """Whether a token request carries an assertion, which the server's clock may mind."""
        return self._settings.method.endswith("_jwt")

    async def fields(self, credential: Credential, url: str, issuer: str | None) -> Fields:
        """
        Return the headers and the form fields for one sending to *url*. A repeated one needs its own.

        Signing is done in a thread: RSA takes 0.4 ms with 2048 bits, and 1.5 with 4096.
        """
        settings = self._settings
        if not self.signs:
            return authenticate(settings.method, settings.client_id, credential.secret)
        audience = assertion.audience(self._rules.audience, url, issuer)
        signed = await asyncio.to_thread(self._sign, credential, audience, self._time.now())
        return assert_identity(settings.client_id, signed)

    def _sign(self, credential: Credential, audience: str, now: float) -> str:
        key, algorithm = credential.key, credential.algorithm
        kid, digest = (key.kid, key.digest) if key is not None else (None, None)
        header = assertion.header(algorithm, self._rules.typ, kid, digest)
        claims = assertion.claims(self._settings.client_id, audience, now, not_before=digest is not None)
        return jws.compact(jws.part(header), claims, _signature(credential))


def _key_source(settings: OAuth) -> "KeySource | None":
    if settings.method != "private_key_jwt":
        return None
    # cryptography takes 8 MB, which a proxy with a secret does without.
    from proxy.tokens.keys import KeySource  # noqa: PLC0415

    return KeySource(settings)


def _signature(credential: Credential) -> jws.Sign:
    if credential.key is None:
        return jws.with_secret(credential.secret, credential.algorithm)
    from proxy.tokens.signatures import with_key  # noqa: PLC0415  # as above

    return with_key(credential.key.private, credential.algorithm)
