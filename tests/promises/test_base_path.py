"""`upstream.url` with a path: nothing that a client sends reaches the upstream outside it."""

import pytest
from kit import OK, FixedTokens, RawUpstream, answering, fetch, get, proxied, raw_client, running, settings, with_names
from promise_kit import assert_ours

LEADING_OUT = [
    b"/..",
    b"/../admin",
    b"/v1/../admin",
    b"/v1/%2e%2e/admin",
    b"/v1/%2E%2E/admin",
    b"/v1/.%2e/admin",
    b"/v1/%2e./admin",
    b"/v1/..%2fadmin",
    b"/v1/%2e%2e%2Fadmin",
    b"/v1/%252e%252e/",
    b"/v1/%25252e%25252e/",
    b"/%25%32%65%25%32%65/admin",
    b"/..%25%32%66admin",
    b"/%2525252525252e%2525252525252e/admin",
    b"/v1/..;/x",
    b"/..;a=b/x",
    b"/..%3b/x",
    b"/..%3ba=b/x",
    b"/%2e%2e;/x",
    b"/v1/..%5cx",
    b"/..%5C..%5cx",
    b"/..%255cx",
    b"/..\\x",
    b"/\\..\\x",
    b"/..%00/x",
    b"/..%2500/x",
    b"/./x",
    b"/.",
    b"/x/.",
    b"/x/..",
    b"/a/b/../../../x",
    b"//../x",
    b"/.//../x",
    b"/a%2fb",
    b"/%2f",
    b"/%5c",
    b"/%00",
    b"/%zz/x",
    b"/100%",
    b"/%2",
    b"/%u002e%u002e/x",
    b"/%2%65%2%65/x",
]


@pytest.mark.parametrize("path", LEADING_OUT)
@pytest.mark.parametrize("tail", [b"", b"?q=1"])
async def test_what_might_lead_out_is_refused(path: bytes, tail: bytes):
    """Whatever any server could read as a way out is a 400 that says why, and nothing reaches the upstream (R7)."""
    async with proxied(answering(OK), base="/v1") as (app, upstream), raw_client(app) as client:
        await client.send(get(path + tail))
        detail = assert_ours(await client.message(), 400, "bad_request", "http_request_error")
        assert "upstream.url" in detail
        assert (upstream.heads, upstream.connections) == ([], 0)


@pytest.mark.parametrize("path", LEADING_OUT)
async def test_without_a_base_path_the_same_bytes_pass(path: bytes):
    """There is nothing to lead out of, so every path is the upstream's own, byte for byte."""
    async with proxied(answering(OK)) as (app, upstream):
        assert (await fetch(app, get(path))).body == b"ok"
        assert upstream.last.first == b"GET " + path + b" HTTP/1.1"


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/x",
        b"//",
        b"//evil/p",
        b"//u@evil:1/p",
        b"/?",
        b"/?q",
        b"/x?a=/../b&c=%2e%2e%2f&d=\\&e=%zz&f=%00",
        b"/x?/../../admin",
        b"/...",
        b"/..x/.y/z..",
        b"/.well-known/x",
        b"/a;x=../y",
        b"/%41%7e%20",
        b"/caf%C3%A9",
        b"/100%25",
        b"/%2525",
        b"/v1/x",
        b"/v10",
        b"/http://evil/",
        b"/:80/@evil",
    ],
)
@pytest.mark.parametrize("base", ["/v1", "/api/v1", "/a%20b"])
async def test_the_base_path_stands_before_all_else(base: str, path: bytes):
    """What leads nowhere else is appended to the base path, byte for byte, the query with whatever is in it."""
    async with proxied(answering(OK), base=base) as (app, upstream):
        assert (await fetch(app, get(path))).body == b"ok"
        assert upstream.last.first == b"GET " + base.encode() + path + b" HTTP/1.1"


async def test_options_of_the_whole_server():
    """`OPTIONS *` speaks of more than the base path: a 400 with one, forwarded as it is without."""
    async with proxied(answering(OK), base="/v1") as (app, upstream):
        answer = await fetch(app, get(b"*", method=b"OPTIONS"))
        assert "upstream.url" in assert_ours(answer, 400, "bad_request", "http_request_error")
        assert upstream.connections == 0
    async with proxied(answering(OK)) as (app, upstream):
        assert (await fetch(app, get(b"*", method=b"OPTIONS"))).body == b"ok"
        assert upstream.last.first == b"OPTIONS * HTTP/1.1"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"http://localhost/x?q", b"/v1/x?q"),
        (b"http://127.0.0.1:1/x", b"/v1/x"),
        (b"http://localhost", b"/v1/"),
        (b"http://localhost?q", b"/v1/?q"),
        (b"HTTPS://[::1]:8080//x", b"/v1//x"),
    ],
)
async def test_absolute_form_that_names_us_is_the_same_path(target: bytes, expected: bytes):
    """A client that sends its whole URL gets what it would have got with the path alone (R2)."""
    async with proxied(answering(OK), base="/v1") as (app, upstream):
        assert (await fetch(app, get(target))).body == b"ok"
        assert upstream.last.first == b"GET " + expected + b" HTTP/1.1"
        assert upstream.last.value(b"host") == upstream.url.removeprefix("http://").encode()


@pytest.mark.parametrize("path", [b"/../x", b"/%2e%2e/x", b"/..%2fx"])
async def test_absolute_form_that_names_us_leads_no_further(path: bytes):
    """The form of the target changes nothing in what is refused."""
    async with proxied(answering(OK), base="/v1") as (app, upstream):
        assert (await fetch(app, get(b"http://localhost" + path))).status == 400
        assert upstream.connections == 0


# A tool that believes that we are an HTTP proxy names the upstream, and its path is the upstream's own.


@with_names
@pytest.mark.parametrize("path", [b"/v1", b"/v1/", b"/v1/x", b"/v1?q", b"/v1/v1", b"/v1//x?a=/../b"])
async def test_who_names_the_upstream_gets_its_own_path(path: bytes):
    """The base path is not put before a path that has it."""
    async with (
        RawUpstream(answering(OK)) as upstream,
        running(settings(f"http://api.test:{upstream.port}/v1", admin={"enabled": False}), FixedTokens()) as app,
    ):
        for port in (b"", b":%d" % upstream.port):
            assert (await fetch(app, get(b"http://api.test" + port + path))).body == b"ok"
            assert upstream.last.first == b"GET " + path + b" HTTP/1.1"
            assert upstream.last.value(b"host") == b"api.test:%d" % upstream.port


@with_names
@pytest.mark.parametrize(
    "path",
    [b"", b"/", b"/v10", b"/v1x", b"/v1;x", b"/V1/x", b"/v2/x", b"/x/v1", b"//v1/x", b"/%76%31/x", b"/v1/../x"],
)
async def test_who_names_the_upstream_stays_below_its_path(path: bytes):
    """Whole segments decide: `/v1` is neither `/v10` nor `/V1`, and everything else is a 400."""
    async with (
        RawUpstream(answering(OK)) as upstream,
        running(settings(f"http://api.test:{upstream.port}/v1", admin={"enabled": False}), FixedTokens()) as app,
    ):
        answer = await fetch(app, get(b"http://api.test" + path))
        assert "upstream.url" in assert_ours(answer, 400, "bad_request", "http_request_error")
        assert upstream.connections == 0
