"""What is for one hop stays on it, in both directions."""

import asyncio

import pytest
from kit import OK, RawConnection, RawUpstream, answering, fetch, get, post, proxied, raw_client

HOP = [
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Proxy-Authenticate: Basic",
    b"Proxy-Authorization: Basic x",
    b"Proxy-Authentication-Info: x",
    b"TE: gzip",
    b"Trailer: X-Checksum",
    b"HTTP2-Settings: AAMAAABkAAQAAP__",
    b"X-Named: 1",
    b"x-named: 2",
    b"X-Also: 3",
]


def names(lines: list[bytes]) -> set[bytes]:
    """Return the lower-case names of header lines."""
    return {line.split(b":")[0].lower() for line in lines}


async def test_requests_lose_them():
    """Neither the hop-by-hop lines of a request nor what its Connection lines name reaches the upstream."""
    lines = [*HOP, b"Connection: keep-alive, x-named", b"connection:", b"Connection: X-ALSO", b"X-End: kept"]
    async with proxied(answering(OK)) as (app, upstream):
        assert (await fetch(app, get(b"/", *lines))).body == b"ok"
        assert names(upstream.last.lines) == {b"host", b"x-end", b"via", b"authorization"}


async def test_answers_lose_them():
    """Neither the hop-by-hop lines of an answer nor what its Connection lines name reaches the client."""
    lines = [*HOP, b"Connection: keep-alive, x-named", b"Upgrade: h2", b"connection: X-ALSO", b"X-End: kept"]
    head = b"HTTP/1.1 200 OK\r\n" + b"\r\n".join(lines) + b"\r\nContent-Length: 2\r\n\r\nok"
    async with proxied(answering(head)) as (app, _):
        answer = await fetch(app, get())
        assert names(answer.lines) == {b"x-end", b"content-length", b"date"}
        assert answer.body == b"ok"


async def test_the_upstreams_trailers_are_dropped():
    """Who did not ask for trailers gets none, nor the line that announces them; the body is whole."""
    chunks = b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"
    async with proxied(answering(b"HTTP/1.1 200 OK\r\n" + chunks)) as (app, _), raw_client(app) as client:
        for _ in range(2):
            await client.send(get())
            answer = await client.message()
            assert answer.raw == b"2\r\nok\r\n0\r\n\r\n"
            assert names(answer.lines) == {b"date", b"transfer-encoding"}


UPGRADES = [
    [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"],
    [b"Connection: upgrade", b"Upgrade: websocket"],
    [b"Connection: Upgrade", b"Upgrade: TLS/1.0, HTTP/1.1"],
    [b"Upgrade: websocket"],
]


@pytest.mark.parametrize("lines", UPGRADES)
async def test_an_upgrade_becomes_a_plain_request(lines: list[bytes]):
    """One that opens no WebSocket is dropped; the request goes on as HTTP/1.1, and so does the connection (R22)."""
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        for path in (b"/1", b"/2"):
            await client.send(get(path, *lines))
            assert (await client.message()).body == b"ok"
            assert upstream.last.first == b"GET " + path + b" HTTP/1.1"
            assert names(upstream.last.lines) == {b"host", b"via", b"authorization"}


@pytest.mark.parametrize("lines", UPGRADES)
async def test_an_upgrade_with_a_body_keeps_it(lines: list[bytes]):
    """The body of a request that wanted an upgrade is forwarded, in one piece or in several (R23)."""
    async with proxied(answering(OK)) as (app, upstream):
        assert (await fetch(app, post(b"hello", *lines))).body == b"ok"
        async with raw_client(app) as client:
            for piece in (post(b"hello", *lines)[:-2], b"l", b"o"):
                await client.send(piece)
                await asyncio.sleep(0)
            assert (await client.message()).body == b"ok"
        assert [request.body for request in upstream.requests] == [b"hello", b"hello"]


@pytest.mark.parametrize("body", [b"", b"hello"])
@pytest.mark.parametrize("lines", UPGRADES)
async def test_what_follows_an_upgrade_at_once_is_answered_or_closed(lines: list[bytes], body: bytes):
    """A request that is pipelined behind an Upgrade is served in order, or the connection ends: it never hangs."""
    first = post(body, *lines, path=b"/1") if body else get(b"/1", *lines)
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        await client.send(first + get(b"/2"))
        answer = await client.message()
        assert answer.body == b"ok"
        if answer.value(b"connection") == b"close":
            assert (await client.ending()).data == b""
        else:
            assert (await client.message()).body == b"ok"
            assert upstream.last.first == b"GET /2 HTTP/1.1"


async def test_what_comes_while_an_upgrade_is_answered_waits_for_its_turn():
    """Bytes behind an Upgrade are held back, bounded, until it was answered as a plain request; then they are read."""
    arrived, go = asyncio.Event(), asyncio.Event()
    body = b"x" * 2_000_000

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        arrived.set()
        await go.wait()
        await connection.send(OK)
        await upstream.take(connection)
        await connection.send(OK)

    async with proxied(script) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/1", b"Connection: Upgrade", b"Upgrade: websocket"))
        await arrived.wait()
        sending = asyncio.ensure_future(client.send(post(body, path=b"/2")))
        await asyncio.sleep(0.01)  # lets the bytes reach the proxy, which shows no sign of them
        go.set()
        assert (await client.message()).body == b"ok"
        await sending
        assert (await client.message()).body == b"ok"
        assert upstream.last.body == body
