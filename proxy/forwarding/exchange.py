"""
One request's way: admitted, given a token, sent upstream, answered, streamed back.

An exchange owns its upstream connection and its upload; both end with it, whatever happens (`finally`). Once the
head of an answer is on its way, the only way left to report a failure is to break the connection.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from aiohttp import StreamReader
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from proxy.errors import BadRequestError, BodyTooLargeError, ProxyError, TooBusyError
from proxy.forwarding.admission import NEVER_FORWARDED, OutboundRequest
from proxy.forwarding.answering import CONTINUE, LAST_CHUNK, Framing, chunk, framing, response_head
from proxy.forwarding.challenge import IDEMPOTENT_METHODS, allows_replay, calls_for_refresh, token_errors
from proxy.forwarding.deadlines import NEVER
from proxy.forwarding.upstream import ConnectionClosedError, UpstreamConnection
from proxy.tokens.source import Token

if TYPE_CHECKING:
    from proxy.forwarding.listener import ProxyConnection, ReverseProxy

KEPT_BODY = 64 * 1024
"""Bytes of a request's body that are kept, so that it can be sent once more."""


class BrokenAnswerError(Exception):
    """The answer broke off after its head was sent: the client's connection must break too."""


class Exchange:
    """
    Takes one request of *client* to the upstream, and the answer back.

    `run` does it all. `begin` and `finish` do the common case, a request without a body whose answer comes in one
    piece, without the connection's task having to wake up; what they leave undone, `run` goes on with.
    """

    __slots__ = (
        "_client",
        "_connection",
        "_framing",
        "_http_1_0",
        "_kept",
        "_kept_size",
        "_number",
        "_payload",
        "_proxy",
        "_request",
        "_token",
        "_upload",
        "keep_alive",
        "message",
        "reason",
        "sent",
        "started",
        "status",
        "token_wait",
    )

    def __init__(
        self, proxy: "ReverseProxy", client: "ProxyConnection", message: RawRequestMessage, payload: StreamReader
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._payload = payload
        self._http_1_0 = message.version.minor == 0
        self._request: OutboundRequest | None = None
        self._token: Token | None = None
        self._connection: UpstreamConnection | None = None
        self._upload: asyncio.Task[None] | None = None
        self._kept: list[bytes] | None = None if payload is EMPTY_PAYLOAD else []
        self._kept_size = 0
        self._framing: Framing | None = None
        self.message = message
        self._number = next(proxy.numbers)
        self.started = perf_counter()
        """`time.perf_counter()` when the request was there."""
        self.keep_alive = not message.should_close and not client.is_last(message)
        """Whether the client's connection may be used again."""
        self.reason = ""
        """At which step the upstream failed: the error type of RFC 9209, for the log."""
        self.status = 0
        """The status that the client was sent, 0 as long as it was sent none."""
        self.sent = 0
        """Bytes of the body that the client was sent."""
        self.token_wait = 0.0
        """Seconds spent waiting for a token."""

    @property
    def request_id(self) -> str:
        """What names this request in the log and in our own answers."""
        return self._proxy.request_id(self._number)

    async def run(self) -> None:
        """
        Do all that is not done yet.

        Raises `ProxyError` while an answer is still possible, `BrokenAnswerError` afterwards, ConnectionError when
        the client left.
        """
        try:
            if self._connection is None:
                self._request = self._admit()
                self._token = await self._get_token()
                connection = await self._send()
            else:
                connection = await self._go_on(self._connection)
            if connection.status == 401 and self._token is not None:
                connection = await self._answer_401(connection, self._token)
            await self._relay(connection)
        finally:
            self.close()

    def begin(self, on_progress: Callable[[], None]) -> bool:
        """
        Send the request now if nothing has to be waited for; False if `run` must do it, and nothing was done.

        *on_progress* is called with whatever the upstream does, until `finish` is True or `run` goes on.
        """
        token = self._proxy.tokens.usable()
        if token is None:
            return False
        try:
            request = self._admit()
        except ProxyError:
            return False
        if request.own_authorization:
            return False
        connection = self._proxy.pool.take_idle()
        if connection is None:
            return False
        self._request, self._token, self._connection = request, token, connection
        connection.on_progress = on_progress
        connection.begin(request.method, request.start + self._proxy.token_line(token) + b"\r\n")
        self._request_sent(connection)
        return True

    def finish(self) -> bool:
        """Answer if the whole answer is there and may be passed on; False if `run` has to go on."""
        connection = self._connection
        if connection is None or not connection.complete or connection.status == 401:
            return False
        self._relay_whole(connection, self._head_for(connection))
        self.close()
        return True

    def detach(self) -> None:
        """Have nobody called any more when the upstream does something: `run` will look."""
        if self._connection is not None:
            self._connection.on_progress = None

    def may_keep_alive(self, error: ProxyError) -> bool:
        """Tell whether the client's next request may follow our answer to this one, which is *error*."""
        return self.keep_alive and not self._http_1_0 and not error.closes and self._payload.is_eof()

    @property
    def is_settled(self) -> bool:
        """Whether the upstream has answered or failed."""
        return self._connection is not None and self._connection.is_settled

    def close(self) -> None:
        """Give the upstream connection back; one that is in the middle of something is closed."""
        self._end_upload()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.on_progress = None
            self._proxy.pool.release(connection)

    def _admit(self) -> OutboundRequest:
        message, admission = self.message, self._proxy.admission
        target = message.path.encode("utf-8", "surrogateescape")
        prepared = self._client.remembered(message.version, message.raw_headers)
        if prepared is None or message.method in NEVER_FORWARDED:
            request = admission.admit(message.method, target, message.version, message.raw_headers)
        else:
            request = admission.route(message.method, target, prepared)
        if self._proxy.counters.in_flight > self._proxy.settings.limits.requests:
            raise TooBusyError("There are more requests in flight than limits.requests allows.")
        return request

    async def _get_token(self) -> Token | None:
        """Return the token to send, None if the client's own credentials go instead."""
        if self._outbound.own_authorization:
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

    @property
    def _outbound(self) -> OutboundRequest:
        assert self._request is not None  # noqa: S101 - for the type checker: it is set before anything is sent
        return self._request

    async def _send(self) -> UpstreamConnection:
        """Send the request and wait for the head of the answer, on a connection that was idle if there is one."""
        connection = self._proxy.pool.take_idle()
        if connection is None:
            return await self._send_anew()
        self._send_on(connection)
        return await self._go_on(connection)

    async def _go_on(self, connection: UpstreamConnection) -> UpstreamConnection:
        """
        Wait for the head of the answer on a *connection* that had been idle.

        If it died before it answered the request is sent once more (RFC 9110 9.2.2: only what is idempotent and whose
        body is there), on a connection of its own.
        """
        connection.on_progress = None
        try:
            await connection.head()
        except ConnectionClosedError:
            if self._outbound.method not in IDEMPOTENT_METHODS or not self._can_repeat():
                raise
            self._end_upload()
            return await self._send_anew()
        connection.deadline = NEVER
        return connection

    async def _send_anew(self) -> UpstreamConnection:
        connection = await self._connect()
        self._send_on(connection)
        await connection.head()
        connection.deadline = NEVER
        return connection

    async def _connect(self) -> UpstreamConnection:
        """Open a connection, and see that the token can still be sent: to connect may take longer than it had left."""
        tokens, pool = self._proxy.tokens, self._proxy.pool
        connection = await pool.connect()
        if self._token is None or self._token is tokens.usable():
            return connection
        try:
            self._token = await self._get_token()
        except BaseException:
            pool.release(connection)
            raise
        if connection.is_open:
            return connection
        pool.release(connection)
        return await pool.connect()

    def _send_on(self, connection: UpstreamConnection) -> None:
        if self._connection is not None:
            self._proxy.pool.release(self._connection)
        self._connection = connection
        request, token = self._outbound, self._token
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
        if self._outbound.is_chunked:
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
        chunked = self._outbound.is_chunked
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

        Else the original answer stands.
        """
        challenges = [value for name, value in connection.headers if name.lower() == b"www-authenticate"]
        errors = token_errors(challenges)
        if not calls_for_refresh(errors):
            return connection
        tokens = self._proxy.tokens
        tokens.suspect(token)
        if not (allows_replay(self._outbound.method, errors) and self._can_repeat()):
            return connection
        started = perf_counter()
        newer = await tokens.successor(token)
        self.token_wait += perf_counter() - started
        if newer is None:
            return connection
        self._proxy.counters.replays += 1
        self._end_upload()
        self._token = newer
        return await self._send()

    # The answer.

    def _head_for(self, connection: UpstreamConnection) -> bytes:
        """Decide the framing towards the client, and return the head of its answer."""
        head = connection.parsed
        if not connection.is_request_sent:
            # The answer came early: the rest of the body is of no use, so neither is the connection behind it.
            self.keep_alive = False
        request = self._outbound
        how = framing(request.method, connection.status, has_length=head.has_length, http_1_0=self._http_1_0)
        if how.closes or self._client.is_last(self.message):
            self.keep_alive = False
        self._framing = how
        self.status = connection.status
        return response_head(
            connection.status,
            connection.reason,
            head,
            rewriter=self._proxy.rewriter,
            client=request.client,
            is_chunked=how.is_chunked,
            connection=self._connection_option(),
        )

    def _relay_whole(self, connection: UpstreamConnection, head: bytes) -> None:
        """Answer with what is complete already: head and body leave in one write."""
        how = self._framing
        body = connection.take()
        if how is None or not how.has_body:
            self._client.write(head)
            return
        self.sent = len(body)
        self._client.write(head + self._framed(body) + LAST_CHUNK if how.is_chunked else head + body)

    async def _relay(self, connection: UpstreamConnection) -> None:
        head, client = self._head_for(connection), self._client
        if connection.complete:
            self._relay_whole(connection, head)
            return
        if self._framing is not None and not self._framing.has_body:
            client.write(head)
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
