"""
One call of the token endpoint: the only place that sends a client secret.

Each call has a connection of its own: one an hour needs no pool, and bytes that came while a connection was idle
cannot become the next answer. No cookies, no redirects (a 302 would carry the secret away), nothing decoded.
"""

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp

from proxy import __version__
from proxy.config import OAuth, okta_token_url, outbound_proxy, parse_url
from proxy.tokens.answer import LARGEST_ANSWER, Answer
from proxy.tokens.authentication import authenticate
from proxy.tokens.clock import Clock
from proxy.tokens.credentials import SecretFileError, read_secret
from proxy.tokens.discovery import is_acceptable, metadata_urls, read_metadata
from proxy.tokens.failure import Failure, printable

CONNECT_TIMEOUT = 3.0
TOTAL_TIMEOUT = 8.0
"""Seconds for a whole call, discovery not counted: an endpoint that trickles is cut."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, with the secret that was sent for it, so that it can be kept out of what is said about it."""

    answer: Answer
    secret: str = field(repr=False)


class TokenEndpoint:
    """Asks for a token when told to. Keeps nothing but the address that discovery gave. Timeouts are in seconds."""

    def __init__(
        self,
        settings: OAuth,
        clock: Clock,
        environ: Mapping[str, str],
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
        total_timeout: float = TOTAL_TIMEOUT,
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=total_timeout, connect=connect_timeout)
        self._settings = settings
        self._clock = clock
        self._environ = environ
        issuer = settings.issuer
        self._url = settings.token_url or (okta_token_url(issuer) if issuer else None)
        self._discovered: str | None = None

    def __repr__(self) -> str:
        return f"<TokenEndpoint {self._url or self._discovered or self._settings.issuer}>"

    async def fetch(self) -> Fetched | Failure:
        """
        Ask for a token once, within 8 s (and 8 s more if the address must be discovered first).

        Never raises but for cancellation: what goes wrong on the way is a `Failure`.
        """
        try:
            async with asyncio.timeout(self._timeout.total):
                secret, context = await asyncio.to_thread(self._prepare)
        except TimeoutError:
            return Failure("failed", "The files of oauth could not be read in time.", "Check their file system.")
        except SecretFileError as error:
            return unreadable(error)
        except (OSError, ssl.SSLError):
            return Failure("refused", "oauth.ca_file cannot be used.", "It must hold PEM certificates.")
        try:
            async with self._session(context=context) as session:
                url = self._url or self._discovered or await self._discover(session)
                if isinstance(url, Failure):
                    return url
                fetched = Fetched(await self._post(session, url, secret), secret)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            self._discovered = None
            return translate(error)
        if fetched.answer.status == 404:
            self._discovered = None
        return fetched

    def _prepare(self) -> tuple[str, ssl.SSLContext | bool]:
        """Read the secret and the roots, in a thread: files may be slow. Both may have changed since."""
        # True: aiohttp's own verifying context, which exists already; making one takes tens of milliseconds.
        context: ssl.SSLContext | bool = True
        if self._settings.ca_file is not None:
            context = ssl.create_default_context()
            context.load_verify_locations(cafile=self._settings.ca_file)
        return read_secret(self._settings), context

    def _session(self, *, context: ssl.SSLContext | bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, force_close=True, ttl_dns_cache=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            # The environment's proxy is asked for by us; aiohttp's own look would read .netrc too.
            trust_env=False,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": f"okta-proxy/{__version__}",
            },
        )

    def _proxy(self, url: str) -> str | None:
        """Return the outbound proxy for *url*, None to go there directly."""
        return outbound_proxy(parse_url(url, parts=("query",)), self._settings.proxy, self._environ)

    async def _post(self, session: aiohttp.ClientSession, url: str, secret: str) -> Answer:
        settings = self._settings
        headers, credentials = authenticate(settings.auth_method, settings.client_id, secret)
        form = [("grant_type", "client_credentials"), *credentials]
        if settings.scopes:
            form.append(("scope", " ".join(settings.scopes)))
        form.extend(settings.extra_params.items())
        sent_boot, sent_wall = self._clock.boot(), self._clock.wall()
        async with session.post(
            url,
            data=urlencode(form).encode(),
            headers={**headers, "Content-Type": "application/x-www-form-urlencoded"},
            allow_redirects=False,
            proxy=self._proxy(url),
        ) as response:
            body = await _read_capped(response)
            return Answer(response.status, joined(response.headers.items()), body, sent_boot, sent_wall)

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
                return read_metadata(await _read_capped(response), issuer)
            except _TooLargeError:
                return None


def joined(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return header *fields* with lower-case names, the values of a repeated one joined by commas (RFC 9110 5.3)."""
    headers: dict[str, str] = {}
    for name, value in fields:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


class _TooLargeError(ValueError):
    """The answer is over the cap."""


async def _read_capped(response: aiohttp.ClientResponse) -> bytes:
    body = await response.content.read(LARGEST_ANSWER + 1)
    while len(body) <= LARGEST_ANSWER and (more := await response.content.read(LARGEST_ANSWER + 1 - len(body))):
        body += more
    if len(body) > LARGEST_ANSWER:
        raise _TooLargeError
    return body


def unreadable(error: SecretFileError) -> Failure:
    """Return what a secret file that gives no secret means: mostly that a person must put one there."""
    if error.passes:
        return Failure("failed", f"{error}.", "It is tried again; see to the limits of this machine.")
    return Failure("refused", f"{error}.", "Put the client secret there; it is read again when it changes.")


def translate(error: BaseException) -> Failure:
    """
    Return what an exception of the HTTP client means, in our own words.

    Never the exception's text: the repr of aiohttp's holds the request's headers.
    """
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        # The host is configuration: nothing of it is secret.
        what = f"its name, {printable(error.host, limit=100)}, cannot be resolved"
        return Failure(
            "unreachable", f"The token endpoint was not reached: {what}.", "Check oauth.issuer, or the network."
        )
    table: tuple[tuple[type[BaseException], str, str], ...] = (
        (
            aiohttp.ClientConnectorCertificateError,
            "its TLS certificate is not trusted",
            "If a proxy inspects TLS here, give its root in oauth.ca_file.",
        ),
        (aiohttp.ClientConnectorSSLError, "TLS with it failed", "Is this an https address? Check oauth.issuer."),
        (
            aiohttp.ClientProxyConnectionError,
            "the outbound proxy cannot be reached",
            "Check oauth.proxy or HTTPS_PROXY; NO_PROXY makes exceptions.",
        ),
        (aiohttp.ClientHttpProxyError, "the outbound proxy refused", "Check oauth.proxy or HTTPS_PROXY."),
        (TimeoutError, "it did not answer in time", "Check the network, or whether a proxy is needed (oauth.proxy)."),
        (aiohttp.ClientConnectorError, "it refused the connection", "Check oauth.issuer, or the network."),
        (aiohttp.ServerDisconnectedError, "it closed the connection", "Check the network."),
    )
    for kind, what, remedy in table:
        if isinstance(error, kind):
            return Failure("unreachable", f"The token endpoint was not reached: {what}.", remedy)
    if isinstance(error, _TooLargeError):
        return Failure("failed", "The token endpoint's answer is larger than 64 KiB.", "Check oauth.token_url.")
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientResponseError | ValueError):
        return Failure("failed", "The token endpoint's answer is not HTTP as it should be.", "Check oauth.token_url.")
    return Failure("unreachable", "The token endpoint was not reached: the connection broke.", "Check the network.")
