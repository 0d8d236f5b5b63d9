"""An upstream connection that is not clean carries nobody's next request; and what may be repeated is, once."""

import asyncio

import pytest
from kit import (
    OK,
    RawConnection,
    RawUpstream,
    Script,
    every_loop,
    fetch,
    get,
    post,
    proxied,
    raw_client,
    settled,
)


@every_loop
@pytest.mark.parametrize("status", [413, 401, 200])
async def test_an_early_answer_is_relayed_at_once(status: int):
    """An answer before the body was sent reaches the client; both connections end with it (U22, G70)."""
    ended = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        await connection.send(b"HTTP/1.1 %d Early\r\nContent-Length: 2\r\n\r\nok" % status)
        await connection.ending()
        ended.set()

    async with proxied(script) as (app, upstream):
        async with raw_client(app) as client:
            await client.send(get(b"/", b"Content-Length: 1000", method=b"POST") + b"part")
            answer = await client.message()
            assert (answer.status, answer.body) == (status, b"ok")
            assert answer.value(b"connection") == b"close"
            await asyncio.wait_for(ended.wait(), 2)
            # The client may go on with its upload for a moment without losing the answer to a reset.
            await client.send(b"x" * 500)
            assert await client.ending() == (b"", False)
        assert len(upstream.heads) == 1


async def test_callers_never_get_each_others_answers():
    """Many callers over a few connections, with aborted ones between them: each body is the caller's own."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            path = (await upstream.take(connection)).first.split(b" ")[1]
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(path))
            await asyncio.sleep(0)
            await connection.send(path)

    async with proxied(script) as (app, upstream):

        async def caller(number: int) -> None:
            async with raw_client(app) as client:
                for turn in range(20):
                    path = b"/%d/%d" % (number, turn)
                    await client.send(get(path))
                    if (number + turn) % 7 == 3:
                        return
                    assert (await client.message()).body == path

        await asyncio.gather(*(caller(number) for number in range(30)))
        assert len(upstream.heads) > 100


# Repeating.


def dying(*, reset: bool) -> Script:
    """Return a script whose first connection dies with the second request on it; the others live."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(OK)
        if upstream.connections > 1:
            await connection.rest()
        await upstream.take(connection)
        if reset:
            connection.reset()

    return script


@every_loop
@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize(
    ("data", "repeated"),
    [
        (get(b"/2"), True),
        (get(b"/2", method=b"HEAD"), True),
        (get(b"/2", method=b"OPTIONS"), True),
        (get(b"/2", method=b"DELETE"), True),
        (post(b"body", method=b"PUT", path=b"/2"), True),
        (post(b"body", method=b"GET", path=b"/2"), True),
        (post(b"", path=b"/2"), False),
        (get(b"/2", method=b"POST"), False),
        (post(b"body", path=b"/2"), False),
        (post(b"body", method=b"PATCH", path=b"/2"), False),
        (get(b"/2", method=b"LOCK"), False),
    ],
)
async def test_what_may_be_repeated_is_repeated_once(data: bytes, repeated: bool, reset: bool):
    """On a reused connection that dies before it answers, an idempotent request goes once more, another is a 502."""
    async with proxied(dying(reset=reset)) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/1"))
        assert (await client.message()).body == b"ok"
        await client.send(data)
        answer = await client.message(to=data.split(b" ")[0].decode())
        seen = [request.body for request in upstream.requests[1:]]
        if repeated:
            assert answer.status == 200
            assert len(seen) == 2
            assert seen[0] == seen[1]
            assert upstream.heads[1] == upstream.heads[2]
        else:
            assert answer.status == 502
            assert len(seen) == 1


async def test_a_repetition_is_not_repeated():
    """The second sending has a connection of its own; when that dies too, the client is told."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        if upstream.connections <= 2:
            await connection.send(OK)
            await upstream.take(connection)

    async with proxied(script) as (app, upstream), raw_client(app) as one, raw_client(app) as two:
        # Two idle connections, both of which will die with their next request; the third dies at once.
        await one.send(get(b"/1"))
        await two.send(get(b"/1"))
        assert (await one.message()).body == (await two.message()).body == b"ok"
        await one.send(get(b"/2"))
        assert (await one.message()).status == 502
        assert sum(b"/2" in head for head in upstream.heads) == 2


async def test_nothing_is_repeated_on_a_new_connection():
    """A connection that was made for the request and dies is a 502, whatever the method."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)

    async with proxied(script) as (app, upstream):
        answer = await fetch(app, get())
        assert (answer.status, answer.code) == (502, "upstream_unreachable")
        assert len(upstream.heads) == 1


async def test_nothing_is_repeated_after_a_byte_of_an_answer():
    """An answer that has begun is this request's answer."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(OK)
        await upstream.take(connection)
        await connection.send(b"H")

    async with proxied(script) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/1"))
        assert (await client.message()).body == b"ok"
        await client.send(get(b"/2"))
        assert (await client.message()).status == 502
        assert len(upstream.heads) == 2


async def test_a_streamed_body_is_not_repeated():
    """A body that was partly sent and is not kept is never sent a second time, whole or short."""
    died = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(OK)
        await upstream.request(connection)
        await connection.until(b"start")
        died.set()

    async with proxied(script) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/1"))
        assert (await client.message()).body == b"ok"
        await client.send(get(b"/2", b"Content-Length: 9", method=b"PUT") + b"start")
        await died.wait()
        assert (await client.message()).status == 502
        assert len(upstream.heads) == 2


async def test_what_the_upstream_closed_meanwhile_is_not_used():
    """An idle connection that the upstream closed costs nobody a failure, not even a POST."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(OK)

    async with proxied(script) as (app, upstream), raw_client(app) as client:
        for number in range(1, 4):
            await client.send(post(b"x"))
            assert (await client.message()).body == b"ok"
            await settled(lambda: not any(app._proxy.pool.counts().values()))
            assert upstream.connections == number


async def test_an_upstream_that_hangs_up_when_it_accepts():
    """A connection that ends before the request could be written is a failure at once, not after a time-out."""

    async def script(_: RawUpstream, connection: RawConnection) -> None:
        connection.reset()

    async with proxied(script) as (app, _):
        answer = await fetch(app, get())
        assert (answer.status, answer.code) == (502, "upstream_unreachable")
