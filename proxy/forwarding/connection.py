"""
A client's connection: aiohttp's HTTP/1.1 server protocol, with its request, response and task objects left out.

aiohttp parses, holds back readers and counts connections; what a request means is decided in `serve`. This is the one
module that uses names of aiohttp that are not public: of `RequestHandler` `_messages`, `_waiter`, `_parser`,
`_upgraded`, `_message_tail`, `_request_in_progress`, `_task_handler`, `_force_close`, `_loop`, `_paused`,
`_drain_helper`, `_buffer_paused`, `_max_msg_queue_size`, `_msg_queue_resume_size`, `_read_bufsize`, `_request_count`,
`_manager`, `_pause_reading_for_buffer`, `_resume_reading_if_drained`, `_pause_transport_reading`;
`web_protocol._ErrInfo` and `RequestPayloadError`; the arguments of `http_parser.HttpRequestParser`; and
`web.Server._kwargs` and `_loop`. pyproject.toml pins aiohttp's minor version, a test holds the names.
"""

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any, Protocol

from aiohttp import StreamReader, web
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from proxy.errors import BadRequestError, ProxyError, RequestTimeoutError
from proxy.forwarding.cutting import flushed, reset
from proxy.forwarding.deadlines import NEVER, Deadlines
from proxy.forwarding.reading import Message, RequestReader
from proxy.forwarding.refusing import refusal

HALF_CLOSE_GRACE = 0.02
"""
Seconds. A FIN so soon after the end of a request is a client that has nothing more to say and waits for its answer
(`printf ... | nc -N`); a later one is a client that left. Both look the same on the wire.
"""
LINGER = 2.0
"""Seconds that a closed connection still reads, so that a reset does not destroy the answer on its way."""
LAST_BYTES = 60.0
"""Seconds for what is still buffered when a connection is closed."""
MOST_REMEMBERED = 2048
"""Bytes of a request that are remembered, so that the same bytes need not be parsed again: tools repeat themselves."""
IDLE_GRACE = 1.0
"""Seconds in which a drain still takes a request on an idle connection: one may be on its way."""


class Switched(Protocol):
    """Who takes the bytes of a connection that has switched protocols (RFC 9110 7.8)."""

    def client_received(self, data: bytes) -> None:
        """Take what the client sent."""
        ...

    def client_ended(self) -> None:
        """Note that the client sends no more."""
        ...

    def client_ready(self) -> None:
        """Note that the client takes bytes again."""
        ...


class ClientConnection(RequestHandler):
    """
    Serves one client. A subclass says what a request means in `serve` and `refuse`.

    The connection's own task runs both; it is cancelled when the client leaves.
    """

    __slots__ = (
        "_arrived",
        "_at_rest",
        "_deadlines",
        "_half_closed",
        "_handover",
        "_head_size",
        "_header_timeout",
        "_idle_timeout",
        "_is_alone",
        "_lingering",
        "_reader",
        "_switched_to",
        "_whole",
        "_whole_data",
        "deadline",
        "draining",
    )

    def __init__(
        self,
        manager: web.Server,
        *,
        head_size: int,
        header_timeout: float,
        idle_timeout: float,
        deadlines: Deadlines,
        **settings: Any,
    ) -> None:
        """*head_size* is in bytes, the time-outs in seconds (0 for none)."""
        super().__init__(manager, **settings)
        self._head_size = head_size
        self._header_timeout = header_timeout
        self._idle_timeout = idle_timeout
        self._deadlines = deadlines
        parser: Any = self._parser
        self._reader = RequestReader(parser, self._new_parser, head_size)
        self._arrived = 0.0
        """`time.perf_counter()` when the last of a request came."""
        self._at_rest = False
        """Whether nothing is under way, nothing waits, and a head may come: the state between two requests."""
        self._is_alone = False
        """Whether nothing has come behind the request that was begun."""
        self._whole_data: bytes | None = None
        """A request without a body that came in one piece, and was all that came."""
        self._whole: Any = None
        """What the parser made of it: the same bytes in the same state are the same request."""
        self._half_closed = False
        self._lingering: asyncio.Future[None] | None = None
        self._handover: Callable[[], Coroutine[Any, Any, bool]] | None = None
        """What the task has to go on with."""
        self._switched_to: Switched | None = None
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
        return self.draining or message is self._reader.dead_end

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
                self._at_rest = False
                if self._paused:
                    # A client that pipelines and does not read its answers waits like any other.
                    await self.drain()
                if not await self._serve_next():
                    await self._linger()
                    break
                self._after_upgrade()
                self._rest()
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
                self.refuse(self._reader.refusal or BadRequestError("The request is not valid HTTP/1.1."))
                return False
            answering = self.serve(message, payload)
        self._request_in_progress = True
        try:
            keep = await answering
        finally:
            self._request_in_progress = False
        behind_is_lost = self._reader.dead_end is not None and not self._messages
        return keep and payload.is_eof() and not self._is_over and not behind_is_lost

    @property
    def _is_over(self) -> bool:
        """Whether the client is gone, or said that nothing comes behind what it was answered."""
        return self.transport is None or (self._half_closed and not self._messages)

    # The same without the task, for `begin`.

    def finished(self, *, keep: bool) -> None:
        """Say that the answer to what was begun has been written; *keep*: the connection may be used again."""
        self._request_in_progress = False
        if not keep or self._is_over:
            self.hand_over(_nothing_more)
        elif self._is_alone and not self.draining:
            self._at_rest = True
            if self._idle_timeout > 0:
                self.deadline = self._loop.time() + self._idle_timeout
        elif self._messages:
            self._wake()
        else:
            self._rest()

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

    def _rest(self) -> None:
        """Let the connection idle for `limits.keepalive_timeout`, in a drain for a moment."""
        if self.draining:
            # The head of the answer was sent before, so the client has not been told that it was the last one.
            self._loop.call_later(IDLE_GRACE, self.end_if_idle)
            return
        if self._messages or self._upgraded or self._buffer_paused or not self._reader.is_between_requests:
            return
        self._at_rest = True
        if self._idle_timeout > 0:
            self.deadline = self._loop.time() + self._idle_timeout

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
        with contextlib.suppress(TimeoutError, OSError, RuntimeError, NotImplementedError):  # as just said
            if transport.can_write_eof():
                transport.write_eof()
            transport.resume_reading()
            async with asyncio.timeout(LINGER):
                await self._lingering

    # Behind a switch of protocols.

    def switch(self, receiver: Switched) -> None:
        """Give *receiver* what comes from now on, and what has come behind the request that asked for it."""
        self._switched_to = receiver
        tail, self._message_tail = self._message_tail, b""
        if tail:
            receiver.client_received(tail)
        if self._buffer_paused:
            self._resume_reading_if_drained()
        if self._half_closed:
            receiver.client_ended()

    def write_eof(self) -> bool:
        """Say that no more comes while the client may still send; False where that cannot be said."""
        if self.transport is None or self.transport.is_closing() or not self.transport.can_write_eof():
            return False
        self.transport.write_eof()
        return True

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock for the first head."""
        super().connection_made(transport)
        self._deadlines.watch(self)
        self._at_rest = True
        seconds = self._header_timeout or self._idle_timeout
        if seconds > 0:
            self.deadline = self._loop.time() + seconds

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what waits for the client."""
        self._at_rest = False
        self._deadlines.forget(self)
        if self._lingering is not None and not self._lingering.done():
            self._lingering.set_result(None)
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        if self._switched_to is not None:
            self._switched_to.client_ready()

    def data_received(self, data: bytes) -> None:
        """Parse; a head that is too long or not HTTP becomes a refusal, in order behind the requests before it."""
        if not self._at_rest or len(data) > self._head_size or self._paused:
            self._receive(data)
            return
        # The common case: one whole request, and nothing was before it.
        self._at_rest = False
        if data == self._whole_data:
            self._begin_or_queue(self._whole)
            return
        parser = self._reader.parser
        try:
            messages, self._upgraded, tail = parser.feed_data(data)
        except Exception as error:  # noqa: BLE001 - whatever the parser raises, the request is refused
            self._refuse_rest(refusal(error, self._head_size))
            return
        if len(messages) == 1:
            message, payload = messages[0]
            if payload is EMPTY_PAYLOAD and not message.upgrade:
                parser.message_consumed()
                self._whole, self._whole_data = messages[0], data if len(data) <= MOST_REMEMBERED else None
                self._begin_or_queue(messages[0])
                return
        self._accept(messages, data, tail, in_body=False)

    def _begin_or_queue(self, message: Any) -> None:
        """Serve the one request that there is: at once, or in the task."""
        self.deadline = NEVER
        self._arrived = perf_counter()
        self._request_count += 1
        self._request_in_progress = self._is_alone = True
        if not self.begin(message[0]):
            self._request_in_progress = False
            self._messages.append(message)
            self._wake()

    def _receive(self, data: bytes) -> None:
        """Parse, whatever state the connection is in."""
        reader = self._reader
        if self._force_close or self._lingering is not None or reader.refusal is not None:
            return
        self._at_rest = self._is_alone = False
        if self._switched_to is not None:
            self._switched_to.client_received(data)
            return
        if self._upgraded:
            self._message_tail += data
            if not self._buffer_paused and len(self._message_tail) >= self._read_bufsize:
                self._pause_reading_for_buffer()
            return
        if self._parser is None or reader.has_ended:
            return
        in_body = reader.in_body
        try:
            messages, self._upgraded, tail = reader.parser.feed_data(data)
        except Exception as error:  # noqa: BLE001 - whatever the parser raises, the request is refused
            self._refuse_rest(refusal(error, self._head_size))
            return
        self._accept(messages, data, tail, in_body=in_body)

    def _accept(self, messages: Sequence[Message], data: bytes, tail: bytes, *, in_body: bool) -> None:
        """Take what the parser made of *data*."""
        reader = self._reader
        if tail:
            self._message_tail = tail
        was_between = reader.head_bytes == 0
        messages = reader.sort(messages, data, in_body=in_body, upgraded=self._upgraded, is_paused=self._buffer_paused)
        self._parser = reader.parser
        if messages:
            self.deadline = NEVER
            self._take(messages)
        elif in_body:
            self._arrived = perf_counter()
        elif was_between and reader.head_bytes and self._header_timeout > 0:
            self.deadline = self._loop.time() + self._header_timeout
        if reader.refusal is not None:
            self._refuse_rest(reader.refusal)

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

    def _take(self, messages: Sequence[Any]) -> None:
        is_idle = not self._messages and not self._request_in_progress and self._handover is None
        self._request_count += len(messages)
        self._arrived = perf_counter()
        self._messages.extend(messages)
        if is_idle:
            self._wake()
        if not self._buffer_paused and len(self._messages) >= self._max_msg_queue_size:
            self._pause_reading_for_buffer()

    def _refuse_rest(self, error: ProxyError) -> None:
        """Answer nothing behind this point. A request whose body broke off learns it from its payload."""
        reader = self._reader
        self._at_rest = False
        self.deadline = NEVER
        reader.refusal = error
        if reader.in_body:
            reader.last_payload.set_exception(error)
            # Who was just woken by the end of a chunk waits again, and aiohttp does not look for the exception then.
            self._loop.call_soon(reader.last_payload.set_exception, error)
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
        if self._switched_to is not None:
            self._half_closed = True
            self._switched_to.client_ended()
            return True
        waits_for_answer = (self._request_in_progress or bool(self._messages)) and not self._reader.in_body
        if waits_for_answer and perf_counter() - self._arrived <= HALF_CLOSE_GRACE:
            self._half_closed = True
            return True
        return False

    def on_deadline(self) -> None:
        """Refuse a head that does not come, fail a body that does not come, close a connection that idles."""
        reader = self._reader
        if reader.in_body:
            error = RequestTimeoutError("The request's body stood still for longer than limits.body_timeout.")
            reader.refusal = error
            reader.last_payload.set_exception(error)
        elif reader.head_bytes:
            self._refuse_rest(RequestTimeoutError("The request's head took longer than limits.header_timeout."))
        else:
            # Nobody waits for an answer, so there is nothing to tell.
            self.end_if_idle()


async def _nothing_more() -> bool:
    """Let the task end a connection whose last answer was written without it."""
    return False
