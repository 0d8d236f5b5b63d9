"""
One fetch of a token: the only place that sends what the client authenticates with.

Each request has a connection of its own: one an hour needs no pool, and bytes that came while a connection was idle
cannot become the next answer. No cookies, no redirects (a 302 would carry the secret away), nothing decoded.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import aiohttp

from proxy.config import OAuth, okta_token_url, outbound_proxy, parse_url
from proxy.tokens import command
from proxy.tokens.answer import Answer
from proxy.tokens.authentication import ClientAuthentication
from proxy.tokens.clock import Clock, ServerTime
from proxy.tokens.credentials import Credential, CredentialError
from proxy.tokens.discovery import is_acceptable, issuer_in, metadata_urls, read_metadata
from proxy.tokens.failure import Failure
from proxy.tokens.retry import Reason, reason_to_repeat, refuses_credential
from proxy.tokens.rotation import Rotation
from proxy.tokens.schedule import http_date
from proxy.tokens.transport import TooLargeError, joined, read_capped, session, translate

if TYPE_CHECKING:
    from proxy.tokens.dpop import ProofKey

__all__ = ["CONNECT_TIMEOUT", "TOTAL_TIMEOUT", "Fetched", "TokenEndpoint", "joined", "translate"]

CONNECT_TIMEOUT = 3.0
TOTAL_TIMEOUT = 8.0
"""Seconds for all requests of a fetch together, discovery not counted: an endpoint that trickles is cut."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """
    The last answer of a fetch.

    `secret` is what was sent for it, so that it can be kept out of what is said about it. The rest is for operators:
    no secret is in it.
    """

    answer: Answer
    secret: str = field(repr=False)
    credential: str = "1"
    """The `Credential.id` of what the client authenticated with."""
    refused: tuple[str, ...] = ()
    """Those that were tried before it, and refused as `invalid_client`."""
    ahead: float | None = None
    """Seconds by which the server's clock is ahead of ours, if it minded."""


class TokenEndpoint:
    """
    Asks for a token when told to.

    Keeps what is worth knowing for the next time: the address that discovery gave, which credential worked, what time
    the server has, and with DPoP the key and the nonces. Timeouts are in seconds.
    """

    def __init__(
        self,
        settings: OAuth,
        clock: Clock,
        environ: Mapping[str, str],
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
        total_timeout: float = TOTAL_TIMEOUT,
        command_timeout: float = command.TIMEOUT,
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=total_timeout, connect=connect_timeout)
        self._settings = settings
        self._clock = clock
        self._environ = environ
        issuer = settings.issuer
        self._url = settings.token_url or (okta_token_url(issuer) if issuer else None)
        self._discovered: str | None = None
        self._issuer = issuer
        """As the metadata document spells it, once there was one."""
        self._time = ServerTime(clock)
        self._client = ClientAuthentication(settings, clock, self._time, command_timeout=command_timeout)
        self._rotation = Rotation()
        self._proofs = _proof_key(self._time) if settings.dpop else None

    def __repr__(self) -> str:
        return f"<TokenEndpoint {self._url or self._discovered or self._settings.issuer}>"

    async def fetch(self) -> Fetched | Failure:
        """
        Ask for a token, within 8 s (and 8 s more if the address must be discovered first).

        That is one request, unless a new assertion or proof mends what the server said, or it refused one of several
        credentials: then the next is tried. Never raises but for cancellation: what goes wrong is a `Failure`.
        """
        try:
            credentials = await self._client.credentials(self._timeout.total or TOTAL_TIMEOUT)
            async with asyncio.timeout(self._timeout.total):
                context = await asyncio.to_thread(self._roots)
        except TimeoutError:
            return Failure("failed", "The files of oauth could not be read in time.", "Check their file system.")
        except CredentialError as error:
            return Failure("failed" if error.passes else "refused", f"{error}.", error.remedy)
        except (OSError, ssl.SSLError):
            return Failure("refused", "oauth.ca_file cannot be used.", "It must hold PEM certificates.")
        try:
            async with session(self._timeout, context=context) as client:
                url = self._url or self._discovered or await self._discover(client)
                if isinstance(url, Failure):
                    return url
                async with asyncio.timeout(self._timeout.total):
                    fetched = await self._ask(client, url, credentials)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            self._discovered = None
            return translate(error)
        if fetched.answer.status == 404:
            self._discovered = None
        return fetched

    def _roots(self) -> ssl.SSLContext | bool:
        """Read the certificate authorities, in a thread: files may be slow, and they may have changed since."""
        if self._settings.ca_file is None:
            # aiohttp's own verifying context, which exists already; making one takes tens of milliseconds.
            return True
        context = ssl.create_default_context()
        context.load_verify_locations(cafile=self._settings.ca_file)
        return context

    def _proxy(self, url: str) -> str | None:
        """Return the outbound proxy for *url*, None to go there directly."""
        return outbound_proxy(parse_url(url, parts=("query",)), self._settings.proxy, self._environ)

    async def _ask(self, session: aiohttp.ClientSession, url: str, credentials: tuple[Credential, ...]) -> Fetched:
        """Ask with the credential that is thought to work, and if it is refused with the next one."""
        repeated: set[Reason] = set()
        refused: list[str] = []
        for credential in self._rotation.candidates(credentials):
            answer, ahead = await self._ask_as(session, url, credential, repeated)
            fetched = Fetched(answer, credential.secret, credential.id, tuple(refused), ahead)
            if not refuses_credential(answer):
                break
            refused.append(credential.id)
            self._rotation.refused(credential)
            self._client.refused()
        if answer.status == 200:
            self._rotation.worked(credential)
        return fetched

    async def _ask_as(
        self, session: aiohttp.ClientSession, url: str, credential: Credential, repeated: set[Reason]
    ) -> tuple[Answer, float | None]:
        """
        Ask, and ask once more for each reason that is not in *repeated* yet, with all that is signed anew.

        Return the answer and by how much the server's clock is ahead, if that was a reason.
        """
        ahead = None
        while True:
            answer = await self._post(session, url, credential)
            reason = reason_to_repeat(answer, signs=self._client.signs or self._proofs is not None)
            if reason is None or reason in repeated:
                return answer, ahead
            repeated.add(reason)
            server = http_date(answer.headers["date"]) if reason == "clock" else None
            if server is not None:
                ahead = self._time.learn(server)

    async def _post(self, session: aiohttp.ClientSession, url: str, credential: Credential) -> Answer:
        settings, proofs = self._settings, self._proofs
        headers, credentials = await self._client.fields(credential, url, self._issuer)
        form = [("grant_type", "client_credentials"), *credentials]
        if settings.scopes:
            form.append(("scope", " ".join(settings.scopes)))
        form.extend(settings.extra_params.items())
        if proofs is not None:
            headers["DPoP"] = proofs.token_proof(url)
        sent_boot, sent_wall = self._clock.boot(), self._clock.wall()
        async with session.post(
            url,
            data=urlencode(form).encode(),
            headers={**headers, "Content-Type": "application/x-www-form-urlencoded"},
            allow_redirects=False,
            proxy=self._proxy(url),
        ) as response:
            body = await read_capped(response)
            answer = Answer(response.status, joined(response.headers.items()), body, sent_boot, sent_wall)
        if proofs is None:
            return answer
        proofs.note_nonce(url, answer.headers.get("dpop-nonce", ""))
        return replace(answer, bind=partial(proofs.bind, token_url=url))

    async def _discover(self, session: aiohttp.ClientSession) -> str | Failure:
        issuer = self._settings.issuer or ""
        # One deadline for all forms: a server that is slow with each would hold a retry back three times as long.
        async with asyncio.timeout(self._timeout.total):
            for url in metadata_urls(issuer):
                endpoint = await self._ask_metadata(session, url, issuer)
                if endpoint is not None and is_acceptable(endpoint, allow_http=self._settings.allow_http):
                    self._discovered = endpoint
                    return endpoint
        return Failure(
            "failed",
            "No metadata document of oauth.issuer names a usable token endpoint.",
            "Compare oauth.issuer with the server's, or set oauth.token_url.",
        )

    async def _ask_metadata(self, session: aiohttp.ClientSession, url: str, issuer: str) -> str | None:
        """Return the token endpoint that the document at *url* names, None if there is no such document."""
        async with session.get(url, allow_redirects=False, proxy=self._proxy(url)) as response:
            if response.status != 200:
                return None
            try:
                body = await read_capped(response)
            except TooLargeError:
                return None
        endpoint = read_metadata(body, issuer)
        if endpoint is not None:
            self._issuer = issuer_in(body)
        return endpoint


def _proof_key(time: ServerTime) -> "ProofKey":
    # cryptography takes 8 MB, which a proxy without DPoP and keys does without.
    from proxy.tokens.dpop import ProofKey  # noqa: PLC0415

    return ProofKey(time.now)
