"""
What becomes of a request that the upstream answers 401: sent once more with a newer token, or the upstream's answer.

`test_rejected_tokens` has the token's side of it, with a real token endpoint.
"""

import asyncio

import pytest
from kit import (
    GET,
    OK,
    AwaitedTokens,
    FixedTokens,
    Message,
    RawConnection,
    RawUpstream,
    answering,
    chunked,
    every_loop,
    fetch,
    get,
    post,
    proxied,
    raw_client,
    settled,
)
from promise_kit import assert_ours

from proxy.tokens.source import Token

WORDS = b"the upstream's own words"
INVALID = b'Bearer realm="api", error="invalid_token", error_description="The token expired"'


def unauthorized(*challenges: bytes, lines: bytes = b"X-Upstream: yes\r\n") -> bytes:
    """Return a 401 with these challenges."""
    fields = b"".join(b"WWW-Authenticate: " + challenge + b"\r\n" for challenge in challenges)
    return b"HTTP/1.1 401 Unauthorized\r\n%b%bContent-Length: %d\r\n\r\n%b" % (fields, lines, len(WORDS), WORDS)


def two_tokens() -> FixedTokens:
    """Return a source that has one newer token."""
    return FixedTokens("token-1", "token-2")


def used(upstream: RawUpstream) -> list[bytes]:
    """Return the token of each request."""
    return [request.values(b"authorization")[0].removeprefix(b"Bearer ") for request in upstream.requests]


def assert_original(answer: Message, *challenges: bytes) -> None:
    """Check that *answer* is the upstream's 401, line by line."""
    assert answer.first == b"HTTP/1.1 401 Unauthorized"
    assert answer.values(b"www-authenticate") == list(challenges)
    assert answer.value(b"x-upstream") == b"yes"
    assert answer.body == WORDS
    assert answer.values(b"proxy-status") == []


# Which requests are sent once more.

BEARER = [
    INVALID,
    b"Bearer",
    b'Bearer realm="api"',
    b"bearer error=invalid_token",
    b'DPoP error="use_dpop_nonce"',
    b'DPoP algs="ES256"',
    b'Basic realm="a, Bearer b", Bearer error="invalid_token"',
]
OTHERS = [b'Basic realm="x"', b'Bearer error="invalid_request"', b'Negotiate, Basic realm="Bearer error=invalid_token"']


@pytest.mark.parametrize("method", [b"GET", b"OPTIONS", b"QUERY", b"PROPFIND", b"REPORT", b"SEARCH"])
@pytest.mark.parametrize("challenges", [(), *[(one,) for one in (BEARER[0], *OTHERS)]])
async def test_a_safe_request_is_sent_once_more(method: bytes, challenges: tuple[bytes, ...]):
    """A method that changes nothing is replayed whatever the challenge is, or without one."""
    tokens = two_tokens()
    async with proxied(answering(unauthorized(*challenges), OK), tokens) as (app, upstream):
        assert (await fetch(app, get(b"/x?y", b"X-A: 1", method=method))).body == b"ok"
        first, second = upstream.requests
        assert used(upstream) == [b"token-1", b"token-2"]
        assert second.head == first.head.replace(b"token-1", b"token-2")
        assert tokens.suspected == ["token-1"]
        assert app.counters.replays == 1


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"DELETE", b"LINK"])
@pytest.mark.parametrize("challenge", BEARER)
async def test_an_unsafe_request_is_sent_once_more_if_its_token_was_refused(method: bytes, challenge: bytes):
    """A challenge that speaks of the token says that nothing was done yet."""
    tokens = two_tokens()
    async with proxied(answering(unauthorized(challenge), OK), tokens) as (app, upstream):
        assert (await fetch(app, post(b"hello", method=method))).body == b"ok"
        assert used(upstream) == [b"token-1", b"token-2"]
        assert [request.body for request in upstream.requests] == [b"hello", b"hello"]
        assert tokens.suspected == ["token-1"]


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"DELETE"])
@pytest.mark.parametrize("challenges", [(), *[(one,) for one in OTHERS]])
async def test_an_unsafe_request_is_not_repeated_otherwise(method: bytes, challenges: tuple[bytes, ...]):
    """Without such a challenge it may have been carried out: the client gets the 401, and the token is suspect."""
    tokens = two_tokens()
    async with proxied(answering(unauthorized(*challenges), OK), tokens) as (app, upstream):
        assert_original(await fetch(app, post(b"hello", method=method)), *challenges)
        assert used(upstream) == [b"token-1"]
        assert tokens.suspected == ["token-1"]
        assert app.counters.replays == 0


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize(
    "challenge", [b'Bearer error="insufficient_scope", scope="a b"', b'DPoP x="1", error=insufficient_scope']
)
async def test_a_missing_scope_is_not_mended_by_another_token(method: bytes, challenge: bytes):
    """`insufficient_scope` is the client's: no token is suspected, nothing is repeated."""
    tokens = two_tokens()
    async with proxied(answering(unauthorized(challenge), OK), tokens) as (app, upstream):
        assert_original(await fetch(app, post(b"hello", method=method)), challenge)
        assert len(upstream.requests) == 1
        assert tokens.suspected == []


@pytest.mark.parametrize("status", [b"400 x", b"403 Forbidden", b"407 x", b"500 x"])
async def test_only_a_401_says_that_the_token_is_refused(status: bytes):
    """Whatever header it has, an answer with another status passes as it is."""
    tokens = two_tokens()
    answer = unauthorized(INVALID).replace(b"401 Unauthorized", status)
    async with proxied(answering(answer, OK), tokens) as (app, upstream):
        assert (await fetch(app, GET)).first == b"HTTP/1.1 " + status
        assert len(upstream.requests) == 1
        assert tokens.suspected == []


# What the client gets in the end.


@pytest.mark.parametrize("second", [401, 403, 500, 302, 204])
async def test_the_second_answer_is_the_clients(second: int):
    """Whatever the replay is answered, that is passed on: nothing is tried a third time."""
    tokens = FixedTokens("token-1", "token-2", "token-3")
    answer = b"HTTP/1.1 %d Second\r\nWWW-Authenticate: %b\r\nContent-Length: 0\r\n\r\n" % (second, INVALID)
    async with proxied(answering(unauthorized(INVALID), answer, OK), tokens) as (app, upstream):
        came = await fetch(app, GET)
        assert came.first == b"HTTP/1.1 %d Second" % second
        assert came.values(b"www-authenticate") == [INVALID]
        assert came.values(b"x-upstream") == []
        assert used(upstream) == [b"token-1", b"token-2"]
        assert app.counters.replays == 1


@every_loop
@pytest.mark.parametrize(
    "answer",
    [
        unauthorized(INVALID),
        unauthorized(INVALID, lines=b"X-Upstream: yes\r\nTransfer-Encoding: chunked\r\n").replace(
            b"Content-Length: %d\r\n\r\n%b" % (len(WORDS), WORDS), b"\r\n" + chunked(WORDS[:5], WORDS[5:])
        ),
    ],
    ids=["length", "chunks"],
)
async def test_the_original_stands_when_no_newer_token_comes(answer: bytes):
    """The client gets the upstream's 401 whole, never an error about our token; its connection goes on."""
    tokens = FixedTokens("token-1")
    async with proxied(answering(answer, OK), tokens) as (app, upstream), raw_client(app) as client:
        await client.send(GET)
        assert_original(await client.message(), INVALID)
        assert tokens.suspected == ["token-1"]
        await client.send(GET)
        assert (await client.message()).body == b"ok"
        assert used(upstream) == [b"token-1", b"token-1"]
        assert upstream.connections == 1


async def test_head_is_sent_once_more():
    """A 401 to HEAD has no body to wait for; the replay is a HEAD, too."""
    length = b"HTTP/1.1 %b\r\nContent-Length: 99\r\n\r\n"
    tokens = two_tokens()
    script = answering(length % b"401 Unauthorized", length % b"200 OK", OK)
    async with proxied(script, tokens) as (app, upstream), raw_client(app) as client:
        await client.send(get(method=b"HEAD"))
        answer = await client.message(to="HEAD")
        assert (answer.status, answer.value(b"content-length")) == (200, b"99")
        assert [request.first for request in upstream.requests] == [b"HEAD / HTTP/1.1"] * 2
        await client.send(GET)
        assert (await client.message()).body == b"ok"


async def test_connections_go_on_behind_a_replay():
    """Neither the client's nor the upstream's connection is spent on a 401: both serve what follows."""
    names = [f"token-{number}" for number in range(20)]
    answers = [unauthorized(INVALID), OK] * 10
    async with proxied(answering(*answers), FixedTokens(*names)) as (app, upstream), raw_client(app) as client:
        for _ in range(10):
            await client.send(post(b"hello"))
            answer = await client.message()
            assert (answer.body, answer.value(b"connection")) == (b"ok", None)
        assert len(upstream.requests) == 20
        assert upstream.connections <= 2


async def test_a_401_that_does_not_end_is_left():
    """The replay does not wait for the rest of the first answer's body, nor does that reach the client."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        if upstream.connections == 1:
            await connection.send(unauthorized(INVALID)[:-5])
        else:
            await connection.send(OK)
        await connection.rest()

    async with proxied(script, two_tokens()) as (app, upstream):
        assert (await fetch(app, GET)).body == b"ok"
        assert upstream.connections == 2


async def test_a_replay_that_gets_no_answer_is_a_502():
    """When the upstream hangs up on the replay the client is told so; a third try there is none."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        if upstream.connections == 1:
            await connection.send(unauthorized(INVALID))
            await connection.rest()

    async with proxied(script, two_tokens()) as (app, upstream), raw_client(app) as client:
        await client.send(post(b"hello"))
        assert_ours(await client.message(), 502, "upstream_unreachable", "connection_terminated")
        assert len(upstream.requests) == 2


async def test_requests_that_fail_together_are_repeated_with_the_one_new_token():
    """Of many 401s for the same token only one changes it; all are sent again with its successor."""
    tokens = FixedTokens("token-1", "token-2", "token-3")

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            request = await upstream.take(connection)
            if len(upstream.requests) == 10:
                all_there.set()
            await all_there.wait()
            is_old = request.values(b"authorization") == [b"Bearer token-1"]
            await connection.send(unauthorized(INVALID) if is_old else OK)

    all_there = asyncio.Event()
    async with proxied(script, tokens) as (app, upstream):
        answers = await asyncio.gather(*[fetch(app, post(b"%d" % number)) for number in range(10)])
        assert [answer.body for answer in answers] == [b"ok"] * 10
        assert sorted(used(upstream)) == [b"token-1"] * 10 + [b"token-2"] * 10
        assert tokens.values == ["token-1", "token-2"]


# The body.

KEPT = 64 * 1024


def framed(body: bytes, *, by_length: bool) -> bytes:
    """Return a POST of *body* by length, or in chunks of 10,000 bytes."""
    if by_length:
        return post(body)
    pieces = [body[start : start + 10_000] for start in range(0, len(body), 10_000)]
    return get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(*pieces)


@every_loop
@pytest.mark.parametrize("by_length", [True, False], ids=["length", "chunks"])
@pytest.mark.parametrize("size", [0, 1, 5000, KEPT])
@pytest.mark.parametrize("step", [1000, 10**6])
async def test_a_kept_body_is_sent_again_byte_for_byte(by_length: bool, size: int, step: int):
    """Up to 64 KiB are kept: the replay has the same bytes in the same framing, however they came."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    data = framed(body, by_length=by_length)
    async with (
        proxied(answering(unauthorized(INVALID), OK), two_tokens()) as (app, upstream),
        raw_client(app) as client,
    ):
        for start in range(0, len(data), step):
            await client.send(data[start : start + step])
            await asyncio.sleep(0)
        assert (await client.message()).body == b"ok"
        first, second = upstream.requests
        assert first.body == second.body == body
        assert second.head == first.head.replace(b"token-1", b"token-2")


@pytest.mark.parametrize("by_length", [True, False], ids=["length", "chunks"])
@pytest.mark.parametrize("size", [KEPT + 1, 300_000])
async def test_a_body_that_was_not_kept_is_not_sent_again(by_length: bool, size: int):
    """Over 64 KiB the client gets the 401, and the next request a newer token; its connection goes on."""
    tokens = two_tokens()
    script = answering(unauthorized(INVALID), OK)
    async with proxied(script, tokens) as (app, upstream), raw_client(app) as client:
        await client.send(framed(b"x" * size, by_length=by_length))
        assert_original(await client.message(), INVALID)
        assert tokens.suspected == ["token-1"]
        await client.send(GET)
        assert (await client.message()).body == b"ok"
        assert used(upstream) == [b"token-1", b"token-2"]
        assert [len(request.body) for request in upstream.requests] == [size, 0]
        assert app.counters.replays == 0


@pytest.mark.parametrize("by_length", [True, False], ids=["length", "chunks"])
@pytest.mark.parametrize("size", [KEPT, KEPT + 1, 120_000, 1_000_000])
async def test_a_body_that_came_before_the_token_is_sent_whole(by_length: bool, size: int):
    """What a client sends while it waits for the first token reaches the upstream, whether it can be kept or not."""
    tokens = AwaitedTokens()
    async with proxied(answering(OK), tokens) as (app, upstream), raw_client(app) as client:
        client.writer.write(framed(b"x" * size, by_length=by_length))
        await tokens.asked.wait()
        [connection] = app._server.clients
        await settled(lambda: connection._reader.last_payload.is_eof() or connection._reading_paused)
        tokens.arrived.set()
        assert (await client.message()).body == b"ok"
        assert len(upstream.last.body) == size


async def test_a_body_under_way_is_not_sent_again():
    """A 401 that comes before the body is whole passes to the client at once, and the token is suspect."""
    tokens = two_tokens()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        await connection.exactly(3)
        await connection.send(unauthorized(INVALID))
        await connection.ending()

    async with proxied(script, tokens) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/", b"Content-Length: 10", method=b"POST") + b"hel")
        answer = await client.message()
        assert_original(answer, INVALID)
        assert answer.value(b"connection") == b"close"
        assert (await client.ending()).data == b""
        assert tokens.suspected == ["token-1"]
        assert len(upstream.heads) == 1


# The wait.


class SlowTokens(FixedTokens):
    """A `TokenSource` whose successor comes when `arrived` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.arrived = asyncio.Event()
        self.cancelled = 0

    async def successor(self, token: Token) -> Token | None:  # noqa: ARG002
        self.asked.set()
        try:
            await self.arrived.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.current = FixedTokens("token-2").current
        return self.current


@every_loop
async def test_the_wait_holds_up_nobody_else():
    """While one request waits for a newer token others are served, and the wait is counted."""
    tokens = SlowTokens()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            request = await upstream.take(connection)
            is_refused = request.first.startswith(b"GET /refused") and not tokens.arrived.is_set()
            await connection.send(unauthorized(INVALID) if is_refused else OK)

    async with proxied(script, tokens) as (app, _), raw_client(app) as client:
        await client.send(get(b"/refused"))
        await tokens.asked.wait()
        assert (await fetch(app, GET)).body == b"ok"
        tokens.arrived.set()
        assert (await client.message()).body == b"ok"
        await settled(lambda: app.counters.in_flight == 0)
        assert sum(app.counters.token_waits.counts) == 1


@every_loop
async def test_a_client_that_leaves_during_the_wait_leaves_nothing_behind():
    """Its request is dropped with its upstream connection, and is never sent again; the next client is served."""
    tokens = SlowTokens()
    async with proxied(answering(unauthorized(INVALID), OK), tokens) as (app, upstream):
        async with raw_client(app) as client:
            await client.send(GET)
            await tokens.asked.wait()
            client.reset()
            await settled(lambda: app.counters.in_flight == 0)
        assert tokens.cancelled == 1
        assert app.counters.requests == {("GET", 499): 1}
        tokens.arrived.set()
        assert len(upstream.requests) == 1
        assert (await fetch(app, GET)).body == b"ok"
        assert len(upstream.requests) == 2


async def test_an_upstream_that_leaves_during_the_wait_does_not_matter():
    """The first connection may close while the newer token is fetched: the replay has one of its own."""
    tokens = SlowTokens()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        if upstream.connections == 1:
            await connection.send(unauthorized(INVALID))
            await tokens.asked.wait()
            return
        await connection.send(OK)
        await connection.rest()

    async with proxied(script, tokens) as (app, upstream), raw_client(app) as client:
        await client.send(GET)
        await upstream.closed.wait()
        tokens.arrived.set()
        assert (await client.message()).body == b"ok"
        assert upstream.connections == 2


# The client's own credentials.


async def test_a_clients_own_credentials_are_its_own_business():
    """With `keep` a 401 to the client's own credentials passes, and our token is not suspected."""
    tokens = two_tokens()
    async with proxied(answering(unauthorized(INVALID), OK), tokens, inject={"client_authorization": "keep"}) as (
        app,
        upstream,
    ):
        assert_original(await fetch(app, get(b"/", b"Authorization: Basic eDp5")), INVALID)
        assert upstream.requests[0].values(b"authorization") == [b"Basic eDp5"]
        assert len(upstream.requests) == 1
        assert tokens.suspected == []


async def test_with_keep_our_own_token_is_still_refreshed():
    """A request without credentials has our token, so its 401 is ours to mend."""
    tokens = two_tokens()
    async with proxied(answering(unauthorized(INVALID), OK), tokens, inject={"client_authorization": "keep"}) as (
        app,
        upstream,
    ):
        assert (await fetch(app, GET)).body == b"ok"
        assert used(upstream) == [b"token-1", b"token-2"]
