"""A kept connection remembers what its last header lines came to: each request is still judged by its own."""

import asyncio

import pytest
from kit import GET, OK, FixedTokens, RawConnection, RawUpstream, always, make_token, raw_client, running, settings
from loops import settled

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
    async with (
        RawUpstream(always(OK)) as upstream,
        running(settings(upstream.url), Ageing("one")) as app,
        raw_client(app) as client,
    ):
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


class Stalled:
    """An upstream that sends the head of an answer, and the rest never."""

    def __init__(self, start: bytes) -> None:
        self.start = start
        self.arrived = asyncio.Event()

    async def __call__(self, upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        await connection.send(OK)
        await upstream.request(connection)
        self.arrived.set()
        await connection.send(self.start)
        await connection.rest()


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", b"garbage\r\n\r\n", b""])
async def test_a_client_that_leaves_at_any_moment_leaves_nothing_behind(start: bytes):
    """Also between the upstream's bytes and the turn of the task that was to go on with them."""
    stalled = Stalled(start)
    async with RawUpstream(stalled) as upstream, running(settings(upstream.url), FixedTokens()) as app:
        async with raw_client(app) as client:
            await client.send(GET)
            await client.response()
            await client.send(GET)
            await stalled.arrived.wait()
            # The bytes of the upstream and the reset both wait for the proxy's next turn.
            client.reset()
        await settled(lambda: not (app.counters.in_flight or app.overview().upstream_connections["active"]))
        assert sum(app.counters.requests.values()) == 2


async def test_what_the_upstream_said_unasked_is_nobodys_answer():
    """Bytes that wait on an idle connection when it is taken are not the next caller's, read or not."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        # Two answers in two segments: the second finds the connection idle, or is not read yet.
        await connection.send(OK)
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")
        await connection.rest()

    async with (
        RawUpstream(script) as upstream,
        running(settings(upstream.url), FixedTokens()) as app,
        raw_client(app) as client,
    ):
        await client.send(GET)
        assert (await client.response())[2] == b"ok"
        idle = app._proxy.pool._idle[:1]
        await settled(lambda: not idle or not idle[0].is_ready())
        await client.send(GET)
        assert (await client.response())[2] == b"ok"
        assert upstream.connections == 2
