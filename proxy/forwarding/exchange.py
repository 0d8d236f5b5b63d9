"""
One request's way: admitted, given a token, sent upstream, answered, streamed back.

An exchange owns its upstream connection and its upload; both end with it, whatever happens (`finally`). Once the
head of an answer is on its way, the only way left to report a failure is to break the connection.
"""

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from aiohttp import StreamReader
from aiohttp.streams import EMPTY_PAYLOAD

from proxy.errors import BadRequestError, BodyTooLargeError, ProxyError
from proxy.forwarding.admission import OutboundRequest
from proxy.forwarding.answering import CONTINUE, LAST_CHUNK, Framing, chunk, framing, response_head
from proxy.forwarding.challenge import IDEMPOTENT_METHODS, allows_replay, calls_for_refresh, token_errors
from proxy.forwarding.connection import ClientConnection
from proxy.forwarding.deadlines import NEVER
from proxy.forwarding.upstream import ConnectionClosedError, UpstreamConnection
from proxy.tokens.source import Token

if TYPE_CHECKING:
    from proxy.forwarding.listener import ReverseProxy

KEPT_BODY = 64 * 1024
"""Bytes of a request's body that are kept, so that it can be sent once more."""


class BrokenAnswerError(Exception):
    """The answer broke off after its head was sent: the client's connection must break too."""


class Exchange:
    """Takes an admitted *request* to the upstream and its answer to *client*."""

    __slots__ = (
        "_client",
        "_connection",
        "_framing",
        "_http_1_0",
        "_kept",
        "_kept_size",
        "_payload",
        "_proxy",
        "_request",
        "_upload",
        "keep_alive",
        "sent",
        "status",
        "token_wait",
    )

    def __init__(
        self,
        proxy: "ReverseProxy",
        client: ClientConnection,
        request: OutboundRequest,
        payload: StreamReader,
        *,
        http_1_0: bool,
        keep_alive: bool,
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._request = request
        self._payload = payload
        self._http_1_0 = http_1_0
        self._connection: UpstreamConnection | None = None
        self._upload: asyncio.Task[None] | None = None
        self._kept: list[bytes] | None = []
        self._kept_size = 0
        self._framing: Framing | None = None
        self.keep_alive = keep_alive
        """Whether the client's connection may be used again."""
        self.status = 0
        """The status that the client was sent, 0 as long as it was sent none."""
        self.sent = 0
        """Bytes of the body that the client was sent."""
        self.token_wait = 0.0
        """Seconds spent waiting for a token."""

    async def run(self) -> None:
        """
        Do it all.

        Raises `ProxyError` while an answer is still possible, `BrokenAnswerError` afterwards, ConnectionError when
        the client left.
        """
        try:
            token = await self._token()
            connection = await self._send(token)
            if connection.status == 401 and token is not None:
                connection = await self._answer_401(connection, token)
            await self._relay(connection)
        finally:
            self._end_upload()
            if self._connection is not None:
                self._proxy.pool.release(self._connection)
                self._connection = None

    async def _token(self) -> Token | None:
        """Return the token to send, None if the client's own credentials go instead."""
        if self._request.own_authorization:
            return None
        tokens = self._proxy.tokens
        token = tokens.usable()
        if token is None:
            started = perf_counter()
            try:
                token = await tokens.token()
            finally:
                self.token_wait = perf_counter() - started
        return token

    # Upstream.

    async def _send(self, token: Token | None) -> UpstreamConnection:
        """
        Send the request and wait for the head of the answer.

        Once more if a connection that had been idle died before it answered (RFC 9110 9.2.2: only what is idempotent
        and whose body is there); the second time on a connection of its own.
        """
        connection = self._proxy.pool.take_idle()
        if connection is not None:
            try:
                return await self._send_on(connection, token)
            except ConnectionClosedError:
                if self._request.method not in IDEMPOTENT_METHODS or not self._can_repeat():
                    raise
                self._end_upload()
        return await self._send_on(await self._proxy.pool.connect(), token)

    async def _send_on(self, connection: UpstreamConnection, token: Token | None) -> UpstreamConnection:
        if self._connection is not None:
            self._proxy.pool.release(self._connection)
        self._connection = connection
        request = self._request
        line = request.own_authorization if token is None else self._proxy.token_line(token)
        data = request.start + line + b"\r\n"
        body = self._body_at_hand()
        if body is not None:
            connection.begin(request.method, data + body)
            self._request_sent(connection)
        else:
            connection.begin(request.method, data)
            if request.wants_continue and not self._payload.total_bytes:
                self._client.write(CONTINUE)
            self._upload = asyncio.create_task(self._stream_body(connection))
        await connection.head()
        connection.deadline = NEVER
        return connection

    def _request_sent(self, connection: UpstreamConnection) -> None:
        connection.finish_request()
        if not connection.has_head:
            connection.expect_within(
                self._proxy.settings.upstream.response_timeout,
                "The upstream did not answer within upstream.response_timeout.",
            )

    # The request's body.

    def _body_at_hand(self) -> bytes | None:
        """Return the whole body as it goes out, if it is here already; None if it must be streamed."""
        payload = self._payload
        if payload is EMPTY_PAYLOAD:
            return b""
        if not payload.is_eof():
            return None
        if payload.total_bytes > KEPT_BODY:
            return None
        if not self._kept_size:
            self._keep(payload.read_nowait(-1))
        if self._kept is None:
            return None
        body = b"".join(self._kept)
        if self._request.is_chunked:
            return (chunk(body) if body else b"") + LAST_CHUNK
        return body

    def _keep(self, data: bytes) -> None:
        """Count the body, and keep its start for a second sending. Raises `BodyTooLargeError`."""
        self._kept_size += len(data)
        limit = self._proxy.settings.limits.body_size
        if limit is not None and self._kept_size > limit:
            raise BodyTooLargeError("The body is larger than limits.body_size.")
        if self._kept is not None:
            if self._kept_size <= KEPT_BODY:
                self._kept.append(data)
            else:
                self._kept = None

    def _can_repeat(self) -> bool:
        """Tell whether the whole body, or none, can be sent again."""
        if self._payload is EMPTY_PAYLOAD:
            return True
        return self._kept is not None and self._payload.at_eof()

    async def _stream_body(self, connection: UpstreamConnection) -> None:
        """Send the body as it comes; whatever goes wrong fails the wait for the answer."""
        settings = self._proxy.settings
        chunked = self._request.is_chunked
        try:
            while data := await self._client.read_body(self._payload, settings.limits.body_timeout):
                self._keep(data)
                connection.write(chunk(data) if chunked else data)
                if connection.is_write_paused:
                    await self._let_upstream_take(connection)
            if chunked:
                connection.write(LAST_CHUNK)
            self._request_sent(connection)
        except ProxyError as error:
            connection.interrupt(error)
        except (ConnectionError, RuntimeError):
            # The client left: the connection's own task is about to be cancelled.
            connection.interrupt(BadRequestError("The request's body broke off."))
        except Exception:  # noqa: BLE001 - aiohttp's payload errors have no common class; none is our business
            connection.interrupt(BadRequestError("The request's body is not valid HTTP/1.1."))

    async def _let_upstream_take(self, connection: UpstreamConnection) -> None:
        """Hold the client back while the upstream does not read, for `upstream.idle_timeout` at most."""
        if not connection.has_head:
            connection.expect_within(
                self._proxy.settings.upstream.idle_timeout,
                "The upstream did not take the request's body within upstream.idle_timeout.",
            )
        await connection.drain()
        if not connection.has_head:
            connection.deadline = NEVER

    def _end_upload(self) -> None:
        if self._upload is not None:
            self._upload.cancel()
            self._upload = None

    # A 401 of the upstream.

    async def _answer_401(self, connection: UpstreamConnection, token: Token) -> UpstreamConnection:
        """
        Refresh the token that was refused, and send the request once more with the newer one if that may help.

        Else the original answer stands (DESIGN section 4).
        """
        challenges = [value for name, value in connection.headers if name.lower() == b"www-authenticate"]
        errors = token_errors(challenges)
        if not calls_for_refresh(errors):
            return connection
        tokens = self._proxy.tokens
        tokens.suspect(token)
        if not (allows_replay(self._request.method, errors) and self._can_repeat()):
            return connection
        started = perf_counter()
        newer = await tokens.successor(token)
        self.token_wait += perf_counter() - started
        if newer is None:
            return connection
        self._proxy.counters.replays += 1
        self._end_upload()
        return await self._send(newer)

    # The answer.

    async def _relay(self, connection: UpstreamConnection) -> None:
        request, client = self._request, self._client
        if not connection.is_request_sent:
            # The answer came early: the rest of the body is of no use, so neither is the connection behind it.
            self.keep_alive = False
        how = framing(request.method, connection.status, has_length=connection.has_length, http_1_0=self._http_1_0)
        if how.closes or client.draining:
            self.keep_alive = False
        self._framing = how
        head = response_head(
            connection.status,
            connection.reason,
            connection.headers,
            named=connection.options,
            rewriter=self._proxy.rewriter,
            client=request.client,
            is_chunked=how.is_chunked,
            connection=self._connection_option(),
        )
        self.status = connection.status
        if not how.has_body:
            client.write(head)
            return
        if connection.complete:
            # The common case: head and body leave in one write.
            body = connection.take()
            self.sent = len(body)
            client.write(head + self._framed(body) + (LAST_CHUNK if how.is_chunked else b""))
            return
        data = connection.take()
        self.sent = len(data)
        client.write(head + self._framed(data) if data else head)
        await self._stream_answer(connection)

    async def _stream_answer(self, connection: UpstreamConnection) -> None:
        client = self._client
        seconds = self._proxy.settings.upstream.idle_timeout
        try:
            while True:
                if client.is_write_paused:
                    await client.drain()
                await connection.more(seconds)
                data = connection.take()
                if data:
                    self.sent += len(data)
                    client.write(self._framed(data))
                elif connection.complete:
                    break
        except ProxyError as error:
            raise BrokenAnswerError(error.detail) from None
        if self._framing is not None and self._framing.is_chunked:
            client.write(LAST_CHUNK)

    def _framed(self, data: bytes) -> bytes:
        return chunk(data) if data and self._framing is not None and self._framing.is_chunked else data

    def _connection_option(self) -> bytes | None:
        if not self.keep_alive:
            return b"close"
        return b"keep-alive" if self._http_1_0 else None

    @property
    def ends_with_connection(self) -> bool:
        """Whether a client takes the mere end of the connection for the end of the answer."""
        return self._framing is not None and self._framing.closes
