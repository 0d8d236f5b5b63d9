"""Path, query, headers and bodies pass byte for byte in both directions, and nothing is invented."""

import gzip

import pytest
from kit import OK, answering, chunked, fetch, get, post, proxied, raw_client

METHODS = (
    *("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "PROPFIND", "REPORT", "SEARCH", "MKCOL", "PURGE"),
    "LINK",
)


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_passes(method: str):
    """The method is the client's, with a body or without one."""
    async with proxied(answering(OK)) as (app, upstream):
        assert (await fetch(app, get(b"/x", method=method.encode()))).body == b"ok"
        assert upstream.last.first == method.encode() + b" /x HTTP/1.1"
        assert upstream.last.values(b"content-length") == []
        await fetch(app, post(b"body", method=method.encode()))
        assert upstream.last.body == b"body"


PATHS = [
    b"/",
    b"/a%2Fb%3Fc%41%7e%25%2520/%zz/%?x=%26%3D+%20&y=a%2Bb;c",
    b"/p?",
    b"/p?a=b?c&&=",
    b"/p??",
    b"/;p=1",
    b'/a|b{c}^"<>`',
    b"//evil/p",
    b"///evil",
    b"//u@evil:1/p",
    b"/\\evil/p",
    b"/a//b/",
    b"/a/../b/./c",
    b"/%2e%2e/%252e",
    b"/http://evil/",
    b"/:80",
    b"/@evil",
    b"/a;b=c,d!$&'()*+",
    b"/?q=%00%0d%0a",
    b"/" + b"x" * 20_000 + b"?" + b"y" * 20_000,
]


@pytest.mark.parametrize("path", PATHS, ids=[path[:20].decode() for path in PATHS])
async def test_path_and_query_pass_byte_for_byte(path: bytes):
    """Nothing is decoded, encoded, joined, normalised or dropped: RFC 9110 7.7."""
    async with proxied(answering(OK)) as (app, upstream):
        assert (await fetch(app, get(path))).status == 200
        assert upstream.last.first == b"GET " + path + b" HTTP/1.1"


async def test_options_of_the_whole_server_stays_an_asterisk():
    """`OPTIONS *` goes out as it came, never as `/`."""
    async with proxied(answering(OK)) as (app, upstream):
        assert (await fetch(app, get(b"*", method=b"OPTIONS"))).status == 200
        assert upstream.last.first == b"OPTIONS * HTTP/1.1"


LINES = [
    b"X-Lower: 1",
    b"x-lower: 2",
    b"X-LOWER: 3",
    b"Cookie: a=1",
    b"X-Empty:",
    b"Accept: text/html;q=0.1",
    b"cookie: b=2",
    b"Accept: */*",
    b"X-Latin: caf\xe9",
    b"X-Utf8: caf\xc3\xa9",
    b"X-Bytes: \xff\xfe\x80",
    b"X-Tab: a\tb",
    b'X-Quoted: "a, b" ; c',
    b"Range: bytes=0-1,5-",
    b'If-None-Match: W/"x"',
    b"!#$%&'*+-.^_`|~09: token",
    b"X-Long: " + b"y" * 30_000,
]


async def test_request_headers_pass_byte_for_byte():
    """Spelling, values, order, duplicates, empty values and bytes beyond ASCII are the client's."""
    async with proxied(answering(OK), upstream_={"via": "off"}) as (app, upstream):
        await fetch(app, get(b"/", *LINES))
        host, *rest = upstream.last.lines
        assert host == b"Host: " + upstream.url.removeprefix("http://").encode()
        assert rest == [*[line.replace(b"Empty:", b"Empty: ") for line in LINES], b"Authorization: Bearer token-1"]


async def test_a_bare_request_stays_bare():
    """No User-Agent, Accept, Accept-Encoding, Content-Type or Content-Length is made up."""
    async with proxied(answering(OK), upstream_={"via": "off"}) as (app, upstream):
        await fetch(app, get(b"/"))
        assert [line.split(b":")[0] for line in upstream.last.lines] == [b"Host", b"Authorization"]


async def test_response_headers_pass_byte_for_byte():
    """Spelling, values, order, duplicates, empty values and bytes beyond ASCII are the upstream's."""
    lines = [
        *[line.replace(b"Empty:", b"Empty: ") for line in LINES],
        b"Set-Cookie: a=1; Path=/x",
        b"set-cookie: b=2",
        b"Set-Cookie: =; ;;=broken, cookie",
        b"SET-COOKIE: c=" + b"z" * 8000,
        b'WWW-Authenticate: Basic realm="x", Bearer',
        b"Allow: ",
        b"Cache-Control: private, max-age=0",
        b'ETag: W/"x"',
        b"Age: 7",
        b"Vary: *",
        b"Access-Control-Allow-Origin: *",
        b"Via: 1.1 other",
        b"Server: nginx",
        b"Date: long ago",
        b"Content-Type: application/x-caf\xe9",
        b"Content-Length: 2",
    ]
    head = b"HTTP/1.1 299 Anything at all\r\n" + b"\r\n".join(lines) + b"\r\n\r\nok"
    async with proxied(answering(head)) as (app, _):
        answer = await fetch(app, get())
        assert answer.first == b"HTTP/1.1 299 Anything at all"
        assert answer.lines == lines


async def test_a_bare_answer_gets_a_date_and_nothing_else():
    """No Content-Type and no Server is made up; a Date is, because RFC 9110 6.6.1 asks for it."""
    async with proxied(answering(OK)) as (app, _):
        answer = await fetch(app, get())
        assert [line.split(b":")[0] for line in answer.lines] == [b"Content-Length", b"Date"]


COMPRESSED = gzip.compress(b"hello" * 1000, mtime=0)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", COMPRESSED),
        (b"gzip, gzip", gzip.compress(COMPRESSED, mtime=0)),
        (b"gzip", b"not gzip at all"),
        (b"br", b"\x00\x01\x02"),
        (b"identity", b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n0\r\n\r\n"),
        (b"x-unknown", bytes(range(256))),
    ],
)
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_bodies_pass_undecoded(coding: bytes, body: bytes, framing: str):
    """A body is never decoded, compressed or looked at, in either direction."""
    framed = b"Content-Length: %d\r\n\r\n" % len(body) + body
    if framing == "chunks":
        framed = b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body[:2], body[2:])
    encoding = b"Content-Encoding: " + coding
    async with proxied(answering(b"HTTP/1.1 200 OK\r\n" + encoding + b"\r\n" + framed)) as (app, upstream):
        answer = await fetch(app, b"PUT / HTTP/1.1\r\nHost: localhost\r\n" + encoding + b"\r\n" + framed)
        for message in (upstream.last, answer):
            assert message.body == body
            assert message.values(b"content-encoding") == [coding]
            assert message.values(b"content-length") == ([b"%d" % len(body)] if framing == "length" else [])


@pytest.mark.parametrize("method", [b"GET", b"DELETE", b"OPTIONS", b"PUT", b"QUERY"])
@pytest.mark.parametrize(
    ("framed", "raw"),
    [
        (b"Content-Length: 0\r\n\r\n", b""),
        (b"Content-Length: 5\r\n\r\nhello", b"hello"),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    ],
)
async def test_a_body_keeps_its_framing_on_any_method(method: bytes, framed: bytes, raw: bytes):
    """A length stays a length (a zero too), chunks stay chunks, whatever the method."""
    async with proxied(answering(OK)) as (app, upstream):
        answer = await fetch(app, method + b" / HTTP/1.1\r\nHost: localhost\r\n" + framed)
        assert answer.body == b"ok"
        assert upstream.last.raw == raw
        name, _, value = framed.partition(b"\r\n")[0].partition(b": ")
        assert upstream.last.values(name) == [value]


async def test_large_bodies_arrive_whole():
    """Two megabytes in each direction arrive with every byte, in chunks as by length."""
    body = bytes(range(256)) * 8192
    for framed in (
        b"Content-Length: %d\r\n\r\n" % len(body) + body,
        b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body[:1], body[1:70_000], body[70_000:]),
    ):
        async with proxied(answering(b"HTTP/1.1 200 OK\r\n" + framed)) as (app, upstream):
            answer = await fetch(app, b"POST / HTTP/1.1\r\nHost: localhost\r\n" + framed)
            assert answer.body == body
            assert upstream.last.body == body


async def test_a_request_in_single_bytes_arrives_whole():
    """However the network slices a request, it is the same request."""
    data = post(b"hello", b"X-Empty:", b"X: caf\xe9")
    seen = []
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        async with proxied(answering(OK)) as (app, upstream):
            async with raw_client(app) as client:
                for piece in pieces:
                    await client.send(piece)
                assert (await client.message()).body == b"ok"
            seen.append([line for line in upstream.last.lines if not line.startswith((b"Host", b"Via"))])
            assert upstream.last.body == b"hello"
    assert seen[0] == seen[1]
