"""First byte in is first byte out, in both directions; who does not read holds the other side back."""

import asyncio
import contextlib

import pytest
from kit import (
    GET,
    OK,
    FixedTokens,
    RawConnection,
    RawUpstream,
    always,
    every_loop,
    get,
    proxied,
    raw_client,
    running,
    settings,
)

SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
FRAMINGS = {
    "chunks": b"Transfer-Encoding: chunked\r\n\r\n",
    "length": b"Content-Length: 1000\r\n\r\n",
    "to the end": b"\r\n",
}


@every_loop
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_each_piece_of_an_answer_arrives_at_once(framing: str):
    """The head comes before any body, and each event before the next one is sent (G64)."""
    sent, seen = asyncio.Event(), asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(SSE + FRAMINGS[framing])
        for number in range(3):
            await seen.wait()
            seen.clear()
            event = b"data: %d\n\n" % number
            await connection.send(b"%x\r\n%b\r\n" % (len(event), event) if framing == "chunks" else event)
        sent.set()
        await connection.rest()

    async with proxied(script) as (app, _), raw_client(app) as client:
        await client.send(get())
        assert b"text/event-stream" in await client.head()
        for number in range(3):
            seen.set()
            assert b"data: %d\n\n" % number in await client.until(b"\n\n")
        assert sent.is_set()


@every_loop
@pytest.mark.parametrize("framing", ["chunks", "length"])
async def test_each_piece_of_an_upload_arrives_at_once(framing: str):
    """The upstream has the head before the body, and each piece before the client sends the next (G65)."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await heard.put(await upstream.request(connection))
        for _ in range(3):
            await heard.put(await connection.until(b"."))
        await connection.send(OK)
        await connection.rest()

    line = b"Transfer-Encoding: chunked" if framing == "chunks" else b"Content-Length: 6"
    async with proxied(script) as (app, _), raw_client(app) as client:
        await client.send(get(b"/", line, method=b"PUT"))
        assert line in await heard.get()
        for number in range(3):
            piece = b"%d." % number
            await client.send(b"2\r\n%b\r\n" % piece if framing == "chunks" else piece)
            assert piece in await heard.get()
        if framing == "chunks":
            await client.send(b"0\r\n\r\n")
        assert (await client.message()).body == b"ok"


@every_loop
async def test_a_client_that_does_not_read_holds_the_upstream_back():
    """Only a bounded part of a large answer is taken from the upstream until the client reads; then all of it is."""
    size = 64 * 1024 * 1024
    stuck = asyncio.Event()
    sent = 0

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        nonlocal sent
        await upstream.take(connection)
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        piece = b"x" * 2**20
        while sent < size:
            try:
                async with asyncio.timeout(None if stuck.is_set() else 0.3):
                    await connection.send(piece)
            except TimeoutError:
                stuck.set()
                await connection.writer.drain()
            sent += len(piece)
        await connection.rest()

    async with proxied(script) as (app, _), raw_client(app) as client:
        client.writer.transport.pause_reading()
        await client.send(get())
        await asyncio.wait_for(stuck.wait(), 10)
        # Most of it is in the kernel's buffers.
        assert sent < 32 * 1024 * 1024
        client.writer.transport.resume_reading()
        await client.head()
        left = size
        while left:
            left -= len(await client.reader.read(2**20))


@every_loop
async def test_an_upstream_that_does_not_read_holds_the_client_back():
    """Only a bounded part of a large upload is taken from the client until the upstream reads; then all of it is."""
    size = 64 * 1024 * 1024
    go = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        connection.writer.transport.pause_reading()
        await go.wait()
        connection.writer.transport.resume_reading()
        left = size
        while left:
            left -= len(await connection.reader.read(2**20))
        await connection.send(OK)
        await connection.rest()

    async with proxied(script) as (app, _), raw_client(app) as client:
        await client.send(get(b"/", b"Content-Length: %d" % size, method=b"PUT"))
        piece, sent = b"x" * 2**20, 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while sent < size:
                    await client.send(piece)
                    sent += len(piece)
        assert sent < 32 * 1024 * 1024
        go.set()
        sent += len(piece)  # the one that was being sent
        while sent < size:
            await client.send(piece)
            sent += len(piece)
        await client.writer.drain()
        assert (await client.message()).body == b"ok"


async def test_one_slow_client_does_not_stop_another():
    """While one caller does not read its answer, others are served."""
    size = 32 * 1024 * 1024

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            request = await upstream.take(connection)
            if b"/big" in request.first:
                await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            else:
                await connection.send(OK)

    async with proxied(script) as (app, _), raw_client(app) as slow, raw_client(app) as quick:
        slow.writer.transport.pause_reading()
        await slow.send(get(b"/big"))
        for _ in range(20):
            await quick.send(get())
            assert (await quick.message()).body == b"ok"


@pytest.mark.parametrize("step", [1000, 90_000, 200_000])
async def test_many_uploads_on_one_connection(step: int):
    """Uploads in segments of any size leave nothing behind on a connection that goes on."""
    body = bytes(range(256)) * (2 * step // 256)
    heard = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            head = await upstream.request(connection)
            for at in range(0, len(body) if b"PUT" in head else 0, step):
                await connection.exactly(len(body[at : at + step]))
                heard.set()
            await connection.send(OK)

    async with proxied(script) as (app, upstream), raw_client(app) as client:
        for _ in range(3):
            await client.send(get(b"/", b"Content-Length: %d" % len(body), method=b"PUT"))
            for at in range(0, len(body), step):
                await client.send(body[at : at + step])
                await heard.wait()
                heard.clear()
            assert (await client.message()).body == b"ok"
        await client.send(get(b"/", b"Connection: close"))
        assert (await client.message()).body == b"ok"
        assert (await client.ending()).data == b""
        assert len(upstream.heads) == 4


async def test_a_client_that_pipelines_and_does_not_read_is_held_back():
    """Its requests are not answered into memory: after some the upstream sees no more, and all come when it reads."""
    count, body = 1000, b"x" * 60_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with (
        RawUpstream(always(answer)) as upstream,
        running(settings(upstream.url), FixedTokens()) as app,
        raw_client(app) as client,
    ):
        client.writer.transport.pause_reading()
        sending = asyncio.ensure_future(client.send(GET * count))
        seen = -1
        while seen != len(upstream.heads):
            seen = len(upstream.heads)
            # Still means held back: there is no event for what does not happen.
            await asyncio.wait({sending}, timeout=0.3)
            await asyncio.sleep(0.1)  # as above
        assert 0 < seen < count / 2
        client.writer.transport.resume_reading()
        for _ in range(count):
            assert (await client.response())[2] == body
        await sending
        assert len(upstream.heads) == count
