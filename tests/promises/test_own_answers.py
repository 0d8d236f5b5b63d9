"""What the proxy answers itself: each row of the table, with nothing in it but what a user needs to mend it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from kit import (
    GET,
    OK,
    FixedTokens,
    Message,
    RawConnection,
    RawUpstream,
    always,
    answering,
    chunked,
    every_loop,
    fetch,
    get,
    post,
    proxied,
    raw_client,
    running,
    settings,
)
from promise_kit import assert_closed, assert_ours, free_port, logged, tls_server

from proxy.app import App
from proxy.errors import TokenRefusedError, TokenUnavailableError

CANARY = b"canary-4c1f"


def head(first: bytes, *lines: bytes, host: bytes = b"localhost") -> bytes:
    """Return a request of any form, with bytes in it that no answer may repeat."""
    return b"\r\n".join([first, b"Host: " + host, b"X-Canary: " + CANARY, *lines]) + b"\r\n\r\n"


class Row(NamedTuple):
    """A request that is answered here and never forwarded, and its answer."""

    request: bytes
    status: int
    code: str
    error: str
    says: str = ""
    """What the detail names."""
    closes: bool = False
    lines: tuple[tuple[bytes, bytes], ...] = ()
    settings: tuple[tuple[str, dict[str, Any]], ...] = ()


DENIED = "http_request_denied"
NOT_HTTP = "http_request_error"
METHODS = ((b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),)

ROWS = {
    "another host": Row(
        head(b"GET / HTTP/1.1", host=CANARY), 421, "host_not_allowed", DENIED, says="guard.allowed_hosts"
    ),
    "another target": Row(
        head(b"GET http://%b/p HTTP/1.1" % CANARY), 421, "host_not_allowed", DENIED, says="guard.allowed_hosts"
    ),
    "another scheme": Row(head(b"GET ftp://%b/p HTTP/1.1" % CANARY), 421, "host_not_allowed", DENIED),
    "an Origin": Row(
        head(b"GET / HTTP/1.1", b"Origin: https://" + CANARY),
        403,
        "browser_request_denied",
        DENIED,
        says="guard.browser",
    ),
    "a page of another site": Row(
        head(b"GET / HTTP/1.1", b"Sec-Fetch-Site: cross-site"),
        403,
        "browser_request_denied",
        DENIED,
        says="guard.browser",
    ),
    "CONNECT": Row(
        head(b"CONNECT %b:443 HTTP/1.1" % CANARY), 405, "method_not_allowed", DENIED, closes=True, lines=METHODS
    ),
    "TRACE": Row(head(b"TRACE / HTTP/1.1"), 405, "method_not_allowed", DENIED, closes=True, lines=METHODS),
    "own credentials": Row(
        head(b"GET / HTTP/1.1", b"Authorization: Bearer " + CANARY),
        400,
        "client_authorization_rejected",
        DENIED,
        says="inject.client_authorization",
        settings=(("inject", {"client_authorization": "reject"}),),
    ),
    "a fragment": Row(head(b"GET /#%b HTTP/1.1" % CANARY), 400, "bad_request", NOT_HTTP, closes=True),
    "no HTTP": Row(head(b"GET / HTTP/1.1", b"%b : x" % CANARY), 400, "bad_request", NOT_HTTP, closes=True),
    "no Host": Row(b"GET /%b HTTP/1.1\r\n\r\n" % CANARY, 400, "bad_request", NOT_HTTP, closes=True),
    "a large body": Row(
        head(b"POST / HTTP/1.1", b"Content-Length: 11"),
        413,
        "body_too_large",
        NOT_HTTP,
        says="limits.body_size",
        closes=True,
        settings=(("limits", {"body_size": 10}),),
    ),
    "a long target": Row(
        head(b"GET /%b HTTP/1.1" % (CANARY * 200)),
        414,
        "target_too_long",
        NOT_HTTP,
        says="limits.head_size",
        closes=True,
        settings=(("limits", {"head_size": 1024}),),
    ),
    "an expectation": Row(
        head(b"GET / HTTP/1.1", b"Expect: " + CANARY), 417, "expectation_failed", NOT_HTTP, closes=True
    ),
    "a large head": Row(
        head(b"GET / HTTP/1.1", b"X: " + CANARY * 200),
        431,
        "head_too_large",
        NOT_HTTP,
        says="limits.head_size",
        closes=True,
        settings=(("limits", {"head_size": 1024}),),
    ),
    "a coding": Row(
        head(b"POST / HTTP/1.1", b"Transfer-Encoding: gzip, chunked") + chunked(CANARY),
        501,
        "coding_not_supported",
        NOT_HTTP,
        closes=True,
    ),
    "a version": Row(head(b"GET / HTTP/2.0"), 505, "version_not_supported", NOT_HTTP, closes=True),
}


def assert_row(answer: Message, row: Row, *, body: bool = True) -> None:
    """Check an answer against its row."""
    detail = assert_ours(answer, row.status, row.code, row.error, body=body)
    assert CANARY not in answer.head + answer.body
    assert not body or row.says in detail
    for name in (b"Allow", b"Retry-After"):
        assert answer.value(name) == dict(row.lines).get(name)


@pytest.mark.parametrize("name", ROWS)
async def test_what_is_never_forwarded_has_its_answer(name: str):
    """Each refusal has its status, code and remedy, repeats nothing, and closes only where nothing can be trusted."""
    row = ROWS[name]
    async with proxied(answering(OK), **dict(row.settings)) as (app, upstream), raw_client(app) as client:
        await client.send(row.request)
        answer = await client.message()
        assert_row(answer, row)
        assert (upstream.heads, upstream.connections) == ([], 0)
        if row.closes:
            assert answer.value(b"connection") == b"close"
            await assert_closed(client)
        else:
            assert answer.value(b"connection") is None
            await client.send(GET)
            assert (await client.message()).body == b"ok"


GETS = [name for name, row in ROWS.items() if row.request.startswith(b"GET") and name != "a version"]
NO_REQUEST = {"no HTTP", "no Host", "a long target", "a large head"}
"""What the parser refuses: there is no request whose method could be known."""


@pytest.mark.parametrize("name", [name for name in GETS if name not in NO_REQUEST])
async def test_head_gets_the_same_head_and_no_body(name: str):
    """The refusal of a HEAD request has the length of the body that it leaves out, and the connection goes on."""
    row = ROWS[name]
    async with proxied(answering(OK), **dict(row.settings)) as (app, upstream), raw_client(app) as client:
        await client.send(b"HEAD" + row.request.removeprefix(b"GET"))
        answer = await client.message(to="HEAD")
        assert_row(answer, row, body=False)
        assert upstream.heads == []
        if row.closes:
            await assert_closed(client)
        else:
            await client.send(GET)
            assert (await client.message()).body == b"ok"


@pytest.mark.parametrize("name", [name for name in GETS if name not in {"no Host", "an expectation"}])
async def test_http_1_0_gets_the_same_answer(name: str):
    """An HTTP/1.0 client is told the same, and its connection ends."""
    row = ROWS[name]
    async with proxied(answering(OK), **dict(row.settings)) as (app, upstream), raw_client(app) as client:
        await client.send(row.request.replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = await client.message()
        assert_row(answer, row)
        assert answer.value(b"connection") == b"close"
        await assert_closed(client)
        assert upstream.heads == []


@every_loop
@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_refusal_does_not_wait_for_the_body(size: int, framing: str):
    """A request that is refused by its head is answered before its body is whole; then the connection ends well."""
    body = b"x" * size
    lines = [b"Origin: null", b"Content-Length: %d" % size if framing == "length" else b"Transfer-Encoding: chunked"]
    data = get(b"/", *lines, method=b"POST") + (body if framing == "length" else chunked(body))
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        client.writer.write(data[:-5])
        answer = await client.message()
        assert_ours(answer, 403, "browser_request_denied", DENIED)
        assert answer.value(b"connection") == b"close"
        client.writer.write(data[-5:] + get(b"/smuggled"))
        await assert_closed(client)
        assert upstream.connections == 0


async def test_each_answer_has_a_request_id_of_its_own():
    """Two answers never have the same request_id, on one connection or on several."""
    async with proxied(answering(OK)) as (app, _):
        seen = set()
        for _ in range(2):
            async with raw_client(app) as client:
                for _ in range(3):
                    await client.send(get(b"/", b"Origin: null"))
                    seen.add((await client.message()).problem["request_id"])
        assert len(seen) == 6


async def test_a_head_that_does_not_end_is_a_408():
    """A request that begins and does not go on is told which time-out it met."""
    row = Row(b"GET /" + CANARY, 408, "request_timeout", NOT_HTTP, says="limits.header_timeout")
    async with proxied(answering(OK), limits={"header_timeout": 0.1}) as (app, upstream), raw_client(app) as client:
        await client.send(row.request)
        answer = await client.message()
        assert_row(answer, row)
        assert answer.value(b"connection") == b"close"
        await assert_closed(client)
        assert upstream.connections == 0


# Too many at once.


class Gate:
    """An upstream that answers nothing until `go` is set."""

    def __init__(self, count: int = 1) -> None:
        self.go = asyncio.Event()
        self.full = asyncio.Event()
        """Set when so many requests have come."""
        self._count = count

    async def __call__(self, upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            await upstream.take(connection)
            if len(upstream.heads) == self._count:
                self.full.set()
            await self.go.wait()
            await connection.send(OK)


async def test_too_many_requests_are_told_when_to_come_again():
    """A request over limits.requests is a 503 with Retry-After, on a connection that goes on."""
    gate = Gate()
    async with (
        proxied(gate, limits={"requests": 1}) as (app, upstream),
        raw_client(app) as first,
        raw_client(app) as second,
    ):
        await first.send(GET)
        await gate.full.wait()
        await second.send(head(b"GET / HTTP/1.1"))
        row = Row(b"", 503, "too_busy", "connection_limit_reached", "limits.requests", lines=((b"Retry-After", b"1"),))
        assert_row(await second.message(), row)
        assert len(upstream.heads) == 1
        gate.go.set()
        assert (await first.message()).body == b"ok"
        await second.send(GET)
        assert (await second.message()).body == b"ok"


# Our tokens.


class Raises(FixedTokens):
    """A `TokenSource` that has no token, and says why."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.current, self.error = None, error


TOKEN_ERRORS = [
    (
        TokenUnavailableError("No token.", retry_after=6.2),
        Row(b"", 503, "token_unavailable", "proxy_internal_error", lines=((b"Retry-After", b"7"),)),
    ),
    (
        TokenRefusedError("Okta says invalid_client: check oauth.client_secret."),
        Row(b"", 502, "token_refused", "proxy_configuration_error", "oauth.client_secret"),
    ),
]


@pytest.mark.parametrize(("error", "row"), TOKEN_ERRORS)
async def test_a_missing_token_is_never_a_401(error: Exception, row: Row):
    """Without a token nothing is forwarded; the answer is a 5xx with the reason, and the next request is served."""
    tokens = Raises(error)
    good, tokens.current = FixedTokens().current, None
    async with proxied(answering(OK), tokens) as (app, upstream), raw_client(app) as client:
        for request in (head(b"GET / HTTP/1.1"), post(b"hello"), head(b"HEAD / HTTP/1.1")):
            method = request.split(b" ")[0].decode()
            await client.send(request)
            assert_row(await client.message(to=method), row, body=method != "HEAD")
        assert upstream.connections == 0
        tokens.current = good
        await client.send(GET)
        assert (await client.message()).body == b"ok"


async def test_a_bug_of_ours_is_a_500():
    """The client learns a request_id, the log has the traceback under it, and neither has the request's headers."""
    tokens = Raises(RuntimeError("the reason"))
    with logged() as log:
        async with proxied(answering(OK), tokens) as (app, upstream), raw_client(app) as client:
            await client.send(head(b"GET /?q=%b HTTP/1.1" % CANARY, b"Authorization: Bearer " + CANARY))
            answer = await client.message()
            assert_row(answer, Row(b"", 500, "internal_error", "proxy_internal_error", "request_id"))
            assert b"the reason" not in answer.body
            assert answer.value(b"connection") == b"close"
            await assert_closed(client)
            assert upstream.connections == 0
    [line] = log.named("internal_error")
    assert line["request_id"] == answer.problem["request_id"]
    assert line["level"] == "error"
    assert "RuntimeError: the reason" in line["exception"]
    assert CANARY.decode() not in log.text


# The upstream.

UNREACHABLE = "upstream_unreachable"


async def unreachable(address: str, row: Row, **keys: Any) -> None:
    """Check that the upstream at *address* cannot be reached, twice on one connection."""
    async with (
        running(settings(address, admin={"enabled": False}, upstream_=keys), FixedTokens()) as app,
        raw_client(app) as client,
    ):
        for request in (head(b"GET / HTTP/1.1"), head(b"HEAD / HTTP/1.1"), post(b"hello")):
            method = request.split(b" ")[0].decode()
            await client.send(request)
            assert_row(await client.message(to=method), row, body=method != "HEAD")


async def test_a_name_that_does_not_exist():
    """An upstream whose name cannot be resolved is told as such; the client's connection goes on."""
    await unreachable("http://okta-proxy.invalid", Row(b"", 502, UNREACHABLE, "dns_error", "upstream.url"))


async def test_a_port_that_nobody_listens_on():
    """An upstream that refuses the connection is told as such; the client's connection goes on."""
    await unreachable(
        f"http://127.0.0.1:{free_port()}", Row(b"", 502, UNREACHABLE, "connection_refused", "upstream.url")
    )


async def test_a_certificate_that_nobody_trusts():
    """An upstream with another authority's certificate gets no byte of HTTP."""
    async with RawUpstream(always(OK), tls=tls_server(trustme.CA(), "127.0.0.1")) as upstream:
        row = Row(b"", 502, UNREACHABLE, "tls_certificate_error", "upstream.ca_file")
        await unreachable(upstream.url, row)
        assert upstream.heads == []


async def test_a_certificate_for_another_name(tmp_path: Path):
    """A trusted certificate for another name is as bad as one that is not trusted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with RawUpstream(always(OK), tls=tls_server(authority, "other.test")) as upstream:
        row = Row(b"", 502, UNREACHABLE, "tls_certificate_error", "upstream.ca_file")
        await unreachable(upstream.url, row, ca_file=str(tmp_path / "ca.pem"))
        assert upstream.heads == []


async def test_https_to_a_server_that_speaks_plain_http():
    """An https address of a plain server is told as what it is, not as a server that is down."""

    async def plain(_: RawUpstream, connection: RawConnection) -> None:
        await connection.exactly(1)
        await connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await connection.rest()

    async with RawUpstream(plain) as upstream:
        address = f"https://127.0.0.1:{upstream.port}"
        await unreachable(address, Row(b"", 502, UNREACHABLE, "tls_protocol_error", "upstream.url"))


async def test_a_connection_that_is_not_there_in_time():
    """A handshake that nobody answers is a 504 that names upstream.connect_timeout."""

    async def silent(_: RawUpstream, connection: RawConnection) -> None:
        await connection.rest()

    async with RawUpstream(silent) as upstream:
        row = Row(b"", 504, "upstream_timeout", "connection_timeout", "upstream.connect_timeout")
        await unreachable(f"https://127.0.0.1:{upstream.port}", row, connect_timeout=0.05)


async def test_an_answer_that_does_not_come_in_time():
    """An upstream that takes the request and is silent is a 504 that names upstream.response_timeout."""
    row = Row(b"", 504, "upstream_timeout", "http_response_timeout", "upstream.response_timeout")
    async with proxied(Gate(), upstream_={"response_timeout": 0.1}) as (app, upstream), raw_client(app) as client:
        for _ in range(2):
            await client.send(head(b"GET / HTTP/1.1"))
            assert_row(await client.message(), row)
        assert upstream.connections == len(upstream.heads) == 2


TERMINATED = Row(b"", 502, UNREACHABLE, "connection_terminated")
MALFORMED = Row(b"", 502, "upstream_protocol_error", "http_protocol_error")
SPOILT = {
    "nothing": (b"", TERMINATED),
    "half a status line": (b"HTTP/1.1 2", TERMINATED),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", TERMINATED),
    "an interim answer alone": (b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", TERMINATED),
    "garbage": (b"SSH-2.0-OpenSSH_9.2p1\r\n", MALFORMED),
    "an unasked 101": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", MALFORMED),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", MALFORMED),
    "an unknown coding": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: foo\r\n\r\nok", MALFORMED),
}


@pytest.mark.parametrize("name", SPOILT)
async def test_an_upstream_that_gives_no_usable_answer(name: str):
    """An upstream that hangs up or does not speak HTTP is a 502; nothing of what it said is passed on."""
    data, row = SPOILT[name]

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(OK if len(upstream.heads) > 2 else data)
        if len(upstream.heads) <= 2:
            return
        await connection.rest()

    async with proxied(script) as (app, upstream), raw_client(app) as client:
        for request in (post(b"hello"), head(b"HEAD / HTTP/1.1")):
            method = request.split(b" ")[0].decode()
            await client.send(request)
            answer = await client.message(to=method)
            assert_row(answer, row, body=method != "HEAD")
            assert not data or data[:9] not in answer.body
        await client.send(GET)
        assert (await client.message()).body == b"ok"
        assert len(upstream.heads) == 3


# Loops.


@contextlib.asynccontextmanager
async def ring() -> AsyncIterator[tuple[App, App]]:
    """Run two proxies, each of which is the other's upstream."""
    port = free_port()
    quiet: dict[str, Any] = {"admin": {"enabled": False}}
    async with (
        running(settings(f"http://127.0.0.1:{port}", **quiet), FixedTokens()) as second,
        running(settings(second.url, listen={"port": port}, **quiet), FixedTokens()) as first,
    ):
        yield first, second


async def test_a_loop_is_found_on_its_first_round():
    """Two proxies that forward to each other answer 508 after one round, and serve nobody more than once."""
    async with ring() as (first, second):
        answer = await fetch(first, head(b"GET / HTTP/1.1"))
        assert_row(answer, Row(b"", 508, "loop_detected", "proxy_loop_detected", "upstream.url"))
        assert first.counters.requests == {("GET", 508): 2}
        assert second.counters.requests == {("GET", 508): 1}


async def test_our_own_via_is_never_forwarded_again():
    """Whatever stands beside it, a Via with our name in it is a loop; one with other names is not."""
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/", b"Via: 1.1 other"))
        assert (await client.message()).body == b"ok"
        ours = upstream.last.values(b"via")[-1]
        await client.send(get(b"/", b"Via: 1.0 a, " + ours, b"Via: 1.1 b"))
        assert_row(await client.message(), Row(b"", 508, "loop_detected", "proxy_loop_detected"))
        assert len(upstream.heads) == 1
        await client.send(GET)
        assert (await client.message()).body == b"ok"


async def test_the_upstreams_errors_are_its_own():
    """A problem that the upstream answers passes as it is, with nothing of ours in it."""
    body = json.dumps({"code": "token_unavailable", "status": 503}).encode()
    lines = b"Content-Type: application/problem+json\r\nRetry-After: 9\r\nContent-Length: %d" % len(body)
    for status in (b"400 Bad", b"404 x", b"429 y", b"500 z", b"503 Busy", b"508 Loop"):
        async with proxied(answering(b"HTTP/1.1 %b\r\n%b\r\n\r\n%b" % (status, lines, body))) as (app, _):
            answer = await fetch(app, GET)
            assert answer.first == b"HTTP/1.1 " + status
            assert answer.body == body
            assert answer.values(b"proxy-status") == []
            assert answer.value(b"retry-after") == b"9"
