"""
One request's way: admitted, given a token, sent upstream, answered, streamed back.

An exchange owns its upstream connection and its upload; both end with it, whatever happens (`finally`). Once the
head of an answer is on its way, the only way left to report a failure is to break the connection.
"""

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from aiohttp import StreamReader
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from proxy.errors import ProxyError, TooBusyError, UpstreamProtocolError
from proxy.forwarding.admission import OutboundRequest
from proxy.forwarding.answering import (
    BY_CLOSE,
    CONTINUE,
    IN_CHUNKS,
    LAST_CHUNK,
    NO_BODY,
    Framing,
    chunk,
    framing,
    last_chunk,
    response_head,
    switching_head,
)
from proxy.forwarding.challenge import IDEMPOTENT_METHODS, USE_NONCE, allows_replay, calls_for_refresh, token_errors
from proxy.forwarding.deadlines import NEVER
from proxy.forwarding.rewrite import ClientAddress
from proxy.forwarding.upload import Upload
from proxy.forwarding.upstream import ConnectionClosedError, UpstreamConnection
from proxy.forwarding.websocket import WebSocket
from proxy.tokens.source import Prover, Token

if TYPE_CHECKING:
    from proxy.forwarding.listener import ProxyConnection, ReverseProxy


class BrokenAnswerError(Exception):
    """The answer broke off after its head was sent: the client's connection must break too."""


class Exchange:
    """
    Takes one request of *client* to the upstream, and the answer back.

    `run` does it all. `begin` and `finish` do the common case, a request without a body whose answer comes in one
    piece, without the connection's task having to wake up; what they leave undone, `run` goes on with.
    """

    # Not slots: an attribute that most exchanges never set costs them nothing here.
    _request: OutboundRequest | None = None
    _token: Token | None = None
    _connection: UpstreamConnection | None = None
    _upload: Upload | None = None
    _framing: Framing = NO_BODY
    reason = ""
    """At which step the upstream failed: the error type of RFC 9209, for the log."""
    status = 0
    """The status that the client was sent, 0 as long as it was sent none."""
    sent = 0
    """Bytes of the body that the client was sent."""
    token_wait = 0.0
    """Seconds spent waiting for a token."""

    def __init__(
        self,
        proxy: "ReverseProxy",
        client: "ProxyConnection",
        message: RawRequestMessage,
        payload: StreamReader,
        started: float,
    ) -> None:
        self._proxy = proxy
        self._client = client
        self.message = message
        self._payload = payload
        self._number = next(proxy.numbers)
        self.started = started
        """`time.perf_counter()` when the request was there."""
        self.keep_alive = not (message.should_close or client.is_last(message))
        """Whether the client's connection may be used again."""

    @property
    def request_id(self) -> str:
        """What names this request in the log and in our own answers."""
        return self._proxy.request_id(self._number)

    # Without waiting.

    def begin(self, on_progress: Callable[[], None]) -> bool:
        """
        Send the request now if nothing has to be waited for; False if `run` must do it, and nothing was done.

        *on_progress* is called with whatever the upstream does, until `finish` is True or `run` goes on.
        """
        proxy = self._proxy
        token = proxy.tokens.usable()
        request = self._client.admitted(self.message)
        if token is None or request is None or not request.is_plain or proxy.is_too_busy:
            return False
        connection = proxy.pool.take_idle()
        if connection is None:
            return False
        self._request, self._token, self._connection = request, token, connection
        connection.on_progress = on_progress
        connection.begin(request.method, request.head(proxy.authorization(token, request)))
        connection.finish_request(proxy.response_timeout)
        return True

    def finish(self) -> bool:
        """Answer if the whole answer is there and may be passed on; False if `run` has to go on."""
        connection = self._connection
        if connection is None or not connection.complete or connection.status == 401:
            return False
        if self._token is not None and self._token.prover is not None:
            self._note_nonce(connection, self._token.prover)
        self._relay_whole(connection, self._head_for(connection))
        self._connection = None
        connection.on_progress = None
        self._proxy.pool.release(connection)
        return True

    def detach(self) -> None:
        """Have nobody called any more when the upstream does something: `run` will look."""
        if self._connection is not None:
            self._connection.on_progress = None

    @property
    def is_settled(self) -> bool:
        """Whether the upstream has answered or failed."""
        return self._connection is not None and self._connection.is_settled

    # With all the waiting that there may be.

    async def run(self) -> None:
        """
        Do all that is not done yet.

        Raises `ProxyError` while an answer is still possible, `BrokenAnswerError` afterwards, ConnectionError when
        the client left.
        """
        try:
            if self._connection is None:
                self._request = request = self._admit()
                if self._payload is not EMPTY_PAYLOAD:
                    self._upload = Upload(
                        self._client, self._payload, self._proxy.settings, in_chunks=request.prepared.is_chunked
                    )
                self._token = await self._get_token()
                connection = await self._send()
            else:
                connection = await self._go_on(self._connection)
            if connection.status == 401 and self._token is not None:
                connection = await self._answer_401(connection, self._token)
            if connection.status == 101:
                await self._switch(connection)
            else:
                await self._relay(connection)
        finally:
            self.close()

    def may_keep_alive(self, error: ProxyError) -> bool:
        """Tell whether the client's next request may follow our answer to this one, which is *error*."""
        return self.keep_alive and not self._is_1_0 and not error.closes and self._payload.is_eof()

    def close(self) -> None:
        """Give the upstream connection back; one that is in the middle of something is closed."""
        if self._upload is not None:
            self._upload.end()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.on_progress = None
            self._proxy.pool.release(connection)

    @property
    def _is_1_0(self) -> bool:
        return self.message.version.minor == 0

    def _admit(self) -> OutboundRequest:
        """Decide what is sent. Raises the `ProxyError` that is the answer to a request that must not be forwarded."""
        message, proxy = self.message, self._proxy
        request = self._client.admitted(message)
        if request is None:
            # Only the whole way tells which error it is.
            request = proxy.admission.admit(message.method, raw_target(message), message.version, message.raw_headers)
        if proxy.is_too_busy:
            raise TooBusyError("There are more requests in flight than limits.requests allows.")
        return request

    async def _get_token(self) -> Token | None:
        """Return the token to send, None if the client's own credentials go instead."""
        if self._outbound.prepared.own_authorization:
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
            connection = await self._connect()
        self._send_on(connection)
        return await self._go_on(connection)

    async def _go_on(self, connection: UpstreamConnection) -> UpstreamConnection:
        """
        Wait for the head of the answer on *connection*.

        If it had been idle, and died before it answered, the request is sent once more (RFC 9110 9.2.2: only what is
        idempotent and whose body is there), on a connection of its own.
        """
        connection.on_progress = None
        try:
            await connection.head()
        except ConnectionClosedError:
            is_new = connection.exchanges == 1
            if is_new or self._outbound.method not in IDEMPOTENT_METHODS or not self._can_repeat():
                raise
            if self._upload is not None:
                self._upload.end()
            connection = await self._connect(new=True)
            self._send_on(connection)
            await connection.head()
        connection.deadline = NEVER
        if self._token is not None and self._token.prover is not None:
            self._note_nonce(connection, self._token.prover)
        return connection

    async def _connect(self, *, new: bool = False) -> UpstreamConnection:
        """Open a connection, and see that the token can still be sent: to connect may take longer than it had left."""
        tokens, pool = self._proxy.tokens, self._proxy.pool
        connection = await pool.connect(new=new)
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
        return await pool.connect(new=new)

    def _send_on(self, connection: UpstreamConnection) -> None:
        if self._connection is not None:
            self._proxy.pool.release(self._connection)
        self._connection = connection
        request, token, upload = self._outbound, self._token, self._upload
        head = request.head(
            request.prepared.own_authorization if token is None else self._proxy.authorization(token, request)
        )
        body = b"" if upload is None else upload.at_hand()
        if body is not None:
            connection.begin(request.method, head + body, asks_to_switch=request.asks_to_switch)
            connection.finish_request(self._proxy.response_timeout)
            return
        connection.begin(request.method, head)
        if upload is not None:
            if request.prepared.wants_continue and not upload.has_begun_to_come:
                self._client.write(CONTINUE)
            upload.start(connection)

    def _can_repeat(self) -> bool:
        """Tell whether the whole body, or none, can be sent again."""
        return self._upload is None or self._upload.can_repeat

    # A 401 of the upstream.

    async def _answer_401(self, connection: UpstreamConnection, token: Token) -> UpstreamConnection:
        """
        Send the request once more with what the upstream misses: a newer token, a proof with its nonce, or both.

        Else, or after that, the answer stands.
        """
        has_proved = False
        while connection.status == 401:
            errors = token_errors(connection.lines.values(b"www-authenticate"))
            is_bound = self._token is not None and self._token.prover is not None
            if is_bound and errors is not None and USE_NONCE in errors:
                # It is the proof that was refused: the token is as good as before (RFC 9449 9).
                if has_proved or not self._can_repeat():
                    break
                has_proved = True
            else:
                newer = await self._newer(token, errors)
                if newer is None:
                    break
                self._token = newer
            connection = await self._send_again()
        return connection

    async def _newer(self, token: Token, errors: set[str] | None) -> Token | None:
        """Return the token to send the request once more with, None if that is not to be or would not help."""
        if self._token is not token or not calls_for_refresh(errors):
            return None
        tokens = self._proxy.tokens
        tokens.suspect(token)
        if not (allows_replay(self._outbound.method, errors) and self._can_repeat()):
            return None
        started = perf_counter()
        newer = await tokens.successor(token)
        self.token_wait += perf_counter() - started
        return newer

    async def _send_again(self) -> UpstreamConnection:
        self._proxy.counters.replays += 1
        if self._upload is not None:
            self._upload.end()
        connection = self._proxy.pool.take_idle()
        if connection is None:
            # The answer before is dropped: it must not hold the place of the connection that is asked for now.
            dropped, self._connection = self._connection, None
            if dropped is not None:
                self._proxy.pool.release(dropped)
            connection = await self._connect(new=True)
        self._send_on(connection)
        return await self._go_on(connection)

    def _note_nonce(self, connection: UpstreamConnection, prover: Prover) -> None:
        for value in connection.lines.values(b"dpop-nonce"):
            prover.note_nonce(self._proxy.origin, value.decode("latin-1"))

    # The answer.

    def _head_for(self, connection: UpstreamConnection) -> bytes:
        """Decide the framing towards the client, and return the head of its answer."""
        lines, status, client = connection.lines, connection.status, self._client
        method, is_1_0 = self.message.method, self.message.version.minor == 0
        how = self._framing = framing(method, status, has_length=lines.has_length, http_1_0=is_1_0)
        self.status = status
        travelling = lines.lines(self._proxy.rewriter, self._client_address)
        if how is IN_CHUNKS and self._takes_trailers:
            travelling += b"".join([b"Trailer: %b\r\n" % value for value in lines.values(b"trailer")])
        option = None
        # An answer that came early: the rest of the body is of no use, so neither is the connection behind it.
        if not self.keep_alive or how is BY_CLOSE or client.is_last(self.message) or not connection.is_request_sent:
            self.keep_alive = False
            option = b"close"
        elif is_1_0:
            option = b"keep-alive"
        return response_head(status, connection.reason, travelling, lines.has_date, how is IN_CHUNKS, option)

    def _client_address(self) -> ClientAddress:
        message, request = self.message, self._outbound
        return self._proxy.admission.client_address(message.method, raw_target(message), request.prepared)

    def _relay_whole(self, connection: UpstreamConnection, head: bytes) -> None:
        """Answer with what is complete already: head and body leave in one write."""
        how = self._framing
        if not how.has_body:
            self._client.write(head)
            return
        body = connection.take()
        self.sent = len(body)
        if how.is_chunked:
            self._client.write(head + self._framed(body) + self._last_chunk(connection))
        else:
            self._client.write(head + body)

    async def _relay(self, connection: UpstreamConnection) -> None:
        head, client = self._head_for(connection), self._client
        if connection.complete:
            self._relay_whole(connection, head)
            return
        if not self._framing.has_body:
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
        if self._framing.is_chunked:
            client.write(self._last_chunk(connection))

    def _framed(self, data: bytes) -> bytes:
        return chunk(data) if data and self._framing.is_chunked else data

    @property
    def _takes_trailers(self) -> bool:
        return self._outbound.prepared.takes_trailers

    def _last_chunk(self, connection: UpstreamConnection) -> bytes:
        return last_chunk(connection.trailers) if connection.trailers and self._takes_trailers else LAST_CHUNK

    @property
    def ends_with_connection(self) -> bool:
        """Whether a client takes the mere end of the connection for the end of the answer."""
        return self._framing.closes

    async def _switch(self, connection: UpstreamConnection) -> None:
        """Pass on the upstream's consent to speak WebSocket, and then whatever is spoken."""
        if not connection.has_switched or [name.lower() for name in connection.lines.values(b"upgrade")] != [
            b"websocket"
        ]:
            raise UpstreamProtocolError("The upstream switched to another protocol than WebSocket.")
        self.keep_alive = False
        self.status = 101
        self._client.write(switching_head(connection.lines.lines(self._proxy.rewriter, self._client_address)))
        websocket = WebSocket(
            self._client, connection, self._proxy.deadlines, self._proxy.settings.upstream.idle_timeout
        )
        try:
            self._framing = BY_CLOSE
            await websocket.run()
        finally:
            self.sent = websocket.sent
        if websocket.is_cut:
            raise BrokenAnswerError


def raw_target(message: RawRequestMessage) -> bytes:
    """Return the request target with the bytes that the client sent."""
    return message.path.encode("utf-8", "surrogateescape")
