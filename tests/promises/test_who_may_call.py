"""A web page, a rebound name and a stranger's address reach neither the token nor the upstream."""

import pytest
from kit import OK, Message, answering, fetch, get, proxied, raw_client, with_names


def denied(answer: Message) -> tuple[int, str]:
    """Return status and code of a refusal, which must hold nothing that a page could read."""
    assert not [line for line in answer.lines if line.lower().startswith(b"access-control-")]
    assert answer.value(b"proxy-status") in {
        b"okta-proxy; error=http_request_denied",
        b"okta-proxy; error=http_request_error",
    }
    return answer.status, answer.code


def to(host: bytes, target: bytes = b"/p") -> bytes:
    """Return a request with this Host."""
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host)


@pytest.mark.parametrize(
    "host",
    [
        b"evil.com",
        b"localhost.evil.com",
        b"127.0.0.1.nip.io",
        b"127.0.0.1.evil.com",
        b"0.0.0.0:8080",
        b"[::ffff:127.0.0.1]",
        b"127.1",
        b"2130706433",
        b"192.168.1.5",
        b"localhost.",
    ],
)
async def test_a_foreign_host_is_misdirected(host: bytes):
    """DNS rebinding: a Host that is none of ours is 421, with 0 requests upstream and no word of it back (R12)."""
    async with proxied(answering(OK)) as (app, upstream):
        answer = await fetch(app, to(host))
        assert denied(answer) == (421, "host_not_allowed")
        assert "guard.allowed_hosts" in answer.problem["detail"]
        assert host not in answer.body
        assert upstream.heads == []


@pytest.mark.parametrize(
    "host", [b"", b"a b/../?x", b"evil@localhost", b"localhost, evil", b"localhost:99999", b"[::1", b"caf\xc3\xa9"]
)
async def test_a_host_that_is_none_is_a_bad_request(host: bytes):
    """What is no host at all is 400, and never a failure of ours (R11)."""
    async with proxied(answering(OK)) as (app, upstream):
        assert denied(await fetch(app, to(host))) == (400, "bad_request")
        assert upstream.heads == []


async def test_a_missing_or_second_host():
    """HTTP/1.1 needs exactly one Host; HTTP/1.0 may have none, for no browser sends that."""
    async with proxied(answering(OK)) as (app, upstream):
        assert denied(await fetch(app, b"GET / HTTP/1.1\r\n\r\n")) == (400, "bad_request")
        twice = b"GET / HTTP/1.%d\r\nHost: localhost\r\nHost: evil\r\n\r\n"
        assert denied(await fetch(app, twice % 1)) == (400, "bad_request")
        assert denied(await fetch(app, twice % 0)) == (400, "bad_request")
        assert upstream.heads == []
        assert (await fetch(app, b"GET / HTTP/1.0\r\n\r\n")).body == b"ok"


@pytest.mark.parametrize(
    "host", [b"localhost", b"LOCALHOST:1", b"127.0.0.1:8080", b"[::1]", b"api.test", b"API.test:9"]
)
async def test_our_own_names_pass(host: bytes):
    """Loopback's names and `guard.allowed_hosts` pass with any port, and the upstream sees its own name."""
    async with proxied(answering(OK), guard={"allowed_hosts": ("api.test",)}) as (app, upstream):
        assert (await fetch(app, to(host))).body == b"ok"
        assert upstream.last.values(b"host") == [upstream.url.removeprefix("http://").encode()]


@with_names
async def test_the_upstreams_own_name_passes():
    """Who comes through a hosts file or `curl --resolve` names the upstream, and so does who takes us for a proxy."""
    async with proxied(answering(OK), name="api.test") as (app, upstream):
        for data in (to(b"api.test"), to(b"API.test:99"), to(b"api.test", b"http://api.test/p")):
            assert (await fetch(app, data)).body == b"ok"
            assert upstream.last.first == b"GET /p HTTP/1.1"
            assert upstream.last.values(b"host") == [b"api.test:%d" % upstream.port]
        assert (await fetch(app, to(b"other.test"))).code == "host_not_allowed"


async def test_a_remote_listener_takes_addresses_but_no_names():
    """With `listen.allow_remote` published addresses pass, and names still do not."""
    remote = {"listen": {"host": "127.0.0.1", "port": 0, "allow_remote": True}}
    async with proxied(answering(OK), **remote) as (app, upstream):
        for host in (b"10.1.2.3", b"10.1.2.3:8080", b"[2001:db8::1]:80"):
            assert (await fetch(app, to(host))).body == b"ok"
        assert denied(await fetch(app, to(b"evil.com"))) == (421, "host_not_allowed")
        assert len(upstream.heads) == 3


@pytest.mark.parametrize(
    ("target", "outcome"),
    [
        (b"http://evil.example:99/p", (421, "host_not_allowed")),
        (b"https://evil.example/p", (421, "host_not_allowed")),
        (b"http://localhost.evil.com/", (421, "host_not_allowed")),
        (b"ftp://localhost/p", (421, "host_not_allowed")),
        (b"http://u:p@localhost/p", (400, "bad_request")),
        (b"http://localhost:99999/p", (400, "bad_request")),
        (b"http:///p", (400, "bad_request")),
        (b"http://", (400, "bad_request")),
    ],
)
async def test_absolute_form_names_us_or_nobody(target: bytes, outcome: tuple[int, str]):
    """An absolute target is never fetched from elsewhere, whatever its Host says (R1)."""
    async with proxied(answering(OK)) as (app, upstream):
        assert denied(await fetch(app, to(b"localhost", target))) == outcome
        assert upstream.heads == []


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://localhost/p?q", b"/p?q"),
        (b"HTTP://LocalHost:8080/p", b"/p"),
        (b"http://127.0.0.1", b"/"),
        (b"http://[::1]:80?q", b"/?q"),
        (b"https://localhost//p", b"//p"),
    ],
)
async def test_absolute_form_to_ourselves_is_its_path(target: bytes, path: bytes):
    """A client that takes us for an HTTP proxy is served (R2)."""
    async with proxied(answering(OK)) as (app, upstream):
        assert (await fetch(app, to(b"localhost", target))).body == b"ok"
        assert upstream.last.first == b"GET " + path + b" HTTP/1.1"
        assert denied(await fetch(app, to(b"evil.com", target))) == (421, "host_not_allowed")


PAGES = {
    "another origin": [b"Origin: https://evil"],
    "an opaque origin": [b"Origin: null"],
    "a look-alike": [b"Origin: http://localhost.evil.com"],
    "our own port": [b"Origin: http://localhost"],
    "an image": [b"Sec-Fetch-Site: cross-site", b"Sec-Fetch-Mode: no-cors", b"Sec-Fetch-Dest: image"],
    "a subdomain": [b"Sec-Fetch-Site: same-site"],
    "a preflight": [b"Origin: https://evil", b"Access-Control-Request-Method: PUT"],
    "a preflight alone": [b"Access-Control-Request-Method: PUT"],
    "private network access": [b"Origin: https://evil", b"Access-Control-Request-Private-Network: true"],
    "a form": [b"Origin: https://evil", b"Content-Type: text/plain", b"Content-Length: 0"],
    "a WebSocket": [b"Origin: https://evil", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: eA=="],
}


@pytest.mark.parametrize("method", [b"GET", b"POST", b"OPTIONS", b"HEAD"])
@pytest.mark.parametrize("page", PAGES)
async def test_a_web_page_is_denied(page: str, method: bytes):
    """Whatever a page of another site can make a browser send is 403, whatever the method (R33)."""
    readable = b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok"
    async with proxied(answering(readable)) as (app, upstream):
        answer = await fetch(app, get(b"/", *PAGES[page], method=method))
        assert answer.status == 403
        assert not [line for line in answer.lines if line.lower().startswith(b"access-control-")]
        if method != b"HEAD":
            assert denied(answer) == (403, "browser_request_denied")
        assert upstream.heads == []


@pytest.mark.parametrize("value", [b"same-origin", b"none"])
async def test_what_a_person_types_passes(value: bytes):
    """A navigation from the address bar, and what our own origin does, is served."""
    async with proxied(answering(OK)) as (app, upstream):
        assert (await fetch(app, get(b"/", b"Sec-Fetch-Site: " + value))).body == b"ok"
        assert upstream.last.values(b"sec-fetch-site") == [value]


async def test_browsers_can_be_allowed():
    """`guard.browser: allow` lets pages through with their headers; the Host is still looked at."""
    async with proxied(answering(OK), guard={"browser": "allow"}) as (app, upstream):
        for lines in PAGES.values():
            assert (await fetch(app, get(b"/", *lines, method=b"POST"))).body == b"ok"
            assert upstream.last.values(b"origin") == [line[8:] for line in lines if line.startswith(b"Origin: ")]
        assert denied(await fetch(app, to(b"evil.com"))) == (421, "host_not_allowed")


@pytest.mark.parametrize(
    "data",
    [
        b"CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n",
        b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: localhost\r\nMax-Forwards: 0\r\n\r\n",
        b"TRACE http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_connect_and_trace_are_never_forwarded(data: bytes):
    """405 with Allow, the end of the connection, and nothing behind it is read (R5, R6)."""
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        await client.send(data + (b"SMUGGLED" if b"CONNECT" in data else b"") + get())
        answer = await client.message()
        assert denied(answer) == (405, "method_not_allowed")
        assert answer.value(b"allow") == b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
        assert answer.value(b"connection") == b"close"
        assert (await client.ending()).data == b""
        assert upstream.heads == []


async def test_whoever_was_denied_may_ask_again():
    """A refusal of the guard does not cost the connection: the next good request on it is served."""
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        for refused in (to(b"evil.com"), get(b"/", b"Origin: null"), get(b"/", b"Origin: null", method=b"HEAD")):
            await client.send(refused)
            answer = await client.message(to=refused.split(b" ")[0].decode())
            assert answer.values(b"connection") == []
            await client.send(get())
            assert (await client.message()).body == b"ok"
        assert len(upstream.heads) == 3


async def test_both_loopback_families_are_ours():
    """`localhost` listens on 127.0.0.1 and ::1 with one port, so that nobody else can sit on the other."""
    async with proxied(answering(OK)) as (app, _):
        port = app.url.rpartition(":")[2]
        for host in ("127.0.0.1", "[::1]"):
            async with raw_client(f"http://{host}:{port}") as client:
                await client.send(get())
                assert (await client.message()).body == b"ok"


@pytest.mark.parametrize("via", ["auto", "on"])
async def test_a_request_that_comes_back_is_a_loop(via: str):
    """Our own name in Via is 508, once the request has gone round; another proxy's name is none of ours."""
    async with proxied(answering(OK), upstream_={"via": via}) as (app, upstream):
        await fetch(app, get(b"/", b"Via: 1.1 other"))
        name = upstream.last.values(b"via")[-1]
        answer = await fetch(app, get(b"/", b"Via: 1.1 other, " + name))
        assert (answer.status, answer.code) == (508, "loop_detected")
        assert answer.value(b"proxy-status") == b"okta-proxy; error=proxy_loop_detected"
        assert len(upstream.heads) == 1
