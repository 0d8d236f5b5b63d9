"""A kept connection remembers what its last header lines came to: each request is still judged by its own."""

import asyncio

import pytest
from kit import GET, OK, FixedTokens, RawConnection, RawUpstream, always, make_token, raw_client, running, settings

EVIL = [
    GET.replace(b"\r\n\r\n", b"\r\nOrigin: https://evil.example\r\n\r\n"),
    GET.replace(b"localhost", b"evil.example"),
    GET.replace(b"\r\n\r\n", b"\r\nSec-Fetch-Site: cross-site\r\n\r\n"),
]


@pytest.mark.parametrize("evil", EVIL)
async def test_a_good_request_before_does_not_help_a_bad_one(evil: bytes):
    """What was allowed once is not what comes next on the same connection."""
    async with RawUpstream(always(OK)) as upstream, running(settings(upstream.url), FixedTokens()) as app:
        async with raw_client(app) as client:
            for data, good in ((GET, True), (evil, False), (GET, True), (GET, True)):
                await client.send(data)
                status, _, _ = await client.response()
                assert (status == 200) == good
        assert len(upstream.heads) == 3


async def test_each_request_has_the_token_of_its_moment():
    """The same request on the same connection carries the newer token once there is one."""
    tokens = FixedTokens("one")
    async with (
        RawUpstream(always(OK)) as upstream,
        running(settings(upstream.url), tokens) as app,
        raw_client(app) as client,
    ):
        await client.send(GET)
        await client.response()
        tokens.current = make_token("two")
        await client.send(GET)
        await client.response()
    assert [b"Bearer one" in head for head in upstream.heads] == [True, False]
    assert b"Authorization: Bearer two\r\n" in upstream.heads[1]


class Ageing(FixedTokens):
    """Tokens of which the first runs out between the moment it is taken and the upstream's connection."""

    asked = 0

    def usable(self):
        self.asked += 1
        if self.asked == 3:
            self.current = make_token("two")
        return self.current


async def test_a_token_that_ran_out_while_connecting_is_not_sent():
    """A connection may take longer than a token had left: then the newer one goes."""
    async with RawUpstream(always(OK)) as upstream, running(settings(upstream.url), Ageing("one")) as app:
        async with raw_client(app) as client:
            await client.send(GET)
            assert (await client.response())[0] == 200
        assert b"Authorization: Bearer two\r\n" in upstream.heads[0]
        assert len(upstream.heads) == 1


async def test_the_target_is_each_requests_own():
    """Same header lines, another method and target, also one that is refused."""
    async with (
        RawUpstream(always(OK)) as upstream,
        running(settings(upstream.url), FixedTokens()) as app,
        raw_client(app) as client,
    ):
        for first, status in ((b"GET /a", 200), (b"DELETE /b?c", 200), (b"GET /d#e", 400)):
            await client.send(GET.replace(b"GET /", first))
            assert (await client.response())[0] == status
    assert [head.split(b" HTTP")[0] for head in upstream.heads] == [b"GET /a", b"DELETE /b?c"]


async def test_a_request_that_comes_while_another_is_answered_waits_its_turn():
    """Pipelined behind one that is under way, it is sent when that is answered, in order."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            head = await upstream.request(connection)
            if b"/slow" in head:
                arrived.set()
                await go.wait()
            path = head.split(b" ")[1]
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    async with RawUpstream(script) as upstream, running(settings(upstream.url), FixedTokens()) as app:
        async with raw_client(app) as client:
            await client.send(GET)
            await client.response()
            await client.send(GET.replace(b"/ ", b"/slow "))
            await arrived.wait()
            await client.send(GET.replace(b"/ ", b"/next "))
            go.set()
            assert [(await client.response())[2] for _ in range(2)] == [b"/slow", b"/next"]
        assert upstream.connections == 1
