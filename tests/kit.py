"""
What the tests share: raw sockets on both sides of a running proxy, and token sources of their own.

`running` starts the whole proxy; `RawUpstream` is an upstream that says exactly the bytes it is told to; `RawClient`
sends exactly the bytes it is told to. Nothing here tidies HTTP up.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

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


def make_token(value: str, lifetime: float = 3600) -> Token:
    """Return a Bearer token that was fetched just now."""
    return Token(value, "Bearer", sent_boot=time.monotonic(), sent_wall=time.time(), lifetime=lifetime)


@contextlib.asynccontextmanager
async def running(configuration: Settings, tokens: Any = None) -> AsyncIterator[App]:
    """Run the whole proxy; with *tokens* in the place of its own token source and no token request at all."""
    async with App(configuration, environ={}, tokens=tokens) as app:
        yield app


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

    async def response(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """Return status, header lines and body of an answer: by Content-Length, in chunks, or to the end."""
        head = (await self.head()).decode("latin-1")
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = [tuple(line.split(": ", 1)) for line in lines]
        lower = {name.lower(): value for name, value in headers}
        status = int(first.split(" ")[1])
        if "content-length" in lower:
            body = await self.exactly(int(lower["content-length"]))
        elif lower.get("transfer-encoding") == "chunked":
            body = await self.chunks()
        elif status in {204, 304}:
            body = b""
        else:
            body = await self.rest()
        return status, headers, body

    async def chunks(self) -> bytes:
        """Return a chunked body without its chunks."""
        body = b""
        while size := int((await self.until(b"\r\n")).split(b";")[0], 16):
            body += await self.exactly(size)
            assert await self.exactly(2) == b"\r\n"
        assert await self.until(b"\r\n") == b"\r\n"
        return body

    def half_close(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        """Break the connection off with a RST."""
        import socket  # noqa: PLC0415
        import struct  # noqa: PLC0415

        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


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


class RawUpstream:
    """
    An upstream that runs *script* for each connection, and remembers the heads that came.

    `async with RawUpstream(script) as upstream`; `upstream.url`; `upstream.heads` counts what arrived, which is how a
    test asserts that nothing did.
    """

    def __init__(self, script: Callable[["RawUpstream", RawConnection], Awaitable[None]]) -> None:
        self._script = script
        self.heads: list[bytes] = []
        self.connections = 0
        self.closed = asyncio.Event()
        """Set when a connection's script has ended."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**22)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
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


def always(answer: bytes) -> Callable[[RawUpstream, RawConnection], Awaitable[None]]:
    """Return a script that gives each request (without a body) the same *answer*."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            await upstream.request(connection)
            await connection.send(answer)

    return script


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
