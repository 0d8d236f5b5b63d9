"""
Cuts what a client sends into requests, with aiohttp's parser, and minds what that parser does not.

- It bounds single lines: here the whole head is bounded.
- It puts the last trailer of a chunked body among the headers of the request behind it: here a new parser reads on
  where such a body has ended.
- It drops what came in one piece behind a request whose Upgrade it ignores: here such a request is a dead end,
  behind which nothing is read any more.
"""

from collections.abc import Callable, Sequence

from aiohttp import StreamReader
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from proxy.errors import HeadTooLargeError, ProxyError
from proxy.forwarding.refusing import head_length

Message = tuple[RawRequestMessage, StreamReader]


class RequestReader:
    """
    Sorts what the parser makes of one client's bytes.

    *parser* is the first one, *new_parser* makes another; *head_size* is in bytes.
    """

    __slots__ = (
        "_chunked",
        "_head_size",
        "_new_parser",
        "_recent",
        "dead_end",
        "head_bytes",
        "last_payload",
        "parser",
        "refusal",
    )

    def __init__(self, parser: HttpRequestParser, new_parser: Callable[[], HttpRequestParser], head_size: int) -> None:
        self._new_parser = new_parser
        self._head_size = head_size
        self._chunked: Message | None = None
        """The request whose chunked body has not ended yet."""
        self._recent = b""
        """The last four bytes of what has come while it has not."""
        self.parser = parser
        """The one to feed."""
        self.last_payload: StreamReader = EMPTY_PAYLOAD
        self.head_bytes = 0
        """Bytes of a head that is not whole yet."""
        self.dead_end: RawRequestMessage | None = None
        """The request behind which nothing can be read any more."""
        self.refusal: ProxyError | None = None
        """What the client is told behind its last good request; nothing is read any more."""

    @property
    def in_body(self) -> bool:
        """Whether the last request's body has not ended."""
        return not self.last_payload.is_eof()

    @property
    def has_ended(self) -> bool:
        """Whether nothing that comes now is read."""
        return self.refusal is not None or (self.dead_end is not None and not self.in_body)

    @property
    def is_between_requests(self) -> bool:
        """Whether the next byte begins a head, and the parser may be fed without a look at what was before."""
        return (
            self.head_bytes == 0
            and self._chunked is None
            and self.refusal is None
            and self.dead_end is None
            and self.last_payload.is_eof()
        )

    def sort(
        self, messages: Sequence[Message], data: bytes, *, in_body: bool, upgraded: bool, is_paused: bool
    ) -> Sequence[Message]:
        """
        Return those of the *messages*, which the parser made of *data*, that may be served.

        *in_body*: as it was before *data*. *upgraded*: the parser stopped at an Upgrade. *is_paused*: the parser
        holds back a part of what came.
        """
        if self._chunked is not None or (messages and (len(messages) > 1 or messages[0][0].chunked)):
            messages = self._end_chunked(messages, data, is_paused=is_paused)
        if messages:
            # Bodies count too here; a head is measured only if it could be too large.
            if self.head_bytes + len(data) > self._head_size:
                messages = self._fitting(messages)
            if messages:
                self.last_payload = messages[-1][1]
                if messages[-1][0].upgrade and not upgraded:
                    self._note_dead_end(*messages[-1], data)
            self.head_bytes = 0
        elif in_body:
            # How much of a next head came behind the body is not known: it counts from the next bytes on.
            self.head_bytes = 0
        else:
            self._count_head(data)
        return messages

    def _end_chunked(self, messages: Sequence[Message], data: bytes, *, is_paused: bool) -> Sequence[Message]:
        """
        Keep trailers out of the next request, and return the *messages* that may be served.

        What came in one piece with the end of a chunked body is not served, and the connection ends.
        """
        open_before = [] if self._chunked is None else [self._chunked]
        for count, (message, payload) in enumerate([*open_before, *messages]):
            if not message.chunked or not payload.is_eof():
                continue
            served = messages[: count + 1 - len(open_before)]
            self._recent = (self._recent + data)[-4:]
            if len(served) < len(messages) or self._recent != b"\r\n\r\n" or is_paused:
                self.dead_end = message
            else:
                self.parser = self._new_parser()
            self._chunked, self._recent = None, b""
            return served
        if messages:
            self._chunked = messages[-1] if messages[-1][0].chunked else None
            self._recent = b""
        if self._chunked is not None:
            self._recent = (self._recent + data)[-4:]
        return messages

    def _fitting(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return those before the first whose head is too large, and refuse the rest."""
        for count, (message, _) in enumerate(messages):
            if head_length(message) > self._head_size:
                self.refusal = HeadTooLargeError("The request's head is larger than limits.head_size.")
                return messages[:count]
        return messages

    def _note_dead_end(self, message: RawRequestMessage, payload: StreamReader, data: bytes) -> None:
        """
        Notice a request behind which the parser drops the rest of *data*: one with an Upgrade that it ignores.

        Where that rest is surely empty, the connection goes on (java.net.http asks for h2c with each first request).
        """
        is_whole = self.head_bytes == 0 and data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1
        ends_here = payload is EMPTY_PAYLOAD and is_whole
        if not ends_here:
            self.dead_end = message

    def _count_head(self, data: bytes) -> None:
        if self.head_bytes == 0:
            # Some clients end a body with an empty line more than they announced (RFC 9112 2.2).
            data = data.lstrip(b"\r\n")
        self.head_bytes += len(data)
        if self.head_bytes > self._head_size:
            self.refusal = HeadTooLargeError("The request's head is larger than limits.head_size.")
