"""
A client's connection: aiohttp's HTTP/1.1 server protocol, with its request, response and task objects left out.

aiohttp parses, keeps connections alive, holds back readers and counts connections; what a request means is decided
in `serve`. This is the one module that uses names of aiohttp that are not public: of `RequestHandler` `_messages`,
`_waiter`, `_parser`, `_upgraded`, `_message_tail`, `_keepalive`, `_keepalive_handle`, `_next_keepalive_close_time`,
`_keepalive_timeout`, `_process_keepalive`, `_request_in_progress`, `_task_handler`,
`_force_close`, `_close`, `_loop`, `_paused`, `_drain_helper`, `_buffer_paused`, `_max_msg_queue_size`,
`_msg_queue_resume_size`, `_read_bufsize`, `_request_count`, `_manager`, `_pause_reading_for_buffer`,
`_resume_reading_if_drained`, `_pause_transport_reading`; `web_protocol._ErrInfo` and `RequestPayloadError`; the
arguments of `http_parser.HttpRequestParser`; and `web.Server._kwargs` and `_loop`. pyproject.toml pins aiohttp's minor
version, a test holds the names.
"""

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from proxy.errors import (
    BadRequestError,
    HeadTooLargeError,
    ProxyError,
    RequestTimeoutError,
)
from proxy.forwarding.cutting import flushed, reset
from proxy.forwarding.deadlines import NEVER, Deadlines
from proxy.forwarding.refusing import head_length, refusal

Message = tuple[RawRequestMessage, StreamReader]

HALF_CLOSE_GRACE = 0.02
"""
Seconds. A FIN so soon after the end of a request is a client that has nothing more to say and waits for its answer
(`printf ... | nc -N`); a later one is a client that left. Both look the same on the wire.
"""
LINGER = 2.0
"""Seconds that a closed connection still reads, so that a reset does not destroy the answer on its way."""
LAST_BYTES = 60.0
"""Seconds for what is still buffered when a connection is closed."""
IDLE_GRACE = 1.0
"""Seconds in which a drain still takes a request on an idle connection: one may be on its way."""


class ClientConnection(RequestHandler):
    """
    Serves one client. A subclass says what a request means in `serve` and `refuse`.

    The connection's own task runs both; it is cancelled when the client leaves.
    """

    __slots__ = (
        "_arrived",
        "_chunked",
        "_dead_end",
        "_deadlines",
        "_half_closed",
        "_handover",
        "_head_bytes",
        "_head_size",
        "_header_timeout",
        "_last_payload",
        "_lingering",
        "_recent",
        "_refusal",
        "deadline",
        "draining",
    )

    def __init__(
        self, manager: web.Server, *, head_size: int, header_timeout: float, deadlines: Deadlines, **settings: Any
    ) -> None:
        """*head_size* is in bytes, *header_timeout* in seconds (0 for none)."""
        super().__init__(manager, **settings)
        self._head_size = head_size
        self._header_timeout = header_timeout
        self._deadlines = deadlines
        self._head_bytes = 0
        self._last_payload: StreamReader = EMPTY_PAYLOAD
        self._refusal: ProxyError | None = None
        self._arrived = 0.0
        self._half_closed = False
        self._dead_end: RawRequestMessage | None = None
        """The request behind which nothing can be read any more."""
        self._chunked: Message | None = None
        """The request whose chunked body has not ended yet."""
        self._recent = b""
        """The last four bytes of what has come while it has not."""
        self._lingering: asyncio.Future[None] | None = None
        self._handover: Callable[[], Coroutine[Any, Any, bool]] | None = None
        """What the task has to go on with."""
        self.deadline = NEVER
        self.draining = False
        """Whether this answer is the connection's last."""

    @abstractmethod
    async def serve(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        """Answer a request; True if the connection may be used again. Raises nothing but CancelledError."""

    @abstractmethod
    def begin(self, message: RawRequestMessage) -> bool:
        """
        Begin to answer a request without a body, if that needs no waiting; False leaves it to `serve`.

        After True the answer ends with `finished`, or goes on in the task with `hand_over`.
        """

    @abstractmethod
    def refuse(self, error: ProxyError) -> None:
        """Answer what is no request."""

    # What `serve` uses.

    def write(self, data: bytes) -> None:
        """Send bytes to the client; call `drain` when `is_write_paused`."""
        if self.transport is not None:
            self.transport.write(data)

    @property
    def is_write_paused(self) -> bool:
        """Whether the client takes bytes more slowly than they come."""
        return self._paused

    async def drain(self) -> None:
        """Wait until the client takes more. Raises ConnectionError when it left."""
        await self._drain_helper()

    async def read_body(self, payload: StreamReader, seconds: float) -> bytes:
        """
        Return the next bytes of the body, `b""` at its end, waiting so many *seconds* for them (0: for ever).

        Raises `BadRequestError`: `RequestTimeoutError` when they do not come, itself when they are not HTTP.
        """
        if seconds <= 0 or payload.is_eof():
            return await payload.readany()
        self.deadline = self._loop.time() + seconds
        try:
            return await payload.readany()
        finally:
            self.deadline = NEVER

    def is_last(self, message: RawRequestMessage) -> bool:
        """Tell whether the connection ends with the answer to *message*, whatever client and upstream want."""
        return self.draining or message is self._dead_end

    @property
    def task(self) -> "asyncio.Task[None] | None":
        """The task that serves this connection."""
        return self._task_handler

    def end_soon(self) -> None:
        """Close after the answer under way, or after the next one if a request is about to come."""
        self.draining = True

    def end_if_idle(self) -> None:
        """Close now if no request is under way."""
        if not self._request_in_progress and not self._messages:
            self.force_close()

    async def cut(self) -> None:
        """
        Break the connection visibly: what was sent arrives, then a reset, which no client takes for a good end.

        A mere close would make an answer without a length look complete (RFC 9112 8).
        """
        if self.transport is not None:
            await flushed(self.transport)
        self.cut_now()

    def cut_now(self) -> None:
        """Break the connection with a reset, whatever is still on its way."""
        self._force_close = True
        if self.transport is not None:
            reset(self.transport)

    # The connection's task.

    async def start(self) -> None:
        """Serve one request after the other until either side ends it."""
        try:
            while not self._force_close:
                if not self._messages and self._handover is None:
                    await self._next_message()
                if self._paused:
                    # A client that pipelines and does not read its answers waits like any other.
                    await self.drain()
                if not await self._serve_next():
                    await self._linger()
                    break
                self._after_upgrade()
                self._await_next()
        except ConnectionError:
            # The client left while it was waited for.
            return
        finally:
            self._let_go()

    async def _serve_next(self) -> bool:
        """Answer what is next; False if that was the connection's last."""
        payload: StreamReader = EMPTY_PAYLOAD
        serving, self._handover = self._handover, None
        if serving is not None:
            answering = serving()
        else:
            message, payload = self._messages.popleft()
            self._free_a_slot()
            if isinstance(message, _ErrInfo):
                self.refuse(self._refusal or BadRequestError("The request is not valid HTTP/1.1."))
                return False
            answering = self.serve(message, payload)
        self._request_in_progress = True
        try:
            keep = await answering
        finally:
            self._request_in_progress = False
        behind_is_lost = self._dead_end is not None and not self._messages
        return keep and payload.is_eof() and not self._is_over and not behind_is_lost

    @property
    def _is_over(self) -> bool:
        """Whether the client is gone, or said that nothing comes behind what it was answered."""
        return self.transport is None or (self._half_closed and not self._messages)

    # The same without the task, for `begin`.

    def _begin_now(self, message: Any, payload: StreamReader) -> bool:
        """Tell whether the only request there is could be begun at once."""
        if (
            payload is not EMPTY_PAYLOAD
            or self._refusal is not None
            or isinstance(message, _ErrInfo)
            or message.upgrade
            or self._paused
        ):
            return False
        self._request_in_progress = True
        if self.begin(message):
            if self._parser is not None:
                self._parser.message_consumed()
            return True
        self._request_in_progress = False
        return False

    def finished(self, *, keep: bool) -> None:
        """Say that the answer to what was begun has been written; *keep*: the connection may be used again."""
        self._request_in_progress = False
        if not keep or self._is_over:
            self.hand_over(_nothing_more)
        elif self._messages:
            self._wake()
        else:
            self._await_next()

    def hand_over(self, serving: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        """Let the connection's task go on with what was begun."""
        self._handover = serving
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _let_go(self) -> None:
        """Close, and do not wait for ever for a client that does not take what is left."""
        transport = self.transport
        self.force_close()
        if transport is not None and transport.get_write_buffer_size():
            self._loop.call_later(LAST_BYTES, transport.abort)

    async def _next_message(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _free_a_slot(self) -> None:
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    def _await_next(self) -> None:
        """Let the connection idle for `limits.keepalive_timeout`, in a drain for a moment."""
        if self.draining:
            # The head of the answer was sent before, so the client has not been told that it was the last one.
            self._loop.call_later(IDLE_GRACE, self.end_if_idle)
            return
        close_time = self._loop.time() + self._keepalive_timeout
        self._next_keepalive_close_time = close_time
        if self._keepalive_handle is None and self._keepalive_timeout > 0:
            self._keepalive_handle = self._loop.call_at(close_time, self._process_keepalive)

    def _process_keepalive(self) -> None:
        """Close an idle connection; one whose next head has begun is left to `limits.header_timeout`."""
        if self._request_in_progress:
            # An answer is under way without the task, which waits as if it were idle.
            self._keepalive_handle = self._loop.call_later(self._keepalive_timeout, self._process_keepalive)
            return
        if self._head_bytes and self._header_timeout > 0:
            self._keepalive_handle = None
            return
        super()._process_keepalive()

    def _after_upgrade(self) -> None:
        """Go on with HTTP/1.1 behind a request whose Upgrade was not taken."""
        if not self._upgraded or self._messages or self._parser is None:
            return
        self._parser.set_upgraded(False)
        self._upgraded = False
        tail, self._message_tail = self._message_tail, b""
        if tail:
            self.data_received(tail)
        if self._buffer_paused:
            self._resume_reading_if_drained()

    async def _linger(self) -> None:
        """Send FIN behind the answer and read on for a moment, so that the client gets to read it."""
        transport = self.transport
        if transport is None or self._force_close:
            return
        self._lingering = self._loop.create_future()
        if self._half_closed:
            return
        # The client may be gone, or its transport know no half-close: then there is nothing to linger for.
        with contextlib.suppress(TimeoutError, OSError, RuntimeError, NotImplementedError):
            if transport.can_write_eof():
                transport.write_eof()
            transport.resume_reading()
            async with asyncio.timeout(LINGER):
                await self._lingering

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock for the first head."""
        super().connection_made(transport)
        self._deadlines.watch(self)
        if self._header_timeout > 0:
            self.deadline = self._loop.time() + self._header_timeout

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what waits for the client."""
        self._deadlines.forget(self)
        if self._lingering is not None and not self._lingering.done():
            self._lingering.set_result(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; a head that is too long or not HTTP becomes a refusal, in order behind the requests before it."""
        if self._force_close or self._lingering is not None or self._refusal is not None:
            return
        if self._upgraded:
            self._message_tail += data
            if not self._buffer_paused and len(self._message_tail) >= self._read_bufsize:
                self._pause_reading_for_buffer()
            return
        in_body = not self._last_payload.is_eof()
        if self._parser is None or (self._dead_end is not None and not in_body):
            return
        messages = self._parse(self._parser, data)
        if messages is None:
            return
        if messages:
            # Bodies count too here; a head is measured only if it could be too large.
            if self._head_bytes + len(data) > self._head_size:
                self._take_fitting(messages)
            else:
                self._take(messages)
            message, payload = messages[-1]
            self._note_dead_end(message, payload, data)
            self._head_bytes = 0
            self.deadline = NEVER
        elif in_body:
            # How much of a next head came behind the body is not known: it counts from the next bytes on.
            self._head_bytes = 0
            self._arrived = self._loop.time()
        else:
            self._watch_head(data)

    def _parse(self, parser: Any, data: bytes) -> Any:
        """Return the requests whose heads end in *data*; None if it is not HTTP, which has been refused then."""
        try:
            messages, self._upgraded, tail = parser.feed_data(data)
        except Exception as error:  # noqa: BLE001 - whatever the parser raises, the request is refused
            self._refuse_rest(refusal(error, self._head_size))
            return None
        if tail:
            self._message_tail = tail
        if self._chunked is not None or (messages and (len(messages) > 1 or messages[0][0].chunked)):
            return self._end_chunked(messages, data)
        return messages

    def _end_chunked(self, messages: Any, data: bytes) -> Any:
        """
        Keep trailers out of the next request, and return the *messages* that may be served.

        aiohttp's parser puts the last trailer of a chunked body among the headers of the request behind it. So a new
        parser reads on where such a body has ended; what came in one piece with its end is not served, and the
        connection ends.
        """
        open_before = [] if self._chunked is None else [self._chunked]
        for count, (message, payload) in enumerate([*open_before, *messages]):
            if not message.chunked or not payload.is_eof():
                continue
            served = messages[: count + 1 - len(open_before)]
            self._recent = (self._recent + data)[-4:]
            if len(served) < len(messages) or self._recent != b"\r\n\r\n" or self._buffer_paused:
                self._dead_end = message
            else:
                self._parser = self._new_parser()
            self._chunked, self._recent = None, b""
            return served
        if messages:
            self._chunked = messages[-1] if messages[-1][0].chunked else None
            self._recent = b""
        if self._chunked is not None:
            self._recent = (self._recent + data)[-4:]
        return messages

    def _new_parser(self) -> HttpRequestParser:
        """Return a parser like the one that aiohttp made."""
        return HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )

    def _take_fitting(self, messages: Any) -> None:
        """Take those before the first whose head is too large, and refuse the rest."""
        for count, (message, _) in enumerate(messages):
            if head_length(message) > self._head_size:
                if count:
                    self._take(messages[:count])
                self._refuse_rest(HeadTooLargeError("The request's head is larger than limits.head_size."))
                return
        self._take(messages)

    def _take(self, messages: Any) -> None:
        is_idle = not self._messages and not self._request_in_progress and self._handover is None
        self._request_count += len(messages)
        self._last_payload = messages[-1][1]
        self._arrived = self._loop.time()
        if is_idle and len(messages) == 1 and self._begin_now(*messages[0]):
            return
        self._messages.extend(messages)
        if is_idle:
            self._wake()
        if not self._buffer_paused and len(self._messages) >= self._max_msg_queue_size:
            self._pause_reading_for_buffer()

    def _note_dead_end(self, message: RawRequestMessage, payload: StreamReader, data: bytes) -> None:
        """
        Notice a request behind which aiohttp's parser drops the rest of *data*: one with an Upgrade that it ignores.

        Where that rest is surely empty, the connection goes on (java.net.http asks for h2c with each first request).
        """
        if not message.upgrade or self._upgraded:
            return
        is_whole = self._head_bytes == 0 and data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1
        ends_here = payload is EMPTY_PAYLOAD and is_whole
        if not ends_here:
            self._dead_end = message

    def _watch_head(self, data: bytes) -> None:
        """Bound the size and the time of a head that is not whole: the parser bounds single lines only."""
        if self._head_bytes == 0:
            # Some clients end a body with an empty line more than they announced (RFC 9112 2.2).
            data = data.lstrip(b"\r\n")
            if not data:
                return
            if self._header_timeout > 0 and self.deadline == NEVER:
                self.deadline = self._loop.time() + self._header_timeout
        self._head_bytes += len(data)
        if self._head_bytes > self._head_size:
            self._refuse_rest(HeadTooLargeError("The request's head is larger than limits.head_size."))

    def _refuse_rest(self, error: ProxyError) -> None:
        """Answer nothing behind this point. A request whose body broke off learns it from its payload."""
        self._refusal = error
        self.deadline = NEVER
        if not self._last_payload.is_eof():
            self._last_payload.set_exception(error)
            return
        self._take([(_ErrInfo(status=400, exc=error, message=""), EMPTY_PAYLOAD)])
        # What comes behind is for nobody: `_linger` reads it, for a moment, when the answer is out.
        self._pause_transport_reading()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio allows a bool, which aiohttp's never needs
        """Answer a client that half-closed right behind its request; else it left."""
        if self._lingering is not None:
            if not self._lingering.done():
                self._lingering.set_result(None)
            return False
        waits_for_answer = (self._request_in_progress or bool(self._messages)) and self._last_payload.is_eof()
        if waits_for_answer and self._loop.time() - self._arrived <= HALF_CLOSE_GRACE:
            self._half_closed = True
            return True
        return False

    def on_deadline(self) -> None:
        """Refuse a head that does not come, fail a body that does not come."""
        if not self._last_payload.is_eof():
            error = RequestTimeoutError("The request's body stood still for longer than limits.body_timeout.")
            self._refusal = error
            self._last_payload.set_exception(error)
        elif self._head_bytes or self._request_count == 0:
            if self._request_count == 0 and self._head_bytes == 0:
                # It said nothing at all: there is nobody to tell.
                self.force_close()
            else:
                self._refuse_rest(RequestTimeoutError("The request's head took longer than limits.header_timeout."))


async def _nothing_more() -> bool:
    """Let the task end a connection whose last answer was written without it."""
    return False
