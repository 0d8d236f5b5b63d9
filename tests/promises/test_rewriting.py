"""What an answer says of addresses and cookies is true for the client, and is acted upon by nobody else."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kit import (
    OK,
    FixedTokens,
    Message,
    RawUpstream,
    answering,
    fetch,
    get,
    proxied,
    raw_client,
    running,
    settings,
    with_names,
)

from proxy.app import App

BASES = ["", "/v1"]


def answer_with(*lines: bytes, status: bytes = b"200 OK") -> bytes:
    """Return an answer with these header lines."""
    return b"HTTP/1.1 %b\r\n%b\r\nContent-Length: 0\r\n\r\n" % (status, b"\r\n".join(lines))


def lines_of(answer: Message) -> list[bytes]:
    """Return the header lines but the two that are none of a test's."""
    return [line for line in answer.lines if not line.startswith((b"Date:", b"Content-Length:"))]


async def through(*lines: bytes, base: str, request: bytes = get(), **keys: Any) -> list[bytes]:
    """Return what a client gets for these lines; UP in them is the upstream's authority, CLIENT in the result ours."""

    async def script(upstream: RawUpstream, connection: Any) -> None:
        authority = b"127.0.0.1:%d" % upstream.port
        await answering(answer_with(*[line.replace(b"UP", authority) for line in lines]))(upstream, connection)

    async with proxied(script, base=base, **keys) as (app, upstream):
        answer = await fetch(app, request)
        authority = b"127.0.0.1:%d" % upstream.port
        return [line.replace(authority, b"UP").replace(app.url[7:].encode(), b"OURS") for line in lines_of(answer)]


# Addresses.


@pytest.mark.parametrize(
    ("base", "value", "expected"),
    [
        ("", b"http://UP/x?q=1#f", b"http://localhost/x?q=1#f"),
        ("", b"HTTP://UP", b"http://localhost/"),
        ("", b"http://UP?q", b"http://localhost/?q"),
        ("", b"//UP/x", b"http://localhost/x"),
        ("", b"http://UP//evil/x", b"http://localhost//evil/x"),
        ("", b"/x", b"/x"),
        ("", b"/v1/x", b"/v1/x"),
        ("/v1", b"http://UP/v1/x?q=1#f", b"http://localhost/x?q=1#f"),
        ("/v1", b"http://UP/v1", b"http://localhost/"),
        ("/v1", b"http://UP/v1?q", b"http://localhost/?q"),
        ("/v1", b"//UP/v1/x", b"http://localhost/x"),
        ("/v1", b"/v1/x", b"/x"),
        ("/v1", b"/v1", b"/"),
        ("/v1", b"/v1?q#f", b"/?q#f"),
    ],
)
async def test_addresses_of_the_upstream_become_the_clients(base: str, value: bytes, expected: bytes):
    """Location, Content-Location and Link lead back to the address that the client used, without the base path."""
    came = await through(
        b"Location: " + value,
        b"content-location: " + value,
        b'Link: <%b>; rel="next", <%b>; rel=prev' % (value, value),
        base=base,
    )
    assert came == [
        b"Location: " + expected,
        b"content-location: " + expected,
        b'Link: <%b>; rel="next", <%b>; rel=prev' % (expected, expected),
    ]


@pytest.mark.parametrize(
    ("base", "value"),
    [
        ("", b"http://127.0.0.1:1/x"),
        ("", b"http://UP.evil.example/x"),
        ("", b"http://user@UP/x"),
        ("", b"http://localhost.evil.example/x"),
        ("", b"https://idp.example/authorize?redirect_uri=http://UP/x"),
        ("", b"x/y"),
        ("", b"../x"),
        ("", b"?page=2"),
        ("", b"#f"),
        ("", b"mailto:x@UP"),
        ("", b"urn:x"),
        ("", b""),
        ("/v1", b"http://UP/"),
        ("/v1", b"http://UP/v10/x"),
        ("/v1", b"http://UP/v2/x"),
        ("/v1", b"/v10/x"),
        ("/v1", b"/"),
        ("/v1", b"/v2"),
    ],
)
async def test_other_addresses_are_not_touched(base: str, value: bytes):
    """Another host, port or scheme, relative references and what is outside the base path pass byte for byte."""
    lines = [b"Location: " + value, b"Content-Location: " + value, b"Link: <%b>; rel=next" % value]
    assert await through(*lines, base=base) == lines


@pytest.mark.parametrize("value", [b"/v1//evil.example/x", b"/v1/\\evil.example/x"])
async def test_no_path_becomes_another_host(value: bytes):
    """Without its base path a path may begin with two slashes: it still leads to us, not to a host of that name."""
    rest = value.removeprefix(b"/v1")
    came = await through(b"Location: " + value, b"Link: <%b>; rel=next" % value, base="/v1")
    assert came == [b"Location: http://localhost" + rest, b"Link: <http://localhost%b>; rel=next" % rest]


@pytest.mark.parametrize(
    ("request_data", "expected"),
    [
        (get(), b"http://localhost/x"),
        (b"GET / HTTP/1.1\r\nHost: LocalHost:8080\r\n\r\n", b"http://LocalHost:8080/x"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n", b"http://127.0.0.1:9/x"),
        (b"GET / HTTP/1.1\r\nHost: [::1]:9\r\n\r\n", b"http://[::1]:9/x"),
        (b"GET http://localhost:7/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"http://localhost:7/x"),
        (b"GET / HTTP/1.0\r\n\r\n", b"http://OURS/x"),
    ],
)
async def test_the_address_is_the_one_that_the_client_used(request_data: bytes, expected: bytes):
    """A published port or another name of ours stays as the client spelled it; without a Host it is the listener's."""
    assert await through(b"Location: http://UP/v1/x", base="/v1", request=request_data) == [
        b"Location: " + expected,
        *([b"Connection: close"] if b"HTTP/1.0" in request_data else []),
    ]


@pytest.mark.parametrize("base", BASES)
async def test_all_of_it_can_be_turned_off(base: str):
    """With upstream.rewrite false every line passes as the upstream sent it."""
    lines = [
        b"Location: http://UP/v1/x",
        b"Content-Location: /v1/x",
        b"Link: <http://UP/v1/x>; rel=next",
        b"Set-Cookie: a=1; Domain=api.example; Path=/v1; Secure",
    ]
    assert await through(*lines, base=base, upstream_={"rewrite": False}) == lines


async def test_other_headers_and_bodies_are_not_touched():
    """Only those four headers are read: an address elsewhere, and in a body, is the upstream's business."""
    body = b"<a href='http://UP/v1/x'>"

    async def script(upstream: RawUpstream, connection: Any) -> None:
        here = body.replace(b"UP", b"127.0.0.1:%d" % upstream.port)
        head = b"HTTP/1.1 200 OK\r\nRefresh: 0; url=/v1/x\r\nX-Location: /v1/x\r\nContent-Length: %d\r\n\r\n" % len(
            here
        )
        await answering(head + here)(upstream, connection)

    async with proxied(script, base="/v1") as (app, upstream):
        answer = await fetch(app, get())
        assert answer.body == body.replace(b"UP", b"127.0.0.1:%d" % upstream.port)
        assert answer.value(b"refresh") == b"0; url=/v1/x"
        assert answer.value(b"x-location") == b"/v1/x"


# An upstream that has a name.


@contextlib.asynccontextmanager
async def named(*lines: bytes, base: str = "") -> AsyncIterator[tuple[App, int]]:
    """Run the proxy before http://api.test, which gives these lines with UP as its authority; and give its port."""

    async def script(upstream: RawUpstream, connection: Any) -> None:
        authority = b"api.test:%d" % upstream.port
        await answering(answer_with(*[line.replace(b"UP", authority) for line in lines]))(upstream, connection)

    async with (
        RawUpstream(script) as upstream,
        running(settings(f"http://api.test:{upstream.port}{base}", admin={"enabled": False}), FixedTokens()) as app,
    ):
        yield app, upstream.port


@with_names
@pytest.mark.parametrize("base", BASES)
async def test_a_named_upstream_is_known_by_its_name_alone(base: str):
    """Its name, in any case, is rewritten; the address behind the name is another host."""
    lines = [b"Location: http://API.test:%d/v1/x", b"Content-Location: http://127.0.0.1:%d/v1/x"]
    async with named(b"Location: http://UP/v1/x", base=base) as (app, _):
        answer = await fetch(app, get())
        assert answer.value(b"location") == b"http://localhost" + (b"/x" if base else b"/v1/x")
    async with named(*[line % 1 for line in lines], base=base) as (app, _):
        assert lines_of(await fetch(app, get())) == [line % 1 for line in lines]


@with_names
@pytest.mark.parametrize("base", BASES)
async def test_who_takes_us_for_an_http_proxy_keeps_the_upstreams_addresses(base: str):
    """A client that names the upstream in its target gets addresses of the upstream, with their whole path."""
    lines = [b"Location: http://UP/v1/x", b"Content-Location: /v1/y", b"Set-Cookie: a=1; Path=/v1"]
    async with named(*lines, base=base) as (app, port):
        authority = b"api.test:%d" % port
        answer = await fetch(app, b"GET http://%b/v1/ HTTP/1.1\r\nHost: %b\r\n\r\n" % (authority, authority))
        assert lines_of(answer) == [line.replace(b"UP", authority) for line in lines]


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["elsewhere", "here"])
async def test_no_redirect_is_ever_followed(status: int, where: str):
    """The client gets it; neither the host it names nor the upstream sees a request, let alone a token (U18)."""
    async with RawUpstream(answering(OK)) as elsewhere:
        target = elsewhere.url.encode() + b"/steal" if where == "elsewhere" else b"/again"
        redirect = answer_with(b"Location: " + target, status=b"%d Moved" % status)
        async with proxied(answering(redirect, OK)) as (app, upstream), raw_client(app) as client:
            for method in (b"GET", b"POST", b"HEAD"):
                before = len(upstream.heads)
                await client.send(get(b"/", b"Content-Length: 0", method=method))
                answer = await client.message(to=method.decode())
                if before == 0:
                    assert answer.first == b"HTTP/1.1 %d Moved" % status
                    assert answer.value(b"location") == target
                assert len(upstream.heads) == before + 1
        assert (elsewhere.heads, elsewhere.connections) == ([], 0)


# Cookies.


@pytest.mark.parametrize(
    ("base", "value", "expected"),
    [
        ("", b"a=1", b"a=1"),
        ("", b"a=1; Domain=api.example; HttpOnly", b"a=1; HttpOnly"),
        ("", b"a=1; Secure; SameSite=Lax", b"a=1; SameSite=Lax"),
        ("", b"a=1;secure;domain=.x", b"a=1"),
        ("", b"a=1; Path=/v1/x", b"a=1; Path=/v1/x"),
        ("", b"__Host-a=1; Secure; Path=/", b"__Host-a=1; Secure; Path=/"),
        ("", b"__secure-a=1; Secure; Domain=api.example", b"__secure-a=1; Secure; Domain=api.example"),
        ("", b"a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", b"a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
        ("", b"Domain=x; Domain=y", b"Domain=x"),
        ("", b"=; ;;=broken, cookie", b"=; ;;=broken, cookie"),
        ("/v1", b"a=1; Path=/v1; Secure", b"a=1; Path=/"),
        ("/v1", b"a=1; path=/v1/x; HttpOnly", b"a=1; path=/x; HttpOnly"),
        ("/v1", b"a=1; Path=/", b"a=1; Path=/"),
        ("/v1", b"a=1; Path=/v10", b"a=1; Path=/v10"),
        ("/v1", b"__Host-a=1; Secure; Path=/v1", b"__Host-a=1; Secure; Path=/v1"),
    ],
)
async def test_cookies_fit_the_clients_address(base: str, value: bytes, expected: bytes):
    """Domain goes, Path loses the base path, Secure goes on plain loopback; prefixed names keep what they promise."""
    lines = [b"Set-Cookie: " + value, b"set-cookie: second=2", b"Set-Cookie: " + value]
    assert await through(*lines, base=base) == [
        b"Set-Cookie: " + expected,
        b"set-cookie: second=2",
        b"Set-Cookie: " + expected,
    ]


async def test_secure_stays_for_clients_from_elsewhere():
    """A remote listener may stand behind TLS: there a Secure cookie stays secure."""
    remote = {"host": "127.0.0.1", "port": 0}
    assert await through(b"Set-Cookie: a=1; Secure", base="", listen=remote) == [b"Set-Cookie: a=1"]
    remote = {"host": "0.0.0.0", "port": 0, "allow_remote": True}
    assert await through(b"Set-Cookie: a=1; Secure", base="", listen=remote) == [b"Set-Cookie: a=1; Secure"]


async def test_no_cookie_is_kept():
    """A cookie that one client gets is sent by that client or by nobody: not for another, nor for it (G47)."""
    cookie = answer_with(b"Set-Cookie: session=alice; Path=/", b"Set-Cookie: gone=1; Max-Age=0")
    async with proxied(answering(cookie)) as (app, upstream), raw_client(app) as alice:
        for _ in range(2):
            await alice.send(get())
            assert len((await alice.message()).values(b"set-cookie")) == 2
        await fetch(app, get(b"/bob", b"Cookie: session=bob"))
        await fetch(app, get(b"/carol"))
        assert [request.values(b"cookie") for request in upstream.requests] == [[], [], [b"session=bob"], []]
        assert upstream.connections == 1
