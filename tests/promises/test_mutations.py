"""
Broken requests and answers, made from good ones by a seeded generator, and judged by an independent parser (h11).

Whatever comes, the upstream reads as many requests as we meant, each with our one credential, and a client never
takes for whole what was not. A failure names the bytes; run more of them by raising `ROUNDS`.
"""

import asyncio
import random

import h11
import pytest
from kit import OK, FixedTokens, RawConnection, RawUpstream, chunked, get, post, proxied, raw_client

ROUNDS = 250

REQUESTS = [
    get(b"/a?b=c", b"X-A: 1", b"Cookie: a=b"),
    post(b"hello", b"X: y"),
    get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(b"he", b"llo"),
    get(b"/", b"Expect: 100-continue", b"Content-Length: 5", method=b"PUT") + b"hello",
    b"GET http://localhost/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    get(b"/1") + get(b"/2"),
    post(b"abc") + get(b"/2"),
    get(b"/", b"Connection: Upgrade", b"Upgrade: websocket") + get(b"/2"),
    get(b"/", b"Connection: Upgrade", b"Upgrade: h2c") + post(b"x"),
]
ANSWERS = [
    OK,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nto the end",
    b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
    b"HTTP/1.1 103 Hints\r\nLink: </x>\r\n\r\n" + OK,
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 2\r\n\r\nno',
    b"HTTP/1.1 200 OK\r\nUpgrade: h2\r\nConnection: Upgrade, X-A\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/x\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n",
]
PIECES = [
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\x00", b"\xff", b"\x0b", b",", b";", b"%", b"/../", b"0\r\n\r\n"),
    *(b"chunked", b"HTTP/1.1", b"HTTP/1.0", b"5\r\n", b"Trailer: X\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Authorization: Basic x\r\n"),
    *(b"Host: localhost\r\n", b"Connection: authorization\r\n", b"Connection: close\r\n", get(b"/smuggled"), OK),
    *(b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n"),
]


def broken(chance: random.Random, data: bytes) -> bytes:
    """Return *data* with up to three pieces put in, taken out, doubled or replaced."""
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice([1, 1, 2, 5, 20]))
        piece = chance.choice([*PIECES, bytes([chance.randrange(256)])])
        kept = chance.choice([data[at:], data[end:], data[at + 1 :], data[at:end] + data[at:]])
        data = data[:at] + chance.choice([piece, b""]) + kept
    return data


def sliced(chance: random.Random, data: bytes) -> list[bytes]:
    """Return *data* in one piece or in two."""
    at = chance.randrange(len(data) + 1)
    return chance.choice([[data], [data[:at], data[at:]]])


class StrictUpstream:
    """An upstream that reads with h11, answers each request, and keeps what it read."""

    def __init__(self) -> None:
        self.requests: list[h11.Request] = []
        self.errors: list[str] = []

    async def __call__(self, _: RawUpstream, connection: RawConnection) -> None:
        parser = h11.Connection(h11.SERVER)
        while True:
            try:
                event = parser.next_event()
            except h11.RemoteProtocolError as error:
                # A request that breaks off is a cut one, which is right.
                if "without sending" not in str(error) and "unexpectedly" not in str(error):
                    self.errors.append(str(error))
                return
            if event is h11.NEED_DATA:
                data = await connection.reader.read(2**16)
                if not data and parser.their_state is h11.IDLE:
                    return
                parser.receive_data(data)
            elif isinstance(event, h11.Request):
                self.requests.append(event)
            elif isinstance(event, h11.EndOfMessage):
                await connection.send(OK)
                parser.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                parser.send(h11.EndOfMessage())
                parser.start_next_cycle()


@pytest.mark.parametrize("seed", range(4))
async def test_broken_requests(seed: int):
    """No mutation of a request gets a second request, a second credential or a 500 out of us."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    strict = StrictUpstream()
    limits = {"header_timeout": 0.2, "body_timeout": 0.2}
    async with proxied(strict, limits=limits) as (app, upstream):
        host = b"127.0.0.1:%d" % upstream.port
        for _ in range(ROUNDS // 4):
            data = broken(chance, chance.choice(REQUESTS))
            strict.requests.clear()
            async with raw_client(app) as client:
                for piece in sliced(chance, data):
                    await client.send(piece)
                    await asyncio.sleep(0)
                client.half_close()
                answer = (await client.ending()).data
            assert not answer.startswith(b"HTTP/1.1 500"), data
            assert strict.errors == [], data
            assert len(strict.requests) <= data.count(b"HTTP/1."), data
            for request in strict.requests:
                lines = [(name, value) for name, value in request.headers if name in {b"authorization", b"host"}]
                assert sorted(lines) == [(b"authorization", b"Bearer token-1"), (b"host", host)], data


def verdict(data: bytes, method: bytes) -> tuple[int, bytes] | None:
    """Return status and body of the final answer that h11 reads in *data* and the end behind it, None if none."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method=method, target=b"/", headers=[(b"host", b"a")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(data)
    status, body = 0, b""
    ended = False
    try:
        while not isinstance(event := parser.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                if ended:
                    return None
                parser.receive_data(b"")
                ended = True
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.ConnectionClosed):
                return None
    except h11.RemoteProtocolError:
        return None
    return status, body


@pytest.mark.parametrize("seed", range(4))
async def test_broken_answers(seed: int):
    """What a client reads as whole is what the upstream said, or our 502; no mutation of an answer is our 500."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    pieces: list[bytes] = []

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        for piece in pieces:
            await connection.send(piece)
            await asyncio.sleep(0)

    timeouts = {"response_timeout": 0.3, "idle_timeout": 0.3}
    async with proxied(script, FixedTokens("token-1", "token-2"), upstream_=timeouts) as (app, _):
        for _ in range(ROUNDS // 4):
            data = broken(chance, chance.choice(ANSWERS))
            pieces[:] = sliced(chance, data)
            method = chance.choice([b"GET", b"GET", b"POST", b"HEAD"])
            async with raw_client(app) as client:
                await client.send(get(b"/", b"Connection: close", method=method))
                ending = await client.ending()
            got = None if ending.reset else verdict(ending.data, method)
            meant = verdict(data, method)
            assert not ending.data.startswith(b"HTTP/1.1 500"), data
            if got is not None and got[0] != 502 and meant is not None:
                assert got == meant, data
