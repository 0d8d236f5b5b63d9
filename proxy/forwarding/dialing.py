"""
Opens one connection to the upstream: look-up, happy eyeballs, the outbound proxy's tunnel, TLS.

Everything is asked anew for each connection: DNS (a failover needs no restart) and the files of TLS (nor does a new
certificate). No time is kept here: who dials bounds it.
"""

import asyncio
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import aiohappyeyeballs

from proxy.config import Upstream, Url
from proxy.config.outbound import OutboundProxy, read_proxy
from proxy.forwarding.tls import ResumingContext, TlsFiles
from proxy.forwarding.tunnel import OutboundProxyError, Tunnel
from proxy.forwarding.unreachable import THROUGH_PROXY, translate
from proxy.forwarding.upstream import UpstreamConnection
from proxy.off_loop import Shared

P = TypeVar("P", bound=asyncio.Protocol)
Addresses = list[tuple[Any, ...]]
"""What `socket.getaddrinfo` returns."""

HAPPY_EYEBALLS_DELAY = 0.25
"""Seconds before the next address is tried beside the first (RFC 8305 5)."""


class Route(NamedTuple):
    """The way to a server: TLS with it if there is a *context*, and the proxy that tunnels to it if there is one."""

    url: Url
    context: ssl.SSLContext | None
    proxy: OutboundProxy | None = None
    proxy_context: ssl.SSLContext | None = None


class Dialer:
    """
    Opens connections to `upstream.url`, through `upstream.proxy` if that is set.

    The environment's proxy must have been put there before (`proxy.config.outbound.with_outbound_proxy`).
    """

    def __init__(self, settings: Upstream) -> None:
        self._url = settings.url
        self._proxy = None if settings.proxy is None else read_proxy(settings.proxy)
        first = self._url if self._proxy is None else self._proxy.url
        self._resolver = Resolver(first.host, first.port)
        self._tls = self._proxy_tls = None
        if self._url.scheme == "https":
            self._tls = TlsFiles(settings.ca_file, settings.client_cert_file, settings.client_key_file)
        if self._proxy is not None and self._proxy.url.scheme == "https":
            # The client certificate is for the upstream alone.
            self._proxy_tls = TlsFiles(settings.ca_file)

    @property
    def note(self) -> str:
        """A sentence for messages on failures whose place is not known: that there is a proxy in between."""
        return THROUGH_PROXY if self._proxy is not None else ""

    async def dial(self) -> UpstreamConnection:
        """Open a connection. Raises `UpstreamError`."""
        context = None if self._tls is None else await self._tls.context()
        proxy_context = None if self._proxy_tls is None else await self._proxy_tls.context()
        route = Route(self._url, context, self._proxy, proxy_context)
        has_session = context is not None and context.has_session
        try:
            try:
                return await self._open(route, context)
            except ssl.SSLError as error:
                if context is None or not has_session or isinstance(error, ssl.SSLCertVerificationError):
                    raise
                # Some servers that ask for client certificates break off instead of declining to resume (OpenSSL's
                # "session id context uninitialized"). Nothing was sent yet.
                context.stop_resuming()
                return await self._open(route, context)
        except (OSError, OutboundProxyError) as error:
            raise translate(error, is_proxied=self._proxy is not None) from None

    async def _open(self, route: Route, context: ResumingContext | None) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        transport, connection = await connect(route, lambda: UpstreamConnection(loop), self._resolver.addresses)
        if context is not None:
            context.remember(
                self._url.host,
                transport.get_extra_info("ssl_object"),
                lambda: connection.has_head or connection.exchanges > 1,
            )
        return connection


class Resolver:
    """Asks for the addresses of *host*, anew each time, but once for all who ask while an answer is under way."""

    def __init__(self, host: str, port: int) -> None:
        self._literal = literal(host, port)
        # Not bound here: tests put a resolver of their own in its place.
        self._look_up = Shared(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), "resolver")

    async def addresses(self) -> Addresses:
        """Return the addresses. Raises OSError."""
        return self._literal or list(await self._look_up.result())


def literal(host: str, port: int) -> Addresses:
    """Return the address that *host* is, nothing if it is a name. Hosts are as `parse_host` gives them."""
    kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    if ":" in host:
        return [(socket.AF_INET6, *kind, (host, port, 0, 0))]
    return [(socket.AF_INET, *kind, (host, port))] if host.rpartition(".")[2].isdigit() else []


async def connect(
    route: Route, factory: Callable[[], P], addresses: Callable[[], Awaitable[Addresses]]
) -> tuple[asyncio.Transport, P]:
    """
    Connect a protocol of *factory* along *route*; *addresses* gives those of its first server, the proxy's or its own.

    Raises OSError (SSLError is one), `OutboundProxyError`.
    """
    if route.proxy is None:
        return await _connect(await addresses(), factory, route.context, route.url.host)
    loop = asyncio.get_running_loop()
    try:
        found = await addresses()
        transport, tunnel = await _connect(found, lambda: Tunnel(loop), route.proxy_context, route.proxy.url.host)
    except OSError as error:
        raise OutboundProxyError("unreachable", cause=error) from None
    try:
        await tunnel.open(route.url, route.proxy)
        if route.context is not None:
            transport = await _secure(transport, tunnel, route.context, route.url.host)
        tunnel.check()
        protocol = factory()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
    except BaseException:
        transport.abort()
        raise
    return transport, protocol


async def _secure(
    transport: asyncio.Transport, tunnel: Tunnel, context: ssl.SSLContext, name: str
) -> asyncio.Transport:
    # The tunnel stays the protocol until the handshake is done, and notices what comes too early.
    secured = await asyncio.get_running_loop().start_tls(transport, tunnel, context, server_hostname=name)
    if secured is None:
        raise ConnectionResetError
    return secured


async def _connect(
    addresses: Addresses, factory: Callable[[], P], context: ssl.SSLContext | None, name: str
) -> tuple[asyncio.Transport, P]:
    loop = asyncio.get_running_loop()
    sock = await aiohappyeyeballs.start_connection(
        [(family, kind, proto, canonical, address) for family, kind, proto, canonical, address in addresses],
        happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY,
        interleave=1,
        loop=loop,
    )
    try:
        tune(sock)
        return await loop.create_connection(
            factory, sock=sock, ssl=context, server_hostname=name if context is not None else None
        )
    except BaseException:
        sock.close()
        raise


def tune(sock: socket.socket) -> None:
    """Send at once, and notice within half a minute that the other side is gone without a word."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
