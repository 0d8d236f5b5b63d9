"""
The doctor's own network calls: a name is resolved, a TLS handshake made. They bring facts and judge nothing.

No request is sent here. What carries a secret or a token goes through the code that the proxy uses itself, and so do
these calls on their way: look-up, outbound proxy, TLS.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple

from proxy.cli.doctor.places import Place
from proxy.config import Secret
from proxy.config.outbound import OutboundProxy, basic_authorization
from proxy.forwarding.dialing import Resolver, Route, connect
from proxy.forwarding.tls import tls_context
from proxy.off_loop import in_thread

TIMEOUT = 10.0
"""Seconds for each call."""

Lookup = Callable[..., list[Any]]
"""What `socket.getaddrinfo` is."""


class Handshake(NamedTuple):
    """A TLS handshake that was made: the protocol's version and the server's certificate (DER)."""

    version: str
    certificate: bytes


async def resolve(host: str, lookup: Lookup = socket.getaddrinfo, seconds: float = TIMEOUT) -> tuple[str, ...]:
    """
    Return the addresses of *host*, each once. Raises OSError, UnicodeError, TimeoutError.

    In a thread of its own that nobody waits for: the system's resolver can take minutes to give up.
    """

    def work() -> tuple[str, ...]:
        found = lookup(host, None, type=socket.SOCK_STREAM)
        return tuple(dict.fromkeys(str(address[0]) for *_, address in found))

    async with asyncio.timeout(seconds):
        return await in_thread(work, "resolver")


async def handshake(place: Place, context: ssl.SSLContext, seconds: float = TIMEOUT) -> Handshake:
    """
    Connect to *place*, through its outbound proxy if it has one, and make a TLS handshake.

    Raises SSLError, OSError, TimeoutError, `proxy.forwarding.tunnel.OutboundProxyError`.
    """
    first = place.url if place.proxy is None else place.proxy
    async with asyncio.timeout(seconds):
        transport, _ = await connect(
            _route(place, context), asyncio.Protocol, Resolver(first.host, first.port).addresses
        )
    try:
        secured: ssl.SSLObject = transport.get_extra_info("ssl_object")
        return Handshake(secured.version() or "", secured.getpeercert(binary_form=True) or b"")
    finally:
        transport.abort()


def _route(place: Place, context: ssl.SSLContext) -> Route:
    if place.proxy is None:
        return Route(place.url, context)
    credentials = place.proxy_credentials
    proxy = OutboundProxy(place.proxy, Secret(basic_authorization(credentials)) if credentials else None)
    return Route(place.url, context, proxy, tls_context(place.ca_file) if place.proxy.scheme == "https" else None)


def unverified() -> ssl.SSLContext:
    """Return a context that takes every certificate: to look at one that was refused, and for nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
