"""What the log says of requests: one bounded line each, with nothing in it that a stranger chose to put there."""

import asyncio
import gc
import re

import pytest
from kit import (
    GET,
    OK,
    FixedTokens,
    RawConnection,
    RawUpstream,
    answering,
    closing,
    fetch,
    get,
    post,
    proxied,
    raw_client,
    settled,
)
from promise_kit import assert_closed, logged

from proxy.errors import TokenUnavailableError
from proxy.tokens.source import Token

CANARY = b"canary-7d02"
SECRETS = (CANARY.decode(), "token-1", "token-2")
FIELDS = ["time", "level", "event", "method", "path", "status", "bytes", "duration", "token_wait", "request_id"]
DEBUG = {"log": {"level": "debug"}}
LONGEST_LINE = 3000
"""Bytes: the longest path that is shown, and the rest."""


async def send(*requests: bytes, answer: bytes = OK, **keys) -> None:
    """Send each request on a connection of its own, and read what comes until its end or its answer."""
    async with proxied(answering(answer), **(DEBUG | keys)) as (app, _):
        for data in requests:
            async with raw_client(app) as client:
                await client.send(data)
                await client.message(to=data.split(b" ")[0].decode("latin-1"))


# What a line has.


async def test_a_request_is_one_line():
    """Method, path, status, bytes, duration, token wait and request id, under their names and in this order."""
    with logged("info") as log:
        await send(post(b"hello", path=b"/v1/things?name=" + CANARY, method=b"PUT"))
    [line] = log.named("request")
    assert list(line) == FIELDS
    assert {name: line[name] for name in ("level", "method", "path", "status", "bytes", "token_wait")} == {
        "level": "info",
        "method": "PUT",
        "path": "/v1/things",
        "status": 200,
        "bytes": 2,
        "token_wait": 0.0,
    }
    assert 0 < line["duration"] < 5
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", line["request_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


async def test_each_line_has_an_id_of_its_own():
    """Requests on one connection and on several have different ids; an answer of ours has its line's."""
    with logged() as log:
        async with proxied(answering(OK), **DEBUG) as (app, _), raw_client(app) as client:
            for _ in range(3):
                await client.send(GET)
                await client.message()
            await client.send(get(b"/", b"Origin: null"))
            refused = (await client.message()).problem["request_id"]
            await fetch(app, GET)
    ids = [line["request_id"] for line in log.named("request")]
    assert len(set(ids)) == 5
    assert ids[3] == refused


@pytest.mark.parametrize(
    ("data", "answer", "count"),
    [
        (get(method=b"HEAD"), b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", 0),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\n", 0),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000, 300_000),
        (GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 5),
    ],
)
async def test_bytes_are_those_of_the_body(data: bytes, answer: bytes, count: int):
    """Neither heads nor the framing of chunks are counted."""
    with logged() as log:
        await send(data, answer=answer)
    assert [line["bytes"] for line in log.named("request")] == [count]


class LateTokens(FixedTokens):
    """A `TokenSource` that is asked for its first token and has it two turns of the loop later."""

    def __init__(self) -> None:
        super().__init__()
        self._later, self.current = self.current, None

    async def token(self) -> Token:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.current = self._later
        return await super().token()


async def test_the_wait_for_a_token_is_told():
    """token_wait is what of the duration went into waiting for a token."""
    with logged() as log:
        async with proxied(answering(OK), LateTokens(), **DEBUG) as (app, _):
            await fetch(app, GET)
            await fetch(app, GET)
    first, second = log.named("request")
    assert 0 < first["token_wait"] <= first["duration"]
    assert second["token_wait"] == 0


async def test_at_warning_only_what_needs_a_look_is_told():
    """Good requests and a client's mistakes cost no line at level warning; our own 5xx do."""
    tokens = FixedTokens()
    with logged("warning") as log:
        async with proxied(answering(OK), tokens, log={"level": "warning"}) as (app, _), raw_client(app) as client:
            for data in (GET, get(b"/", b"Origin: null"), get(b"/", b"X: y")):
                await client.send(data)
                await client.message()
            tokens.current, tokens.error = None, TokenUnavailableError("None.", retry_after=1)
            await client.send(GET)
            await client.message()
            assert sum(app.counters.requests.values()) == 4
    assert [(line["event"], line["status"], line["error"]) for line in log.lines] == [
        ("request", 503, "token_unavailable")
    ]


async def silent(upstream: RawUpstream, connection: RawConnection) -> None:
    """Take a request and say nothing."""
    await upstream.take(connection)
    await connection.rest()


@pytest.mark.parametrize(
    ("script", "keys", "status", "error"),
    [
        (closing(b""), {}, 502, "upstream_unreachable"),
        (closing(b"garbage\r\n\r\n"), {}, 502, "upstream_protocol_error"),
        (silent, {"upstream_": {"response_timeout": 0.05}}, 504, "upstream_timeout"),
        (closing(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"), {}, 200, "upstream_broke_off"),
    ],
)
async def test_what_heals_by_itself_is_a_warning(script, keys, status: int, error: str):
    """An upstream that fails is a warning that names the code the client got."""
    with logged() as log:
        async with proxied(script, **DEBUG, **keys) as (app, _), raw_client(app) as client:
            await client.send(get(b"/", b"Connection: close"))
            await client.ending()
    [line] = log.named("request")
    # The step at which it failed is RFC 9209's word; behind the head of an answer there is only one.
    steps = {502: {"connection_terminated", "http_protocol_error"}, 504: {"http_response_timeout"}}
    assert list(line) == [*FIELDS, "error", *(["reason"] if status in steps else [])]
    assert (line["level"], line["status"], line["error"]) == ("warning", status, error)
    assert line.get("reason") in steps.get(status, {None})


async def test_the_upstreams_own_errors_are_no_warnings():
    """A 500 that the upstream answers is its business: an info line without an error."""
    with logged() as log:
        await send(GET, answer=OK.replace(b"200 OK", b"500 x"))
    [line] = log.named("request")
    assert (line["level"], line["status"]) == ("info", 500)
    assert "error" not in line


async def test_a_client_that_leaves_is_told_as_499():
    """It is neither an error nor a success: nginx's number, at info."""
    arrived = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        arrived.set()
        await connection.rest()

    with logged() as log:
        async with proxied(script, **DEBUG) as (app, upstream), raw_client(app) as client:
            await client.send(get(b"/left"))
            await arrived.wait()
            client.reset()
            await upstream.closed.wait()
    [line] = log.named("request")
    assert (line["level"], line["path"], line["status"], line["error"]) == ("info", "/left", 499, "client_left")


# What a line never has.

BAD = {
    "a header that is none": b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization : Bearer %b\r\n\r\n",
    "a header with NUL": b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\x00\r\n\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\nHost: localhost\r\n: %b\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n %b\r\n\r\n",
    "an unknown method": b"%b / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\nHost: %b\r\n\r\n",
    "no version": b"GET /?%b\r\n\r\n",
    "a bad target": b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a raw byte in the target": b"GET /\xff%b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\nX: %b\r\n\r\n",
    "a bad Host": b"GET / HTTP/1.1\r\nHost: %b@x\r\n\r\n",
    "another Host": b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n",
    "another target": b"GET http://user:%b@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT": b"CONNECT user:%b@host:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an Origin": b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: %b\r\n\r\n",
    "an expectation": b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: %b\r\n\r\n",
    "a coding": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: %b\r\n\r\n",
    "a bad chunk": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01%b\r\n\r\n",
    "a large head": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"%b" + b"y" * 70_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_request_is_one_quiet_line(name: str):
    """No traceback, no warning, no second line, and not a byte of what was sent (R10, R16, R19)."""
    with logged() as log:
        async with proxied(answering(OK), **DEBUG) as (app, upstream), raw_client(app) as client:
            await client.send(BAD[name] % CANARY)
            answer = await client.message()
            assert CANARY not in answer.head + answer.body
            assert upstream.heads == []
    [line] = [line for line in log.lines if line["event"] not in {"started", "stopping", "stopped"}]
    assert line["event"] == "request"
    assert line["level"] == "info"
    assert line["status"] == answer.status
    assert line["request_id"] == answer.problem["request_id"]
    assert CANARY.decode() not in log.text
    assert len(log.text.splitlines()[-1]) < 400


async def test_a_flood_of_bad_requests_is_a_line_each():
    """A hundred of them are a hundred short lines: nothing grows with what is sent."""
    with logged() as log:
        async with proxied(answering(OK), **DEBUG) as (app, _):
            for _ in range(100):
                async with raw_client(app) as client:
                    await client.send(b"\x00" + CANARY * 500 + b"\r\n\r\n")
                    assert (await client.message()).status == 400
                    await assert_closed(client)
    assert len(log.named("request")) == 100
    assert len(log.text) < 100 * 400


BREAKS = {
    "the client resets its upload": (b"", post(b"x" * 99)[:-9], True),
    "the client resets its download": (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx", GET, True),
    "the upstream resets": (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx", GET, False),
    "the upstream resets at once": (b"", GET, False),
    "the upstream sends garbage": (b"x" * 70_000, GET, False),
    "the upstream resets an upload": (b"", post(b"x" * 99)[:-9], False),
}


@pytest.mark.parametrize("name", BREAKS)
async def test_what_breaks_off_is_a_line_and_no_more(name: str):
    """Neither asyncio nor aiohttp adds a word of its own: no task's lost exception, no traceback."""
    says, data, by_client = BREAKS[name]
    reached = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        await connection.send(says)
        reached.set()
        if by_client:
            await connection.ending()
        else:
            connection.reset()

    with logged() as log:
        async with proxied(script, **DEBUG) as (app, upstream), raw_client(app) as client:
            await client.send(data)
            await reached.wait()
            if by_client:
                client.reset()
            await upstream.closed.wait()
            await settled(lambda: app.counters.requests)
        gc.collect()
    assert [line["event"] for line in log.lines] == ["started", "request"]


QUERIES = [
    b"/p?access_token=" + CANARY,
    b"/p?" + CANARY,
    b"/p??" + CANARY,
    b"//p?" + CANARY,
    b"http://localhost/p?" + CANARY,
    b"http://localhost?" + CANARY,
    b"HTTP://localhost/p?a=http://x/" + CANARY,
]


@pytest.mark.parametrize("target", QUERIES)
@pytest.mark.parametrize("refused", [False, True])
async def test_queries_are_never_logged(target: bytes, refused: bool):
    """Tokens and names of people stand in queries: a line has the path alone, whatever became of the request."""
    with logged() as log:
        await send(get(target, *([b"Origin: null"] if refused else [])))
    [line] = log.named("request")
    assert line["path"] in {"/p", "//p", "/"}
    assert CANARY.decode() not in log.text


@pytest.mark.parametrize(
    "path",
    [
        b"/\x1b[31mred",
        b"/%0d%0aevil",
        b"/\r\nX: y",
        b"/caf\xc3\xa9",
        b"/\xe2\x80\xaegnp",
        b"/\x7f",
        b'/{"event":"forged"}',
    ],
)
async def test_a_path_cannot_forge_a_line(path: bytes):
    """Neither line ends nor escape sequences nor bytes beyond ASCII get into the log: each line is one of ours."""
    with logged() as log:
        async with proxied(answering(OK), **DEBUG) as (app, _), raw_client(app) as client:
            await client.send(get(path))
            await client.message()
    assert log.text.isascii()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", log.text)
    assert {line["event"] for line in log.lines} <= {"started", "request"}


async def test_a_long_path_is_cut():
    """A line stays short however long the path is."""
    with logged() as log:
        await send(get(b"/" + b"x" * 60_000))
    [line] = log.named("request")
    assert len(str(line)) < LONGEST_LINE
    assert line["path"].endswith("...")


# Tokens.


async def test_no_token_is_ever_in_the_log():
    """At debug level, with asyncio's debug mode, through successes, failures and replays: neither ours nor theirs."""
    credentials = [b"Authorization: Bearer " + CANARY, b"Cookie: session=" + CANARY, b"X-Api-Key: " + CANARY]
    answers = [
        OK,
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: session=%b\r\nContent-Length: 2\r\n\r\nok" % CANARY,
        b"HTTP/1.1 302 Found\r\nLocation: /?code=%b\r\nContent-Length: 0\r\n\r\n" % CANARY,
        b"HTTP/1.1 200 OK\r\nX: %b\x01\r\n\r\n" % CANARY,
    ]
    asyncio.get_running_loop().set_debug(enabled=True)
    with logged() as log:
        async with proxied(answering(*answers), FixedTokens("token-1", "token-2"), **DEBUG) as (app, upstream):
            for data in (get(b"/", *credentials), post(CANARY, *credentials)) * 3:
                await fetch(app, data)
    assert b"Bearer token-1" in upstream.heads[0]
    assert b"Bearer token-2" in upstream.heads[-1]
    assert len(log.named("request")) == 6
    assert [secret for secret in SECRETS if secret in log.text] == []


class LeakyTokens(FixedTokens):
    """A `TokenSource` with a bug, whose exception's own text has what it must not have."""

    def __init__(self) -> None:
        super().__init__()
        self.current = None

    async def token(self) -> Token:
        held = CANARY.decode()
        raise RuntimeError(f"client_secret={held}") from ValueError(f"cannot send Authorization: Bearer {held}")


async def test_a_bugs_traceback_holds_no_secret():
    """The log says where a bug is, with neither local variables nor what an exception's text has of a credential."""
    with logged() as log:
        async with proxied(answering(OK), LeakyTokens(), **DEBUG) as (app, _):
            answer = await fetch(app, get(b"/", b"Authorization: Bearer " + CANARY))
            assert (answer.status, answer.code) == (500, "internal_error")
    [line] = log.named("internal_error")
    assert "RuntimeError" in line["exception"]
    assert "in token" in line["exception"]
    assert CANARY.decode() not in log.text
    [request] = log.named("request")
    assert (request["level"], request["error"]) == ("warning", "internal_error")
    assert request["request_id"] == line["request_id"] == answer.problem["request_id"]
