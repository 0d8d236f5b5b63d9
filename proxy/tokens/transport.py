"""How an HTTP answer of the token endpoint is got, and what the HTTP client's exceptions mean."""

import socket
import ssl
from collections.abc import Iterable
from functools import partial
from typing import Any

import aiohttp
from aiohttp.resolver import ThreadedResolver

from proxy import __version__
from proxy.off_loop import in_thread
from proxy.tokens.answer import LARGEST_ANSWER
from proxy.tokens.failure import Failure, printable


def session(timeout: aiohttp.ClientTimeout, *, context: ssl.SSLContext | bool) -> aiohttp.ClientSession:
    """Return a session for one fetch: a connection for each request, no cookies, nothing decoded, no `.netrc`."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=context,
            force_close=True,
            ttl_dns_cache=0,
            resolver=ThreadedResolver(_Names()),  # type: ignore[arg-type]  # all that it asks of a loop
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=timeout,
        auto_decompress=False,
        # The environment's proxy is asked for by us; aiohttp's own look would read .netrc too.
        trust_env=False,
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"okta-proxy/{__version__}",
        },
    )


def joined(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return header *fields* with lower-case names, the values of a repeated one joined by commas (RFC 9110 5.3)."""
    headers: dict[str, str] = {}
    for name, value in fields:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


class TooLargeError(ValueError):
    """The answer is over the cap."""


async def read_capped(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of an answer, `TooLargeError` if it is over the cap."""
    body = await response.content.read(LARGEST_ANSWER + 1)
    while len(body) <= LARGEST_ANSWER and (more := await response.content.read(LARGEST_ANSWER + 1 - len(body))):
        body += more
    if len(body) > LARGEST_ANSWER:
        raise TooLargeError
    return body


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
    if isinstance(error, TooLargeError):
        return Failure("failed", "The token endpoint's answer is larger than 64 KiB.", "Check oauth.token_url.")
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientResponseError | ValueError):
        return Failure("failed", "The token endpoint's answer is not HTTP as it should be.", "Check oauth.token_url.")
    return Failure("unreachable", "The token endpoint was not reached: the connection broke.", "Check the network.")


class _Names:
    """
    What aiohttp's resolver asks, a loop in general, with threads that do not keep the process from ending.

    A loop's own threads would, for as long as the system's resolver takes to give up.
    """

    async def getaddrinfo(self, host: str, port: int, **options: int) -> list[Any]:
        return await in_thread(partial(socket.getaddrinfo, host, port, **options), "token-dns")

    async def getnameinfo(self, address: Any, flags: int) -> tuple[str, str]:
        return await in_thread(partial(socket.getnameinfo, address, flags), "token-dns")
