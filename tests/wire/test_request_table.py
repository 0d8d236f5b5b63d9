"""
The table of raw requests: what is refused, what is read in the one way there is, and what the parser decides.

A row is bytes on a raw socket and what becomes of them; its number is the first word of a parameter's id here
(`pytest -k R10`). Rows that belong to a promise have their tests there, in `tests/promises`:

    R1   another host's absolute target           test_who_may_call
    R2   our own absolute target                  test_who_may_call, test_base_path
    R3   paths that look like hosts               test_bytes_are_faithful, test_base_path
    R4   targets that are no path                 here
    R5   CONNECT                                  here, test_who_may_call
    R6   TRACE                                    here, test_who_may_call
    R7   ways out of the base path                test_base_path
    R8   percent-encoding                         test_bytes_are_faithful
    R9   odd paths and queries                    test_bytes_are_faithful
    R10  bytes that no target may hold            here
    R11  a Host that is none                      here, test_who_may_call
    R12  a Host that is not ours                  test_who_may_call
    R13  lengths                                  here
    R14  transfer codings                         here
    R15  chunks in HTTP/1.0                       here
    R16  header lines                             here
    R17  chunks                                   here
    R18  trailers                                 here, test_request_trailers, test_one_authorization
    R19  versions and other protocols             here
    R20  large heads                              here, test_limits
    R21  Expect                                   test_expect_continue
    R22  Upgrade to another HTTP                  test_hop_by_hop
    R23  Upgrade to WebSocket                     here, test_hop_by_hop, test_websocket_handshake
    R24  what Connection names                    test_hop_by_hop, test_one_authorization
    R25  credentials and aliases of headers       here, test_one_authorization
    R26  repeated headers                         here, test_bytes_are_faithful
    R27  bytes beyond ASCII                       test_bytes_are_faithful
    R28  compressed bodies                        test_bytes_are_faithful
    R29  large bodies, any method                 here, test_bytes_are_faithful, test_streaming
    R30  pipelining                               here, test_framing, test_streaming
    R31  ends and resets                          here, test_client_disconnect, test_truncation_is_visible, test_limits
    R32  slow clients                             test_limits, test_streaming
    R33  web pages                                test_who_may_call
"""

import asyncio

import pytest
from kit import (
    OK,
    RawConnection,
    RawUpstream,
    answering,
    chunked,
    every_loop,
    fetch,
    get,
    proxied,
    raw_client,
    settled,
)
from promise_kit import assert_closed

CODES = {
    400: "bad_request",
    405: "method_not_allowed",
    431: "head_too_large",
    501: "coding_not_supported",
    505: "version_not_supported",
}
SMUGGLED = get(b"/smuggled")
CHUNKED = b"Transfer-Encoding: chunked"
NO_VERSION = {400, 505}
NO_CODING = {400, 501}
STEPS = {"whole": 2**20, "byte by byte": 1}


def bad(*lines: bytes, rest: bytes = b"", first: bytes = b"POST / HTTP/1.1", host: bytes = b"localhost") -> bytes:
    """Return a request that must not be forwarded, with another one smuggled behind it."""
    return b"\r\n".join([first, b"Host: " + host, *lines]) + b"\r\n\r\n" + rest + SMUGGLED


def to(target: bytes, method: bytes = b"GET") -> bytes:
    """Return a request for a target that there cannot be."""
    return bad(first=method + b" " + target + b" HTTP/1.1")


def of_length(value: bytes) -> bytes:
    """Return a request whose body of three bytes has this length."""
    return bad(b"Content-Length: " + value, rest=b"abc")


def coded(*values: bytes) -> bytes:
    """Return a request with these transfer codings and an empty body in chunks."""
    return bad(*[b"Transfer-Encoding: " + value for value in values], rest=b"0\r\n\r\n")


def in_chunks(body: bytes) -> bytes:
    """Return a request with a body in chunks that are none."""
    return bad(CHUNKED, rest=body)


REFUSED = {
    "R4 relative": (to(b"evil/p"), {400}),
    "R4 userinfo": (to(b"@evil"), {400}),
    "R4 asterisk": (to(b"*"), {400}),
    "R4 asterisk and path": (to(b"*/x", b"OPTIONS"), {400}),
    "R4 name": (to(b"admin"), {400}),
    "R4 authority": (to(b"localhost:80"), {400}),
    "R4 query": (to(b"?q"), {400}),
    "R4 file": (to(b"file:///etc/passwd"), {400}),
    "R4 another scheme": (to(b"javascript:x"), {400}),
    "R4 no scheme": (to(b"://localhost/"), {400}),
    "R5 authority": (to(b"evil:443", b"CONNECT"), {405}),
    "R5 path": (to(b"/", b"CONNECT"), {400, 405}),
    "R5 no port": (to(b"evil", b"CONNECT"), {400, 405}),
    "R5 absolute": (to(b"http://localhost/", b"CONNECT"), {400, 405}),
    "R6 TRACE": (to(b"/", b"TRACE"), {405}),
    "R6 TRACE with a body": (bad(b"Content-Length: 3", rest=b"abc", first=b"TRACE / HTTP/1.1"), {405}),
    "R6 TRACK": (to(b"/", b"TRACK"), {400, 405}),
    "R10 fragment": (to(b"/p?#frag"), {400}),
    "R10 fragment alone": (to(b"#"), {400}),
    "R10 fragment of an absolute target": (to(b"http://localhost/#x"), {400}),
    "R10 UTF-8": (to(b"/caf\xc3\xa9"), {400}),
    "R10 0xFF": (to(b"/\xff"), {400}),
    "R10 0x85": (to(b"/a\x85b"), {400}),
    "R10 blank": (to(b"/a b"), {400}),
    "R10 tab": (to(b"/a\tb"), {400}),
    "R10 VT": (to(b"/a\x0bb"), {400}),
    "R10 NUL": (to(b"/a\x00b"), {400}),
    "R10 DEL": (to(b"/a\x7fb"), {400}),
    "R10 CR": (to(b"/a\rb"), {400}),
    "R10 LF": (to(b"/a\nb"), {400}),
    "R10 no target": (bad(first=b"GET  HTTP/1.1"), {400}),
    "R10 tab behind the method": (bad(first=b"GET\t/ HTTP/1.1"), {400}),
    "R10 blank before the method": (bad(first=b" GET / HTTP/1.1"), {400}),
    "R10 blank behind the version": (bad(first=b"GET / HTTP/1.1 "), {400}),
    "R11 two Hosts": (bad(b"Host: localhost"), {400}),
    "R11 URL": (bad(host=b"http://localhost"), {400}),
    "R11 path": (bad(host=b"localhost/"), {400}),
    "R11 password": (bad(host=b"u:p@localhost"), {400}),
    "R11 percent-encoding": (bad(host=b"local%68ost"), {400}),
    "R11 list": (bad(host=b"localhost,localhost"), {400}),
    "R11 port": (bad(host=b"localhost:abc"), {400}),
    "R13 length and chunks": (bad(b"Content-Length: 5", CHUNKED, rest=b"0\r\n\r\n"), {400}),
    "R13 chunks and length": (bad(CHUNKED, b"Content-Length: 5", rest=b"0\r\n\r\n"), {400}),
    "R13 twice the same": (bad(b"Content-Length: 3", b"content-length: 3", rest=b"abc"), {400}),
    "R13 two": (bad(b"Content-Length: 0", b"Content-Length: 3", rest=b"abc"), {400}),
    "R13 list": (of_length(b"3, 3"), {400}),
    "R13 comma": (of_length(b"3,"), {400}),
    "R13 semicolon": (of_length(b"3;"), {400}),
    "R13 +3": (of_length(b"+3"), {400}),
    "R13 -3": (of_length(b"-3"), {400}),
    "R13 0x3": (of_length(b"0x3"), {400}),
    "R13 3 3": (of_length(b"3 3"), {400}),
    "R13 3.0": (of_length(b"3.0"), {400}),
    "R13 3e0": (of_length(b"3e0"), {400}),
    "R13 0_3": (of_length(b"0_3"), {400}),
    "R13 VT": (of_length(b"\x0b3"), {400}),
    "R13 empty": (of_length(b""), {400}),
    "R13 overflow": (of_length(b"18446744073709551619"), {400}),
    "R13 endless": (of_length(b"9" * 40), {400}),
    "R13 Arabic digit": (of_length("\u0663".encode()), {400}),
    "R14 gzip, chunked": (coded(b"gzip, chunked"), {501}),
    "R14 chunked, gzip": (coded(b"chunked, gzip"), {400}),
    "R14 deflate": (coded(b"deflate"), {400}),
    "R14 xchunked": (coded(b"xchunked"), {400}),
    "R14 identity": (coded(b"identity"), {400}),
    "R14 chunked, chunked": (coded(b"chunked, chunked"), NO_CODING),
    "R14 comma behind": (coded(b"chunked,"), NO_CODING),
    "R14 comma before": (coded(b",chunked"), NO_CODING),
    "R14 VT": (coded(b"\x0bchunked"), NO_CODING),
    "R14 weight": (coded(b"chunked;q=1"), NO_CODING),
    "R14 quoted": (coded(b'"chunked"'), NO_CODING),
    "R14 none": (coded(b""), NO_CODING),
    "R14 two": (coded(b"chunked", b"identity"), NO_CODING),
    "R14 the other way round": (coded(b"identity", b"chunked"), NO_CODING),
    "R14 twice": (coded(b"chunked", b"chunked"), NO_CODING),
    "R15 chunks": (bad(CHUNKED, rest=b"0\r\n\r\n", first=b"POST / HTTP/1.0"), {400}),
    "R15 kept": (bad(CHUNKED, b"Connection: keep-alive", rest=b"0\r\n\r\n", first=b"POST / HTTP/1.0"), {400}),
    "R16 blank before the colon": (bad(b"X : y"), {400}),
    "R16 tab before the colon": (bad(b"X\t: y"), {400}),
    "R16 blank before a coding's colon": (bad(b"Transfer-Encoding : chunked", rest=b"0\r\n\r\n"), {400}),
    "R16 folded": (bad(b"X: y", b" z"), {400}),
    "R16 folded with a tab": (bad(b"X: y", b"\tz"), {400}),
    "R16 folded coding": (bad(b"Transfer-Encoding:", b" chunked", rest=b"0\r\n\r\n"), {400}),
    "R16 blank before the first": (bad(b" X: y"), {400}),
    "R16 LF alone": (b"POST / HTTP/1.1\nHost: localhost\n\n" + SMUGGLED, {400}),
    "R16 LF in a line": (bad(b"X: y\nTransfer-Encoding: chunked"), {400}),
    "R16 LF at the head's end": (b"POST / HTTP/1.1\r\nHost: localhost\r\n\n" + SMUGGLED, {400}),
    "R16 CR in a line": (bad(b"X: y\rContent-Length: 3", rest=b"abc"), {400}),
    "R16 two CRs": (b"POST / HTTP/1.1\r\r\nHost: localhost\r\n\r\n" + SMUGGLED, {400}),
    "R16 NUL": (bad(b"X: a\x00b"), {400}),
    "R16 control byte": (bad(b"X: a\x01b"), {400}),
    "R16 DEL": (bad(b"X: a\x7fb"), {400}),
    "R16 no name": (bad(b": y"), {400}),
    "R16 no colon": (bad(b"Transfer-Encoding"), {400}),
    "R16 name beyond ASCII": (bad(b"X\xe9: y"), {400}),
    "R16 name with NUL": (bad(b"X\x00: y"), {400}),
    "R16 name with a bracket": (bad(b"X(: y"), {400}),
    "R16 quoted name": (bad(b'"X": y'), {400}),
    "R17 LF": (in_chunks(b"3\nabc\r\n0\r\n\r\n"), {400}),
    "R17 LF behind the data": (in_chunks(b"3\r\nabc\n0\r\n\r\n"), {400}),
    "R17 LF at the end": (in_chunks(b"3\r\nabc\r\n0\n\n"), {400}),
    "R17 LF instead of the empty line": (in_chunks(b"3\r\nabc\r\n0\r\n\n"), {400}),
    "R17 0x3": (in_chunks(b"0x3\r\nabc\r\n0\r\n\r\n"), {400}),
    "R17 -3": (in_chunks(b"-3\r\nabc\r\n0\r\n\r\n"), {400}),
    "R17 +3": (in_chunks(b"+3\r\nabc\r\n0\r\n\r\n"), {400}),
    "R17 0_3": (in_chunks(b"0_3\r\nabc\r\n0\r\n\r\n"), {400}),
    "R17 blank before": (in_chunks(b" 3\r\nabc\r\n0\r\n\r\n"), {400}),
    "R17 blank behind": (in_chunks(b"3 \r\nabc\r\n0\r\n\r\n"), {400}),
    "R17 empty": (in_chunks(b"\r\nabc\r\n0\r\n\r\n"), {400}),
    "R17 17 digits": (in_chunks(b"11111111111111111\r\nabc"), {400}),
    "R17 too long": (in_chunks(b"3\r\nabcd\r\n0\r\n\r\n"), {400}),
    "R17 CRLF in quotes": (in_chunks(b'3;a="\r\nabc\r\n0\r\n\r\n'), {400}),
    "R17 CR in an extension": (in_chunks(b"3;a\rb\r\nabc\r\n0\r\n\r\n"), {400}),
    "R17 LF in an extension": (in_chunks(b"3;a\nb\r\nabc\r\n0\r\n\r\n"), {400}),
    "R17 NUL in an extension": (in_chunks(b"3;a\x00\r\nabc\r\n0\r\n\r\n"), {400}),
    "R18 length": (in_chunks(b"0\r\nContent-Length: 3\r\n\r\n"), {400}),
    "R18 coding": (in_chunks(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"), {400}),
    "R18 blank before the colon": (in_chunks(b"0\r\nX : y\r\n\r\n"), {400}),
    "R18 many": (in_chunks(b"0\r\n" + b"X: y\r\n" * 200 + b"\r\n"), {400, 431}),
    "R19 HTTP/2.0": (bad(first=b"GET / HTTP/2.0"), NO_VERSION),
    "R19 HTTP/3.0": (bad(first=b"GET / HTTP/3.0"), NO_VERSION),
    "R19 HTTP/1.2": (bad(first=b"GET / HTTP/1.2"), NO_VERSION),
    "R19 HTTP/0.9": (bad(first=b"GET / HTTP/0.9"), NO_VERSION),
    "R19 HTTP/11.1": (bad(first=b"GET / HTTP/11.1"), NO_VERSION),
    "R19 HTTP/1.10": (bad(first=b"GET / HTTP/1.10"), NO_VERSION),
    "R19 HTTP/01.1": (bad(first=b"GET / HTTP/01.1"), NO_VERSION),
    "R19 HTTP/1": (bad(first=b"GET / HTTP/1"), NO_VERSION),
    "R19 lower case": (bad(first=b"GET / http/1.1"), NO_VERSION),
    "R19 HTTPS": (bad(first=b"GET / HTTPS/1.1"), NO_VERSION),
    "R19 none": (bad(first=b"GET /"), NO_VERSION),
    "R19 simple": (b"GET /\r\n\r\n", NO_VERSION),
    "R19 preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NO_VERSION),
    "R19 TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
    "R19 SOCKS": (b"\x05\x01\x00", {400}),
    "R19 SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", {400}),
    "R19 garbage": (b"\x00\xff\xfe\r\n\r\n", {400}),
    "R20 200 lines": (bad(*[b"X: y"] * 200), {431}),
    "R23 keys of a draft": (bad(b"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5"), {400}),
    "R29 lower-case method": (bad(first=b"get / HTTP/1.1"), {400}),
    "R29 unknown method": (bad(first=b"FOO-BAR / HTTP/1.1"), {400}),
}


async def send(connection: RawConnection, data: bytes, step: int) -> None:
    """Send *data* in segments of *step* bytes."""
    for at in range(0, len(data), step):
        await connection.send(data[at : at + step])
        await asyncio.sleep(0)


@every_loop
@pytest.mark.parametrize("row", REFUSED)
@pytest.mark.parametrize("sliced", STEPS)
async def test_what_could_be_read_in_two_ways_is_refused(row: str, sliced: str):
    """The answer is one problem, the connection ends well, and the upstream sees no whole request."""
    data, statuses = REFUSED[row]
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        await send(client, data, STEPS[sliced])
        answer = await client.message()
        assert answer.status in statuses
        assert (answer.problem["status"], answer.code) == (answer.status, CODES[answer.status])
        denied = b"denied" if answer.status == 405 else b"error"
        assert answer.value(b"proxy-status") == b"okta-proxy; error=http_request_" + denied
        assert answer.value(b"connection") == b"close"
        await assert_closed(client)
        assert upstream.heads == []


READ = {
    "R13 zero before": (b"Content-Length: 03", b"abc", [b"Content-Length: 03"], b"abc"),
    "R13 blanks": (b"Content-Length:\t 3 \t", b"abc", [b"Content-Length: 3"], b"abc"),
    "R14 case": (b"transfer-encoding: CHUNKED", chunked(b"abc"), [CHUNKED], b"abc"),
    "R14 blanks": (b"Transfer-Encoding:  chunked ", chunked(b"abc"), [CHUNKED], b"abc"),
    "R17 zero before": (CHUNKED, b"03\r\nabc\r\n0\r\n\r\n", [CHUNKED], b"abc"),
    "R17 many zeros before": (CHUNKED, b"0" * 20 + b"3\r\nabc\r\n0\r\n\r\n", [CHUNKED], b"abc"),
    "R17 end of two zeros": (CHUNKED, b"3\r\nabc\r\n00\r\n\r\n", [CHUNKED], b"abc"),
    "R17 upper case": (CHUNKED, b"A\r\n0123456789\r\n0\r\n\r\n", [CHUNKED], b"0123456789"),
    "R17 extension": (CHUNKED, b"3;ext=1\r\nabc\r\n0\r\n\r\n", [CHUNKED], b"abc"),
    "R17 quoted extension": (CHUNKED, b'3;a="b"\r\nabc\r\n0;c\r\n\r\n', [CHUNKED], b"abc"),
    "R17 long extension": (CHUNKED, b"3;" + b"x" * 10_000 + b"\r\nabc\r\n0\r\n\r\n", [CHUNKED], b"abc"),
}


@every_loop
@pytest.mark.parametrize("row", READ)
@pytest.mark.parametrize("sliced", STEPS)
async def test_a_body_that_all_read_alike_passes(row: str, sliced: str):
    """Legal spellings of a length, a coding and a chunk frame the same body; extensions are for this hop alone."""
    line, body, framing, expected = READ[row]
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        for _ in range(2):
            await send(client, get(b"/", line, method=b"POST") + body, STEPS[sliced])
            assert (await client.message()).body == b"ok"
            assert upstream.last.body == expected
            lines = [line.rstrip(b" \t") for line in upstream.last.lines]
            assert [line for line in lines if line.startswith((b"Content-L", b"Transfer-"))] == framing
        assert len(upstream.heads) == 2


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"Content_Length: 5", id="R25 length"),
        pytest.param(b"Transfer_Encoding: chunked", id="R25 coding"),
        pytest.param(b"Host_: evil", id="R25 Host"),
        pytest.param(b"X_Forwarded_For: evil", id="R25 address"),
        pytest.param(b"Via_: evil", id="R25 Via"),
    ],
)
async def test_what_another_server_could_take_for_a_header_of_ours_is_dropped(line: bytes):
    """With `_` for `-` a name means nothing to us and a length to a CGI: it frames nothing, and goes no further."""
    async with proxied(answering(OK), upstream_={"via": "off"}) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/1", line) + get(b"/2"))
        for path in (b"/1", b"/2"):
            assert (await client.message()).body == b"ok"
            assert upstream.requests[-1 if path == b"/2" else 0].first == b"GET " + path + b" HTTP/1.1"
        assert [name.split(b":")[0] for name in upstream.requests[0].lines] == [b"Host", b"Authorization"]
        assert b"evil" not in upstream.requests[0].head


REPEATED = [b"Cookie", b"Accept", b"Range", b"X-Foo", b"From", b"Referer", b"If-Match", b"Accept-Encoding", b"Via"]


@pytest.mark.parametrize("name", [pytest.param(name, id=f"R26 {name.decode()}") for name in REPEATED])
async def test_a_repeated_header_is_kept(name: bytes):
    """Each line of it arrives, in order, with another header between them; none is merged into another."""
    lines = [name + b": a", b"X-Between: 1", name.lower() + b": b", name + b": a"]
    async with proxied(answering(OK), upstream_={"via": "off"}) as (app, upstream):
        assert (await fetch(app, get(b"/", *lines))).body == b"ok"
        assert upstream.last.lines[1:-1] == lines


@every_loop
@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize(
    "method",
    [pytest.param(name, id=f"R29 {name.decode()}") for name in (b"GET", b"PUT", b"DELETE", b"QUERY", b"PROPFIND")],
)
async def test_two_megabytes_arrive_whole(method: bytes, framing: str):
    """Any method may have a large body, whose every byte arrives in the framing it came in."""
    body = bytes(range(256)) * 8192
    line = b"Content-Length: %d" % len(body) if framing == "length" else CHUNKED
    async with proxied(answering(OK)) as (app, upstream):
        framed = body if framing == "length" else chunked(body[:1], body[1:70_000], body[70_000:])
        assert (await fetch(app, get(b"/", line, method=method) + framed)).body == b"ok"
        assert upstream.last.body == body
        assert line in upstream.last.lines


@every_loop
@pytest.mark.parametrize("length", [pytest.param(5 * 2**30, id="R29 5 GiB"), pytest.param(2**62, id="R29 4 EiB")])
async def test_a_length_of_any_size_is_passed_on(length: int):
    """No number is cut on the way: the upstream is told the whole length, and gets what there is of the body."""
    heard, ended = asyncio.Event(), asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        assert b"\r\nContent-Length: %d\r\n" % length in await upstream.request(connection)
        await connection.exactly(100_000)
        heard.set()
        assert await connection.ending() == (b"", False)
        ended.set()

    async with proxied(script) as (app, _):
        async with raw_client(app) as client:
            await client.send(get(b"/", b"Content-Length: %d" % length, method=b"PUT") + b"x" * 100_000)
            await heard.wait()
        await asyncio.wait_for(ended.wait(), 5)


@every_loop
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="R31 nothing"),
        pytest.param(b"GET / HT", id="R31 within the request line"),
        pytest.param(get()[:-2], id="R31 within the head"),
        pytest.param(get(b"/", b"Content-Length: 9", method=b"POST"), id="R31 behind the head"),
        pytest.param(get(b"/", CHUNKED, method=b"POST") + b"5\r\nhe", id="R31 within a chunk"),
    ],
)
async def test_a_reset_leaves_nothing_behind(data: bytes):
    """A client that resets at any point of its request is forgotten: the upstream never has the whole of it."""
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        await client.send(data)
        await settled(lambda: app._server.clients)
        client.reset()
        await settled(lambda: not app._server.clients and app.counters.in_flight == 0)
        await settled(lambda: app.overview().upstream_connections["active"] == 0)
        assert upstream.heads == []


# What aiohttp's parser decides and this project would decide otherwise: docs/http.md has the list.

SINGLE = [
    *(b"Content-Type", b"User-Agent", b"ETag", b"Server"),
    *(b"Content-Location", b"Content-Range", b"Max-Forwards"),
]


@pytest.mark.parametrize("name", [pytest.param(name, id=f"R26 {name.decode()}") for name in SINGLE])
async def test_the_parser_takes_some_headers_once(name: bytes):
    """A second line of one of these is a 400 that says so, also where it says the same."""
    async with proxied(answering(OK)) as (app, upstream):
        answer = await fetch(app, get(b"/", name + b": 1", name + b": 1"))
        assert (answer.status, answer.code) == (400, "bad_request")
        assert "twice" in answer.problem["detail"]
        assert upstream.heads == []
        assert (await fetch(app, get(b"/", name + b": 1"))).body == b"ok"


@pytest.mark.parametrize(
    ("lines", "status"), [pytest.param(127, 200, id="R20 128"), pytest.param(128, 431, id="R20 129")]
)
async def test_the_parser_counts_lines(lines: int, status: int):
    """A head of 128 lines passes, with one more it is a 431."""
    async with proxied(answering(OK)) as (app, _):
        assert (await fetch(app, get(b"/", *[b"X: y"] * lines))).status == status


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"GET  / HTTP/1.1", id="R10 two blanks behind the method"),
        pytest.param(b"GET /  HTTP/1.1", id="R10 two blanks before the version"),
        pytest.param(b"GET / RTSP/1.1", id="R19 RTSP"),
    ],
)
async def test_the_parser_reads_some_request_lines_leniently(first: bytes):
    """More blanks than one are one, and RTSP's name is taken for HTTP's; what is sent on has neither."""
    async with proxied(answering(OK)) as (app, upstream):
        assert (await fetch(app, first + b"\r\nHost: localhost\r\n\r\n")).first == b"HTTP/1.1 200 OK"
        assert upstream.last.first == b"GET / HTTP/1.1"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(get(b"/1") + get(b"/2", b"Connection: close") + get(b"/3"), id="R30 behind close"),
        pytest.param(get(b"/1") + bad(b"X : y"), id="R30 behind a good one"),
    ],
)
async def test_the_parser_refuses_a_segment_as_a_whole(data: bytes):
    """Good requests in the same segment as a bad one are not forwarded either: one 400, and the end."""
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        await client.send(data)
        assert (await client.message()).code == "bad_request"
        await assert_closed(client)
        assert upstream.heads == []


async def test_the_parser_does_not_tell_the_method_of_what_it_refuses():
    """A HEAD that is malformed gets the problem with its body, behind which the connection ends."""
    async with proxied(answering(OK)) as (app, _), raw_client(app) as client:
        await client.send(get(b"/", b"X : y", method=b"HEAD"))
        assert (await client.message()).code == "bad_request"
        await assert_closed(client)


async def test_max_forwards_is_not_counted():
    """An `OPTIONS` that should end here (RFC 9110 7.6.2) is the upstream's to answer, with the number as it came."""
    async with proxied(answering(OK)) as (app, upstream):
        assert (await fetch(app, get(b"/", b"Max-Forwards: 0", method=b"OPTIONS"))).body == b"ok"
        assert upstream.last.value(b"max-forwards") == b"0"
