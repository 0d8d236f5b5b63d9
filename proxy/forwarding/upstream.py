"""
One connection to the upstream: HTTP/1.1 as the client side of it, on llhttp.

aiohttp's client is not used here: it hands bytes that arrived on an idle connection to the next caller, takes a body
cut by a reset as complete, and drops header bytes. The rules of this file:

- one exchange at a time; a connection that is not clean afterwards is closed, never reused;
- a body that was not framed ends only with a clean close;
- what the upstream sends is untrusted: bounded heads, `chunked` alone, no switch of protocols that nobody asked for.
"""

import asyncio
import select
import ssl
from typing import TYPE_CHECKING, cast

import httptools

from proxy.errors import ProxyError, UpstreamError, UpstreamProtocolError, UpstreamTimeoutError
from proxy.forwarding.deadlines import NEVER
from proxy.forwarding.response import ResponseHead

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_HEAD = 256 * 1024
"""Bytes of a response's head, interim ones included; and of what stands between or behind the chunks of a body."""
MOST_HEADERS = 500
HIGH_WATER = 256 * 1024
"""Bytes of a body that are held for a client that does not take them, before reading stops."""


class ConnectionClosedError(UpstreamError):
    """The upstream closed before any byte of an answer: the one failure after which a request may be tried again."""


class UpstreamConnection(asyncio.Protocol):
    """
    A connection, and the answer to the request that is on it.

    Use: `begin`, `write`..., `finish_request`; `await head()`; `await more()` and `take()` until `complete`; then ask
    `reusable`. `abort` ends it at any moment. All failures are `UpstreamError`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._poll: select.poll | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drain_waiter: asyncio.Future[None] | None = None
        self._reading_paused = False
        self._write_paused = False
        self._ended_with: Exception | None = None
        self.deadline = NEVER
        self.on_progress: Callable[[], None] | None = None
        """Called, instead of waking who waits, whenever something of the answer has come or gone wrong."""
        self._timeout_detail = ""
        self.idle_until = 0.0
        """The pool's note: the moment on its clock after which this connection is not used again."""
        self.exchanges = 0
        """How many requests it has carried: over 1, it is a reused one."""
        self.parsed = ResponseHead()
        """The head of the answer, whole once `has_head`."""
        # llhttp calls it for each line, so there is nothing in between.
        self.on_header = self.parsed.add
        self._reset("GET")
        self.busy = False

    def __repr__(self) -> str:
        state = "closed" if self._transport is None else "active" if self.busy else "idle"
        return f"<UpstreamConnection {state}, {self.exchanges} exchanges>"

    def _reset(self, method: str) -> None:
        """Forget the exchange before this one."""
        self.busy = True
        self._is_head = method == "HEAD"
        self.status = 0
        self.reason = b""
        self.parsed.reset()
        self.has_head = False
        self.complete = False
        self.until_close = False
        self._is_interim = False
        self._keep_alive = False
        self._dirty = False
        self._request_sent = False
        self._received = 0
        self._overhead = 0
        """Bytes that came since the last one of a body."""
        self._pieces: list[bytes] = []
        self._held = 0
        self._error: ProxyError | None = None

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The header lines of the answer, but for the hop-by-hop ones."""
        return self.parsed.headers()

    # Sending.

    def begin(self, method: str, data: bytes) -> None:
        """Start an exchange with the first bytes of its request."""
        self._reset(method)
        self.exchanges += 1
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
            # Else an interim response with `Connection: close`, or in HTTP/1.0, would be the last one.
            self._parser.set_dangerous_leniencies(lenient_keep_alive=True)
        if self._transport is None or self._transport.is_closing():
            # It ended since it was opened, or the upstream spoke first.
            self._fail(self._end())
        self.write(data)

    def write(self, data: bytes) -> None:
        """Send bytes of the request; call `drain` when `is_write_paused`."""
        if self._transport is not None:
            self._transport.write(data)

    def finish_request(self) -> None:
        """Say that the whole request was written."""
        self._request_sent = True

    @property
    def is_request_sent(self) -> bool:
        """Whether the whole request was written."""
        return self._request_sent

    @property
    def is_write_paused(self) -> bool:
        """Whether the upstream takes bytes more slowly than they come."""
        return self._write_paused

    async def drain(self) -> None:
        """Wait until the upstream takes more, or the connection ends."""
        if self._write_paused and self._transport is not None:
            self._drain_waiter = self._loop.create_future()
            try:
                await self._drain_waiter
            finally:
                self._drain_waiter = None

    # Receiving.

    async def head(self) -> None:
        """Wait until `status`, `reason` and `headers` are those of the final response."""
        while not self.has_head:
            await self._wait()

    async def more(self, seconds: float) -> None:
        """Wait, so many *seconds* at most (0: for ever), until `take` has something or the body is `complete`."""
        if self._pieces or self.complete:
            return
        self.expect_within(seconds, "The upstream's answer stood still for longer than upstream.idle_timeout.")
        try:
            while not self._pieces and not self.complete:
                await self._wait()
        finally:
            self.deadline = NEVER

    def take(self) -> bytes:
        """Return all the bytes of the body that are there, and let the upstream send more."""
        pieces = self._pieces
        self._pieces = []
        self._held = 0
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def expect_within(self, seconds: float, detail: str) -> None:
        """Fail with `UpstreamTimeoutError(detail)` if the next wait is not over in so many seconds (0: never)."""
        self.deadline = self._loop.time() + seconds if seconds > 0 else NEVER
        self._timeout_detail = detail

    async def _wait(self) -> None:
        self._raise_error()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if not self._pieces:
            # What came before the failure is delivered first.
            self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    @property
    def is_settled(self) -> bool:
        """Whether `head` would return, or raise, at once."""
        return self.has_head or self._error is not None

    def _wake(self) -> None:
        if self.on_progress is not None:
            self.on_progress()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Ending.

    @property
    def is_open(self) -> bool:
        """Whether an idle connection is still there: whatever comes or ends it while it is idle closes it."""
        return self._transport is not None and not self._transport.is_closing()

    def is_quiet(self) -> bool:
        """
        Tell whether nothing waits to be read: asked before an idle connection is used.

        What the upstream sent, or that it closed, may not have been read yet; behind the next request it would be
        taken for its answer (RFC 9112 9.2).
        """
        return self._poll is None or not self._poll.poll(0)

    @property
    def reusable(self) -> bool:
        """Whether the next request may use it: the answer came whole, the request went whole, nothing came after."""
        return (
            self.complete
            and self._request_sent
            and self._keep_alive
            and not self._dirty
            and not self._write_paused
            and self._error is None
            and self._transport is not None
            and not self._transport.is_closing()
        )

    def release(self) -> None:
        """Make it idle: from now on any byte of the upstream closes it."""
        self.busy = False
        self.deadline = NEVER
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close it at once; an upload that was under way is cut, never ended as if complete."""
        self.deadline = NEVER
        if self._transport is not None:
            self._transport.abort()

    def on_deadline(self) -> None:
        """End an idle connection, or the wait of a busy one with a time-out."""
        if self.busy:
            self._fail(UpstreamTimeoutError(self._timeout_detail))
        self.abort()

    def interrupt(self, error: ProxyError) -> None:
        """Make who waits for the answer see *error*: the request cannot go on."""
        self._fail(error)

    def _fail(self, error: ProxyError) -> None:
        if self._error is None and not self.complete:
            self._error = error
        self._dirty = True
        self._wake()
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(select, "poll"):  # not on Windows
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._write_paused = False
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Parse; bytes that belong to no request end the connection (RFC 9112 9.2)."""
        if not self.busy or self.complete or self._parser is None or self._error is not None:
            self._dirty = True
            self.abort()
            return
        self._received += len(data)
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if isinstance(error.__context__, UpstreamError):
                self._fail(error.__context__)
            else:
                self._fail(UpstreamProtocolError("The upstream's answer is not valid HTTP/1.1."))
        else:
            if self._overhead > LARGEST_HEAD:
                self._fail(UpstreamProtocolError("The upstream's answer has a head or trailers of over 256 KiB."))
        if self._held > HIGH_WATER and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """A clean close ends a body that has no other end; the transport closes itself then."""
        if self.busy and self.has_head and self.until_close and not self.complete and self._error is None:
            self.complete = self._is_clean_end()
            self._wake()

    def _is_clean_end(self) -> bool:
        """Tell whether TLS, if it is spoken, was closed before TCP was: else anybody could have cut the body."""
        tls = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        if tls is None:
            return True
        try:
            return not tls.read(1)
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLError:
            return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is still waited for."""
        self._transport = None
        self._ended_with = exc
        if not self.busy or self.complete:
            self._wake()
        else:
            self._fail(self._end())

    def _end(self) -> UpstreamError:
        """Return what the connection's end means for the exchange that was on it."""
        if isinstance(self._ended_with, ssl.SSLError) and (self._received or self.exchanges == 1):
            # With TLS 1.3 it is only after the handshake that a server tells that it wants a client certificate.
            return UpstreamError("TLS with the upstream failed.", proxy_status="tls_protocol_error")
        if self._received == 0:
            return ConnectionClosedError("The upstream closed the connection without an answer.")
        if not self.has_head:
            return UpstreamError("The upstream closed the connection within the head of its answer.")
        return UpstreamError("The upstream broke off its answer.", proxy_status="http_response_incomplete")

    # llhttp calls these.

    def on_message_begin(self) -> None:
        """Note what follows a complete answer: it is nobody's."""
        if self.complete:
            self._dirty = True
            return
        if self._is_interim:
            # Nothing of an interim response belongs to the one behind it.
            self._is_interim = False
            self.parsed.reset()
            self.reason = b""

    def on_status(self, reason: bytes) -> None:
        """Keep the reason phrase, which may come in parts."""
        if not self.has_head:
            self.reason += reason

    def on_headers_complete(self) -> None:
        """Decide the framing (RFC 9112 6.3); interim responses are passed over."""
        parser = self._parser
        if parser is None or self.complete:
            return
        status = parser.get_status_code()
        if status == 101:
            raise UpstreamProtocolError("The upstream switched protocols, which nobody asked for.")
        if status < 100:
            raise UpstreamProtocolError("The upstream's answer has no valid status.")
        if status < 200:
            self._is_interim = True
            return
        self._read_framing(status, parser.get_http_version())
        self.status = status
        self.has_head = True
        if self._is_head:
            # httptools cannot be told that no body follows, so a new parser reads the next answer.
            self._parser = None
            self.complete = True

    def _read_framing(self, status: int, version: str) -> None:
        is_1_0 = version == "1.0"
        if version != "1.1" and not is_1_0:
            raise UpstreamProtocolError("The upstream answered with another HTTP version than 1.0 or 1.1.")
        head = self.parsed
        if len(head.lines) > MOST_HEADERS:
            raise UpstreamProtocolError("The upstream's answer has more than 500 header lines.")
        try:
            head.close(status)
        except ValueError:
            raise UpstreamProtocolError(
                "The upstream's answer has a Transfer-Encoding that is not chunked alone."
            ) from None
        if is_1_0 and head.is_chunked:
            raise UpstreamProtocolError("The upstream's answer has a Transfer-Encoding in HTTP/1.0.")
        self.until_close = not (head.has_length or head.is_chunked or status in {204, 304} or self._is_head)
        options = head.options
        if is_1_0:
            self._keep_alive = options is not None and b"keep-alive" in options and not self.until_close
        else:
            self._keep_alive = (options is None or b"close" not in options) and not self.until_close

    def on_body(self, data: bytes) -> None:
        """Hold a piece of the body until it is taken."""
        if self.complete:
            self._dirty = True
            return
        self._pieces.append(data)
        self._overhead = 0
        self._held += len(data)

    def on_message_complete(self) -> None:
        """Note the end of the final response."""
        if self.has_head:
            self.complete = True
