"""A WebSocket's opening handshake is forwarded with the token; whatever is less than one stays a plain request."""

import asyncio

import pytest
from kit import (
    OK,
    FixedTokens,
    RawConnection,
    RawUpstream,
    answering,
    every_loop,
    fetch,
    get,
    post,
    proxied,
    raw_client,
    settled,
)
from promise_kit import assert_ours
from websocket_kit import ASKS, HANDSHAKE, KEY, SWITCH, SWITCHED, Switching, connected, sends, tunnel

NOTHING = {"active": 0, "idle": 0}


def names(lines: list[bytes]) -> set[bytes]:
    """Return the lower-case names of header lines."""
    return {line.split(b":")[0].lower() for line in lines}


def connections(app) -> dict[str, int]:
    """Return how many upstream connections are in use and how many are kept."""
    counts = app._proxy.pool.counts()
    return {state: counts[state] for state in NOTHING}


# What is forwarded.


async def test_the_upstream_gets_the_clients_lines_and_the_token():
    """Every line keeps its bytes and place; Connection and Upgrade are ours, and there is one Authorization."""
    lines = [
        b"sec-websocket-KEY: dGhlIHNhbXBsZSBub25jZQ==",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Protocol: chat, superchat",
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        b"sec-websocket-protocol:  v2.chat ",
        b"Cookie: a=b",
    ]
    request = get(b"/ws?a=%20b&&", b"Authorization: Bearer mine", *ASKS, *lines, b"authorization: Basic eA==")
    async with proxied(script := Switching(), upstream_={"via": "off"}) as (app, upstream):
        async with connected(app, script, request) as both:
            await sends(both.client, both.upstream, b"hello")
        assert upstream.last.first == b"GET /ws?a=%20b&& HTTP/1.1"
        assert upstream.last.lines == [
            b"Host: 127.0.0.1:%d" % upstream.port,
            *[line.replace(b":  v2", b": v2").rstrip() for line in lines],
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Authorization: Bearer token-1",
        ]


async def test_the_client_gets_the_upstreams_lines():
    """Accept, subprotocol, extensions and cookies arrive as they are, in order, with nothing added but the switch."""
    lines = [
        b"sec-websocket-ACCEPT: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        b"Sec-WebSocket-Protocol: v2.chat",
        b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover",
        b"Set-Cookie: a=b",
        b"set-cookie: c=d",
    ]
    hop = [b"connection: keep-alive, UPGRADE, x-hop", b"upgrade: WebSocket", b"X-Hop: 1", b"Keep-Alive: timeout=5"]
    answer = b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n" + b"\r\n".join([*hop, *lines]) + b"\r\n\r\n"
    async with tunnel(answer) as both:
        ours = [b"Connection: Upgrade", b"Upgrade: websocket"]
        assert both.head.split(b"\r\n") == [b"HTTP/1.1 101 Switching Protocols", *lines, *ours, b"", b""]
        await sends(both.upstream, both.client, b"hello")


SPELLINGS = [
    (b"Connection: upgrade", b"Upgrade: WebSocket"),
    (b"CONNECTION: keep-alive, Upgrade", b"UPGRADE: WEBSOCKET"),
    (b"Connection: keep-alive,\tUpgrade\t", b"Upgrade: websocket"),
    (b"Connection: \t,Upgrade,,", b"Upgrade:\twebsocket"),
    (b"Upgrade: websocket", b"Connection: a b, upgrade"),
    (b"Connection: close, Upgrade", b"Upgrade: websocket"),
    (b"Connection: keep-alive", b"Connection: Upgrade", b"Upgrade: websocket"),
    (b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 0"),
    (b"Connection: TE, Upgrade", b"Upgrade: websocket", b"TE: trailers"),
]


@every_loop
@pytest.mark.parametrize("lines", SPELLINGS)
@pytest.mark.parametrize("cut", [None, 30, -1], ids=["whole", "cut in the head", "cut at its end"])
async def test_a_handshake_is_one_however_it_is_spelled(lines: tuple[bytes, ...], cut: int | None):
    """Case, blanks, order and segments make no difference; the bytes behind it are the upstream's, not HTTP."""
    request = get(b"/ws", *lines, KEY)
    async with proxied(script := Switching()) as (app, upstream), raw_client(app) as client:
        if cut is not None:
            await client.send(request[:cut])
            await asyncio.sleep(0)
        await client.send((request if cut is None else request[cut:]) + b"GET /x HTTP/1.1\r\n\r\n")
        peer = await script.peer()
        assert await client.head() == SWITCHED
        assert await peer.exactly(19) == b"GET /x HTTP/1.1\r\n\r\n"
        await sends(client, peer, b"\x81\x85\x00\xff")
        assert len(upstream.heads) == 1


async def test_it_may_follow_other_requests():
    """A connection that has carried plain requests may become a WebSocket, also when they were pipelined."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while b"/ws" not in (await upstream.take(connection)).first:
            await connection.send(OK)
        await connection.send(SWITCH)
        await connection.send(await connection.exactly(5))

    async with proxied(script) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/1"))
        assert (await client.message()).body == b"ok"
        await client.send(get(b"/2") + get(b"/3") + HANDSHAKE + b"hello")
        for _ in range(2):
            assert (await client.message()).body == b"ok"
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        assert await client.exactly(5) == b"hello"
        assert len(upstream.heads) == 4


async def test_interim_answers_may_come_before():
    """A 103 before the 101 is passed over, and nothing of it gets into the client's head."""
    async with tunnel(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + SWITCH + b"hello") as both:
        assert b"Link" not in both.head
        assert await both.client.exactly(5) == b"hello"


@pytest.mark.parametrize("line", [b"Content-Length: 5", b"Content-Length: 0", b"Transfer-Encoding: chunked"])
async def test_a_switch_has_no_body(line: bytes):
    """Lines that would frame a body are dropped from a 101 (RFC 9110 8.6), and what follows is the tunnel's."""
    async with tunnel(SWITCH[:-2] + line + b"\r\n\r\n5\r\nhello") as both:
        assert names(both.head.split(b"\r\n")[1:-2]) == {b"sec-websocket-accept", b"connection", b"upgrade"}
        assert await both.client.exactly(8) == b"5\r\nhello"
        await sends(both.upstream, both.client, b"more")


# What is less than a handshake.

PLAIN = {
    "no key": get(b"/1", *ASKS),
    "two keys": get(b"/1", *ASKS, KEY, KEY),
    "an alias of the key": get(b"/1", *ASKS, KEY.replace(b"-", b"_")),
    "a key that Connection names": get(b"/1", b"Connection: Upgrade, Sec-WebSocket-Key", ASKS[1], KEY),
    "no Connection": get(b"/1", ASKS[1], KEY),
    "another Connection": get(b"/1", b"Connection: keep-alive, upgraded", ASKS[1], KEY),
    "h2c": get(b"/1", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQA", KEY),
    "a version": get(b"/1", ASKS[0], b"Upgrade: websocket/13", KEY),
    "a choice": get(b"/1", ASKS[0], b"Upgrade: websocket, h2c", KEY),
    "two Upgrades": get(b"/1", *ASKS, b"Upgrade: h2c", KEY),
    "two Upgrades, the other way": get(b"/1", ASKS[0], b"Upgrade: h2c", ASKS[1], KEY),
    "a body": post(b"GET /smuggled HTTP/1.1\r\n\r\n", *ASKS, KEY, method=b"GET", path=b"/1"),
    "chunks": get(b"/1", *ASKS, KEY, b"Transfer-Encoding: chunked")
    + b"1a\r\nGET /smuggled HTTP/1.1\r\n\r\n\r\n0\r\n\r\n",
    "POST": get(b"/1", *ASKS, KEY, method=b"POST"),
    "POST with a body": post(b"GET /smuggled HTTP/1.1\r\n\r\n", *ASKS, KEY, path=b"/1"),
    "OPTIONS": get(b"/1", *ASKS, KEY, method=b"OPTIONS"),
    "HTTP/1.0": get(b"/1", *ASKS, KEY).replace(b"HTTP/1.1", b"HTTP/1.0"),
}


@every_loop
@pytest.mark.parametrize("name", PLAIN)
async def test_anything_less_is_a_plain_request(name: str):
    """It is forwarded once, with its body and without Connection and Upgrade; what comes behind it is HTTP again."""
    data = PLAIN[name]
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        await client.send(data)
        answer = await client.message()
        assert answer.body == b"ok"
        assert upstream.last.first == data.split(b"\r\n")[0].replace(b"HTTP/1.0", b"HTTP/1.1")
        assert not names(upstream.last.lines) & {b"connection", b"upgrade", b"http2-settings"}
        assert upstream.last.body == (b"GET /smuggled HTTP/1.1\r\n\r\n" if b"smuggled" in data else b"")
        if answer.value(b"connection") == b"close" or name == "HTTP/1.0":
            assert (await client.ending()).data == b""
        else:
            await client.send(post(b"x", path=b"/2"))
            assert (await client.message()).body == b"ok"
            assert upstream.last.first == b"POST /2 HTTP/1.1"
        assert not any(b"smuggled" in request.first for request in upstream.requests)


@every_loop
@pytest.mark.parametrize("name", PLAIN)
async def test_a_switch_that_nobody_asked_for_is_a_502(name: str):
    """An upstream that answers 101 to a plain request is not believed, and its connection is not used again (U12)."""
    async with proxied(answering(SWITCH + b"frames", OK)) as (app, upstream):
        answer = await fetch(app, PLAIN[name])
        assert_ours(answer, 502, "upstream_protocol_error", "http_protocol_error")
        assert (await fetch(app, post(b"x"))).body == b"ok"
        assert upstream.connections == 2


OTHER_SWITCHES = {
    "bare": b"HTTP/1.1 101 X\r\n\r\n",
    "no Upgrade": b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\n\r\n",
    "no Connection": b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n",
    "h2c": SWITCH.replace(b"websocket", b"h2c"),
    "both": SWITCH.replace(b"websocket", b"h2c, websocket"),
    "two lines": SWITCH.replace(b"Connection", b"Upgrade: h2c\r\nConnection"),
    "gzip": SWITCH[:-2] + b"Transfer-Encoding: gzip\r\n\r\n",
}


@every_loop
@pytest.mark.parametrize("behind", [b"", b"frames", OK])
@pytest.mark.parametrize("name", OTHER_SWITCHES)
async def test_a_switch_to_something_else_is_a_502(name: str, behind: bytes):
    """Only WebSocket was asked for: nothing else is passed on, and the client's connection goes on as HTTP/1.1."""
    async with (
        proxied(answering(OTHER_SWITCHES[name] + behind, OK)) as (app, upstream),
        raw_client(app) as client,
    ):
        await client.send(HANDSHAKE)
        assert_ours(await client.message(final=False), 502, "upstream_protocol_error", "http_protocol_error")
        assert connections(app) == NOTHING
        await client.send(post(b"x"))
        assert (await client.message()).body == b"ok"
        assert upstream.connections == 2


# Who may.


@pytest.mark.parametrize(
    ("lines", "host", "status", "code"),
    [
        ([b"Origin: https://evil.example"], b"localhost", 403, "browser_request_denied"),
        ([b"Origin: null"], b"localhost", 403, "browser_request_denied"),
        ([b"Origin: http://localhost:8080"], b"localhost", 403, "browser_request_denied"),
        ([b"Sec-Fetch-Site: cross-site", b"Sec-Fetch-Mode: websocket"], b"localhost", 403, "browser_request_denied"),
        ([], b"evil.example", 421, "host_not_allowed"),
    ],
)
async def test_the_guard_comes_first(lines: list[bytes], host: bytes, status: int, code: str):
    """A web page or a rebound name opens no WebSocket: the upstream hears nothing, bytes behind it go nowhere."""
    request = get(b"/ws", *ASKS, KEY, *lines).replace(b"Host: localhost", b"Host: " + host)
    async with proxied(Switching()) as (app, upstream), raw_client(app) as client:
        await client.send(request)
        assert_ours(await client.message(), status, code, "http_request_denied")
        assert upstream.connections == 0


async def test_a_page_may_where_pages_may():
    """With `guard.browser: allow` the handshake of a page passes, with the Origin that the upstream has to judge."""
    request = get(b"/ws", *ASKS, KEY, b"Origin: https://app.example")
    async with tunnel(request=request, guard={"browser": "allow"}) as both:
        await sends(both.client, both.upstream, b"hello")


# Answers that are no switch.

VERSIONS = b"Sec-WebSocket-Version: 13, 8"


@every_loop
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 426 Upgrade Required\r\n%b\r\nContent-Length: 2\r\n\r\nno" % b"\r\n".join([*ASKS, VERSIONS]),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 2\r\n\r\nno",
    ],
    ids=["400", "403", "426", "200", "302"],
)
@pytest.mark.parametrize("ahead", [b"", get(b"/2")], ids=["", "pipelined"])
async def test_a_refused_handshake_is_an_answer_like_any_other(answer: bytes, ahead: bytes):
    """The refusal is relayed, and both connections go on as HTTP/1.1, up to a handshake that is taken up."""
    async with proxied(answering(answer, OK, SWITCH)) as (app, upstream), raw_client(app) as client:
        await client.send(HANDSHAKE + ahead)
        refusal = await client.message()
        assert (refusal.first, refusal.body) == (answer.split(b"\r\n")[0], b"no")
        assert not names(refusal.lines) & {b"connection", b"upgrade"}
        assert (b"sec-websocket-version" in names(refusal.lines)) == (refusal.status == 426)
        if not ahead:
            await client.send(get(b"/2"))
        assert (await client.message()).body == b"ok"
        await client.send(HANDSHAKE)
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        assert upstream.connections == 1


INVALID = b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 2\r\n\r\nno'


async def test_a_handshake_whose_token_is_refused_is_sent_once_more():
    """A 401 gets a newer token, and the handshake with it is taken up; frames sent ahead arrive once."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        if len(upstream.heads) == 1:
            await connection.send(INVALID)
            return
        await connection.send(SWITCH)
        await connection.send(await connection.exactly(5))
        await connection.ending()

    tokens = FixedTokens("token-1", "token-2")
    async with proxied(script, tokens) as (app, upstream), raw_client(app) as client:
        await client.send(HANDSHAKE + b"hello")
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        assert await client.exactly(5) == b"hello"
        assert [request.values(b"authorization") for request in upstream.requests] == [
            [b"Bearer token-1"],
            [b"Bearer token-2"],
        ]
        assert app.counters.replays == 1


async def test_a_second_refusal_is_the_answer():
    """The handshake is not sent a third time: the client gets the upstream's own 401."""
    async with proxied(answering(INVALID), FixedTokens("token-1", "token-2", "token-3")) as (app, upstream):
        answer = await fetch(app, HANDSHAKE)
        assert (answer.status, answer.body) == (401, b"no")
        assert len(upstream.heads) == 2


async def test_an_idle_connection_that_died_costs_no_handshake():
    """A reused connection that ends before it answers is replaced by a new one, and the handshake taken up there."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(OK if upstream.connections == 1 else SWITCH)
        if upstream.connections == 1:
            await upstream.take(connection)
        else:
            await connection.ending()

    async with proxied(script) as (app, upstream), raw_client(app) as client:
        await client.send(get())
        assert (await client.message()).body == b"ok"
        await client.send(HANDSHAKE)
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        assert len(upstream.heads) == 3


# Clients that leave, and counts.


@every_loop
@pytest.mark.parametrize("how", ["FIN", "RST"])
async def test_a_client_that_leaves_during_the_handshake(how: str):
    """The upstream's connection ends with it, and its late consent is nobody's."""
    arrived, ended = asyncio.Event(), asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        arrived.set()
        await connection.ending()
        ended.set()

    async with proxied(script) as (app, _), raw_client(app) as client:
        await client.send(HANDSHAKE)
        await arrived.wait()
        await asyncio.sleep(0.03)  # over the grace of a half-close, whose rule is a time
        if how == "RST":
            client.reset()
        else:
            await client.close()
        await asyncio.wait_for(ended.wait(), 2)
        await settled(lambda: app.counters.in_flight == 0)
        assert app.counters.requests == {("GET", 499): 1}
        assert connections(app) == NOTHING


async def test_an_open_one_is_a_request_in_flight():
    """It counts for `limits.requests` as long as it is open, and not a moment longer."""
    async with proxied(script := Switching(), limits={"requests": 1}) as (app, _):
        async with connected(app, script) as both:
            assert app.counters.in_flight == 1
            assert_ours(await fetch(app, HANDSHAKE), 503, "too_busy", "connection_limit_reached")
            await both.client.close()
            await both.upstream.close()
            await settled(lambda: app.counters.in_flight == 0)
        async with connected(app, script) as both:
            await sends(both.client, both.upstream, b"hello")
