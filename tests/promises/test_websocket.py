"""A WebSocket behind its handshake: every byte passes both ways, and each side is held back by the other."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import websockets
from kit import (
    FixedTokens,
    RawConnection,
    RawUpstream,
    every_loop,
    get,
    proxied,
    raw_client,
    running,
    settings,
    settled,
)
from promise_kit import logged
from websocket_kit import (
    HANDSHAKE,
    LOG,
    SWITCH,
    Switching,
    connected,
    digest,
    ended,
    line_of,
    narrow,
    over_tls,
    sends,
    tunnel,
)

from proxy.app import App
from proxy.forwarding.websocket import WebSocket

LARGE = 24 * 1024 * 1024
"""Bytes: more than all the buffers between two processes hold."""
BUFFERED = 1024 * 1024
"""Bytes that the proxy may hold for a side that does not read: a mark at which it stops reading, and one piece more."""


def noise(size: int) -> bytes:
    """Return bytes of no pattern, the same ones each time."""
    return hashlib.shake_256().digest(size)


# Bytes.


@every_loop
async def test_bytes_that_come_in_one_piece_with_a_head_are_not_lost():
    """Frames right behind the handshake reach the upstream, frames right behind the 101 the client, in order."""
    async with tunnel(SWITCH + b"first", HANDSHAKE + b"mine") as both:
        assert await both.client.exactly(5) == b"first"
        assert await both.upstream.exactly(4) == b"mine"
        await sends(both.client, both.upstream, b"second")
        await sends(both.upstream, both.client, b"third")


@every_loop
async def test_what_a_client_sends_before_it_is_answered_waits():
    """Frames ahead of the 101 are held back, bounded, and arrive whole when it has come."""
    arrived, go = asyncio.Event(), asyncio.Event()
    data = noise(4_000_000)

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        arrived.set()
        await go.wait()
        await connection.send(SWITCH)
        await connection.send(hashlib.sha256(await connection.exactly(len(data))).digest())
        await connection.ending()

    async with proxied(script) as (app, _), raw_client(app) as client:
        client.writer.write(HANDSHAKE + data)
        await arrived.wait()
        (connection,) = app._server.clients
        await settled(lambda: connection._buffer_paused)
        assert len(connection._message_tail) <= 2 * 256 * 1024
        go.set()
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        assert await client.exactly(32) == hashlib.sha256(data).digest()


@every_loop
async def test_no_byte_is_changed():
    """Whatever looks like HTTP, a close frame or noise passes both ways at once, in pieces of any size."""
    frames = [
        b"\x88\x02\x03\xe8",
        b"\x88\x1a\x0f\xa1the client is going away",
        b"\x89\x00\x8a\x00\x81\x7e\x00\x00",
        b"\xc1\x07\xf2H\xcd\xc9\xc9\x07\x00",
        get(b"/smuggled") + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        b"\x00",
        noise(300_000),
    ]
    whole = b"".join(frames)

    async def write(end: RawConnection) -> None:
        for frame in frames:
            await end.send(frame)
            await asyncio.sleep(0)

    async with tunnel() as both:
        _, _, there, back = await asyncio.gather(
            write(both.client),
            write(both.upstream),
            both.upstream.exactly(len(whole)),
            both.client.exactly(len(whole)),
        )
        assert there == back == whole


# Held back.


@every_loop
@pytest.mark.parametrize("lazy", ["client", "upstream"])
@pytest.mark.parametrize("tls", [False, True], ids=["TCP", "TLS"])
async def test_a_side_that_does_not_read_holds_the_other_back(lazy: str, tls: bool, tmp_path: Path):
    """The proxy keeps a bounded part and stops reading; the other direction goes on; then all of it arrives."""
    data = noise(2**20) * (LARGE // 2**20)
    script = Switching()
    async with (
        over_tls(tmp_path, script) if tls else plain(script) as app,
        connected(app, script) as both,
    ):
        (client,), (upstream,) = app._server.clients, app._proxy.pool._active
        if lazy == "client":
            reader, writer, held, source, transport = both.client, both.upstream, client, upstream, client.transport
        else:
            reader, writer, held, source, transport = both.upstream, both.client, upstream, client, upstream._transport
        narrow(reader)
        narrow(writer)
        reader.writer.transport.pause_reading()
        writer.writer.write(data)
        await settled(lambda: held.is_write_paused and source._reading_paused)
        assert 0 < transport.get_write_buffer_size() < BUFFERED
        await sends(reader, writer, b"the other way")
        reader.writer.transport.resume_reading()
        assert await digest(reader, LARGE) == hashlib.sha256(data).digest()
        assert not held.is_write_paused
        assert not source._reading_paused
        await sends(writer, reader, b"and on")


@contextlib.asynccontextmanager
async def plain(script: Switching) -> AsyncIterator[App]:
    """Run the proxy in front of an upstream without TLS."""
    async with proxied(script) as (app, _):
        yield app


@every_loop
async def test_a_large_piece_behind_the_101_holds_the_upstream_back_too():
    """What the upstream sends before the client has read its 101 is bounded like everything else."""
    script = Switching(SWITCH)
    async with proxied(script) as (app, _), connected(app, script, reads=False) as both:
        both.upstream.writer.write(b"x" * LARGE)
        (client,), (upstream,) = app._server.clients, app._proxy.pool._active
        await settled(lambda: upstream._reading_paused)
        assert client.transport.get_write_buffer_size() < BUFFERED
        both.client.writer.transport.resume_reading()
        assert await digest(both.client, LARGE) == hashlib.sha256(b"x" * LARGE).digest()


# The process.


@every_loop
async def test_it_is_counted_once_and_its_connection_is_not_kept():
    """One in flight while it is open, one count and one line with its bytes after it, and nothing in the pool."""
    with logged() as log:
        async with tunnel(SWITCH + b"hello", **LOG) as both:
            assert await both.client.exactly(5) == b"hello"
            await sends(both.client, both.upstream, b"x" * 1000)
            await sends(both.upstream, both.client, b"y" * 1000)
            assert both.app.counters.in_flight == 1
            assert both.app._proxy.pool.counts()["active"] == 1
            assert both.app.counters.requests == {}
            both.client.half_close()
            await both.upstream.close()
            await ended(both.app)
            assert both.app.counters.requests == {("GET", 101): 1}
            counts = both.app._proxy.pool.counts()
            assert (counts["active"], counts["idle"]) == (0, 0)
            assert not any(isinstance(watched, WebSocket) for watched in both.app._proxy.deadlines._watched)
    assert line_of(log) == (101, 1005, None)


# Another implementation at both ends.


async def test_the_websockets_library_at_both_ends():
    """Messages, a subprotocol, compression, pings and the code and reason of a close pass as if we were not there."""
    seen: list[object] = []

    async def echo(connection: websockets.ServerConnection) -> None:
        seen.append(connection.request.headers.get_all("Authorization"))
        try:
            async for message in connection:
                await connection.send(message)
        except websockets.ConnectionClosed:
            pass
        seen.append((connection.close_code, connection.close_reason))

    async with websockets.serve(echo, "127.0.0.1", 0, subprotocols=["v2.chat"], max_size=2**23) as server:
        port = server.sockets[0].getsockname()[1]
        async with running(settings(f"http://127.0.0.1:{port}", admin={"enabled": False}), FixedTokens()) as app:
            address = app.url.replace("http:", "ws:") + "/chat"
            options = {"subprotocols": ["v1.chat", "v2.chat"], "max_size": 2**23, "proxy": None}
            async with websockets.connect(address, **options) as client:
                assert client.subprotocol == "v2.chat"
                assert [str(extension) for extension in client.protocol.extensions]
                for message in ("hello", "", "h\u00e9llo" * 100_000, b"", bytes(range(256)) * 8_000):
                    await client.send(message)
                    assert await client.recv() == message
                await (await client.ping(b"ping"))
                await client.close(4001, "that is all")
            assert (client.close_code, client.close_reason) == (4001, "that is all")
            await settled(lambda: len(seen) == 2)
            await ended(app)
            assert app.counters.requests == {("GET", 101): 1}
        assert seen == [["Bearer token-1"], (4001, "that is all")]
