"""
What the tests share: raw sockets on both sides of a running proxy, and token sources of their own.

`running` starts the whole proxy; `RawUpstream` is an upstream that says exactly the bytes it is told to; `RawClient`
sends exactly the bytes it is told to. Nothing here tidies HTTP up. `proxied` is all of it at once.
"""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from inspect import Parameter, signature
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import msgspec
import pytest
import uvloop

from proxy.app import App
from proxy.config import Listen, OAuth, Secret, Settings, Upstream, Url
from proxy.tokens.source import Token

CLIENT_ID = "0oa1client"
CLIENT_SECRET = "the-client-secret-4711"


def url(text: str) -> Url:
    """Return *text* as the settings have it."""
    parts = urlsplit(text)
    default = 443 if parts.scheme == "https" else 80
    return Url(scheme=parts.scheme, host=parts.hostname or "", port=parts.port or default, path=parts.path)


def settings(upstream: str, token_url: str = "http://127.0.0.1:1/token", **overrides: dict[str, Any]) -> Settings:
    """
    Return settings for *upstream* with free ports; *overrides* are keys by section.

    `settings(url, limits={"body_size": 10}, upstream_={"rewrite": False})`; a trailing underscore is for `upstream`.
    """
    base = Settings(
        listen=Listen(port=0),
        upstream=Upstream(url=url(upstream)),
        oauth=OAuth(
            token_url=token_url, client_id=CLIENT_ID, client_secret=Secret(CLIENT_SECRET), scopes=("api.read",)
        ),
    )
    changed = {
        section.rstrip("_"): msgspec.structs.replace(getattr(base, section.rstrip("_")), **keys)
        for section, keys in overrides.items()
    }
    return msgspec.structs.replace(base, **changed)


class FixedTokens:
    """A `TokenSource` whose token is there from the start; `suspect` switches to `successors`, one after the other."""

    def __init__(self, value: str = "token-1", *successors: str, lifetime: float = 3600) -> None:
        self.current: Token | None = make_token(value, lifetime)
        self.values = [value]
        self._successors = list(successors)
        self.suspected: list[str] = []
        self.error: Exception | None = None
        """Raised by `token()` while `current` is None."""

    def usable(self) -> Token | None:
        return self.current

    async def token(self) -> Token:
        if self.current is None:
            assert self.error is not None
            raise self.error
        return self.current

    def suspect(self, token: Token) -> None:
        self.suspected.append(token.value)
        if token is self.current and self._successors:
            self.current = make_token(self._successors.pop(0))
            self.values.append(self.current.value)

    async def successor(self, token: Token) -> Token | None:
        return self.current if self.current is not token else None


class AwaitedTokens(FixedTokens):
    """A `TokenSource` whose token comes when `arrived` is set."""

    def __init__(self) -> None:
        super().__init__()
        self._later, self.current = self.current, None
        self.asked = asyncio.Event()
        self.arrived = asyncio.Event()

    async def token(self) -> Token:
        self.asked.set()
        await self.arrived.wait()
        self.current = self._later
        return await super().token()


def make_token(value: str, lifetime: float = 3600) -> Token:
    """Return a Bearer token that was fetched just now."""
    return Token(value, "Bearer", sent_boot=time.monotonic(), sent_wall=time.time(), lifetime=lifetime)


@contextlib.asynccontextmanager
async def running(configuration: Settings, tokens: Any = None) -> AsyncIterator[App]:
    """Run the whole proxy; with *tokens* in the place of its own token source and no token request at all."""
    async with App(configuration, environ={}, tokens=tokens) as app:
        yield app


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
        return await self.reader.readuntil(mark)

    async def head(self) -> bytes:
        """Return a message's head with its empty line."""
        return await self.until(b"\r\n\r\n")

    async def exactly(self, count: int) -> bytes:
        return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        """Return all that comes until the other side ends it well. Raises ConnectionResetError on a reset."""
        return await self.reader.read(-1)

    async def ending(self) -> Ending:
        """Return all that comes until the other side ends it, and how it did."""
        data = b""
        try:
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


@contextlib.asynccontextmanager
async def raw_client(app_or_url: App | str, **options: Any) -> AsyncIterator[RawConnection]:
    """Connect to the proxy (or to a URL's host and port)."""
    parts = urlsplit(app_or_url if isinstance(app_or_url, str) else app_or_url.url)
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    reader, writer = await asyncio.open_connection(host, parts.port, limit=2**22, **options)
    connection = RawConnection(reader, writer)
    try:
        yield connection
    finally:
        await connection.close()


async def ask(app: App, data: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """Send *data* on a connection of its own and return the answer."""
    async with raw_client(app) as client:
        await client.send(data)
        return await client.response()


async def fetch(app: App, data: bytes) -> Message:
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


@contextlib.asynccontextmanager
async def proxied(
    script: Script, tokens: Any = None, *, base: str = "", **overrides: dict[str, Any]
) -> AsyncIterator[tuple[App, RawUpstream]]:
    """Run the proxy in front of a `RawUpstream` with *script*; *base* is the path of `upstream.url`."""
    overrides = {"admin": {"enabled": False}, "log": {"level": "warning"}} | overrides
    async with (
        RawUpstream(script) as upstream,
        running(settings(upstream.url + base, **overrides), tokens or FixedTokens()) as app,
    ):
        yield app, upstream


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def every_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine test twice: on asyncio's own event loop and on uvloop, which the command uses."""

    def run(loop: str, **arguments: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(60):
                await test(**arguments)

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(bounded())

    parameters = signature(test).parameters.values()
    run.__signature__ = signature(run).replace(  # type: ignore[attr-defined]
        parameters=[Parameter("loop", Parameter.POSITIONAL_OR_KEYWORD), *parameters]
    )
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    run.pytestmark = list(getattr(test, "pytestmark", []))  # type: ignore[attr-defined]
    return pytest.mark.parametrize("loop", list(LOOPS))(run)


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
