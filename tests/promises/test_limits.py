"""What bounds a client: sizes, times and numbers, each with an answer, and none that a good client meets."""

import asyncio
import socket
from urllib.parse import urlsplit

import pytest
from kit import (
    GET,
    LAST_CHUNK,
    OK,
    RawConnection,
    RawUpstream,
    answering,
    chunked,
    every_loop,
    get,
    post,
    proxied,
    raw_client,
    settled,
)
from promise_kit import assert_closed, assert_ours

NOT_HTTP = "http_request_error"
SMALL = {"head_size": 1024}


async def assert_refused(client: RawConnection, status: int, code: str, key: str) -> None:
    """Check that the request was refused by a limit, and that the connection ended."""
    answer = await client.message()
    assert key in assert_ours(answer, status, code, NOT_HTTP)
    assert answer.value(b"connection") == b"close"
    await assert_closed(client)


# The head's size.

LONG_LINE = get(b"/", b"X: " + b"y" * 1100)
MANY_LINES = get(b"/", *[b"X-%d: %b" % (number, b"y" * 40) for number in range(30)])
LONG_NAME = get(b"/", b"X" * 1100 + b": y")


@every_loop
@pytest.mark.parametrize("data", [LONG_LINE, MANY_LINES, LONG_NAME], ids=["a line", "many lines", "a name"])
@pytest.mark.parametrize("step", [1, 100, 10_000])
async def test_a_head_over_the_limit_is_refused(data: bytes, step: int):
    """It is the whole head that counts, however it is divided into lines and however the network slices it."""
    async with proxied(answering(OK), limits=SMALL) as (app, upstream), raw_client(app) as client:
        for start in range(0, len(data), step):
            await client.send(data[start : start + step])
            await asyncio.sleep(0)
        await assert_refused(client, 431, "head_too_large", "limits.head_size")
        assert upstream.connections == 0


@pytest.mark.parametrize("step", [1, 100, 10_000])
async def test_a_target_over_the_limit_is_told_as_such(step: int):
    """A request line that is too long is a 414, not a 431: the remedy is another."""
    data = get(b"/" + b"x" * 1100)
    async with proxied(answering(OK), limits=SMALL) as (app, upstream), raw_client(app) as client:
        for start in range(0, len(data), step):
            await client.send(data[start : start + step])
            await asyncio.sleep(0)
        answer = await client.message()
        assert answer.status in ({414, 431} if step < 10_000 else {414})
        assert answer.code in {"target_too_long", "head_too_large"}
        await assert_closed(client)
        assert upstream.connections == 0


async def test_too_many_lines_are_refused():
    """Two hundred short lines are a 431 even where they are few bytes."""
    async with proxied(answering(OK)) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/", *[b"X: y"] * 200))
        await assert_refused(client, 431, "head_too_large", "")
        assert upstream.connections == 0


@pytest.mark.parametrize("step", [1, 70, 100_000])
async def test_a_head_within_the_limit_is_served(step: int):
    """A head just below the limit passes, again and again, whatever came in the same segment."""
    data = get(b"/", b"X: " + b"y" * 900)
    stream = (data + post(b"z" * 3000)) * 3
    async with proxied(answering(OK), limits=SMALL) as (app, upstream), raw_client(app) as client:
        for start in range(0, len(stream), step):
            await client.send(stream[start : start + step])
            await asyncio.sleep(0)
        for _ in range(6):
            assert (await client.message()).body == b"ok"
        assert len(upstream.heads) == 6


@every_loop
async def test_a_bodys_bytes_are_no_heads():
    """However large the last segment of an upload is, the connection goes on behind it."""
    body = b"z" * 1_000_000
    async with proxied(answering(OK), limits=SMALL) as (app, upstream), raw_client(app) as client:
        for data in (
            post(body),
            get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(body),
            get(b"/", b"X: " + b"y" * 900),
        ):
            await client.send(data[:300])
            await asyncio.sleep(0)
            await client.send(data[300:])
            assert (await client.message()).body == b"ok"
        assert [len(request.body) for request in upstream.requests] == [1_000_000, 1_000_000, 0]


async def test_good_requests_before_a_large_head_are_served():
    """The refusal comes in its turn, behind the answers to what came before."""
    async with proxied(answering(OK), limits=SMALL) as (app, upstream), raw_client(app) as client:
        await client.send(GET + GET + MANY_LINES + GET)
        for _ in range(2):
            assert (await client.message()).body == b"ok"
        await assert_refused(client, 431, "head_too_large", "limits.head_size")
        assert len(upstream.heads) == 2


# The body's size.


async def test_a_length_over_the_limit_is_refused_at_once():
    """A Content-Length over limits.body_size is answered before any of the body is there, without a 100."""
    async with proxied(answering(OK), limits={"body_size": 10}) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/", b"Content-Length: 11", b"Expect: 100-continue", method=b"POST"))
        answer = await client.message(final=False)
        assert "limits.body_size" in assert_ours(answer, 413, "body_too_large", NOT_HTTP)
        await assert_closed(client)
        assert upstream.connections == 0


@pytest.mark.parametrize("pieces", [[b"x" * 11], [b"x" * 6, b"x" * 5], [b"x"] * 11])
async def test_chunks_over_the_limit_that_are_here_already_are_refused(pieces: list[bytes]):
    """A small body in chunks is counted before anything of it is sent."""
    async with proxied(answering(OK), limits={"body_size": 10}) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(*pieces))
        await assert_refused(client, 413, "body_too_large", "limits.body_size")
        assert upstream.heads == []


async def test_a_body_of_just_the_limit_passes():
    """The limit itself is allowed, by length and in chunks, and the connection goes on."""
    async with proxied(answering(OK), limits={"body_size": 10}) as (app, upstream), raw_client(app) as client:
        for data in (
            post(b"x" * 10),
            get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(b"x" * 4, b"x" * 6),
        ):
            await client.send(data)
            assert (await client.message()).body == b"ok"
            assert upstream.last.body == b"x" * 10


class Swallower:
    """An upstream that reads a head and then whatever comes; `ended` has it when the proxy ends the connection."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def __call__(self, upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        data = await connection.exactly(1)
        self.began.set()
        data += (await connection.ending()).data
        self.ended.set_result(data)


@every_loop
async def test_chunks_over_the_limit_cut_the_upload():
    """A body that turns out too large under way is a 413, and the upstream never sees an end of it."""
    swallower = Swallower()
    async with proxied(swallower, limits={"body_size": 10}) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"5\r\nhello\r\n")
        await swallower.began.wait()
        await client.send(b"6\r\nworld!\r\n" + LAST_CHUNK)
        await assert_refused(client, 413, "body_too_large", "limits.body_size")
        assert await swallower.ended in {b"", b"5\r\nhello\r\n"}
        assert upstream.connections == 1


# Times.


@every_loop
async def test_a_slow_head_is_refused():
    """Bytes that trickle do not put off limits.header_timeout: it is for the whole head."""
    async with proxied(answering(OK), limits={"header_timeout": 0.15}) as (app, upstream), raw_client(app) as client:
        answer = asyncio.create_task(client.message())
        await client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        while not answer.done():
            await client.send(b"y")
            await asyncio.wait({answer}, timeout=0.01)
        detail = assert_ours(await answer, 408, "request_timeout", NOT_HTTP)
        assert "limits.header_timeout" in detail
        await assert_closed(client)
        assert upstream.connections == 0


async def test_a_slow_head_behind_an_answer_is_refused_too():
    """The second request of a connection has the same time for its head, counted from its first byte."""
    limits = {"header_timeout": 0.1, "keepalive_timeout": 30}
    async with proxied(answering(OK), limits=limits) as (app, upstream), raw_client(app) as client:
        for data in (GET, post(b"z" * 2000)):
            await client.send(data)
            assert (await client.message()).body == b"ok"
        await client.send(b"GET / HTT")
        await assert_refused(client, 408, "request_timeout", "limits.header_timeout")
        assert len(upstream.heads) == 2


@every_loop
async def test_a_silent_connection_is_closed():
    """Who connects and says nothing is told nothing: the connection ends with limits.header_timeout."""
    async with proxied(answering(OK), limits={"header_timeout": 0.1}) as (app, upstream), raw_client(app) as client:
        await assert_closed(client)
        assert upstream.connections == 0
        assert app.counters.requests == {}


@every_loop
async def test_a_silent_body_is_refused_and_cut():
    """A body that stands still is a 408, and what the upstream has of it never looks complete."""
    swallower = Swallower()
    async with proxied(swallower, limits={"body_timeout": 0.1}) as (app, _), raw_client(app) as client:
        await client.send(get(b"/", b"Content-Length: 10", method=b"POST") + b"hel")
        await assert_refused(client, 408, "request_timeout", "limits.body_timeout")
        assert await swallower.ended == b"hel"


async def test_a_silent_chunked_body_gets_no_last_chunk():
    """The same in chunks: the upstream's connection ends without the chunk that would end the body."""
    swallower = Swallower()
    async with proxied(swallower, limits={"body_timeout": 0.1}) as (app, _), raw_client(app) as client:
        await client.send(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"5\r\nhello\r\n")
        await assert_refused(client, 408, "request_timeout", "limits.body_timeout")
        assert await swallower.ended == b"5\r\nhello\r\n"


async def test_a_body_that_trickles_goes_on():
    """limits.body_timeout is the time between two pieces: a slow upload outlives it many times."""
    async with proxied(answering(OK), limits={"body_timeout": 0.2}) as (app, upstream), raw_client(app) as client:
        silent = await wait_for_408(app)
        await client.send(get(b"/", b"Content-Length: 300", method=b"POST"))
        sent = 0
        while not silent.done() or sent < 20:
            await client.send(b"x")
            sent += 1
            await asyncio.wait({silent}, timeout=0.02)
        await client.send(b"x" * (300 - sent))
        assert (await client.message()).body == b"ok"
        assert upstream.last.body == b"x" * 300
        await silent


async def wait_for_408(app) -> "asyncio.Task[None]":
    """Return a task that ends when another client's silent body has met its time-out."""

    async def silent() -> None:
        async with raw_client(app) as client:
            await client.send(get(b"/", b"Content-Length: 10", method=b"POST") + b"hel")
            assert (await client.message()).status == 408

    return asyncio.create_task(silent())


@every_loop
async def test_an_idle_connection_is_closed():
    """A connection that carries no request for limits.keepalive_timeout ends well."""
    async with (
        proxied(answering(OK), limits={"keepalive_timeout": 0.1}) as (app, _),
        raw_client(app) as client,
    ):
        for _ in range(2):
            await client.send(GET)
            answer = await client.message()
            assert answer.value(b"connection") is None
        await assert_closed(client)


async def test_a_request_that_begins_is_no_idle_connection():
    """A head that has begun has limits.header_timeout, even where the idle time ends meanwhile."""
    async with (
        proxied(answering(OK), limits={"keepalive_timeout": 0.1}) as (app, _),
        raw_client(app) as client,
        raw_client(app) as idle,
    ):
        for one in (client, idle):
            await one.send(GET)
            assert (await one.message()).body == b"ok"
        await client.send(GET[:10])
        await assert_closed(idle)
        await client.send(GET[10:])
        assert (await client.message()).body == b"ok"


# Numbers.


class Gate:
    """An upstream that answers nothing until `go` is set; `full` is set when *count* requests have come."""

    def __init__(self, count: int) -> None:
        self.go = asyncio.Event()
        self.full = asyncio.Event()
        self._count = count

    async def __call__(self, upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            await upstream.take(connection)
            if len(upstream.heads) == self._count:
                self.full.set()
            await self.go.wait()
            await connection.send(OK)


async def test_requests_over_the_limit_are_turned_away_and_the_rest_are_served():
    """Of twenty requests at once four are served and sixteen are told to come again; then all are served."""
    gate = Gate(4)
    async with proxied(gate, limits={"requests": 4}) as (app, upstream):

        async def caller() -> tuple[int, int]:
            async with raw_client(app) as client:
                await client.send(GET)
                first = await client.message()
                if first.status == 503:
                    assert_ours(first, 503, "too_busy", "connection_limit_reached")
                    assert first.value(b"retry-after") == b"1"
                await gate.go.wait()
                await settled(lambda: app.counters.in_flight == 0)
                async with turn:
                    await client.send(GET)
                    return first.status, (await client.message()).status

        turn = asyncio.Lock()
        callers = [asyncio.create_task(caller()) for _ in range(20)]
        await gate.full.wait()
        await settled(lambda: app.counters.requests[("GET", 503)] == 16)
        assert len(upstream.heads) == 4
        gate.go.set()
        answers = await asyncio.gather(*callers)
        assert sorted(answers) == [(200, 200)] * 4 + [(503, 200)] * 16
        assert app.counters.in_flight == 0


@every_loop
async def test_connections_over_the_limit_are_turned_away():
    """A connection over limits.connections is told so and ends; when another one has left there is room again."""
    async with proxied(answering(OK), limits={"connections": 2}) as (app, upstream):
        async with raw_client(app) as first, raw_client(app) as second:
            for one in (first, second):
                await one.send(GET)
                assert (await one.message()).body == b"ok"
            for _ in range(3):
                async with raw_client(app) as third:
                    await third.send(GET)
                    answer = await third.message()
                    assert "limits.connections" in assert_ours(answer, 503, "too_busy", "connection_limit_reached")
                    assert (answer.value(b"retry-after"), answer.value(b"connection")) == (b"1", b"close")
            await first.send(GET)
            assert (await first.message()).body == b"ok"
        await settled(lambda: not app._server.clients)
        async with raw_client(app) as client:
            await client.send(GET)
            assert (await client.message()).body == b"ok"
        assert len(upstream.heads) == 4


@every_loop
async def test_a_connection_turned_away_ends_well():
    """The client that is one too many gets its answer and a clean end, though it had sent its request already."""
    async with proxied(answering(OK), limits={"connections": 1}) as (app, _), raw_client(app) as first:
        await first.send(GET)
        assert (await first.message()).body == b"ok"
        # Sent before the loop runs again, so before the proxy accepts.
        sock = socket.create_connection(("127.0.0.1", urlsplit(app.url).port))
        sock.sendall(post(b"x" * 1000))
        second = RawConnection(*await asyncio.open_connection(sock=sock))
        assert (await second.message()).status == 503
        await assert_closed(second)
        await second.close()


async def test_a_connection_goes_on_behind_an_answer_of_ours():
    """Refusals that leave the framing intact do not cost the connection, in whatever number and order."""
    async with proxied(answering(OK), limits={"requests": 2}) as (app, upstream), raw_client(app) as client:
        for _ in range(50):
            await client.send(get(b"/", b"Origin: null") + post(b"hello") + get(b"/", b"Sec-Fetch-Site: same-site"))
            assert [(await client.message()).status for _ in range(3)] == [403, 200, 403]
        assert len(upstream.heads) == 50
        assert upstream.connections == 1
