"""
The connections to the one upstream: opened when needed, kept while idle for a while, the newest used first.

All mutable state is `_idle` and `_active`; only `acquire` and `release` change it.
"""

import asyncio
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohappyeyeballs

from proxy.config import Upstream
from proxy.errors import UpstreamError, UpstreamTimeoutError
from proxy.forwarding.deadlines import NEVER, Deadlines
from proxy.forwarding.upstream import UpstreamConnection

IDLE_TIMEOUT = 15.0
"""Seconds: below what servers keep (Node 5 to nginx 75), but long enough for a caller's next request."""
MOST_IDLE = 1000
"""As many as `limits.requests` lets be in use by default: fewer would be closed and opened again under load."""
HAPPY_EYEBALLS_DELAY = 0.25
"""Seconds before the next address is tried beside the first (RFC 8305 5)."""


class Pool:
    """
    Gives out connections to `settings.url`.

    *deadlines* ends idle ones; *boot* is a clock in seconds that counts suspended time, for after a laptop's sleep
    its timers are late and its connections dead.

    How many are in use is bounded by `limits.requests`, for each request in flight holds at most one.
    """

    def __init__(
        self,
        settings: Upstream,
        deadlines: Deadlines,
        *,
        boot: Callable[[], float] = time.monotonic,
        idle_timeout: float = IDLE_TIMEOUT,
    ) -> None:
        self._settings = settings
        self._deadlines = deadlines
        self._boot = boot
        self._idle_timeout = idle_timeout
        self._idle: list[UpstreamConnection] = []
        self._active: set[UpstreamConnection] = set()
        self._context: ssl.SSLContext | None = None
        self._looking_up: asyncio.Future[list[Any]] | None = None

    def __repr__(self) -> str:
        return f"<Pool {self._settings.url.authority} [{len(self._active)} active, {len(self._idle)} idle]>"

    def counts(self) -> Mapping[str, int]:
        """Return how many connections are in each state."""
        self._drop_closed()
        return {"active": len(self._active), "idle": len(self._idle)}

    def take_idle(self) -> UpstreamConnection | None:
        """Return the idle connection that was used last, None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.is_quiet() and self._boot() < connection.idle_until:
                connection.deadline = NEVER
                self._active.add(connection)
                return connection
            connection.abort()
            self._deadlines.forget(connection)
        return None

    async def connect(self) -> UpstreamConnection:
        """Open a connection within `upstream.connect_timeout`, TLS included. Raises `UpstreamError`."""
        try:
            async with asyncio.timeout(self._settings.connect_timeout or None):
                connection = await self._connect()
        except TimeoutError:
            raise UpstreamTimeoutError(
                "The connection to the upstream was not there within upstream.connect_timeout.",
                proxy_status="connection_timeout",
            ) from None
        except (OSError, ssl.SSLError) as error:
            raise translate(error) from None
        self._active.add(connection)
        self._deadlines.watch(connection)
        return connection

    async def _connect(self) -> UpstreamConnection:
        url = self._settings.url
        loop = asyncio.get_running_loop()
        context = await self._tls() if url.scheme == "https" else None
        found = await self._look_up()
        sock = await aiohappyeyeballs.start_connection(
            [(family, kind, proto, name, address) for family, kind, proto, name, address in found],
            happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY,
            interleave=1,
            loop=loop,
        )
        try:
            tune(sock)
            _, connection = await loop.create_connection(
                lambda: UpstreamConnection(loop), sock=sock, ssl=context, server_hostname=url.host if context else None
            )
        except BaseException:
            sock.close()
            raise
        return connection

    async def _look_up(self) -> list[Any]:
        """
        Ask DNS, anew for each connection, so that a failover needs no restart; but once for all who ask at a time.

        Each look-up takes one of few threads, and a slow resolver must not take those that the token endpoint needs.
        """
        if self._looking_up is None or self._looking_up.done():
            url = self._settings.url
            loop = asyncio.get_running_loop()
            self._looking_up = asyncio.ensure_future(loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM))
            # Whoever waited may be gone when it fails.
            self._looking_up.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._looking_up)

    async def _tls(self) -> ssl.SSLContext:
        """Make the context once, in a thread: reading the system's roots takes tens of milliseconds."""
        if self._context is None:
            try:
                self._context = await asyncio.to_thread(tls_context, self._settings.ca_file)
            except (OSError, ValueError):
                raise UpstreamError(
                    "The file in upstream.ca_file cannot be read, or holds no certificate.",
                    proxy_status="tls_certificate_error",
                ) from None
        return self._context

    def release(self, connection: UpstreamConnection) -> None:
        """Take a connection back: it is kept if it is clean, else closed."""
        self._active.discard(connection)
        if len(self._idle) >= MOST_IDLE:
            self._drop_closed()
        if connection.reusable and len(self._idle) < MOST_IDLE and self._idle_timeout > 0:
            connection.release()
            connection.deadline = asyncio.get_running_loop().time() + self._idle_timeout
            connection.idle_until = self._boot() + self._idle_timeout
            self._idle.append(connection)
            return
        connection.abort()
        self._deadlines.forget(connection)

    def close(self) -> None:
        """Close every connection."""
        if self._looking_up is not None:
            self._looking_up.cancel()
        for connection in (*self._idle, *self._active):
            connection.abort()
            self._deadlines.forget(connection)
        self._idle.clear()
        self._active.clear()

    def _drop_closed(self) -> None:
        for connection in [one for one in self._idle if not one.reusable]:
            self._idle.remove(connection)
            self._deadlines.forget(connection)


def tune(sock: socket.socket) -> None:
    """Send at once, and notice within half a minute that the other side is gone without a word."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a verifying client context with the system's roots and those of *ca_file*. Raises OSError, SSLError."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    # Without ALPN some servers choose by guess.
    context.set_alpn_protocols(["http/1.1"])
    return context


def translate(error: BaseException) -> UpstreamError:
    """Return what a failure to connect means, in our own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return UpstreamError(
            "The upstream's TLS certificate is not trusted, or is not for this name. "
            "If it is signed by a root of your own, give that in upstream.ca_file.",
            proxy_status="tls_certificate_error",
        )
    if isinstance(error, ssl.SSLError):
        return UpstreamError(
            "TLS with the upstream failed. Is upstream.url an https address?", proxy_status="tls_protocol_error"
        )
    if isinstance(error, socket.gaierror):
        return UpstreamError(
            "The name in upstream.url cannot be resolved. Check it, or the network.", proxy_status="dns_error"
        )
    if isinstance(error, ConnectionRefusedError):
        return UpstreamError(
            "The upstream refused the connection. Is it running at upstream.url?", proxy_status="connection_refused"
        )
    return UpstreamError("The upstream could not be reached. Check upstream.url, or the network.")
