"""A client that leaves takes its upstream request with it, at once; one that only half-closes is answered."""

import asyncio

import pytest
from kit import OK, AwaitedTokens, RawConnection, RawUpstream, every_loop, get, post, proxied, raw_client, settled

NOTICED = 1.0
"""Seconds within which the upstream must see that the client left."""


async def leave(client: RawConnection, how: str) -> None:
    """End the client's connection well or with a reset."""
    if how == "RST":
        client.reset()
    else:
        await client.close()


@every_loop
@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (get(), b""),
        (get(b"/", b"Content-Length: 9", method=b"POST") + b"part", b""),
        (get(), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"),
        (get(), b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"),
        (get(), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"),
    ],
    ids=["waiting", "upload", "download", "idle SSE", "idle chunks"],
)
async def test_the_upstream_sees_that_the_client_left(sent: bytes, answered: bytes, how: str):
    """Whatever it was doing, the upstream's connection ends within a second, without new data (G67)."""
    reached, ended = asyncio.Event(), asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        await connection.send(answered)
        reached.set()
        await connection.ending()
        ended.set()

    async with proxied(script) as (app, _):
        async with raw_client(app) as client:
            await client.send(sent)
            await reached.wait()
            if answered:
                await client.head()
            # A moment after the request, so that this is no half-close that waits for its answer.
            await asyncio.sleep(0.03)  # over the grace of a half-close, whose rule is a time
            await leave(client, how)
        await asyncio.wait_for(ended.wait(), NOTICED)
        await settled(lambda: app.counters.in_flight == 0)
        assert app.counters.requests[("POST" if b"POST" in sent else "GET", 499)] == 1


@every_loop
async def test_a_client_that_leaves_while_it_waits_for_a_token():
    """Nothing is sent upstream for a client that left before there was a token."""
    tokens = AwaitedTokens()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)

    async with proxied(script, tokens) as (app, upstream):
        async with raw_client(app) as client:
            await client.send(get())
            await tokens.asked.wait()
            await asyncio.sleep(0.03)  # over the grace of a half-close, whose rule is a time
        await settled(lambda: app.counters.in_flight == 0)
        tokens.arrived.set()
        assert app.counters.requests[("GET", 499)] == 1
        assert upstream.connections == 0


@every_loop
@pytest.mark.parametrize(
    "data",
    [get(), post(b"x" * 10), post(b"x" * 500_000), b"GET / HTTP/1.0\r\n\r\n", get(b"/1") + get(b"/2")],
    ids=["GET", "POST", "large POST", "HTTP/1.0", "two"],
)
async def test_a_half_close_behind_a_request_is_answered(data: bytes):
    """`printf ... | nc -N`: a FIN right behind the request is a client that has nothing more to say (R31)."""
    release = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            await upstream.take(connection)
            await release.wait()
            await connection.send(OK)

    async with proxied(script) as (app, upstream), raw_client(app) as client:
        await client.send(data)
        client.half_close()
        await settled(lambda: upstream.heads)
        # The answer comes long after the FIN.
        await asyncio.sleep(0.05)  # over the grace of a half-close, whose rule is a time
        release.set()
        for _ in range(2 if b"/2" in data else 1):
            assert (await client.message()).body == b"ok"
        ending = await client.ending()
        assert (ending.data, ending.reset) == (b"", False)


@every_loop
async def test_a_half_close_behind_a_slow_upload_is_answered():
    """The FIN belongs to the last byte of the body, however long the upload took."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await asyncio.sleep(0.05)  # over the grace of a half-close, whose rule is a time
        await connection.send(OK)

    async with proxied(script) as (app, _), raw_client(app) as client:
        await client.send(get(b"/", b"Content-Length: 10", method=b"POST") + b"hello")
        await asyncio.sleep(0.05)  # over the grace of a half-close, whose rule is a time
        await client.send(b"world")
        client.half_close()
        assert (await client.message()).body == b"ok"


async def test_a_half_close_within_a_request_ends_it():
    """A FIN within a head or a body can only be a client that left."""
    for data in (b"GET / HT", get()[:-2], get(b"/", b"Content-Length: 9", method=b"POST") + b"part"):
        ended = asyncio.Event()

        async def script(upstream: RawUpstream, connection: RawConnection, ended: asyncio.Event = ended) -> None:
            await upstream.request(connection)
            await connection.ending()
            ended.set()

        async with proxied(script) as (app, upstream), raw_client(app) as client:
            await client.send(data)
            if b"POST" in data:
                await settled(lambda upstream=upstream: upstream.heads)
            client.half_close()
            assert b"200" not in (await client.ending()).data
            if b"POST" in data:
                await asyncio.wait_for(ended.wait(), NOTICED)


async def test_an_idle_client_that_leaves_leaves_nothing():
    """A client's end between requests ends its connection here."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(OK)
        await connection.rest()

    async with proxied(script) as (app, _):
        async with raw_client(app) as client:
            await client.send(get())
            assert (await client.message()).body == b"ok"
            client.half_close()
            assert (await client.ending()).data == b""
        await settled(lambda: not app._server.clients)
