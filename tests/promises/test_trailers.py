"""Trailers of an answer reach the clients that take them, line by line, and nobody else."""

import asyncio
import contextlib
from typing import NamedTuple

import pytest
from kit import (
    OK,
    FixedTokens,
    RawConnection,
    RawUpstream,
    Script,
    answering,
    every_loop,
    get,
    post,
    proxied,
    raw_client,
)

TAKES = get(b"/", b"Connection: TE", b"TE: trailers")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
LINES = [
    b"X-Checksum: sha-256=abc",
    b"grpc-STATUS: 0",
    b"X-checksum: second",
    b"X-Empty: ",
    b"X-Bytes: caf\xe9 \t,;=",
    b"Server-Timing: db;dur=5",
]
ANNOUNCED = [b"X-Checksum, grpc-status", b"server-timing"]


class Ended(NamedTuple):
    """An answer in chunks, and the lines behind its last one."""

    head: list[bytes]
    body: bytes
    trailers: list[bytes]


async def ended(client: RawConnection) -> Ended:
    """Return the next answer, whose body is in chunks."""
    message = (await client.head()).split(b"\r\n")[:-2]
    assert b"Transfer-Encoding: chunked" in message
    body = b""
    while size := int(await client.until(b"\r\n"), 16):
        body += (await client.exactly(size + 2))[:-2]
    lines = []
    while (line := (await client.until(b"\r\n"))[:-2]) != b"":
        lines.append(line)
    return Ended(message, body, lines)


def with_trailers(*lines: bytes, head: bytes = CHUNKED, body: bytes = b"2\r\nok\r\n") -> bytes:
    """Return an answer in chunks with these trailers."""
    return head + b"\r\n" + body + b"0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def in_pieces(answer: bytes, *marks: bytes) -> Script:
    """Return a script that sends *answer* with a pause behind each of the *marks*; without any, byte by byte."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            await upstream.take(connection)
            ends = [answer.index(mark) + len(mark) for mark in marks] or list(range(1, len(answer)))
            for start, end in zip([0, *ends], [*ends, len(answer)], strict=True):
                await connection.send(answer[start:end])
                await asyncio.sleep(0.01 if marks else 0)  # so that the pieces arrive one by one

    return script


FULL = with_trailers(*LINES, head=CHUNKED + b"".join(b"trailer: %b\r\n" % value for value in ANNOUNCED))
WAYS = {
    "at once": answering(FULL),
    "head first": in_pieces(FULL, b"\r\n\r\n"),
    "body first": in_pieces(FULL, b"ok\r\n"),
    "in the last chunk": in_pieces(FULL, b"ok\r\n0\r", b"grpc-ST"),
    "byte by byte": in_pieces(FULL),
}


@every_loop
@pytest.mark.parametrize("way", WAYS)
async def test_who_takes_trailers_gets_them(way: str):
    """They arrive in order, with their spelling and duplicates, announced as the upstream did, time after time."""
    async with proxied(WAYS[way]) as (app, upstream), raw_client(app) as client:
        for _ in range(2):
            await client.send(TAKES)
            answer = await ended(client)
            assert (answer.body, answer.trailers) == (b"ok", LINES)
            assert [line for line in answer.head if line.lower().startswith(b"trailer")] == [
                b"Trailer: " + value for value in ANNOUNCED
            ]
        assert upstream.connections == 1


@pytest.mark.parametrize(
    "lines",
    [
        [b"TE: trailers", b"Connection: TE"],
        [b"te: Trailers"],
        [b"TE: gzip;q=0.5, trailers", b"Connection: keep-alive, te, x-hop", b"X-Hop: 1"],
        [b"TE: deflate", b"TE: trailers"],
    ],
)
async def test_the_upstream_is_told_that_they_are_taken(lines: list[bytes]):
    """Our own hop says `TE: trailers` and names it in Connection, whatever the client's words were."""
    async with proxied(answering(with_trailers(b"X-A: 1")), upstream_={"via": "off"}) as (app, upstream):
        async with raw_client(app) as client:
            await client.send(get(b"/", *lines))
            assert (await ended(client)).trailers == [b"X-A: 1"]
        assert upstream.last.lines[1:-1] == [b"Connection: TE", b"TE: trailers"]


@pytest.mark.parametrize(
    "lines", [[], [b"TE: gzip", b"Connection: TE"], [b"TE: trailer"], [b"TE_: trailers"], [b"X-TE: trailers"]]
)
async def test_who_does_not_ask_gets_none(lines: list[bytes]):
    """No trailers, no announcement, and the upstream is not told that somebody would take them."""
    async with proxied(answering(FULL)) as (app, upstream), raw_client(app) as client:
        for _ in range(2):
            await client.send(get(b"/", *lines))
            answer = await ended(client)
            assert (answer.body, answer.trailers) == (b"ok", [])
            assert not [line for line in answer.head if line.lower().startswith(b"trailer")]
            assert not [line for line in upstream.last.lines if line.lower().startswith((b"te:", b"connection:"))]


async def test_an_http_1_0_client_gets_none():
    """It knows neither chunks nor trailers: it gets the body, and then the end."""
    async with proxied(answering(FULL)) as (app, upstream), raw_client(app) as client:
        await client.send(TAKES.replace(b"HTTP/1.1", b"HTTP/1.0"))
        ending = await client.ending()
        assert ending.data.endswith(b"\r\n\r\nok")
        assert not ending.reset
        assert b"railer" not in ending.data
        assert not upstream.last.values(b"te")


async def test_a_connection_is_asked_by_each_request_anew():
    """What one request takes is nothing to the next, on the client's connection as on the upstream's."""
    async with proxied(answering(FULL)) as (app, upstream), raw_client(app) as client:
        await client.send(TAKES + get() + TAKES + TAKES)
        assert [(await ended(client)).trailers for _ in range(4)] == [LINES, [], LINES, LINES]
        assert upstream.connections == 1


async def test_trailers_of_one_answer_are_not_those_of_the_next():
    """An answer without trailers ends without, behind one that had some; a refused token's answer is no exception."""
    refusal = with_trailers(b"X-Old: 1", head=CHUNKED.replace(b"200", b"401") + b"WWW-Authenticate: Bearer\r\n")
    plain = with_trailers()
    answers = answering(with_trailers(b"X-Old: 1"), plain, refusal, plain, with_trailers(b"X-New: 1"))
    async with proxied(answers, FixedTokens("token-1", "token-2")) as (app, upstream), raw_client(app) as client:
        for expected in ([b"X-Old: 1"], [], [], [b"X-New: 1"]):
            await client.send(TAKES)
            assert (await ended(client)).trailers == expected
        assert len(upstream.heads) == 5


# What may be one.

FORBIDDEN = [
    *(b"Content-Length: 5", b"transfer-encoding: chunked", b"Set-Cookie: a=b", b"AUTHORIZATION: Bearer x"),
    *(b"WWW-Authenticate: Basic", b"Host: evil", b"Connection: x-hop", b"Keep-Alive: timeout=5", b"Trailer: X-A"),
    *(b"TE: trailers", b"Upgrade: websocket", b"Proxy-Authenticate: Basic", b"Proxy-Connection: close"),
]


@every_loop
@pytest.mark.parametrize("line", FORBIDDEN)
async def test_what_frames_routes_or_authenticates_is_no_trailer(line: bytes):
    """It is dropped (RFC 9110 6.5.1) and the lines around it are not; one that frames may break the answer instead."""
    last = b"X-Last: 3"
    async with proxied(answering(with_trailers(b"X-A: 1", line, last), OK)) as (app, _), raw_client(app) as client:
        await client.send(TAKES.replace(b"Connection: TE", b"Connection: TE, close"))
        data = (await client.ending()).data
        assert line not in data
        if line.lower().startswith((b"content-length", b"transfer-encoding")) and last not in data:
            assert b"\r\n0\r\n" not in data
        else:
            assert data.endswith(b"\r\n\r\n2\r\nok\r\n0\r\nX-A: 1\r\nX-Last: 3\r\n\r\n")


async def test_what_connection_names_is_no_trailer():
    """A field that the head's Connection names is for one hop, as a trailer too (RFC 9110 7.6.1)."""
    head = CHUNKED + b"Connection: x-hop, X-Other\r\n"
    answer = with_trailers(b"X-A: 1", b"X-Hop: 2", b"x-other: 3", head=head)
    async with proxied(answering(answer)) as (app, _), raw_client(app) as client:
        await client.send(TAKES)
        assert (await ended(client)).trailers == [b"X-A: 1"]


LENGTH = b"HTTP/1.1 200 OK\r\nTrailer: X-A\r\nContent-Length: 2\r\n\r\nok"


@every_loop
@pytest.mark.parametrize(
    ("method", "answer", "body"),
    [
        (b"GET", LENGTH, b"ok"),
        (b"GET", LENGTH + b"0\r\nX-A: 1\r\n\r\n", b"ok"),
        (b"HEAD", CHUNKED + b"Trailer: X-A\r\n\r\n", b""),
        (b"HEAD", with_trailers(b"X-A: 1", head=CHUNKED + b"Trailer: X-A\r\n"), b""),
        (b"GET", b"HTTP/1.1 204 No\r\nTrailer: X-A\r\n\r\n", b""),
        (b"GET", b"HTTP/1.1 304 No\r\nTrailer: X-A\r\n\r\n" + with_trailers(b"X-A: 1"), b""),
    ],
    ids=["length", "length and more", "HEAD", "HEAD and more", "204", "304 and more"],
)
async def test_only_a_body_in_chunks_has_trailers(method: bytes, answer: bytes, body: bytes):
    """Other answers announce none and have none; what comes behind them is nobody's, and ends their connection."""
    async with proxied(answering(answer, OK)) as (app, upstream), raw_client(app) as client:
        await client.send(TAKES.replace(b"GET", method))
        message = await client.message(to=method.decode())
        assert message.body == body
        assert not message.values(b"trailer")
        await client.send(post(b"x"))
        assert (await client.message()).raw == b"ok"
        assert upstream.connections == 1 + (b"X-A: 1" in answer)


EVIL = b"HTTP/1.1 200 OK\r\nX-Evil: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Evil: 2\r\n\r\n"


@every_loop
@pytest.mark.parametrize("trailers", [[], [b"X-A: 1"]], ids=["none", "some"])
@pytest.mark.parametrize("evil", [EVIL, b"X-Evil: 1\r\n\r\n", b"HTTP/1.1 100 Continue\r\nX-Evil: 1\r\n\r\n" + EVIL])
@pytest.mark.parametrize("slow", [False, True], ids=["at once", "later"])
async def test_a_second_answer_is_no_trailer(trailers: list[bytes], evil: bytes, slow: bool):
    """What follows a complete answer reaches nobody, and its connection carries nobody's next request."""
    answer = with_trailers(*trailers)
    script = in_pieces(answer + evil, b"ok\r\n") if slow else answering(answer + evil)
    async with proxied(script) as (app, upstream), raw_client(app) as client:
        for number in (1, 2):
            await client.send(TAKES)
            assert (await ended(client))[1:] == (b"ok", trailers)
            assert upstream.connections == number


# Too many, and broken ones.


@every_loop
@pytest.mark.parametrize(
    "lines",
    [[b"X-Large: " + b"x" * 200_000], [b"X-%d: y" % number for number in range(10_000)]],
    ids=["large", "many"],
)
async def test_many_pass(lines: list[bytes]):
    """Up to 256 KiB of them arrive whole, to the last."""
    async with proxied(answering(with_trailers(*lines))) as (app, _), raw_client(app) as client:
        await client.send(TAKES)
        assert (await ended(client)).trailers == lines


@every_loop
@pytest.mark.parametrize(
    "line", [b"X: " + b"x" * 3_000_000, b"X: y\r\n" * 500_000, b"x" * 3_000_000], ids=["large", "many", "a name"]
)
async def test_too_many_end_it(line: bytes):
    """What goes over is not gathered: the client's connection breaks without a last chunk, and the upstream's ends."""
    begun, over = asyncio.Event(), asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(CHUNKED + b"\r\n2\r\nok\r\n")
        await begun.wait()
        with contextlib.suppress(ConnectionError):
            await connection.send(b"0\r\n" + line)
            await connection.ending()
        over.set()

    async with proxied(script) as (app, _), raw_client(app) as client:
        await client.send(TAKES)
        await client.until(b"ok\r\n")
        begun.set()
        assert (await client.ending()).data == b""
        await asyncio.wait_for(over.wait(), 5)


BROKEN = [
    b"X : 1\r\n\r\n",
    b"X: a\x00b\r\n\r\n",
    b"X\r\n\r\n",
    b"X: a\rb\r\n\r\n",
    b" X: 1\r\n\r\n",
    b"X: 1\n\n",
    b"X: 1\r\n",
]


@every_loop
@pytest.mark.parametrize("trailers", BROKEN)
async def test_broken_ones_end_it(trailers: bytes):
    """Lines that are none, or that never end, leave the answer without its last chunk, whole as it may look."""
    begun = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(CHUNKED + b"\r\n2\r\nok\r\n")
        await begun.wait()
        await connection.send(b"0\r\n" + trailers)

    async with proxied(script) as (app, _), raw_client(app) as client:
        await client.send(TAKES)
        await client.until(b"ok\r\n")
        begun.set()
        assert (await client.ending()).data == b""
