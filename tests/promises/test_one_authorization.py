"""Exactly one Authorization goes upstream: ours, or by the operator's choice the client's; no other credential does."""

import pytest
from kit import OK, FixedTokens, answering, fetch, get, make_token, proxied

ALIASES = [
    b"Authorization: Basic stolen",
    b"authorization: Bearer stolen",
    b"AUTHORIZATION: stolen",
    b"Authorization_: stolen",
    b"Proxy-Authorization: Basic stolen",
    b"Proxy_Authorization: Basic stolen",
    b"DPoP: stolen",
    b"dpop: stolen",
    b"X-Forwarded-For: stolen",
    b"X_Forwarded_Host: stolen",
    b"X-Forwarded-Access-Token: stolen",
    b"Forwarded: for=stolen",
    b"X-Real-IP: stolen",
    b"Proxy: http://stolen/",
]

CONNECTIONS = [
    [b"Connection: authorization"],
    [b"Connection: Authorization, Host, Content-Length, X-Foo, Via"],
    [b"Connection: close, authorization"],
    [b"Connection:", b"Connection: AUTHORIZATION"],
    [b"Connection: keep-alive", b"Connection: authorization"],
]


@pytest.mark.parametrize("lines", [ALIASES, ALIASES[::-1], *[[alias] for alias in ALIASES], *CONNECTIONS])
async def test_one_credential_goes_out(lines: list[bytes]):
    """Whatever the client sends, the upstream sees our token once, and none of what the client sent."""
    async with proxied(answering(OK)) as (app, upstream):
        assert (await fetch(app, get(b"/", b"X-Foo: 1", *lines))).body == b"ok"
        assert upstream.last.values(b"authorization") == [b"Bearer token-1"]
        assert upstream.last.head.lower().count(b"authorization") == 1
        assert b"stolen" not in upstream.last.head
        assert len(upstream.last.values(b"host")) == 1


async def test_what_connection_names_is_gone_but_for_what_we_inject():
    """`Connection: host, content-length, x-foo` takes X-Foo away and breaks neither Host nor framing."""
    async with proxied(answering(OK)) as (app, upstream):
        lines = (b"Connection: host, content-length, x-foo, authorization", b"X-Foo: 1", b"Content-Length: 5")
        assert (await fetch(app, get(b"/", *lines, method=b"POST") + b"hello")).body == b"ok"
        assert upstream.last.body == b"hello"
        assert upstream.last.values(b"x-foo") == []
        assert upstream.last.values(b"connection") == []
        assert upstream.last.values(b"authorization") == [b"Bearer token-1"]


async def test_a_trailer_injects_nothing():
    """Trailers of a request are read and dropped: an Authorization there has no effect (R18)."""
    data = get(b"/", b"Transfer-Encoding: chunked", b"Trailer: Authorization", method=b"POST")
    async with proxied(answering(OK)) as (app, upstream):
        answer = await fetch(app, data + b"2\r\nhi\r\n0\r\nAuthorization: Bearer stolen\r\n\r\n")
        assert answer.body == b"ok"
        assert upstream.last.raw == b"2\r\nhi\r\n0\r\n\r\n"
        assert upstream.last.values(b"authorization") == [b"Bearer token-1"]
        assert b"stolen" not in upstream.last.head


async def test_reject_answers_400():
    """`inject.client_authorization: reject` refuses a client that brings its own, and lets others pass."""
    async with proxied(answering(OK), inject={"client_authorization": "reject"}) as (app, upstream):
        answer = await fetch(app, get(b"/", b"authorization: Basic x"))
        assert (answer.status, answer.code) == (400, "client_authorization_rejected")
        assert answer.value(b"proxy-status") == b"okta-proxy; error=http_request_denied"
        assert upstream.heads == []
        assert (await fetch(app, get(b"/", b"DPoP: x"))).body == b"ok"


async def test_keep_lets_the_clients_own_win():
    """`keep` forwards the client's line as it came and injects nothing; without one it injects."""
    async with proxied(answering(OK), inject={"client_authorization": "keep"}) as (app, upstream):
        await fetch(app, get(b"/", b"aUTHORIZATION: Basic own"))
        assert [line for line in upstream.last.lines if b"uthoriz" in line.lower()] == [b"aUTHORIZATION: Basic own"]
        await fetch(app, get(b"/"))
        assert upstream.last.values(b"authorization") == [b"Bearer token-1"]


async def test_keep_needs_no_token():
    """A client with its own credentials does not wait for our token."""
    tokens = FixedTokens()
    tokens.current = None
    async with proxied(answering(OK), tokens, inject={"client_authorization": "keep"}) as (app, upstream):
        assert (await fetch(app, get(b"/", b"Authorization: Basic own"))).body == b"ok"
        assert upstream.last.values(b"authorization") == [b"Basic own"]


async def test_another_header_can_carry_the_token():
    """With another `inject.header` every spelling of it is replaced, and Authorization is the client's own matter."""
    options = {"inject": {"header": "X-Api-Token", "scheme": ""}}
    async with proxied(answering(OK), **options) as (app, upstream):
        await fetch(app, get(b"/", b"x-api-token: stolen", b"X_Api_Token: stolen", b"Authorization: Basic own"))
        assert upstream.last.values(b"x-api-token") == [b"token-1"]
        assert upstream.last.values(b"authorization") == [b"Basic own"]
        assert b"stolen" not in upstream.last.head


async def test_the_scheme_can_be_another():
    """`inject.scheme` stands before the token instead of the scheme that its type gives."""
    async with proxied(answering(OK), inject={"scheme": "SSWS"}) as (app, upstream):
        await fetch(app, get(b"/"))
        assert upstream.last.values(b"authorization") == [b"SSWS token-1"]


async def test_a_newer_token_is_used_at_once():
    """The token that is published when the request comes is the one that it carries."""
    tokens = FixedTokens("first")
    async with proxied(answering(OK), tokens) as (app, upstream):
        for value in ("first", "second", "third"):
            tokens.current = make_token(value)
            await fetch(app, get(b"/"))
            assert upstream.last.values(b"authorization") == [b"Bearer " + value.encode()]


async def test_nothing_the_client_sends_ends_up_in_another_request():
    """No credential, cookie or header of one caller is in the request of the next."""
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=first\r\nContent-Length: 2\r\n\r\nok"
    async with proxied(answering(answer)) as (app, upstream):
        await fetch(app, get(b"/", b"Authorization: Basic x", b"Cookie: own=1", b"X-Foo: 1"))
        await fetch(app, get(b"/"))
        assert {line.split(b":")[0] for line in upstream.last.lines} == {b"Host", b"Via", b"Authorization"}
        assert upstream.connections == 1
