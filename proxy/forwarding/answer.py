"""
Reads one upstream's answers, with llhttp: heads bounded, framing decided (RFC 9112 6.3), bodies held until taken.

What an upstream sends is untrusted: `chunked` alone, HTTP/1.0 or 1.1, no switch of protocols that nobody asked for.
"""

from collections.abc import Callable

import httptools

from proxy.errors import UpstreamError, UpstreamProtocolError
from proxy.forwarding.response import ResponseHead, trailer_lines

LARGEST_HEAD = 256 * 1024
"""Bytes of a response's head, interim ones included; and of what stands between or behind the chunks of a body."""
MOST_HEADERS = 500
_BODILESS = frozenset({101, 204, 304})


class AnswerReader:
    """
    Reads the answer to one request at a time: `expect`, then `read` what comes, until `complete` or `has_switched`.

    One object for both the reading and the connection below: an answer passes through in as few calls as can be.
    """

    has_head = False
    complete = False
    has_switched = False
    until_close = False
    """Whether the body ends with the connection; like the next three, to be read once `has_head`."""
    status = 0
    reason = b""
    lines = ResponseHead((), (), 200)
    """The header lines."""
    trailers = b""
    """The trailer lines that may travel, each with its CRLF, once `complete`."""

    def __init__(self) -> None:
        self._parser: httptools.HttpResponseParser | None = None
        self._is_open = False
        """Whether bytes of the upstream belong to the answer."""
        self._has_begun = False
        """Whether any have come."""
        self._is_head = False
        self._asks_to_switch = False
        self._keep_alive = False
        self._dirty = False
        self._early = b""
        """What came behind a 101 before somebody was there to take it."""
        self._overhead = 0
        """Bytes that came since the last one of a body."""
        self._names: list[bytes] = []
        self._values: list[bytes] = []
        self.on_header = _collector(self._names, self._values)
        """llhttp calls it for each line of a head, and for trailers."""
        self._pieces: list[bytes] = []
        self._held = 0
        self._bulk = 0
        """Bytes of a body of known length that are still to come, and that the parser is not asked about any more."""

    def expect(self, method: str, *, asks_to_switch: bool) -> None:
        """Await the answer to another request; a 101 may be one only if it *asks_to_switch*."""
        self._is_open = True
        self._is_head = method == "HEAD"
        self._asks_to_switch = asks_to_switch
        self.has_head = self.complete = self._has_begun = False
        self._overhead = self._bulk = 0
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
            # Else an interim response with `Connection: close`, or in HTTP/1.0, would be the last one.
            self._parser.set_dangerous_leniencies(lenient_keep_alive=True)

    def read(self, data: bytes) -> None:
        """Read what came while the answer was awaited. Raises `UpstreamError` for what is none."""
        if self._bulk:
            self._read_bulk(data)
            return
        parser = self._parser
        if parser is None:
            return
        self._has_begun = True
        self._overhead += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switch(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, UpstreamError):
                raise error.__context__ from None
            raise UpstreamProtocolError("The upstream's answer is not valid HTTP/1.1.") from None
        if self.complete:
            return
        if self._overhead > LARGEST_HEAD:
            raise UpstreamProtocolError("The upstream's answer has a head or trailers of over 256 KiB.")
        if self.has_head and self.lines.has_length:
            # llhttp lets no more than 64 bits pass: what stands before the last 20 digits is zeros.
            self._bulk = int(self.lines.values(b"content-length")[0][-20:]) - self._held

    def _read_bulk(self, data: bytes) -> None:
        """Take a piece of a long body as it is: that its length is known saves a copy and the parser."""
        left = self._bulk - len(data)
        if left <= 0:
            self._dirty = self._dirty or left < 0
            data = data[: self._bulk] if left < 0 else data
            # The parser has not seen all of this answer, so another one reads the next.
            self._parser = None
            self.complete = True
            self._is_open = False
        self._bulk = max(0, left)
        self._pieces.append(data)
        self._held += len(data)

    def _switch(self, rest: bytes) -> None:
        self._is_open = False
        # Whatever comes of it, there is no HTTP on this connection any more.
        self._dirty = True
        if not (self._asks_to_switch and self.has_head):
            raise UpstreamProtocolError("The upstream switched protocols, which nobody asked for.")
        self._early = rest
        self.has_switched = True

    # llhttp calls these.

    def on_message_begin(self) -> None:
        """Note what follows a complete answer: it is nobody's."""
        if self.complete:
            self._dirty = True
            return
        # Nothing of an interim response belongs to the one behind it.
        self.reason = b""
        if self._names:
            self._names.clear()
            self._values.clear()

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
        if status < 200 and not self._is_final(status):
            return
        names, values = tuple(self._names), tuple(self._values)
        # From here on they collect trailers.
        self._names.clear()
        self._values.clear()
        if len(names) > MOST_HEADERS:
            raise UpstreamProtocolError("The upstream's answer has more than 500 header lines.")
        try:
            self.lines = head = ResponseHead(names, values, status)
        except ValueError:
            raise UpstreamProtocolError(
                "The upstream's answer has a Transfer-Encoding that is not chunked alone."
            ) from None
        self.until_close = not (head.has_length or head.is_chunked or self._is_head or status in _BODILESS)
        self._keep_alive = not self.until_close and b"close" not in head.options
        version = parser.get_http_version()
        if version != "1.1":
            self._accept_version(version, head)
        self.status = status
        self.has_head = True
        if self._is_head:
            # httptools cannot be told that no body follows, so a new parser reads the next answer.
            self._parser = None
            self.complete = True
            self._is_open = False

    def _accept_version(self, version: str, head: ResponseHead) -> None:
        """Read the head as HTTP/1.0, and refuse other versions."""
        if version != "1.0":
            raise UpstreamProtocolError("The upstream answered with another HTTP version than 1.0 or 1.1.")
        if head.is_chunked:
            raise UpstreamProtocolError("The upstream's answer has a Transfer-Encoding in HTTP/1.0.")
        self._keep_alive = self._keep_alive and b"keep-alive" in head.options

    def _is_final(self, status: int) -> bool:
        """Tell a switch of protocols from an interim response."""
        if status < 100:
            raise UpstreamProtocolError("The upstream's answer has no valid status.")
        if status != 101:
            return False
        if not self._asks_to_switch:
            raise UpstreamProtocolError("The upstream switched protocols, which nobody asked for.")
        return True

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
        if self.has_head and not self.complete:
            self.complete = True
            self._is_open = False
            if self._names:
                self.trailers = trailer_lines(self._names, self._values, self.lines.options)


def _collector(names: list[bytes], values: list[bytes]) -> Callable[[bytes, bytes], None]:
    """Return what adds a line to the two lists: with nothing in between, for it is called the most."""
    add_name, add_value = names.append, values.append

    def on_header(name: bytes, value: bytes) -> None:
        add_name(name)
        add_value(value)

    return on_header
