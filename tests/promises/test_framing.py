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


SMUGGLING = {
    "length and chunks": (bad(b"Content-Length: 5", b"Transfer-Encoding: chunked", rest=b"0\r\n\r\n"), {400}),
    "chunks and length": (bad(b"Transfer-Encoding: chunked", b"Content-Length: 5", rest=b"0\r\n\r\n"), {400}),
    "two equal lengths": (bad(b"Content-Length: 3", b"Content-Length: 3", rest=b"abc"), {400}),
    "two lengths": (bad(b"Content-Length: 0", b"Content-Length: 3", rest=b"abc"), {400}),
    "a list of lengths": (bad(b"Content-Length: 3, 3", rest=b"abc"), {400}),
    "length +3": (bad(b"Content-Length: +3", rest=b"abc"), {400}),
    "length -3": (bad(b"Content-Length: -3"), {400}),
    "length 0x3": (bad(b"Content-Length: 0x3", rest=b"abc"), {400}),
    "length 3 3": (bad(b"Content-Length: 3 3", rest=b"abc"), {400}),
    "an empty length": (bad(b"Content-Length:", rest=b"abc"), {400}),
    "an endless length": (bad(b"Content-Length: 99999999999999999999"), {400}),
    "a length with Arabic digits": (bad("Content-Length: \u0663".encode(), rest=b"abc"), {400}),
    "gzip, chunked": (bad(b"Transfer-Encoding: gzip, chunked", rest=b"0\r\n\r\n"), {400, 501}),
    "chunked, gzip": (bad(b"Transfer-Encoding: chunked, gzip", rest=b"0\r\n\r\n"), {400, 501}),
    "xchunked": (bad(b"Transfer-Encoding: xchunked", rest=b"0\r\n\r\n"), {400, 501}),
    "identity": (bad(b"Transfer-Encoding: identity"), {400, 501}),
    "chunked, chunked": (bad(b"Transfer-Encoding: chunked, chunked", rest=b"0\r\n\r\n"), {400, 501}),
    "chunked,": (bad(b"Transfer-Encoding: chunked,", rest=b"0\r\n\r\n"), {400, 501}),
    "VT chunked": (bad(b"Transfer-Encoding: \x0bchunked", rest=b"0\r\n\r\n"), {400, 501}),
    "no coding": (bad(b"Transfer-Encoding:", rest=b"0\r\n\r\n"), {400, 501}),
    "two codings": (bad(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", rest=b"0\r\n\r\n"), {400, 501}),
    "chunks in 1.0": (bad(b"Transfer-Encoding: chunked", rest=b"0\r\n\r\n", first=b"POST / HTTP/1.0"), {400}),
    "a blank before the colon": (bad(b"X : y"), {400}),
    "a blank before TE's colon": (bad(b"Transfer-Encoding : chunked", rest=b"0\r\n\r\n"), {400}),
    "a folded line": (bad(b"X: y", b" z"), {400}),
    "a folded coding": (bad(b"Transfer-Encoding:", b" chunked", rest=b"0\r\n\r\n"), {400}),
    "a bare LF": (b"POST / HTTP/1.1\nHost: localhost\n\n" + get(b"/smuggled"), {400}),
    "a bare LF in a line": (bad(b"X: y\nTransfer-Encoding: chunked", rest=b"0\r\n\r\n"), {400}),
    "a bare CR": (bad(b"X: y\rContent-Length: 3", rest=b"abc"), {400}),
    "NUL": (bad(b"X: a\x00b"), {400}),
    "a control byte": (bad(b"X: a\x01b"), {400}),
    "DEL": (bad(b"X: a\x7fb"), {400}),
    "no name": (bad(b": y"), {400}),
    "no colon": (bad(b"Transfer-Encoding"), {400}),
    "a name beyond ASCII": (bad(b"X\xe9: y"), {400}),
    "a blank first line": (bad(b" X: y"), {400}),
    "a chunk size with LF": (bad(b"Transfer-Encoding: chunked", rest=b"3\nabc\r\n0\r\n\r\n"), {400}),
    "a chunk size 0x3": (bad(b"Transfer-Encoding: chunked", rest=b"0x3\r\nabc\r\n0\r\n\r\n"), {400}),
    "a chunk size -3": (bad(b"Transfer-Encoding: chunked", rest=b"-3\r\nabc\r\n0\r\n\r\n"), {400}),
    "a huge chunk size": (bad(b"Transfer-Encoding: chunked", rest=b"11111111111111111\r\nabc"), {400}),
    "a chunk that is too long": (bad(b"Transfer-Encoding: chunked", rest=b"3\r\nabcd\r\n0\r\n\r\n"), {400}),
    "a chunk extension with CRLF": (bad(b"Transfer-Encoding: chunked", rest=b'3;a="\r\nabc\r\n0\r\n\r\n'), {400}),
    "a length in the trailers": (bad(b"Transfer-Encoding: chunked", rest=b"0\r\nContent-Length: 3\r\n\r\n"), {400}),
    "HTTP/2.0": (bad(first=b"GET / HTTP/2.0"), {400, 505}),
    "HTTP/1.2": (bad(first=b"GET / HTTP/1.2"), {400, 505}),
    "HTTP/0.9": (bad(first=b"GET / HTTP/0.9"), {400, 505}),
    "HTTP/11.1": (bad(first=b"GET / HTTP/11.1"), {400, 505}),
    "no version": (b"GET /\r\nHost: localhost\r\n\r\n", {400, 505}),
    "a lower-case method": (bad(first=b"get / HTTP/1.1"), {400}),
    "an unknown method": (bad(first=b"FOO-BAR / HTTP/1.1"), {400}),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
    "garbage": (b"\x00\xff\xfe\r\n\r\n", {400}),
    "a fragment": (bad(first=b"GET /p?#frag HTTP/1.1"), {400}),
    "raw UTF-8 in the path": (bad(first=b"GET /caf\xc3\xa9 HTTP/1.1"), {400}),
    "a raw byte in the path": (bad(first=b"GET /\xff HTTP/1.1"), {400}),
    "a blank in the path": (bad(first=b"GET /a b HTTP/1.1"), {400}),
    "a tab in the path": (bad(first=b"GET /a\tb HTTP/1.1"), {400}),
    "NUL in the path": (bad(first=b"GET /a\x00b HTTP/1.1"), {400}),
    "DEL in the path": (bad(first=b"GET /a\x7fb HTTP/1.1"), {400}),
    "a CR in the path": (bad(first=b"GET /a\rb HTTP/1.1"), {400}),
    "a relative path": (bad(first=b"GET evil/p HTTP/1.1"), {400}),
    "@evil": (bad(first=b"GET @evil HTTP/1.1"), {400}),
    "an asterisk": (bad(first=b"GET * HTTP/1.1"), {400}),
    "another scheme": (bad(first=b"GET file:///etc/passwd HTTP/1.1"), {400, 421}),
    "no target": (bad(first=b"GET  HTTP/1.1"), {400}),
    "CONNECT": (bad(first=b"CONNECT evil:443 HTTP/1.1"), {405}),
    "CONNECT /": (bad(first=b"CONNECT / HTTP/1.1"), {400, 405}),
    "CONNECT without a port": (bad(first=b"CONNECT evil HTTP/1.1"), {400, 405}),
    "TRACE": (bad(first=b"TRACE / HTTP/1.1"), {405}),
    "two Hosts": (bad(b"Host: localhost"), {400}),
    "an early WebSocket": (bad(b"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5"), {400}),
}


@pytest.mark.parametrize("name", SMUGGLING)
async def test_what_could_be_read_in_two_ways_is_refused(name: str):
    """The answer is one problem, the connection ends, and the upstream sees nothing of it (R13 to R20)."""
    data, statuses = SMUGGLING[name]
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        await client.send(data)
        message = await client.message()
        assert message.status in statuses
        assert message.problem["status"] == message.status
        assert message.value(b"proxy-status") in {
            b"okta-proxy; error=http_request_error",
            b"okta-proxy; error=http_request_denied",
        }
        assert message.value(b"connection") == b"close"
        ending = await client.ending()
        assert (ending.data, ending.reset) == (b"", False)
        assert upstream.heads == []


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


async def test_a_segment_with_a_bad_request_is_refused_as_a_whole():
    """Good requests in the same segment as a bad one are not forwarded either: one 400, and the end."""
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/1") + get(b"/2", b"Connection: close") + get(b"/3"))
        assert (await client.message()).status == 400
        assert (await client.ending()).data == b""
        assert upstream.heads == []


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


@pytest.mark.parametrize("size", [b"3", b"03", b"3;ext=1", b'3;a="b"'])
async def test_chunk_sizes_and_extensions_are_read(size: bytes):
    """Extensions of a chunk are for this hop: they are read and dropped."""
    data = get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + size + b"\r\nabc\r\n0\r\n\r\n"
    async with proxied(answering(OK)) as (app, upstream):
        assert (await fetch(app, data)).body == b"ok"
        assert upstream.last.raw == b"3\r\nabc\r\n0\r\n\r\n"


MALFORMED = {
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding foo": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: foo\r\n\r\nok",
    "a control byte": b"HTTP/1.1 200 OK\r\nX: \x01\r\nContent-Length: 2\r\n\r\nok",
    "a folded line": b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 2\r\n\r\nok",
    "a bare CR": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "status 99": b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "garbage": b"hello\r\n\r\n",
    "too many lines": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 501 + b"\r\n",
    "a huge line": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 600_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_an_upstream_that_does_not_speak_http_is_a_502(name: str):
    """What the upstream says is not passed on when it could be read in two ways (U5 to U15); the client goes on."""
    async with proxied(answering(MALFORMED[name], OK)) as (app, upstream), raw_client(app) as client:
        await client.send(get())
        message = await client.message()
        assert (message.status, message.code) == (502, "upstream_protocol_error")
        assert message.value(b"proxy-status") == b"okta-proxy; error=http_protocol_error"
        await client.send(get())
        assert (await client.message()).body == b"ok"
        assert upstream.connections == 2


@pytest.mark.parametrize("header", [b"Cookie: " + b"y" * 60_000, b"X: y\r\n" * 120 + b"X: y"])
async def test_large_answers_heads_pass(header: bytes):
    """A head of an answer may be larger than most servers send (U14)."""
    data = b"HTTP/1.1 200 OK\r\n" + header.replace(b"Cookie", b"Set-Cookie") + b"\r\nContent-Length: 2\r\n\r\nok"
    async with proxied(answering(data)) as (app, _):
        answer = await fetch(app, get())
        assert answer.body == b"ok"
        assert len(answer.head) > len(header)


async def test_interim_answers_are_passed_over():
    """100, 102 and 103 before the final answer do not disturb it (U11)."""
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with proxied(answering(hints + OK)) as (app, upstream), raw_client(app) as client:
        for _ in range(2):
            await client.send(get())
            answer = await client.message(final=False)
            assert (answer.status, answer.body) == (200, b"ok")
            assert answer.values(b"link") == []
        assert upstream.connections == 1
