"""Where a message ends is one thing for everybody: framing towards both sides, and no request smuggled past it."""

import asyncio

import pytest
from kit import OK, RawConnection, RawUpstream, answering, chunked, closing, fetch, get, post, proxied, raw_client

OLD = b"GET / HTTP/1.0\r\n\r\n"
OLD_KEPT = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"he", b"llo")


@pytest.mark.parametrize(
    ("answer", "lines", "raw"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", [b"Content-Length: 5"], b"hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", [b"Content-Length: 0"], b""),
        (CHUNKED, [b"Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\n\r\n"),
        (CHUNKED[:47] + b"0\r\n\r\n", [b"Transfer-Encoding: chunked"], b"0\r\n\r\n"),
    ],
)
async def test_an_answer_keeps_its_framing(answer: bytes, lines: list[bytes], raw: bytes):
    """A length stays the length, chunks stay chunks, and the connection goes on."""
    async with proxied(answering(answer)) as (app, _), raw_client(app) as client:
        for _ in range(2):
            await client.send(get())
            message = await client.message()
            assert [line for line in message.lines if not line.startswith(b"Date")] == lines
            assert message.body == (b"hello" if b"hello" in answer or b"llo" in answer else b"")
            assert message.raw.replace(b"2\r\nhe\r\n3\r\nllo", b"5\r\nhello") == raw


async def test_a_body_without_length_becomes_chunks():
    """What the upstream ends by closing is in chunks for HTTP/1.1, whose connection goes on."""
    async with proxied(closing(b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nhello")) as (app, _), raw_client(app) as client:
        for _ in range(2):
            await client.send(get())
            message = await client.message()
            assert message.first == b"HTTP/1.1 200 OK"
            assert message.value(b"transfer-encoding") == b"chunked"
            assert message.body == b"hello"


@pytest.mark.parametrize("answer", [CHUNKED, b"HTTP/1.1 200 OK\r\n\r\nhello", b"HTTP/1.0 200 OK\r\n\r\nhello"])
async def test_http_1_0_gets_no_chunks(answer: bytes):
    """For an HTTP/1.0 client the connection's clean end is the body's end."""
    async with proxied(closing(answer)) as (app, upstream):
        for request in (OLD, OLD_KEPT):
            async with raw_client(app) as client:
                await client.send(request)
                message = await client.message()
                assert message.first == b"HTTP/1.1 200 OK"
                assert message.values(b"transfer-encoding") == message.values(b"content-length") == []
                assert message.values(b"connection") == [b"close"]
                assert message.body == b"hello"
            assert upstream.last.first == b"GET / HTTP/1.1"


async def test_http_1_0_keeps_its_connection_if_it_asks():
    """An answer with a length leaves the connection to an HTTP/1.0 client that asked to keep it, and tells so."""
    async with proxied(answering(OK)) as (app, _), raw_client(app) as client:
        for _ in range(2):
            await client.send(OLD_KEPT)
            message = await client.message()
            assert message.value(b"connection") == b"keep-alive"
            assert message.body == b"ok"
        await client.send(OLD)
        message = await client.message()
        assert message.value(b"connection") == b"close"
        assert (await client.ending()).data == b""


async def test_an_error_of_ours_ends_for_http_1_0_too():
    """Our own answer to an HTTP/1.0 client ends as its head says: kept and told so, or closed."""
    refused = OLD_KEPT.replace(b"\r\n\r\n", b"\r\nOrigin: null\r\n\r\n")
    async with proxied(answering(OK)) as (app, _), raw_client(app) as client:
        await client.send(refused)
        message = await client.message()
        assert message.status == 403
        if message.value(b"connection") == b"keep-alive":
            await client.send(OLD_KEPT)
            assert (await client.message()).body == b"ok"
        else:
            assert (await client.ending()).data == b""


@pytest.mark.parametrize("request_head", [get(b"/", b"Connection: close"), get(b"/", b"Connection: x, CLOSE"), OLD])
async def test_who_asks_to_close_is_closed(request_head: bytes):
    """`Connection: close` gets one back, and a clean end behind the answer."""
    async with proxied(answering(OK)) as (app, _), raw_client(app) as client:
        await client.send(request_head)
        message = await client.message()
        assert message.value(b"connection") == b"close"
        ending = await client.ending()
        assert (ending.data, ending.reset) == (b"", False)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (b"HTTP/1.1 204 No Content\r\nETag: x\r\nContent-Length: 0\r\n\r\n", [b"ETag: x"]),
        (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 99\r\n\r\n", [b"ETag: x", b"Content-Length: 99"]),
        (b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", [b"Content-Length: 0"]),
    ],
)
async def test_an_answer_without_a_body_has_none(answer: bytes, kept: list[bytes]):
    """204 and 304 have no body whatever their headers say; the next answer is the next request's."""
    async with proxied(answering(answer, OK)) as (app, _), raw_client(app) as client:
        await client.send(get())
        message = await client.message()
        assert [line for line in message.lines if not line.startswith(b"Date")] == kept
        await client.send(get())
        assert (await client.message()).body == b"ok"


@pytest.mark.parametrize(
    "lines", [[b"Content-Length: 99", b"Content-Type: x"], [b"Transfer-Encoding: chunked"], [b"ETag: x"]]
)
@pytest.mark.parametrize("old", [False, True])
async def test_head_has_no_body(lines: list[bytes], old: bool):
    """An answer to HEAD keeps its length and has no body; connections on both sides go on."""
    head = b"HTTP/1.1 200 OK\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"
    request = get(method=b"HEAD") if not old else OLD_KEPT.replace(b"GET", b"HEAD")
    async with proxied(answering(head, OK)) as (app, upstream), raw_client(app) as client:
        await client.send(request)
        message = await client.message(to="HEAD")
        assert [line for line in message.lines if line in lines] == [line for line in lines if b"chunked" not in line]
        await client.send(get())
        assert (await client.message()).body == b"ok"
        assert upstream.connections == 1


async def test_pipelined_requests_are_answered_in_order():
    """Many requests in one segment get their answers in their order, and none twice."""

    async def echo(upstream, connection):
        while True:
            path = (await upstream.take(connection)).first.split(b" ")[1]
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    async with proxied(echo) as (app, upstream), raw_client(app) as client:
        requests = [post(b"x" * (number % 7), path=b"/%d" % number) for number in range(100)]
        await client.send(b"".join(requests))
        assert [(await client.message()).body for _ in requests] == [b"/%d" % number for number in range(100)]
        assert len(upstream.heads) == 100


async def test_nothing_follows_a_request_that_closes():
    """What comes behind `Connection: close` is neither answered nor forwarded."""
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/1"))
        assert (await client.message()).body == b"ok"
        await client.send(get(b"/2", b"Connection: close"))
        await client.send(get(b"/3"))
        assert (await client.message()).value(b"connection") == b"close"
        assert (await client.ending()).data == b""
        assert b"/3" not in b"".join(upstream.heads)


def bad(*lines: bytes, rest: bytes = b"", first: bytes = b"POST / HTTP/1.1") -> bytes:
    """Return a request that must not be forwarded, with another one smuggled behind it."""
    return b"\r\n".join([first, b"Host: localhost", *lines]) + b"\r\n\r\n" + rest + get(b"/smuggled")


async def test_a_rest_behind_a_bad_request_is_never_a_request():
    """Bytes that come after a refusal are not read as a request, however long the client goes on."""
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        await client.send(bad(b"X : y"))
        assert (await client.message()).status == 400
        await client.send(get(b"/smuggled"))
        assert (await client.ending()).data == b""
        assert upstream.heads == []


async def test_answers_come_before_the_refusal_that_follows():
    """A bad request that comes while a good one is under way is refused in its turn."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        arrived.set()
        await go.wait()
        await connection.send(OK)

    async with proxied(script) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/1"))
        await arrived.wait()
        await client.send(bad(b"X : y"))
        go.set()
        assert (await client.message()).body == b"ok"
        assert (await client.message()).status == 400
        assert (await client.ending()).data == b""
        assert len(upstream.heads) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n" + get(),
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX:\ty \t\r\n\r\n",
        b"GET / HTTP/1.1\r\nhOST:localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
)
async def test_what_is_merely_unusual_is_served(data: bytes):
    """Leading empty lines, blanks around values and lower-case names are HTTP."""
    async with proxied(answering(OK)) as (app, _):
        assert (await fetch(app, data.lstrip(b"\r\n") if data[0] == 13 else data)).body == b"ok"
        async with raw_client(app) as client:
            await client.send(data)
            assert (await client.message()).body == b"ok"
