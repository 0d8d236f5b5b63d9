"""Token endpoints that say exactly the bytes they are told to, over TLS too, and a small CONNECT proxy."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self

import trustme
from clocks import HandClock, oauth_settings, settle

from proxy.tokens.clock import Clock, SystemClock
from proxy.tokens.endpoint import Fetched, TokenEndpoint
from proxy.tokens.failure import Failure

TOKEN = {"token_type": "Bearer", "expires_in": 3600, "access_token": "eyJ-the-access-token"}


def response(status: int = 200, document: object = TOKEN, *headers: str, body: bytes | None = None) -> bytes:
    """Return the bytes of an answer with a Content-Length."""
    body = json.dumps(document).encode() if body is None else body
    lines = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Request:
    """A request as its bytes came."""

    def __init__(self, head: bytes, body: bytes) -> None:
        lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        self.line = lines[0]
        self.headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
        self.body = body

    def value(self, name: str) -> str | None:
        """Return the value of the one header with this name, None without one."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1
        return values[0] if values else None


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """
    A server that gives each request the next of *answers*, the last one for ever.

    An answer is bytes, or a coroutine function that is given the request and the writer. Each connection ends after
    one answer.
    """

    def __init__(self, *answers: bytes | Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.connections = 0
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await settle()  # also what the loop itself still does with a handshake that failed

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            await self._answer(await self._request(reader), writer)
        writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> Request:
        request = Request(await reader.readuntil(b"\r\n\r\n"), b"")
        request.body = await reader.readexactly(int(request.value("Content-Length") or 0))
        self.requests.append(request)
        return request

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, bytes):
            writer.write(answer)
        else:
            await answer(request, writer)
        await writer.drain()


class ConnectProxy:
    """
    An HTTP proxy that tunnels every CONNECT to *target* (a port of this machine), whatever name was asked for.

    With a *refusal* it answers that instead. `heads` has what it was sent before the tunnel.
    """

    def __init__(self, target: int, refusal: bytes | None = None) -> None:
        self.heads: list[bytes] = []
        self._target = target
        self._refusal = refusal
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await settle()  # also what the loop itself still does with a handshake that failed

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            if self._refusal is not None:
                writer.write(self._refusal)
                await writer.drain()
            else:
                await self._tunnel(reader, writer)
        writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._target)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, onward_writer))
                group.create_task(_copy(onward_reader, writer))
        finally:
            onward_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()


def server_tls(ca: trustme.CA, *names: str, **validity: Any) -> ssl.SSLContext:
    """Return a server's context with a certificate of *ca* for *names*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*(names or ("127.0.0.1",)), **validity).configure_cert(context)
    return context


def endpoint(
    token_url: str | None,
    *,
    environ: dict[str, str] | None = None,
    clock: Clock | HandClock | None = None,
    timeouts: dict[str, float] | None = None,
    **oauth: Any,
) -> TokenEndpoint:
    """Return our side: *oauth* are keys of the section, *timeouts* the constructor's."""
    settings = oauth_settings(token_url=token_url, **oauth)
    return TokenEndpoint(settings, clock or SystemClock(), environ or {}, **(timeouts or {}))


async def fetched(side: TokenEndpoint) -> Fetched:
    """Fetch, and expect an answer."""
    result = await side.fetch()
    assert isinstance(result, Fetched), result
    return result


async def failed(side: TokenEndpoint) -> Failure:
    """Fetch, and expect a failure."""
    result = await side.fetch()
    assert isinstance(result, Failure), result
    return result


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
