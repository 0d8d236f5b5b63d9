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
from aiohttp.streams import EMPTY_PAYLOAD

from proxy import logs
from proxy.config import Settings
from proxy.config.urls import is_loopback
from proxy.errors import InternalError, ProxyError, TooBusyError, UpstreamError
from proxy.forwarding.admission import Admission, OutboundRequest, Prepared
from proxy.forwarding.answering import error_answer
from proxy.forwarding.connection import ClientConnection
from proxy.forwarding.counters import Counters
from proxy.forwarding.deadlines import Deadlines, sweep_interval
from proxy.forwarding.exchange import BrokenAnswerError, Exchange, raw_target
from proxy.forwarding.guard import Guard
from proxy.forwarding.pool import Pool
from proxy.forwarding.rewrite import Rewriter
from proxy.tokens.source import Token, TokenSource

CLIENT_LEFT = 499
"""Logged and counted for a client that left before its answer; nginx's number for it."""
BROKE_OFF = "upstream_broke_off"


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
            sweep_interval(
                limits.header_timeout,
                limits.body_timeout,
                limits.keepalive_timeout,
                upstream.response_timeout,
                upstream.idle_timeout,
            )
        )
        self.pool = Pool(upstream, self.deadlines, boot=boot)
        self.admission = Admission(settings, guard, secrets.token_hex(8), authority)
        self.rewriter = (
            Rewriter(upstream.url, plain_loopback=is_loopback(settings.listen.host)) if upstream.rewrite else None
        )
        # Bound now: that saves the look-up of each call.
        self.log = structlog.get_logger("requests").bind()
        self.log_requests = settings.log.level in {"debug", "info"}
        self.response_timeout = upstream.response_timeout
        self._most_requests = limits.requests
        self.origin = f"{upstream.url.scheme}://{upstream.url.authority}"
        self.draining = False
        self.cutting = False
        """Whether the drain's time is up, and what still runs is being cut."""
        self.connection_ended = asyncio.Event()
        """Set whenever a client's connection ends; for the drain, which clears it."""
        self._prefix = secrets.token_hex(4)
        self.numbers = itertools.count(1)
        """Gives each request a number; formatted only where it is shown."""
        self._line_of: Token | None = None
        self._line = b""

    def token_line(self, token: Token) -> bytes:
        """Return the header line for *token*; formatted once for each token, so a request formats nothing."""
        if token is not self._line_of:
            self._line = self.admission.token_line(token)
            self._line_of = token
        return self._line

    def authorization(self, token: Token, request: OutboundRequest) -> bytes:
        """Return the header lines that carry *token* with *request*: one, and a proof of its own if it needs that."""
        line = self.token_line(token)
        if token.prover is None:
            return line
        # Our own lines are ASCII; a target passes as it came, and is printable.
        url = self.origin + request.target.decode("latin-1")
        return line + b"DPoP: %b\r\n" % token.prover.proof(request.method, url).encode("ascii")

    def request_id(self, number: int) -> str:
        """Return the id of the request *number*, which no request of another process has."""
        return f"{self._prefix}-{number:x}"

    @property
    def is_too_busy(self) -> bool:
        """Whether there are more requests in flight than `limits.requests` lets be."""
        return self.counters.in_flight > self._most_requests

    def begin_drain(self) -> None:
        """From now on every answer is its connection's last."""
        self.draining = True

    def close(self) -> None:
        """Close what is left of the upstream side."""
        self.pool.close()
        self.deadlines.close()


class ProxyConnection(ClientConnection):
    """A client of the reverse proxy."""

    __slots__ = (
        "_admitted",
        "_admitted_of",
        "_exchange",
        "_prepared",
        "_prepared_of",
        "_prepared_version",
        "_proxy",
    )

    def __init__(self, proxy: ReverseProxy, manager: web.Server, **settings: Any) -> None:
        limits = proxy.settings.limits
        super().__init__(
            manager,
            head_size=limits.head_size,
            header_timeout=limits.header_timeout,
            idle_timeout=limits.keepalive_timeout,
            deadlines=proxy.deadlines,
            **settings,
        )
        self._proxy = proxy
        self._exchange: Exchange | None = None
        """The one that is under way without this connection's task."""
        self._prepared: Prepared | None = None
        self._prepared_of: object = None
        self._prepared_version: object = None
        self._admitted: OutboundRequest | None = None
        self._admitted_of: object = None

    def admitted(self, message: RawRequestMessage) -> OutboundRequest | None:
        """
        Return the request to forward, None if *message* is answered with an error.

        A connection's next request often has the same header lines as its last, or is the same altogether: then
        what they come to is known.
        """
        if message is not self._admitted_of:
            try:
                prepared = self._prepare(message)
                target = self._proxy.admission.route(message.method, raw_target(message))
                self._admitted = OutboundRequest(message.method, target, prepared)
            except ProxyError:
                self._admitted = None
            self._admitted_of = message
        return self._admitted

    def _prepare(self, message: RawRequestMessage) -> Prepared:
        raw, version = message.raw_headers, message.version
        if self._prepared is None or self._prepared_of != raw or self._prepared_version is not version:
            self._prepared = None
            self._prepared = self._proxy.admission.prepare(version, raw)
            self._prepared_of, self._prepared_version = raw, version
        return self._prepared

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Turn away a connection over `limits.connections` with an answer that says so."""
        super().connection_made(transport)
        self.draining = self._proxy.draining
        if self._manager is not None and len(self._manager.connections) > self._proxy.settings.limits.connections:
            self._refuse_rest(TooBusyError("There are more connections than limits.connections allows."))

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what runs for the client, and tell who waits for the connections to end."""
        super().connection_lost(exc)
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            exchange.close()
            self._record(exchange, CLIENT_LEFT, "cut_at_drain_end" if self._proxy.cutting else "client_left")
        self._loop.call_soon(self._proxy.connection_ended.set)

    def begin(self, message: RawRequestMessage) -> bool:
        """Forward a request without a body at once. See `ClientConnection.begin`."""
        exchange = Exchange(self._proxy, self, message, EMPTY_PAYLOAD, self._arrived)
        self._proxy.counters.in_flight += 1
        # Known before it is sent: the upstream's connection may fail within the call.
        self._exchange = exchange
        if exchange.begin(self._on_progress):
            return True
        self._exchange = None
        self._proxy.counters.in_flight -= 1
        return False

    def _on_progress(self) -> None:
        """Answer when the upstream's whole answer is there; leave it to the task when it is not, or has failed."""
        exchange = self._exchange
        if exchange is None:
            return
        try:
            is_finished = exchange.finish()
        except Exception:
            # Nobody else would see it: the upstream's connection calls this.
            self._exchange = None
            self._proxy.log.exception("internal_error", request_id=exchange.request_id)
            exchange.close()
            self._record(exchange, 500, "internal_error")
            self.finished(keep=False)
            return
        if is_finished:
            self._exchange = None
            self._record(exchange, exchange.status)
            self.finished(keep=exchange.keep_alive)
        elif exchange.is_settled:
            # It stays ours until the task has its turn: the client may leave before.
            exchange.detach()
            self.hand_over(lambda: self._take_over(exchange))

    async def _take_over(self, exchange: Exchange) -> bool:
        """Go on in the task with what was begun without it."""
        self._exchange = None
        return await self._conclude(exchange)

    async def serve(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        """Forward a request and answer it. See `ClientConnection.serve`."""
        self._proxy.counters.in_flight += 1
        return await self._conclude(Exchange(self._proxy, self, message, payload, perf_counter()))

    async def _conclude(self, exchange: Exchange) -> bool:
        """Run *exchange* to its end, whatever that is; True if the connection may be used again."""
        status, error, keep = 0, None, False
        try:
            await exchange.run()
            status, keep = exchange.status, exchange.keep_alive
        except ProxyError as problem:
            status, error = problem.status, problem.code
            exchange.reason = problem.proxy_status if isinstance(problem, UpstreamError) else ""
            # An HTTP/1.0 client that asked to keep the connection would have to be told that it is kept.
            keep = exchange.may_keep_alive(problem) and not self.is_last(exchange.message)
            exchange.sent = self._answer(problem, exchange.message.method, exchange.request_id, closes=not keep)
        except BrokenAnswerError:
            status, error = exchange.status, BROKE_OFF
            if exchange.ends_with_connection:
                await self.cut()
        except ConnectionError:
            status, error = CLIENT_LEFT, "client_left"
        except asyncio.CancelledError:
            status, error = CLIENT_LEFT, "cut_at_drain_end" if self._proxy.cutting else "client_left"
            raise
        except Exception:
            status, error = 500, "internal_error"
            self._proxy.log.exception("internal_error", request_id=exchange.request_id)
            if exchange.status == 0:
                bug = InternalError("This is a bug of okta-proxy; its log has the details under this request_id.")
                exchange.sent = self._answer(bug, exchange.message.method, exchange.request_id, closes=True)
        finally:
            self._record(exchange, status, error)
        return keep

    def refuse(self, error: ProxyError) -> None:
        """Answer what is no request. See `ClientConnection.refuse`."""
        request_id = self._proxy.request_id(next(self._proxy.numbers))
        sent = self._answer(error, "-", request_id, closes=True)
        self._proxy.counters.count("-", error.status, 0.0)
        self._log("-", "-", error.status, bytes=sent, request_id=request_id, error=error.code)

    def _answer(self, error: ProxyError, method: str, request_id: str, *, closes: bool) -> int:
        data, length = error_answer(error, request_id, method=method, closes=closes)
        self.write(data)
        return length

    def _record(self, exchange: Exchange, status: int, error: str | None = None) -> None:
        """Count a request that is over, and write its line."""
        proxy, message = self._proxy, exchange.message
        seconds = perf_counter() - exchange.started
        proxy.counters.in_flight -= 1
        proxy.counters.count(message.method, status, seconds)
        if exchange.token_wait:
            proxy.counters.token_waits.add(exchange.token_wait)
        if error is not None:
            self._record_failure(exchange, status, error, seconds)
        elif proxy.log_requests:
            logs.write_request(
                message.method,
                shown_path(message.path),
                status,
                exchange.request_id,
                sent=exchange.sent,
                duration=seconds,
                token_wait=exchange.token_wait,
            )

    def _record_failure(self, exchange: Exchange, status: int, error: str, seconds: float) -> None:
        self._log(
            exchange.message.method,
            shown_path(exchange.message.path),
            status,
            bytes=exchange.sent,
            duration=round(seconds, 6),
            token_wait=round(exchange.token_wait, 6),
            request_id=exchange.request_id,
            error=error,
            **({"reason": exchange.reason} if exchange.reason else {}),
        )

    def _log(self, method: str, path: str, status: int, **fields: Any) -> None:
        """Write a request's line: at warning where an operator should look, else at info."""
        error = fields.get("error")
        write = self._proxy.log.info
        # 501 and 505 are answers to what a client got wrong, like a 400: strangers must not fill the log with warnings.
        if error is not None and ((status >= 500 and status not in {501, 505}) or error == BROKE_OFF):
            write = self._proxy.log.warning
        elif not self._proxy.log_requests:
            return
        write("request", method=method, path=path, status=status, **fields)


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
            # Idle connections are ours to end: with one timer for all of them.
            keepalive_timeout=0,
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
    raise NotImplementedError(request)  # never called: `ProxyConnection` makes no such requests
