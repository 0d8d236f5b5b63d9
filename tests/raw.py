"""
Raw sockets for tests: a client and an upstream that say exactly the bytes they are told to.

Nothing here tidies HTTP up: what came is kept byte for byte, and how a connection ended is told.
"""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, Protocol, Self
from urllib.parse import urlsplit

PATIENCE = 10.0
"""Seconds that a test waits for bytes before it fails."""


class Message(NamedTuple):
    """A request or an answer as it came over the wire; `body` is without its chunks, `raw` with them."""

    head: bytes
    body: bytes
    raw: bytes

    @property
    def first(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    @property
    def lines(self) -> list[bytes]:
        """The header lines, in order."""
        return self.head.removesuffix(b"\r\n\r\n").split(b"\r\n")[1:]

    @property
    def status(self) -> int:
        return int(self.first.split(b" ")[1])

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all lines of a header, in order."""
        prefix = name.lower() + b":"
        return [line[len(prefix) :].strip(b" ") for line in self.lines if line.lower().startswith(prefix)]

    def value(self, name: bytes) -> bytes | None:
        """Return the value of a header that may stand there once."""
        found = self.values(name)
        assert len(found) <= 1, found
        return found[0] if found else None

    @property
    def problem(self) -> dict[str, Any]:
        """The body as the RFC 9457 problem that it must be."""
        assert self.value(b"content-type") == b"application/problem+json", self
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    @property
    def code(self) -> str:
        return str(self.problem["code"])


class Ending(NamedTuple):
    """How the other side ended a connection, and the bytes that came before."""

    data: bytes
    reset: bool


class RawConnection:
    """One side of a TCP connection, byte for byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until(self, mark: bytes) -> bytes:
        """Return all that comes up to *mark* and with it."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(mark)

    async def head(self) -> bytes:
        """Return a message's head with its empty line."""
        return await self.until(b"\r\n\r\n")

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        """Return all that comes until the other side ends it well. Raises ConnectionResetError on a reset."""
        return await self.reader.read(-1)

    async def ending(self) -> Ending:
        """Return all that comes until the other side ends it, and how it did."""
        data = b""
        try:
            async with asyncio.timeout(PATIENCE):
                while piece := await self.reader.read(2**16):
                    data += piece
        except ConnectionError:
            # asyncio hides behind the error what came before it.
            return Ending(data + bytes(self.reader._buffer), reset=True)
        return Ending(data, reset=False)

    async def message(self, *, to: str = "GET", final: bool = True) -> Message:
        """Return the next message: a request, or the answer to a request with the method *to*; *final* skips 1xx."""
        head = await self.head()
        while final and head.startswith(b"HTTP/1.1 1"):
            head = await self.head()
        message = Message(head, b"", b"")
        is_answer = head.startswith(b"HTTP/")
        if is_answer and (to == "HEAD" or message.status in {204, 304} or message.status < 200):
            return message
        length = message.value(b"content-length")
        if length is not None:
            body = await self.exactly(int(length))
            return Message(head, body, body)
        if message.value(b"transfer-encoding") == b"chunked":
            raw = await self.raw_chunks()
            return Message(head, unchunked(raw), raw)
        if is_answer:
            body = await self.rest()
            return Message(head, body, body)
        return message

    async def raw_chunks(self) -> bytes:
        """Return a chunked body as it comes."""
        raw, size = b"", -1
        while size:
            line = await self.until(b"\r\n")
            size = int(line.split(b";")[0], 16)
            raw += line + await self.exactly(size + 2)
        return raw

    async def response(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """Return status, header lines and body of an answer: by Content-Length, in chunks, or to the end."""
        answer = await self.message(final=False)
        headers = [tuple(line.decode("latin-1").split(": ", 1)) for line in answer.lines]
        return answer.status, headers, answer.body

    async def chunks(self) -> bytes:
        """Return a chunked body without its chunks."""
        return unchunked(await self.raw_chunks())

    def half_close(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        """Break the connection off with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


def unchunked(raw: bytes) -> bytes:
    """Return a whole chunked body without its chunks."""
    body = b""
    while raw:
        line, _, raw = raw.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        body, raw = body + raw[:size], raw[size + 2 :]
    return body


class Listening(Protocol):
    """A proxy that clients reach at `url`."""

    url: str


@contextlib.asynccontextmanager
async def raw_client(app_or_url: Listening | str, **options: Any) -> AsyncIterator[RawConnection]:
    """Connect to the proxy (or to a URL's host and port)."""
    parts = urlsplit(app_or_url if isinstance(app_or_url, str) else app_or_url.url)
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    reader, writer = await asyncio.open_connection(host, parts.port, limit=2**22, **options)
    connection = RawConnection(reader, writer)
    try:
        yield connection
    finally:
        await connection.close()


async def ask(app: Listening, data: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """Send *data* on a connection of its own and return the answer."""
    async with raw_client(app) as client:
        await client.send(data)
        return await client.response()


async def fetch(app: Listening, data: bytes) -> Message:
    """Send *data* on a connection of its own and return the final answer as it came."""
    async with raw_client(app) as client:
        await client.send(data)
        return await client.message(to=data.split(b" ")[0].decode("latin-1"))


Script = Callable[["RawUpstream", RawConnection], Awaitable[None]]


class RawUpstream:
    """
    An upstream that runs *script* for each connection, and remembers the heads that came.

    `async with RawUpstream(script) as upstream`; `upstream.url`; `upstream.heads` counts what arrived, which is how a
    test asserts that nothing did.
    """

    def __init__(self, script: Script, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._host = host
        self._tls = tls
        self.heads: list[bytes] = []
        self.requests: list[Message] = []
        """What `take` read."""
        self.connections = 0
        self.closed = asyncio.Event()
        """Set when a connection's script has ended."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, 0, limit=2**22, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"{'https' if self._tls else 'http'}://{shown}:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = RawConnection(reader, writer)
        try:
            await self._script(self, connection)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self.closed.set()
            writer.close()

    async def request(self, connection: RawConnection) -> bytes:
        """Return the head of the next request, and remember it."""
        head = await connection.head()
        self.heads.append(head)
        return head

    async def take(self, connection: RawConnection) -> Message:
        """Return the next request with its body, and remember it."""
        message = await connection.message()
        self.heads.append(message.head)
        self.requests.append(message)
        return message

    @property
    def last(self) -> Message:
        """The request that `take` read last."""
        return self.requests[-1]


def always(answer: bytes) -> Script:
    """Return a script that gives each request (without a body) the same *answer*."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            await upstream.request(connection)
            await connection.send(answer)

    return script


def answering(*answers: bytes) -> Script:
    """Return a script that reads whole requests and gives each the next of *answers*, the last for ever."""
    left = list(answers)

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            await upstream.take(connection)
            await connection.send(left.pop(0) if len(left) > 1 else left[0])

    return script


def closing(answer: bytes, *, reset: bool = False) -> Script:
    """Return a script that reads one request, sends *answer* and ends the connection."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(answer)
        if reset:
            connection.reset()

    return script


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def get(path: str | bytes = b"/", *lines: bytes, method: bytes = b"GET") -> bytes:
    """Return a request without a body; *lines* are further header lines."""
    path = path.encode("ascii") if isinstance(path, str) else path
    return b"%b %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % (method, path, b"".join(line + b"\r\n" for line in lines))


def post(body: bytes, *lines: bytes, method: bytes = b"POST", path: bytes = b"/") -> bytes:
    """Return a request with a body of a known length."""
    return get(path, b"Content-Length: %d" % len(body), *lines, method=method) + body


def chunked(*pieces: bytes) -> bytes:
    """Return a chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + LAST_CHUNK
