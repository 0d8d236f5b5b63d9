"""
A small HTTP/1.1 server on a loopback address, around one handler.

It prints nothing for what a peer does (aiohttp logs a traceback for each malformed request), cancels a handler whose
client is gone, and when it closes it waits for nobody.
"""

import asyncio
import ipaddress
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

HEAD_SIZE = 64 * 1024
"""Bytes of a request line or a header line. Legacy tools send long URLs; Okta's tokens can be long."""


def _is_ours(record: logging.LogRecord) -> bool:
    """Tell whether a log record is about a mistake of this server and not about a peer's bytes or departure."""
    cause = record.exc_info[1] if record.exc_info else None
    return not isinstance(cause, HttpProcessingError | web.RequestPayloadError | ConnectionError)


_logger = logging.getLogger(__name__)
_logger.addFilter(_is_ours)


class Listener:
    """One server. `start` binds it, `close` ends it at once; a port that is taken is an `OSError`. *tls*: https."""

    def __init__(self, handler: Handler, *, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"{host} is no loopback address: the emulator's secrets are public")
        self.base_url = ""
        self._handler = handler
        self._host = host
        self._port = port
        self._tls = tls
        self._running: set[asyncio.Task[object]] = set()
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Bind and serve. `base_url` holds the port from now on."""
        server = web.Server(
            self._serve,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            logger=_logger,
            keepalive_timeout=75,
            max_line_size=HEAD_SIZE,
            max_field_size=HEAD_SIZE,
            max_headers=1000,
        )
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, backlog=1024, ssl_context=self._tls).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.base_url = f"{self.scheme}://{host}:{runner.addresses[0][1]}"

    @property
    def scheme(self) -> str:
        """How it is reached: `http` or `https`."""
        return "https" if self._tls else "http"

    def origin(self, request: web.BaseRequest) -> str:
        """Return scheme and authority as the client wrote them; RFC 9110 7.2 has them in `Host`."""
        host = request.headers.get("Host", "").lower()
        return f"{self.scheme}://{host}" if host else self.base_url

    async def close(self) -> None:
        """Stop listening and cancel what still runs: a handler that hangs on purpose delays nobody."""
        if self._runner is None:
            return
        for task in self._running:
            task.cancel()
        await self._runner.cleanup()
        self._runner = None

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine that runs has a task
        self._running.add(task)
        try:
            await _invite_body(request)
            return await self._handler(request)
        finally:
            self._running.discard(task)


async def _invite_body(request: web.BaseRequest) -> None:
    """Answer `Expect: 100-continue` (RFC 9110 10.1.1), which aiohttp leaves to us at this level."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The interim answer is none of the final one's bytes.
        request.writer.output_size = 0


def split_target(target: str) -> tuple[str, str]:
    """Return the path and the query of a request target as they stand; absolute-form loses its authority."""
    if not target.startswith("/") and "://" in target:
        rest = target.partition("://")[2]
        slash = rest.find("/")
        target = rest[slash:] if slash >= 0 else "/"
    path, _, query = target.partition("?")
    return path, query


async def read_body(request: web.BaseRequest, limit: int) -> bytes | None:
    """Return the body, or None if it is longer than *limit* bytes."""
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
    return b"".join(parts)


def drop(request: web.BaseRequest, how: str) -> None:
    """End the client's connection now, with FIN (`close`) or with RST (`reset`)."""
    transport = request.transport
    if transport is None:
        return
    if how == "reset":
        # Zero linger time: what close() sends is a reset. An error that is reported, not a clean end (RFC 9112 9.6).
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
