"""An upload arrives whole, whatever its size and however it comes."""

import asyncio

import pytest
from kit import FixedTokens, RawConnection, RawUpstream, raw_client, running, settings

SIZES = (0, 1, 65_535, 65_536, 65_537, 70_000, 131_072, 200_000, 1_000_000)


async def taking(upstream: RawUpstream, connection: RawConnection) -> None:
    """Read a body and answer with its length."""
    while True:
        head = (await upstream.request(connection)).lower()
        if b"transfer-encoding: chunked" in head:
            body = await connection.chunks()
        else:
            body = await connection.exactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        assert body == b"x" * len(body)
        said = str(len(body)).encode()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("waiting", [False, True])
async def test_a_body_arrives_whole(size: int, *, chunked: bool, waiting: bool):
    """A body that is there with its head, or before a token is, goes up as one that comes in pieces does."""
    tokens = FixedTokens()
    data = b"x" * size
    framed = (b"%x\r\n%b\r\n" % (size, data) if size else b"") + b"0\r\n\r\n" if chunked else data
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
    async with RawUpstream(taking) as upstream, running(settings(upstream.url), tokens) as app:
        if waiting:
            there, token = asyncio.Event(), tokens.current
            tokens.current = None
            tokens.token = lambda: waited(there, tokens, token)
        async with raw_client(app) as client:
            await client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n%b" % (framing, framed))
            if waiting:
                there.set()
            assert (await client.response())[2] == str(size).encode()


async def waited(there: asyncio.Event, tokens: FixedTokens, token: object) -> object:
    """Give the token when it is there, a while after the body."""
    await there.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    tokens.current = token
    return token
