"""Origins that are parsers: what h11, llhttp, aiohttp's two and the standard library's server read in some bytes."""

import asyncio
import io
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

import h11
import httptools
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParserPy
from canonical import Seen, values


class Reading(NamedTuple):
    """What an origin makes of the bytes on a connection."""

    requests: list[Seen]
    """The whole ones, in order."""
    refused: bool
    """Whether it refused what stands behind them."""


def seen(method: bytes, target: bytes, lines: list[tuple[bytes, bytes]], body: bytes) -> Seen:
    """Return a request as an origin takes it."""
    return Seen(method, target, values(lines, b"host"), values(lines, b"authorization"), body)


async def read_h11(data: bytes) -> Reading:
    """Read with h11, which is Python's strictest."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
    parser.receive_data(data)
    parser.receive_data(b"")
    found: list[Seen] = []
    request, body = h11.Request(method="GET", target="/", headers=[("Host", "")]), b""
    try:
        while True:
            event = parser.next_event()
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                found.append(seen(request.method, request.target, list(request.headers), body))
                # An error, so that nobody expects a tunnel.
                parser.send(h11.Response(status_code=400, headers=[("Content-Length", "0")]))
                parser.send(h11.EndOfMessage())
                if parser.our_state is h11.MUST_CLOSE:
                    return Reading(found, refused=parser.trailing_data[0] != b"")
                parser.start_next_cycle()
            elif isinstance(event, h11.ConnectionClosed):
                return Reading(found, refused=False)
    except h11.RemoteProtocolError as error:
        is_cut = "without sending" in str(error) or "unexpectedly" in str(error)
        return Reading(found, refused=not is_cut)


class _Llhttp:
    """httptools calls these."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.found: list[Seen] = []

    def on_message_begin(self) -> None:
        self.target, self.lines, self.body = b"", [], b""

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self.lines.append((name, value))

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.found.append(seen(self.parser.get_method(), self.target, self.lines, self.body))


async def read_llhttp(data: bytes) -> Reading:
    """Read with llhttp by itself, through httptools."""
    reader = _Llhttp()
    try:
        reader.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return Reading(reader.found, refused=True)
    return Reading(reader.found, refused=False)


async def read_aiohttp(data: bytes) -> Reading:
    """Read with aiohttp's parser in Python, which serves where its extension is missing."""
    loop = asyncio.get_running_loop()
    parser = HttpRequestParserPy(
        BaseProtocol(loop), loop, 2**16, max_line_size=2**17, max_field_size=2**17, max_headers=1000,
        auto_decompress=False, max_msg_queue_size=2**16,
    )  # fmt: skip
    try:
        messages, _, _ = parser.feed_data(data)
    except HttpProcessingError:
        return Reading([], refused=True)
    found = []
    for message, payload in messages:
        if not payload.is_eof():
            break
        method, target = message.method.encode("ascii"), message.path.encode("utf-8", "surrogateescape")
        found.append(seen(method, target, list(message.raw_headers), await payload.read()))
    return Reading(found, refused=False)


class _Handler(BaseHTTPRequestHandler):
    """The standard library's server on a request in memory: it splits lines, and reads bodies by hand."""

    protocol_version = "HTTP/1.1"

    def __init__(self, data: bytes, found: list[Seen]) -> None:
        self.rfile, self.wfile = io.BytesIO(data), io.BytesIO()
        self.found = found
        self.client_address = ("127.0.0.1", 0)
        self.close_connection = True
        self.is_refused = False
        self.handle()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._take
        raise AttributeError(name)

    def _take(self) -> None:
        lines = [(name.encode("ascii"), value.encode("latin-1")) for name, value in self.headers.items()]
        body = self._body()
        if body is None:
            self.close_connection = True
            return
        target = self.requestline.split(" ")[1].encode("latin-1")
        self.found.append(seen(self.command.encode("ascii"), target, lines, body))

    def _body(self) -> bytes | None:
        if self.headers.get("Transfer-Encoding") is None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            return body if len(body) == length else None
        body = b""
        while line := self.rfile.readline():
            size = int(line, 16)
            piece = self.rfile.read(size + 2)
            if len(piece) < size + 2:
                return None
            if not size:
                return body
            body += piece[:-2]
        return None

    def send_error(self, *_: Any) -> None:
        self.is_refused = True
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


async def read_stdlib(data: bytes) -> Reading:
    """Read with http.server, whose header lines an e-mail parser splits."""
    found: list[Seen] = []
    handler = _Handler(data, found)
    return Reading(found, refused=handler.is_refused)


PARSERS = {"h11": read_h11, "llhttp": read_llhttp, "aiohttp in Python": read_aiohttp, "http.server": read_stdlib}
