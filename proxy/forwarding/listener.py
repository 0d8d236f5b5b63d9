"""
The listener that forwards: what all its connections share, and what a connection does with a request.

One log line and one count for each request, whatever became of it.
"""

import asyncio
import itertools
import secrets
from collections.abc import Callable
from time import perf_counter
from typing import Any

import structlog
from aiohttp import StreamReader, web
from aiohttp.http_parser import RawRequestMessage

from proxy.config import Settings
from proxy.config.urls import is_loopback
from proxy.errors import InternalError, ProxyError, TooBusyError
from proxy.forwarding.admission import Admission
from proxy.forwarding.answering import error_answer
from proxy.forwarding.connection import ClientConnection
from proxy.forwarding.counters import Counters
from proxy.forwarding.deadlines import Deadlines, sweep_interval
from proxy.forwarding.exchange import BrokenAnswerError, Exchange
from proxy.forwarding.guard import Guard
from proxy.forwarding.pool import Pool
from proxy.forwarding.rewrite import Rewriter
from proxy.tokens.source import Token, TokenSource

CLIENT_LEFT = 499
"""Logged and counted for a client that left before its answer; nginx's number for it."""


class ReverseProxy:
    """Everything that the connections of one listener share. *authority* is where clients reach it."""

    def __init__(
        self,
        settings: Settings,
        tokens: TokenSource,
        guard: Guard,
        counters: Counters,
        *,
        authority: str,
        boot: Callable[[], float],
    ) -> None:
        limits, upstream = settings.limits, settings.upstream
        self.settings = settings
        self.tokens = tokens
        self.counters = counters
        self.deadlines = Deadlines(
            sweep_interval(limits.header_timeout, limits.body_timeout, upstream.response_timeout, upstream.idle_timeout)
        )
        self.pool = Pool(upstream, self.deadlines, boot=boot)
        self.admission = Admission(settings, guard, secrets.token_hex(8), authority)
        self.rewriter = (
            Rewriter(upstream.url, plain_loopback=is_loopback(settings.listen.host)) if upstream.rewrite else None
        )
        self.log = structlog.get_logger("requests")
        self.log_requests = settings.log.level in {"debug", "info"}
        self.draining = False
        self.connection_ended = asyncio.Event()
        """Set whenever a client's connection ends; for the drain, which clears it."""
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._line_of: Token | None = None
        self._line = b""

    def token_line(self, token: Token) -> bytes:
        """Return the header line for *token*; formatted once for each token, so a request formats nothing."""
        if token is not self._line_of:
            self._line = self.admission.token_line(token)
            self._line_of = token
        return self._line

    def request_id(self) -> str:
        """Return an id that no other request of this process has."""
        return f"{self._prefix}-{next(self._numbers):x}"

    def begin_drain(self) -> None:
        """From now on every answer is its connection's last."""
        self.draining = True

    def close(self) -> None:
        """Close what is left of the upstream side."""
        self.pool.close()
        self.deadlines.close()


class ProxyConnection(ClientConnection):
    """A client of the reverse proxy."""

    __slots__ = ("_proxy",)

    def __init__(self, proxy: ReverseProxy, manager: web.Server, **settings: Any) -> None:
        limits = proxy.settings.limits
        super().__init__(
            manager,
            head_size=limits.head_size,
            header_timeout=limits.header_timeout,
            deadlines=proxy.deadlines,
            **settings,
        )
        self._proxy = proxy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Turn away a connection over `limits.connections` with an answer that says so."""
        super().connection_made(transport)
        self.draining = self._proxy.draining
        if self._manager is not None and len(self._manager.connections) > self._proxy.settings.limits.connections:
            self._refuse_rest(TooBusyError("There are more connections than limits.connections allows."))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell who waits for the connections to end."""
        super().connection_lost(exc)
        self._loop.call_soon(self._proxy.connection_ended.set)

    async def serve(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        """Forward a request and answer it. See `ClientConnection.serve`."""
        proxy = self._proxy
        started = perf_counter()
        request_id = proxy.request_id()
        exchange: Exchange | None = None
        status, sent, error = 0, 0, None
        keep = False
        proxy.counters.in_flight += 1
        try:
            request = proxy.admission.admit(
                message.method,
                message.path.encode("utf-8", "surrogateescape"),
                (message.version.major, message.version.minor),
                message.raw_headers,
            )
            if proxy.counters.in_flight > proxy.settings.limits.requests:
                raise TooBusyError("There are more requests in flight than limits.requests allows.")  # noqa: TRY301
            exchange = Exchange(
                proxy,
                self,
                request,
                payload,
                http_1_0=message.version.minor == 0,
                keep_alive=not message.should_close and not self.is_last(message),
            )
            await exchange.run()
            status, sent, keep = exchange.status, exchange.sent, exchange.keep_alive
        except ProxyError as problem:
            # An HTTP/1.0 client that asked to keep the connection would have to be told that it is kept.
            goes_on = message.version.minor == 1 and not (message.should_close or problem.closes)
            keep = goes_on and payload.is_eof() and not self.is_last(message)
            status, error = problem.status, problem.code
            sent = self._answer(problem, message.method, request_id, closes=not keep)
        except BrokenAnswerError:
            status, error = exchange.status if exchange else 0, "upstream_broke_off"
            sent = exchange.sent if exchange else 0
            if exchange is not None and exchange.ends_with_connection:
                await self.cut()
        except (asyncio.CancelledError, ConnectionError) as left:
            status, error = CLIENT_LEFT, "client_left"
            sent = exchange.sent if exchange else 0
            if isinstance(left, asyncio.CancelledError):
                raise
        except Exception:
            status, error = 500, "internal_error"
            proxy.log.exception("internal_error", request_id=request_id)
            if exchange is None or exchange.status == 0:
                bug = InternalError("This is a bug of okta-proxy; its log has the details under this request_id.")
                sent = self._answer(bug, message.method, request_id, closes=True)
        finally:
            proxy.counters.in_flight -= 1
            wait = exchange.token_wait if exchange is not None else 0.0
            self._record(
                message.method,
                message.path,
                status,
                request_id=request_id,
                sent=sent,
                seconds=perf_counter() - started,
                token_wait=wait,
                error=error,
            )
        return keep

    def refuse(self, error: ProxyError) -> None:
        """Answer what is no request. See `ClientConnection.refuse`."""
        request_id = self._proxy.request_id()
        sent = self._answer(error, "-", request_id, closes=True)
        self._record("-", "-", error.status, request_id=request_id, sent=sent, error=error.code)

    def _answer(self, error: ProxyError, method: str, request_id: str, *, closes: bool) -> int:
        data, length = error_answer(error, request_id, method=method, closes=closes)
        self.write(data)
        return length

    def _record(
        self,
        method: str,
        path: str,
        status: int,
        *,
        request_id: str,
        sent: int,
        seconds: float = 0.0,
        token_wait: float = 0.0,
        error: str | None = None,
    ) -> None:
        """Count a request and write its line: at warning where an operator should look, else at info."""
        proxy = self._proxy
        proxy.counters.count(method, status, seconds)
        if token_wait:
            proxy.counters.token_waits.add(token_wait)
        # 501 and 505 are answers to what a client got wrong, like a 400: strangers must not fill the log with warnings.
        is_ours = error is not None and status >= 500 and status not in {501, 505}
        if not (is_ours or proxy.log_requests):
            return
        fields: dict[str, Any] = {
            "method": method,
            "path": shown_path(path),
            "status": status,
            "bytes": sent,
            "duration": round(seconds, 6),
            "token_wait": round(token_wait, 6),
            "request_id": request_id,
        }
        if error is not None:
            fields["error"] = error
        (proxy.log.warning if is_ours or error == "upstream_broke_off" else proxy.log.info)("request", **fields)


def shown_path(target: str) -> str:
    """Return a request target as a log may have it: no query, and no authority, which may hold a password."""
    path = target.partition("?")[0]
    if not path.startswith("/") and path not in {"*", "-"}:
        path = "/" + path.partition("://")[2].partition("/")[2]
    return path if path.isascii() else ascii(path)


class ProxyServer(web.Server):
    """aiohttp's low-level server with connections of ours."""

    def __init__(self, proxy: ReverseProxy) -> None:
        limits = proxy.settings.limits
        super().__init__(
            _unused_handler,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=limits.keepalive_timeout,
            max_line_size=limits.head_size,
            # One more than for the request line, so that the two errors can be told apart.
            max_field_size=limits.head_size + 1,
            read_bufsize=64 * 1024,
        )
        self._proxy = proxy

    @property
    def clients(self) -> list[ClientConnection]:
        """The connections that there are now."""
        return [connection for connection in self.connections if isinstance(connection, ClientConnection)]

    async def join(self) -> None:
        """Wait until the tasks of all connections are done. Call it when they are all closed or cut."""
        tasks = [connection.task for connection in self.clients if connection.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    def __call__(self) -> ClientConnection:
        """Return the protocol of a new connection."""
        return ProxyConnection(self._proxy, self, loop=self._loop, **self._kwargs)


async def _unused_handler(request: web.BaseRequest) -> web.StreamResponse:
    """Satisfy `web.Server`, whose requests our connections never make."""
    raise NotImplementedError(request)
