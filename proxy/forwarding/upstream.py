"""
One connection to the upstream: HTTP/1.1 as the client side of it, on llhttp.

aiohttp's client is not used here: it hands bytes that arrived on an idle connection to the next caller, takes a body
cut by a reset as complete, and drops header bytes. The rules of this file:

- one exchange at a time; a connection that is not clean afterwards is closed, never reused;
- a body that was not framed ends only with a clean close.
"""

import asyncio
import contextlib
import select
import ssl
from collections.abc import Callable
from typing import Protocol, cast

from proxy.errors import ProxyError, UpstreamError, UpstreamTimeoutError
from proxy.forwarding.answer import AnswerReader
from proxy.forwarding.cutting import reset
from proxy.forwarding.deadlines import NEVER
from proxy.forwarding.unreachable import tls_failure

HIGH_WATER = 256 * 1024
"""Bytes of a body that are held for a client that does not take them, before reading stops."""


class Switched(Protocol):
    """Who takes the bytes of a connection that has switched protocols (RFC 9110 7.8)."""

    def upstream_received(self, data: bytes) -> None:
        """Take what the upstream sent."""
        ...

    def upstream_ended(self, error: Exception | None) -> None:
        """Note that the upstream sends no more: it closed, or *error* says how the connection was lost."""
        ...

    def upstream_ready(self) -> None:
        """Note that the upstream takes bytes again."""
        ...


class ConnectionClosedError(UpstreamError):
    """The upstream closed before any byte of an answer: the one failure after which a request may be tried again."""


class UpstreamConnection(AnswerReader, asyncio.Protocol):
    """
    A connection, and the answer to the request that is on it.

    Use: `begin`, `write`..., `finish_request`; `await head()`; `await more()` and `take()` until `complete`; then ask
    `reusable`. `abort` ends it at any moment. All failures are `UpstreamError`. A request that asked to switch
    protocols may find `has_switched` behind `head`: then `hand_over` says who takes the bytes from there on.
    """

    deadline = NEVER
    on_progress: Callable[[], None] | None = None
    """Called, instead of waking who waits, whenever something of the answer has come or gone wrong."""
    idle_until = 0.0
    """The pool's note: the moment on its clock after which this connection is not used again."""
    exchanges = 0
    """How many requests it has carried: over 1, it is a reused one."""
    busy = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._poll: Callable[[int], list[tuple[int, int]]] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drain_waiter: asyncio.Future[None] | None = None
        self._reading_paused = False
        self._write_paused = False
        self._ended_with: Exception | None = None
        self._timeout_detail = ""
        self._switched_to: Switched | None = None
        self._request_sent = False
        self._error: ProxyError | None = None

    def __repr__(self) -> str:
        state = "closed" if self._transport is None else "active" if self.busy else "idle"
        return f"<UpstreamConnection {state}, {self.exchanges} exchanges>"

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The header lines of the answer, but for the hop-by-hop ones."""
        return self.lines.pairs()

    # Sending.

    def begin(self, method: str, data: bytes, *, asks_to_switch: bool = False) -> None:
        """Start an exchange with the first bytes of its request; a 101 may be the answer if it *asks_to_switch*."""
        self.expect(method, asks_to_switch=asks_to_switch)
        self.busy = True
        self._request_sent = False
        self.exchanges += 1
        if self._transport is None or self._transport.is_closing():
            # It ended since it was opened, or the upstream spoke first.
            self._fail(self._end())
        self.write(data)

    def write(self, data: bytes) -> None:
        """Send bytes of the request; call `drain` when `is_write_paused`."""
        if self._transport is not None:
            self._transport.write(data)

    def finish_request(self, seconds: float = 0.0) -> None:
        """Say that the whole request was written: the answer's head must come within so many *seconds* (0: ever)."""
        self._request_sent = True
        if seconds > 0 and not self.has_head:
            self.deadline = self._loop.time() + seconds
            self._timeout_detail = "The upstream did not answer within upstream.response_timeout."

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
        if self._reading_paused:
            self.resume_reading()
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

    def is_ready(self) -> bool:
        """
        Tell whether an idle connection is still there, and nothing waits to be read: asked before it is used.

        What the upstream sent, or that it closed, may not have been read yet; behind the next request it would be
        taken for its answer (RFC 9112 9.2).
        """
        transport, poll = self._transport, self._poll
        return transport is not None and not transport.is_closing() and not (poll is not None and poll(0))

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

    def release(self, seconds: float) -> bool:
        """
        Make it idle, for so many *seconds* at most (0: for ever): any byte of the upstream closes it.

        False if it is not `reusable`; then nothing was done.
        """
        if not self.reusable:
            return False
        self.busy = False
        self.deadline = self._loop.time() + seconds if seconds > 0 else NEVER
        self.trailers = b""
        if self._pieces:
            # An answer that nobody wanted.
            self._pieces = []
            self._held = 0
        if self._reading_paused:
            self.resume_reading()
        return True

    def abort(self) -> None:
        """Close it at once; an upload that was under way is cut, never ended as if complete."""
        self.deadline = NEVER
        if self._transport is not None:
            self._transport.abort()

    def cut(self) -> None:
        """Break it with a reset, which no upstream takes for a good end of what it was sent."""
        if self._transport is not None:
            reset(self._transport)

    def on_deadline(self) -> None:
        """End an idle connection, or the wait of a busy one with a time-out."""
        if self.busy:
            self._fail(UpstreamTimeoutError(self._timeout_detail))
        self.abort()

    def interrupt(self, error: ProxyError) -> None:
        """Make who waits for the answer see *error*: the request cannot go on."""
        self._fail(error)

    def _fail(self, error: ProxyError) -> None:
        self._is_open = False
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
            poll = select.poll()
            poll.register(sock.fileno(), select.POLLIN)
            self._poll = poll.poll

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._write_paused = False
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)
        if self._switched_to is not None:
            self._switched_to.upstream_ready()

    def data_received(self, data: bytes) -> None:
        """Read the answer; bytes that belong to none end the connection (RFC 9112 9.2)."""
        if not self._is_open:
            self._receive_beside(data)
            return
        try:
            self.read(data)
        except UpstreamError as error:
            self._fail(error)
        if self._held > HIGH_WATER:
            self.pause_reading()
        if self.on_progress is not None:
            self.on_progress()
        else:
            self._wake()

    def _receive_beside(self, data: bytes) -> None:
        """Take what is no part of an answer."""
        if self._switched_to is not None:
            self._switched_to.upstream_received(data)
        elif self.has_switched:
            self._early += data
            if len(self._early) > HIGH_WATER:
                self.pause_reading()
        else:
            self._dirty = True
            self.abort()

    def pause_reading(self) -> None:
        """Let the upstream wait; `take` and `resume_reading` let it go on."""
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Let the upstream send again."""
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    # Behind a switch of protocols.

    def hand_over(self, receiver: Switched) -> None:
        """Give *receiver* what comes from now on, and what has come already. Only where `has_switched`."""
        self._switched_to = receiver
        early, self._early = self._early, b""
        self.resume_reading()
        if early:
            receiver.upstream_received(early)
        if self._transport is None:
            receiver.upstream_ended(self._ended_with)

    def write_eof(self) -> bool:
        """Say that no more comes while the upstream may still send; False where that cannot be said (TLS)."""
        if self._transport is None or self._transport.is_closing() or not self._transport.can_write_eof():
            return False
        self._transport.write_eof()
        return True

    async def close(self, seconds: float) -> None:
        """Close it behind what was written, waiting so many *seconds* at most for the upstream to take that."""
        if self._transport is not None:
            self._transport.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._transport is not None:
                        self._waiter = self._loop.create_future()
                        await self._waiter

    def eof_received(self) -> bool:
        """A clean close ends a body that has no other end; the transport closes itself then, but for a tunnel's."""
        if self._switched_to is not None:
            self._switched_to.upstream_ended(None)
            return self._transport is not None and self._transport.can_write_eof()
        if self.busy and self.has_head and self.until_close and not self.complete and self._error is None:
            self.complete = self._is_clean_end()
            self._wake()
        return False

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
        if self._switched_to is not None:
            self._switched_to.upstream_ended(exc)
            self._switched_to.upstream_ready()
        if not self.busy or self.complete:
            self._wake()
        else:
            self._fail(self._end())

    def _end(self) -> UpstreamError:
        """Return what the connection's end means for the exchange that was on it."""
        if isinstance(self._ended_with, ssl.SSLError) and (self._has_begun or self.exchanges == 1):
            # With TLS 1.3 it is only after the handshake that a server tells that it wants a client certificate.
            return tls_failure(self._ended_with)
        if not self._has_begun:
            return ConnectionClosedError("The upstream closed the connection without an answer.")
        if not self.has_head:
            return UpstreamError("The upstream closed the connection within the head of its answer.")
        return UpstreamError("The upstream broke off its answer.", proxy_status="http_response_incomplete")
