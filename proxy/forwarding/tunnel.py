"""A tunnel through an outbound proxy (RFC 9110 9.3.6): the request for it, and what can be wrong with the answer."""

import asyncio
import re
from typing import Literal, cast

from proxy.config import Url
from proxy.config.outbound import OutboundProxy

LARGEST_REPLY = 16 * 1024
"""Bytes of the head of the proxy's answer. Its body, if it refuses, is not read."""
_BEGINNING = b"HTTP/1."

What = Literal["unreachable", "refused", "garbled", "closed", "spoke"]


class OutboundProxyError(Exception):
    """
    The outbound proxy gave no tunnel.

    `what` is `unreachable` (`cause` says why), `refused` (`status` is its answer), `garbled` (the answer is not that of
    an HTTP proxy), `closed` (there was none) or `spoke` (bytes stand between its answer and the tunnel).
    """

    def __init__(self, what: What, *, status: int = 0, cause: OSError | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.status = status
        self.cause = cause


class Tunnel(asyncio.Protocol):
    """A connection to an outbound proxy, until the tunnel is there and somebody else takes it over."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._transport: asyncio.Transport | None = None
        self._head: asyncio.Future[bytes] = loop.create_future()
        # Whoever waited may be gone when it fails.
        self._head.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._received = b""
        self._spoke = False
        self._has_ended = False

    async def open(self, url: Url, proxy: OutboundProxy) -> None:
        """Ask for a tunnel to *url*. Raises `OutboundProxyError`."""
        if self._transport is not None:
            self._transport.write(connect_request(url, proxy))
        status = tunnel_status(await self._head)
        if not 200 <= status < 300:
            raise OutboundProxyError("refused" if status else "garbled", status=status)
        self.check()

    def check(self) -> None:
        """Raise `OutboundProxyError` if something came through the tunnel, though nobody has asked for anything yet."""
        if self._spoke:
            raise OutboundProxyError("spoke")
        if self._has_ended:
            raise OutboundProxyError("closed")

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Collect the head; a body that a tunnel's answer announces is to be ignored, one that comes cannot be."""
        if self._head.done():
            self._spoke = True
            return
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if end:
            self._spoke = bool(rest)
            self._head.set_result(head)
        elif len(self._received) > LARGEST_REPLY or not _BEGINNING.startswith(self._received[: len(_BEGINNING)]):
            self._head.set_exception(OutboundProxyError("garbled"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail who waits for the answer."""
        del exc
        self._has_ended = True
        if not self._head.done():
            self._head.set_exception(OutboundProxyError("garbled" if self._received else "closed"))


def connect_request(url: Url, proxy: OutboundProxy) -> bytes:
    """Return the request that asks *proxy* for a tunnel to the host and port of *url*."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    lines = [f"CONNECT {host}:{url.port} HTTP/1.1", f"Host: {host}:{url.port}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization.reveal()}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def tunnel_status(head: bytes) -> int:
    """Return the status of the outbound proxy's answer, 0 if that is not HTTP."""
    found = re.fullmatch(rb"HTTP/1\.[01] ([0-9]{3})(?: .*)?", head.split(b"\r\n", 1)[0])
    return int(found[1]) if found else 0
