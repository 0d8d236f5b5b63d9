"""What tests of WebSockets share: a handshake, an upstream that takes it up, and both ends of the tunnel behind it."""

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from kit import (
    PATIENCE,
    FixedTokens,
    RawConnection,
    RawUpstream,
    get,
    proxied,
    raw_client,
    running,
    settings,
    settled,
)
from promise_kit import Logged, tls_server

from proxy.app import App

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
ASKS = (b"Connection: Upgrade", b"Upgrade: websocket")
HANDSHAKE = get(b"/ws", *ASKS, KEY, b"Sec-WebSocket-Version: 13")
ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
LINE = b"HTTP/1.1 101 Switching Protocols\r\n"
SWITCH = LINE + b"Upgrade: websocket\r\nConnection: Upgrade\r\n" + ACCEPT + b"\r\n\r\n"
SWITCHED = LINE + ACCEPT + b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
"""The same head as a client gets it."""
LOG = {"log": {"level": "info"}}


class Switching:
    """
    A script that answers each handshake with *answer* and leaves the rest to the test.

    `peer` gives the upstream's end; the connection stays open until the test ends it, or is over.
    """

    def __init__(self, answer: bytes = SWITCH) -> None:
        self._answer = answer
        self._peers: asyncio.Queue[RawConnection] = asyncio.Queue()

    async def __call__(self, upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(self._answer)
        self._peers.put_nowait(connection)
        await asyncio.Event().wait()

    async def peer(self) -> RawConnection:
        """Return the upstream's end of the next connection that has switched."""
        async with asyncio.timeout(PATIENCE):
            return await self._peers.get()


class Tunnel(NamedTuple):
    """An open WebSocket, raw at both ends."""

    app: App
    client: RawConnection
    upstream: RawConnection
    head: bytes
    """What the client was answered."""


@contextlib.asynccontextmanager
async def connected(
    app: App, script: Switching, request: bytes = HANDSHAKE, *, reads: bool = True
) -> AsyncIterator[Tunnel]:
    """Open a WebSocket through *app*; without *reads* the client takes nothing behind the head."""
    async with raw_client(app) as client:
        await client.send(request)
        head = await client.head()
        if not reads:
            client.writer.transport.pause_reading()
        yield Tunnel(app, client, await script.peer(), head)


@contextlib.asynccontextmanager
async def tunnel(
    answer: bytes = SWITCH, request: bytes = HANDSHAKE, *, tokens: Any = None, **overrides: dict[str, Any]
) -> AsyncIterator[Tunnel]:
    """Run the proxy with a WebSocket open through it; *overrides* are settings, see `kit.settings`."""
    script = Switching(answer)
    async with proxied(script, tokens, **overrides) as (app, _), connected(app, script, request) as both:
        yield both


async def sends(sender: RawConnection, receiver: RawConnection, data: bytes) -> None:
    """Check that what one end sends arrives at the other."""
    await sender.send(data)
    assert await receiver.exactly(len(data)) == data


async def ended(app: App) -> None:
    """Return when nothing is in flight any more."""
    await settled(lambda: app.counters.in_flight == 0)


def line_of(log: Logged) -> tuple[int, int, str | None]:
    """Return status, bytes and error of the one request that was logged."""
    (line,) = log.named("request")
    assert (line["method"], line["path"]) == ("GET", "/ws")
    assert line["duration"] > 0
    return line["status"], line["bytes"], line.get("error")


def narrow(connection: RawConnection) -> None:
    """Let the kernel take little for one end of a connection."""
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        connection.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, 64 * 1024)


async def fill(reader: RawConnection, writer: RawConnection, is_full: Callable[[], object]) -> int:
    """Have *reader* stop reading and *writer* send `x` until *is_full*; return how many."""
    narrow(reader)
    reader.writer.transport.pause_reading()
    sent = 0
    async with asyncio.timeout(PATIENCE):
        while not is_full():
            await writer.send(b"x" * 4096)
            sent += 4096
            await asyncio.sleep(0)
    return sent


async def digest(end: RawConnection, size: int) -> bytes:
    """Return the hash of the next *size* bytes."""
    seen = hashlib.sha256()
    while size:
        piece = await end.reader.read(min(size, 2**20))
        assert piece
        seen.update(piece)
        size -= len(piece)
    return seen.digest()


@contextlib.asynccontextmanager
async def over_tls(folder: Path, script: Switching) -> AsyncIterator[App]:
    """Run the proxy in front of a TLS upstream."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    async with (
        RawUpstream(script, tls=tls_server(authority, "127.0.0.1")) as upstream,
        running(
            settings(upstream.url, admin={"enabled": False}, upstream_={"ca_file": str(folder / "ca.pem")}, **LOG),
            FixedTokens(),
        ) as app,
    ):
        yield app
