"""A connection that sends the same bytes again is served from memory, and cannot tell."""

import asyncio

import pytest
from kit import (
    FixedTokens,
    RawConnection,
    RawUpstream,
    always,
    answering,
    every_loop,
    get,
    post,
    proxied,
    raw_client,
    running,
    settings,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ONE = get(b"/one", b"X: 1")


async def ask(client: RawConnection, data: bytes) -> int:
    """Send *data*, which is one request, and return the status of its answer."""
    await client.send(data)
    return (await client.message()).status


@every_loop
async def test_each_is_forwarded():
    """The same request five times is five requests upstream, alike but for nothing."""
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        for _ in range(5):
            assert await ask(client, ONE) == 200
        assert len(upstream.heads) == 5
        assert len(set(upstream.heads)) == 1


async def test_the_newest_token_goes():
    """What is remembered holds no token: the next one is in the next request."""
    tokens = FixedTokens("first", "second", "third")
    async with proxied(answering(OK), tokens) as (app, upstream), raw_client(app) as client:
        for name in ("first", "second", "third"):
            for _ in range(2):
                assert await ask(client, ONE) == 200
                assert upstream.heads[-1].count(b"Authorization: Bearer %b\r\n" % name.encode()) == 1
            assert tokens.current is not None
            tokens.suspect(tokens.current)


@pytest.mark.parametrize(
    "other",
    [
        get(b"/one", b"X: 2"),
        get(b"/two", b"X: 1"),
        get(b"/one", b"X: 1", method=b"DELETE"),
        get(b"/one", b"x: 1"),
        get(b"/one"),
        post(b"body", b"X: 1", path=b"/one"),
    ],
)
async def test_another_request_between_is_another(other: bytes):
    """One byte more or less makes it another request; the one before is then sent as it was."""
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        for data in (ONE, ONE, other, ONE, other, other):
            assert await ask(client, data) == 200
        first, again, changed, back, *rest = upstream.heads
        assert first == again == back
        assert changed == rest[0] == rest[1] != first


async def test_in_pieces_it_is_the_same():
    """What came whole, then in pieces, then behind another request in one piece, is the same request upstream."""
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        assert await ask(client, ONE) == 200
        await client.send(ONE[:10])
        await asyncio.sleep(0)
        await client.send(ONE[10:])
        assert (await client.message()).status == 200
        await client.send(ONE + ONE)
        for _ in range(2):
            assert (await client.message()).status == 200
        assert await ask(client, ONE) == 200
        assert len(upstream.heads) == 5
        assert len(set(upstream.heads)) == 1


async def test_a_refusal_stays_one():
    """A request that is answered by us is answered so each time, and nothing of it goes upstream."""
    refused = get(b"/", b"Origin: https://evil.example")
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        for data in (refused, refused, ONE, refused):
            assert await ask(client, data) == (200 if data is ONE else 403)
        assert len(upstream.heads) == 1


async def test_a_body_is_never_taken_for_it():
    """The same bytes as the body of another request are its body."""
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        assert await ask(client, ONE) == 200
        await client.send(get(b"/up", b"Content-Length: %d" % len(ONE), method=b"POST"))
        await asyncio.sleep(0)
        await client.send(ONE)
        assert (await client.message()).status == 200
        assert upstream.last.first.startswith(b"POST /up ")
        assert upstream.last.body == ONE
        assert len(upstream.heads) == 2


async def test_a_last_request_ends_the_connection_each_time():
    """`Connection: close` is obeyed on every connection, whatever another one remembers."""
    last = get(b"/one", b"Connection: close")
    async with RawUpstream(always(OK)) as upstream, running(settings(upstream.url), FixedTokens()) as app:
        for _ in range(2):
            async with raw_client(app) as client:
                assert await ask(client, ONE) == 200
                assert await ask(client, last) == 200
                assert (await client.ending()).data == b""
