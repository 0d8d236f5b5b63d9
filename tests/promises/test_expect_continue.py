"""`Expect: 100-continue`: the client gets its 100 when its body is wanted, and a final answer alone when it is not."""

import asyncio

import pytest
from kit import (
    OK,
    FixedTokens,
    RawConnection,
    RawUpstream,
    answering,
    closing,
    fetch,
    get,
    proxied,
    raw_client,
    running,
    settings,
)

EXPECT = b"Expect: 100-continue"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("value", [b"100-continue", b"100-CONTINUE"])
@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
async def test_the_body_comes_after_the_100(value: bytes, framing: bytes):
    """The client that waits is told to go on, the body arrives, and Expect is not forwarded."""
    body = b"5\r\nhello\r\n0\r\n\r\n" if b"chunked" in framing else b"hello"
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        for _ in range(2):
            await client.send(get(b"/", framing, b"Expect: " + value, method=b"POST"))
            assert await client.head() == CONTINUE
            await client.send(body)
            answer = await client.message(final=False)
            assert (answer.status, answer.body) == (200, b"ok")
            assert upstream.last.body == b"hello"
            assert upstream.last.values(b"expect") == []


async def test_who_does_not_wait_is_served_too():
    """A client that sends its body with the head gets its answer; a 100 before it is allowed."""
    async with proxied(answering(OK)) as (app, upstream):
        answer = await fetch(app, get(b"/", b"Content-Length: 5", EXPECT, method=b"POST") + b"hello")
        assert answer.body == b"ok"
        assert upstream.last.body == b"hello"


async def test_without_a_body_there_is_no_100():
    """There is nothing to go on with, so the final answer comes alone."""
    async with proxied(answering(OK)) as (app, _), raw_client(app) as client:
        await client.send(get(b"/", EXPECT))
        assert (await client.message(final=False)).status == 200


async def test_http_1_0_gets_no_100():
    """RFC 9110 10.1.1: an Expect from HTTP/1.0 is ignored."""
    data = b"POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        await client.send(data)
        assert (await client.message(final=False)).status == 200
        assert upstream.last.values(b"expect") == []


@pytest.mark.parametrize("value", [b"foo", b"100-continue, foo", b"", b"100"])
async def test_another_expectation_is_417(value: bytes):
    """RFC 9110 10.1.1 lets us refuse what we do not know."""
    async with proxied(answering(OK)) as (app, upstream):
        answer = await fetch(app, get(b"/", b"Expect: " + value, b"Content-Length: 5", method=b"POST"))
        assert (answer.status, answer.code) == (417, "expectation_failed")
        assert upstream.heads == []


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"Origin: null", 403),
        (b"Content-Length: 99", 413),
        (b"Transfer-Encoding: gzip, chunked", 501),
    ],
)
async def test_what_we_refuse_gets_no_100(line: bytes, status: int):
    """A request that is refused gets its final status without a 100, and the connection ends."""
    lines = [line, EXPECT] if b"Content" in line or b"Transfer" in line else [line, b"Content-Length: 5", EXPECT]
    async with proxied(answering(OK), limits={"body_size": 10}) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/", *lines, method=b"POST"))
        answer = await client.message(final=False)
        assert answer.status == status
        assert answer.value(b"connection") == b"close"
        assert upstream.heads == []


async def test_an_upstream_that_is_not_there_gets_no_100():
    """The body is not asked for before there is somewhere to send it."""
    async with running(settings("http://127.0.0.1:1"), FixedTokens()) as app, raw_client(app) as client:
        await client.send(get(b"/", b"Content-Length: 5", EXPECT, method=b"POST"))
        answer = await client.message(final=False)
        assert (answer.status, answer.code) == (502, "upstream_unreachable")


@pytest.mark.parametrize("status", [401, 413, 417])
async def test_a_final_answer_before_the_body(status: int):
    """The upstream's refusal reaches the client, and its connection is not used again (Go CVE-2024-24791)."""
    early = b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno" % status

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        await connection.send(early)
        await connection.ending()

    async with proxied(script) as (app, upstream):
        for number in (1, 2):
            async with raw_client(app) as client:
                await client.send(get(b"/", b"Content-Length: 5", EXPECT, method=b"POST"))
                answer = await client.message()
                assert (answer.status, answer.body) == (status, b"no")
                assert answer.value(b"connection") == b"close"
            assert upstream.connections == number


async def test_the_upstreams_own_100_is_not_the_clients():
    """A 100 that the upstream sends is passed over: the client had its own."""
    async with proxied(answering(CONTINUE + OK)) as (app, _), raw_client(app) as client:
        await client.send(get(b"/", b"Content-Length: 5", EXPECT, method=b"POST"))
        assert await client.head() == CONTINUE
        await client.send(b"hello")
        assert (await client.message(final=False)).status == 200


async def test_the_second_sending_asks_for_no_second_100():
    """A body that was kept is sent again after a 401 without the client's doing anything."""
    refusal = b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 0\r\n\r\n'
    async with proxied(answering(refusal, OK), FixedTokens("old", "new")) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/", b"Content-Length: 5", EXPECT, method=b"POST"))
        assert await client.head() == CONTINUE
        await client.send(b"hello")
        assert (await client.message(final=False)).body == b"ok"
        assert [request.body for request in upstream.requests] == [b"hello", b"hello"]


async def test_a_client_that_never_sends_its_body_is_timed_out():
    """The wait for the body has an end too."""
    async with proxied(closing(OK), limits={"body_timeout": 0.05}) as (app, _), raw_client(app) as client:
        await client.send(get(b"/", b"Content-Length: 5", EXPECT, method=b"POST"))
        assert await client.head() == CONTINUE
        answer = await asyncio.wait_for(client.message(), 5)
        assert (answer.status, answer.code) == (408, "request_timeout")
