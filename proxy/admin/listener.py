"""
aiohttp's HTTP/1.x server with what an operators' listener must not have taken out.

Left to itself aiohttp echoes a malformed request's bytes into its 400 page, logs a traceback for it, keeps idle
connections for an hour and names its own and Python's version in `Server`.
"""

import asyncio
import socket
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response
from aiohttp.web_server import Server

from proxy.errors import BadRequestError, ProxyError, problem

KEEPALIVE = 20.0
"""Seconds that an idle connection is kept, and that a request's head may take; longer than a 15 s scrape interval."""

LINGER = 2.0
"""Seconds that a request's body, which no route reads, is taken in so that the answer is not lost in a reset."""

MAX_CONNECTIONS = 100
"""Probes, a scraper, some browser tabs: whoever opens more must not take the file descriptors that clients need."""

Handler = Callable[[BaseRequest], Awaitable[Response]]


def answer(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Response:
    """Return the response, never cached, never sniffed, without a word about what serves it."""
    common = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "okta-proxy"}
    return Response(status=status, headers=common | dict(headers), body=body)


def problem_answer(error: ProxyError, request_id: str) -> Response:
    """Return the RFC 9457 problem that *error* is; it ends the connection when the error says so."""
    headers, body = problem(error, request_id)
    response = answer(error.status, headers, body)
    if error.closes:
        response.force_close()
    return response


class _Connection(RequestHandler):
    """One client's connection. What a malformed request holds is neither answered nor logged."""

    __slots__ = ()

    def handle_error(
        self,
        request: BaseRequest,  # noqa: ARG002  the base class's signature
        status: int = 500,  # noqa: ARG002  what comes here could not be parsed: our handlers raise nothing
        exc: BaseException | None = None,  # noqa: ARG002  its text quotes the request
        message: str | None = None,  # noqa: ARG002  so does this
    ) -> Response:
        return problem_answer(BadRequestError("The request is malformed, or its head is too long."), uuid.uuid4().hex)

    async def start(self) -> None:
        """Serve, unless the connection was cut before its task had its first turn: aiohttp asserts that it was not."""
        if self._manager is not None:
            await super().start()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio keeps the transport open for True
        """Let the answer to a request go out first: a client may close its half after it, as `nc -N` does."""
        idle = self._waiter is not None and not self._waiter.done()
        if idle or self._request_count == 0:
            return False
        self.close()
        return True

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log nothing: only clients cause what comes here, as often as they like."""


class Listener(Server):
    """Serves *handler*, which must not raise, on sockets that are bound already."""

    def __init__(self, handler: Handler) -> None:
        super().__init__(handler)
        self._servers: list[asyncio.Server] = []

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection."""
        return _Connection(
            self,
            loop=self._loop,
            access_log=None,  # type: ignore[arg-type] # turns it off; the annotation does not say so
            keepalive_timeout=KEEPALIVE,
            lingering_time=LINGER,
            auto_decompress=False,
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection in, or cut it when there are too many."""
        if len(self._connections) >= MAX_CONNECTIONS:
            transport.abort()
            return
        super().connection_made(handler, transport)

    async def open(self, sockets: Sequence[socket.socket]) -> None:
        """Accept connections on *sockets*, which belong to the listener from here on."""
        for sock in sockets:
            self._servers.append(await self._loop.create_server(self, sock=sock))

    async def close(self, grace: float) -> None:
        """Accept no more, let requests in flight end for *grace* seconds, then cut them. May be called twice."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        await asyncio.sleep(0)  # what was accepted in this round of the loop gets its turn
        self.pre_shutdown()
        await self.shutdown(grace)
