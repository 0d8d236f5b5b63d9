"""Trailers of a request end with it: none of them reaches the request behind it."""

import pytest
from kit import GET, OK, FixedTokens, RawConnection, RawUpstream, raw_client, running, settings

HEAD = b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b"5\r\nhello\r\n0\r\n"
TRAILERS = [
    b"X-HTTP-Method-Override: DELETE\r\n",
    b"Authorization: evil\r\n",
    b"Cookie: a=b\r\nX-Second: 2\r\n",
    b"Expect: foo\r\n",
    b"Origin: https://evil.example\r\n",
    b"Host: evil.example\r\n",
    b"Connection: x-a\r\n",
]
NEXT = b"GET /b HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\n\r\n"


async def taking(upstream: RawUpstream, connection: RawConnection) -> None:
    """Answer each request, the chunked ones when their body is there."""
    while True:
        if b"chunked" in await upstream.request(connection):
            assert await connection.chunks() == b"hello"
        await connection.send(OK)


def own_lines(head: bytes) -> list[bytes]:
    """Return the lines that a client's request brought, without those that the proxy adds."""
    ours = (b"Host: 127.0.0.1", b"Via: ", b"Authorization: Bearer token-1")
    return [line for line in head.split(b"\r\n")[1:] if line and not line.startswith(ours)]


@pytest.mark.parametrize("trailers", [b"", *TRAILERS])
@pytest.mark.parametrize("cut", [None, -1, -2, -3, -4, -5])
async def test_the_next_request_has_its_own_lines_only(trailers: bytes, cut: int | None):
    """On a kept connection, wherever the end of the body is torn apart."""
    data = HEAD + BODY + trailers + b"\r\n"
    async with (
        RawUpstream(taking) as upstream,
        running(settings(upstream.url), FixedTokens()) as app,
        raw_client(app) as client,
    ):
        await client.send(data[:cut])
        if cut is not None:
            await client.send(data[cut:])
        assert (await client.response())[0] == 200
        await client.send(NEXT)
        assert (await client.response())[0] == 200
        await client.send(GET)
        assert (await client.response())[0] == 200
    assert [own_lines(head) for head in upstream.heads[1:]] == [[b"X-A: 1"], []]


@pytest.mark.parametrize("trailers", [b"", *TRAILERS[:3]])
async def test_what_is_pipelined_behind_a_chunked_body_is_not_served_with_its_trailers(trailers: bytes):
    """The parser cannot tell them apart any more: the first is answered and the connection says that it ends."""
    async with (
        RawUpstream(taking) as upstream,
        running(settings(upstream.url), FixedTokens()) as app,
        raw_client(app) as client,
    ):
        await client.send(HEAD + BODY + trailers + b"\r\n" + NEXT + GET)
        status, headers, _ = await client.response()
        assert (status, ("Connection", "close") in headers) == (200, True)
        assert await client.rest() == b""
    assert len(upstream.heads) == 1


async def test_many_chunked_uploads_share_a_connection():
    """A new parser behind each of them keeps the connection and everything in order."""
    async with (
        RawUpstream(taking) as upstream,
        running(settings(upstream.url), FixedTokens()) as app,
        raw_client(app) as client,
    ):
        for _ in range(50):
            await client.send(HEAD + BODY + b"X-T: 1\r\n\r\n")
            assert (await client.response())[0] == 200
        assert upstream.connections == 1
        assert app.counters.requests[("POST", 200)] == 50
