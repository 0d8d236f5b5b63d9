"""Payloads about connections: what Connection names, upgrades, expectations, credentials, pipelines, strangers."""

from collections.abc import Iterator

from payloads import SMUGGLED, Payload, message, named, passes, refused, smuggling

GET = b"GET / HTTP/1.1"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"

OPTIONS = [
    *(b"keep-alive", b"Keep-Alive, X-A", b"authorization", b"Authorization, host", b"host", b"content-length", b"via"),
    *(b"x-a", b"transfer-encoding", b"cookie", b"Authorization,Authorization", b"", b",", b", ,x-a,,"),
    *(b"x-a\r\nConnection: authorization", b"\r\nConnection: X-A"),
    *(b"Content-Length, Host, Authorization, Transfer-Encoding", b"*", b'"authorization"', b"upgrade", b"connection"),
    *(b"x-a;q=1", b"authorization\t", b"te, trailer", b"X-Forwarded-For", b"Content-Type", b"expect", b"\xff"),
]
UPGRADES = [
    (b"Connection: Upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
    (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
    (b"Connection: Upgrade", b"Upgrade: h2"),
    (b"Connection: Upgrade", b"Upgrade: TLS/1.0"),
    (b"Connection: Upgrade", b"Upgrade: h2c, websocket"),
    (b"Connection: HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings:"),
    (b"Upgrade: h2c",),
    (b"Connection: Upgrade",),
    (b"Upgrade: websocket",),
    (b"Connection: Upgrade", b"Upgrade: HTTP/2.0"),
    (b"Connection: close, Upgrade", b"Upgrade: x"),
]
EXPECTATIONS = [
    *(b"foo", b"100", b"100-continues", b"x 100-continue", b"100-continue, x", b"100-continue\r\nExpect: x"),
    *(b"100_continue", b"100-continue;q=1", b"y 100-continue", b'"100-continue"', b"100-continue, 100-continue"),
    *(b"\xff", b"200-ok", b"0"),
]
CREDENTIALS = [
    *(b"Authorization: Basic x", b"authorization: Bearer mine", b"AUTHORIZATION:x"),
    *(b"Authorization: a\r\nAuthorization: b", b"Authorization_: x", b"authorization: x\r\nAuthorization_: y"),
    *(b"_Authorization: x", b"Authorization-: x", b"-authorization: x", b"Proxy-Authorization: x"),
    *(b"Proxy_Authorization: x", b"DPoP: x", b"Authorization:", b"X-Forwarded-Access-Token: x"),
    *(b"Authorization: Bearer token-1", b"Authorization: Bearer token-1\r\nAuthorization: Bearer token-1"),
    *(b"Proxy: http://evil", b"Authorization: \xff", b"Connection: authorization\r\nAuthorization: x"),
    *(b"Trailer: Authorization",),
]
FORWARDING = [
    *(b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Host: evil", b"X_Forwarded_Host: evil", b"X-Forwarded-Proto: https"),
    *(b"Forwarded: for=x", b"X-Real-IP: x", b"X_Real_IP: y", b"x-forwarded-: z", b"X-Forwarded-Authorization: x"),
    *(b"Keep-Alive: 5", b"Proxy-Connection: keep-alive", b"Connection: X-Forwarded-For\r\nX-Forwarded-For: x"),
    *(b"Trailer: X-A", b"TE: trailers, gzip"),
]
BROWSERS = [
    *(b"Origin: https://evil", b"Origin: null", b"Origin: http://localhost", b"Sec-Fetch-Site: cross-site"),
    *(b"Origin:", b"Sec-Fetch-Site: same-site", b"Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site"),
    *(b"Access-Control-Request-Method: GET",),
]

POST = b"POST /p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
EMPTY = b"POST /0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
HEAD = b"HEAD /h HTTP/1.1\r\nHost: localhost\r\n\r\n"
IN_CHUNKS = b"PUT /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS
KEPT = b"GET /k HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
FIRST = b"GET /1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
PIPELINES = {
    "two": (FIRST + SMUGGLED, (b"GET /1", b"GET /smuggled")),
    "a post before": (POST + FIRST, (b"POST /p abc", b"GET /1")),
    "a post behind": (FIRST + POST, (b"GET /1", b"POST /p abc")),
    "posts": (POST * 20, (b"POST /p abc",) * 20),
    "empty posts": (EMPTY * 3 + FIRST, (b"POST /0",) * 3 + (b"GET /1",)),
    "heads": (HEAD + FIRST + HEAD + POST, (b"HEAD /h", b"GET /1", b"HEAD /h", b"POST /p abc")),
    "kept 1.0": (KEPT + KEPT + FIRST, (b"GET /k", b"GET /k", b"GET /1")),
    "chunks at the end": (FIRST + IN_CHUNKS, (b"GET /1", b"PUT /c abc")),
    "many": (FIRST * 60, (b"GET /1",) * 60),
    "empty lines between": (POST + b"\r\n" + FIRST, (b"POST /p abc", b"GET /1")),
    # The connection ends behind a chunked body that others follow in its piece, and behind an Upgrade.
    "behind chunks": (IN_CHUNKS + SMUGGLED, (b"PUT /c abc",)),
    "behind trailers": (IN_CHUNKS[:-2] + b"Authorization: x\r\n\r\n" + SMUGGLED, (b"PUT /c abc",)),
    "behind an upgrade": (message(b"Connection: Upgrade", b"Upgrade: h2c", first=GET) + SMUGGLED, (b"GET /",)),
}
STRANGERS = {
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40 + b"\r\n\r\n",
    "an SSL 2 hello": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/0.9 with a head": b"GET /\r\nHost: localhost\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "SMTP": b"EHLO localhost\r\nMAIL FROM:<a@b>\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "memcached": b"stats\r\n",
    "the PROXY protocol": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + FIRST,
    "the PROXY protocol 2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\x7f\x00\x00\x01" * 3 + FIRST,
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "garbage": bytes(range(128, 256)) + b"\r\n\r\n",
    "zeros": b"\x00" * 64,
    "a body without its head": b"a=b&c=d\r\n\r\n" + FIRST,
    "JSON": b'{"jsonrpc": "2.0"}\r\n\r\n',
    "RTSP": b"DESCRIBE rtsp://localhost/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "SIP": b"OPTIONS sip:localhost SIP/2.0\r\nHost: localhost\r\n\r\n",
    "a blank before the method": b" " + FIRST,
    "a byte order mark": b"\xef\xbb\xbf" + FIRST,
    "what follows 1.0": message(first=b"GET / HTTP/1.0") + SMUGGLED,
    "what follows a close": message(b"Connection: close", first=GET) + SMUGGLED,
    "an early WebSocket": message(
        b"Connection: Upgrade", b"Upgrade: WebSocket", b"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5", first=GET
    ),
}


def options() -> Iterator[Payload]:
    """Whatever Connection names, Host, framing and token are ours."""
    for value in OPTIONS:
        line = b"Connection: " + value
        yield passes(named("connection", value), message(line, b"X-A: b", first=GET), b"GET /")
        data = message(line, b"Content-Length: 3", b"X-A: b", body=b"abc")
        yield passes(named("length and connection", value), data, b"POST / abc")
        data = message(line, b"Transfer-Encoding: chunked", body=CHUNKS)
        yield passes(named("chunks and connection", value), data, b"POST / abc")
    for value in (b"close", b"x, CLOSE", b"close, keep-alive", b"keep-alive, close", b"x\r\nConnection: close"):
        yield passes(named("connection", value), message(b"Connection: " + value, first=GET), b"GET /")


def upgrades() -> Iterator[Payload]:
    """An Upgrade that is not taken leaves an ordinary request."""
    for lines in UPGRADES:
        name = b" / ".join(lines)
        yield passes(named("upgrade", name), message(*lines, first=GET), b"GET /")
        data = message(*lines, b"Content-Length: 3", body=b"abc")
        yield passes(named("length and upgrade", name), data, b"POST / abc")
        data = message(*lines, b"Transfer-Encoding: chunked", body=CHUNKS)
        yield passes(named("chunks and upgrade", name), data, b"POST / abc")


def expectations() -> Iterator[Payload]:
    """100-continue is ours to fulfil, and nothing else is."""
    for value in (b"100-continue", b"100-Continue", b"100-CONTINUE", b" 100-continue "):
        line = b"Expect: " + value
        yield passes(named("expect", value), message(line, b"Content-Length: 3", body=b"abc"), b"POST / abc")
        yield passes(
            named("chunks and expect", value), message(line, b"Transfer-Encoding: chunked", body=CHUNKS), b"POST / abc"
        )
        yield passes(named("expect without a body", value), message(line, first=GET), b"GET /")
    for value in EXPECTATIONS:
        line = b"Expect: " + value
        yield refused(named("expect", value), message(line, b"Content-Length: 3", body=b"abc"))
        yield refused(named("expect without a body", value), message(line, first=GET))
        data = message(line, b"Content-Length: 3", body=b"abc", first=b"POST / HTTP/1.0")
        yield passes(named("1.0 and expect", value), data, b"POST / abc")


def credentials() -> Iterator[Payload]:
    """One credential arrives, and it is ours."""
    for lines in CREDENTIALS + FORWARDING:
        yield passes(named("lines", lines), message(lines, first=GET), b"GET /")
        yield passes(named("lines and a body", lines), message(lines, b"Content-Length: 3", body=b"abc"), b"POST / abc")
    for lines in BROWSERS:
        yield refused(named("browser", lines), message(lines, first=GET))
        yield refused(named("browser with a body", lines), message(lines, b"Content-Length: 43", body=SMUGGLED))


def streams() -> Iterator[Payload]:
    """Several requests on a connection, and what is no request at all."""
    for name, (data, seen) in PIPELINES.items():
        # What is lost is lost with the connection, so that nobody waits for its answer.
        yield passes(f"pipeline: {name}", data, *seen)._replace(together=True, ends=name.startswith("behind"))
    for name, data in STRANGERS.items():
        yield refused(name, data)._replace(together=name.startswith("what follows"))
    yield passes("1.0 with a body", message(b"Content-Length: 3", body=b"abc", first=b"POST / HTTP/1.0"), b"POST / abc")
    yield passes("LF before the method", b"\n" + FIRST, b"GET /1")
    yield refused("good and bad in a piece", FIRST + smuggling(b"X : y"))._replace(together=True)
    yield refused("bad and good in a piece", smuggling(b"X : y") + FIRST)


def payloads() -> Iterator[Payload]:
    """All of them."""
    yield from options()
    yield from upgrades()
    yield from expectations()
    yield from credentials()
    yield from streams()
