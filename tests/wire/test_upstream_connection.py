"""One connection to the upstream against raw bytes: what is an answer, what is none, and what may be used again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from kit import RawConnection, RawUpstream, Script, chunked, settled

from proxy.errors import BadRequestError, UpstreamError, UpstreamProtocolError, UpstreamTimeoutError
from proxy.forwarding.deadlines import NEVER, Deadlines
from proxy.forwarding.upstream import HIGH_WATER, ConnectionClosedError, UpstreamConnection

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
HINTS = b"HTTP/1.1 103 E\r\nLink: </x>\r\nConnection: close\r\n\r\n"
UPGRADE = b"Upgrade: h2\r\nConnection: Upgrade\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def saying(*data: bytes, reset: bool = False, stay: bool = False) -> Script:
    """Return a script that reads a head, sends *data* piece by piece, and closes, resets or stays."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        for piece in data:
            await connection.send(piece)
        if reset:
            connection.reset()
        elif stay:
            await connection.rest()

    return script


@contextlib.asynccontextmanager
async def connected(script: Script) -> AsyncIterator[UpstreamConnection]:
    """Connect to an upstream that runs *script*."""
    loop = asyncio.get_running_loop()
    async with RawUpstream(script) as upstream:
        transport, connection = await loop.create_connection(
            lambda: UpstreamConnection(loop), "127.0.0.1", upstream.port
        )
        try:
            yield connection
        finally:
            transport.abort()


async def answer(connection: UpstreamConnection, method: str = "GET") -> bytes:
    """Send a request without a body, and return the body of the answer."""
    connection.begin(method, GET)
    connection.finish_request()
    await connection.head()
    return await body(connection)


async def body(connection: UpstreamConnection) -> bytes:
    """Return the rest of the body."""
    data = connection.take()
    while not connection.complete:
        await connection.more(5)
        data += connection.take()
    return data


@pytest.mark.parametrize(
    ("data", "method", "status", "expected", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "GET", 200, b"hello", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" + chunked(b"he", b"llo"), "GET", 200, b"hello", True),
        (
            CHUNKED + b"\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
            "GET",
            200,
            b"hello",
            True,
        ),
        (b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", "GET", 200, b"", True),
        (b"HTTP/1.1 600 \r\nContent-Length: 0\r\n\r\n", "GET", 600, b"", True),
        (b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", "GET", 999, b"", True),
        (b"HTTP/1.1 204 No\r\n\r\n", "GET", 204, b"", True),
        (b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", "GET", 304, b"", True),
        (b"HTTP/1.1 205 X\r\nContent-Length: 0\r\n\r\n", "GET", 205, b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", 200, b"", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", 200, b"", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", "HEAD", 200, b"", True),
        (b"HTTP/1.0 100 Continue\r\n\r\n" + EMPTY, "GET", 200, b"", True),
        (
            b"HTTP/1.1 102 P\r\n\r\n" + HINTS + EMPTY,
            "GET",
            200,
            b"",
            True,
        ),
        (
            b"HTTP/1.1 200 OK\r\nUpgrade: h2\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nok",
            "GET",
            200,
            b"ok",
            True,
        ),
        (b"HTTP/1.1 426 X\r\nUpgrade: h2\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n", "GET", 426, b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x, Close\r\n\r\nok", "GET", 200, b"ok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "GET", 200, b"ok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\nok", "GET", 200, b"ok", True),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", "GET", 200, b"to the end", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nto the end", "GET", 200, b"to the end", False),
        (b"HTTP/1.1 204 No\r\n\r\nbody", "GET", 204, b"", False),
        (b"HTTP/1.1 304 No\r\n\r\nbody", "GET", 304, b"", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", "HEAD", 200, b"", False),
        (EMPTY + EMPTY, "GET", 200, b"", False),
        (EMPTY + b"x", "GET", 200, b"", False),
    ],
)
async def test_what_is_an_answer(data: bytes, method: str, status: int, expected: bytes, reusable: bool):
    """An answer of each framing is read whole, in one piece and byte by byte; only a clean connection is reusable."""
    until_end = expected == b"to the end"
    async with connected(saying(data, stay=not until_end)) as connection:
        assert await answer(connection, method) == expected
        assert connection.status == status
        assert connection.reusable is reusable
    if until_end:
        return
    async with connected(saying(stay=True)) as connection:
        connection.begin(method, GET)
        connection.finish_request()
        for byte in data:
            connection.data_received(bytes([byte]))
        await connection.head()
        assert await body(connection) == expected
        assert connection.status == status
        assert connection.reusable is reusable


async def test_header_lines_are_kept_byte_for_byte():
    """Spelling, order, duplicates, empty values and bytes beyond ASCII arrive as they were sent."""
    lines = [
        (b"X-A", b"1"),
        (b"x-a", b""),
        (b"Empty", b""),
        (b"Set-Cookie", b"a=caf\xe9; b"),
        (b"X-\x7e", b"\t tab\tin"),
    ]
    text = b"".join(b"%b: %b \t\r\n" % line for line in lines)
    data = b"HTTP/1.1 200 caf\xe9\r\n" + text + b"Content-Length: 0\r\n\r\n"
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        async with connected(saying(stay=True)) as connection:
            connection.begin("GET", GET)
            for piece in pieces:
                connection.data_received(piece)
            expected = [(name, value.strip(b" \t")) for name, value in lines]
            assert connection.headers == [*expected, (b"Content-Length", b"0")]
            assert connection.reason == b"caf\xe9"


@pytest.mark.parametrize("endless", [b"X: " + b"y" * 4096, b"X: y\r\n" * 700])
async def test_what_is_no_body_is_bounded(endless: bytes):
    """Trailers and chunk extensions of any length are not gathered without bound."""
    async with connected(saying(stay=True)) as connection:
        connection.begin("GET", GET)
        connection.finish_request()
        connection.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
        await connection.head()
        assert connection.take() == b"ok"
        for _ in range(100):
            connection.data_received(endless)
        with pytest.raises(UpstreamProtocolError):
            await connection.more(5)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    ("data", "closed", "detail"),
    [
        (b"", True, "without an answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False, "within the head"),
        (b"HTTP/1.1 200 OK\r\nX: y\r\n", False, "within the head"),
        (b"H", False, "within the head"),
    ],
)
async def test_an_end_before_the_head(data: bytes, closed: bool, detail: str, reset: bool):
    """Only an end without any byte may be tried again; every end is `connection_terminated`."""
    async with connected(saying(data, reset=reset)) as connection:
        connection.begin("GET", GET)
        connection.finish_request()
        with pytest.raises(UpstreamError, match=detail) as caught:
            await connection.head()
        assert isinstance(caught.value, ConnectionClosedError) is closed
        assert caught.value.proxy_status == "connection_terminated"


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
    ],
)
async def test_an_end_within_the_body(head: bytes, reset: bool):
    """A framed body that breaks off is incomplete, after a FIN as after a RST."""
    go = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        await connection.send(head)
        await go.wait()
        if reset:
            connection.reset()

    async with connected(script) as connection:
        connection.begin("GET", GET)
        connection.finish_request()
        await connection.head()
        await connection.more(5)
        assert connection.take() == b"ok"
        go.set()
        with pytest.raises(UpstreamError, match="broke off") as caught:
            await connection.more(5)
        assert caught.value.proxy_status == "http_response_incomplete"


async def test_a_body_to_the_end_is_whole_only_after_a_clean_end():
    """A reset is no end: RFC 9112 8."""
    go = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\nok")
        await go.wait()
        connection.reset()

    async with connected(script) as connection:
        connection.begin("GET", GET)
        connection.finish_request()
        await connection.head()
        await connection.more(5)
        assert connection.take() == b"ok"
        go.set()
        with pytest.raises(UpstreamError, match="broke off"):
            await connection.more(5)
        assert not connection.complete


async def test_bytes_on_an_idle_connection_close_it():
    """What nobody asked for is nobody's answer."""
    go = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        await connection.send(EMPTY)
        await go.wait()
        await connection.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await connection.rest()
        upstream.heads.append(b"ended")

    async with connected(script) as connection:
        await answer(connection)
        assert connection.reusable
        connection.release(0)
        assert repr(connection) == "<UpstreamConnection idle, 1 exchanges>"
        go.set()
        await settled(lambda: not connection.reusable)
        assert connection.status == 200


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"])
async def test_a_connection_that_ended_before_the_request_fails_it_at_once(words: bytes):
    """An upstream that hangs up, or speaks first, when it accepts does not leave a request waiting."""

    async def script(_: RawUpstream, connection: RawConnection) -> None:
        await connection.send(words)
        if words:
            await connection.rest()

    async with connected(script) as connection:
        await settled(lambda: connection._transport is None)
        connection.begin("GET", GET)
        connection.finish_request()
        with pytest.raises(ConnectionClosedError):
            await asyncio.wait_for(connection.head(), 1)


async def test_a_client_that_does_not_take_holds_the_upstream_back():
    """Reading stops a little above the high-water mark, and goes on when the bytes are taken."""
    size = 4 * 1024 * 1024
    data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    async with connected(saying(data, stay=True)) as connection:
        connection.begin("GET", GET)
        connection.finish_request()
        await connection.head()
        total = 0
        while not connection.complete:
            await settled(lambda: connection._reading_paused or connection.complete)
            assert connection._held <= HIGH_WATER + 256 * 1024
            total += len(connection.take())
        assert total == size
        assert connection.reusable


async def test_a_whole_answer_that_was_not_taken_leaves_a_connection_that_reads():
    """To give a connection back lets it read again, so that its end is noticed."""
    size = HIGH_WATER + 1
    data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    async with connected(saying(stay=True)) as connection:
        connection.begin("GET", GET)
        connection.finish_request()
        connection.data_received(data)
        assert connection._reading_paused
        connection.release(0)
        assert not connection._reading_paused
        assert connection._transport is not None
        assert connection._transport.is_reading()


async def test_an_upload_waits_for_the_upstream():
    """Writing pauses when the upstream does not read; `drain` ends when it does."""
    go = asyncio.Event()

    async def script(_: RawUpstream, connection: RawConnection) -> None:
        await go.wait()
        await connection.rest()

    async with connected(script) as connection:
        connection.begin("POST", GET)
        while not connection.is_write_paused:
            connection.write(b"x" * 2**20)
        assert not connection.reusable
        waiting = asyncio.ensure_future(connection.drain())
        await asyncio.sleep(0)
        assert not waiting.done()
        go.set()
        await asyncio.wait_for(waiting, 5)
        await connection.drain()


async def test_an_upload_that_waits_is_told_of_the_end():
    """`drain` ends with the connection too."""

    async def script(_: RawUpstream, connection: RawConnection) -> None:
        await connection.head()
        await go.wait()
        connection.reset()

    go = asyncio.Event()
    async with connected(script) as connection:
        connection.begin("POST", GET)
        while not connection.is_write_paused:
            connection.write(b"x" * 2**20)
        waiting = asyncio.ensure_future(connection.drain())
        await asyncio.sleep(0)
        go.set()
        await asyncio.wait_for(waiting, 5)
        with pytest.raises(UpstreamError):
            await connection.head()
        connection.write(b"into the void")


async def test_an_answer_before_the_whole_request_leaves_nothing_to_reuse():
    """An early answer is an answer; the connection is not clean, for the rest of the request was never sent."""
    async with connected(saying(EMPTY, stay=True)) as connection:
        connection.begin("POST", GET)
        await connection.head()
        assert connection.complete
        assert not connection.is_request_sent
        assert not connection.reusable


async def test_an_upload_that_fails_fails_the_wait_for_the_answer():
    """`interrupt` is what the waiter sees; after a whole answer it changes nothing but the reuse."""
    async with connected(saying(stay=True)) as connection:
        connection.begin("POST", GET)
        waiting = asyncio.ensure_future(connection.head())
        await asyncio.sleep(0)
        connection.interrupt(BadRequestError("broken"))
        with pytest.raises(BadRequestError, match="broken"):
            await waiting
        with pytest.raises(BadRequestError, match="broken"):
            await connection.head()
    async with connected(saying(EMPTY, stay=True)) as connection:
        await answer(connection)
        connection.interrupt(BadRequestError("late"))
        await connection.head()
        assert not connection.reusable


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"])
async def test_a_wait_that_takes_too_long_is_a_time_out(head: bytes):
    """The upstream's silence ends the wait and the connection: `http_response_timeout`."""
    deadlines = Deadlines(0.005)
    async with connected(saying(head, stay=True)) as connection:
        deadlines.watch(connection)
        connection.begin("GET", GET)
        connection.finish_request()
        if head:
            await connection.head()
            await connection.more(0)
            connection.take()
            waiting = connection.more(0.02)
        else:
            connection.expect_within(0.02, "Too slow.")
            waiting = connection.head()
        with pytest.raises(UpstreamTimeoutError) as caught:
            await asyncio.wait_for(waiting, 5)
        assert caught.value.proxy_status == "http_response_timeout"
        assert not connection.reusable
    deadlines.close()


async def test_no_time_is_measured_without_a_limit():
    """0 means for ever."""
    async with connected(saying(stay=True)) as connection:
        connection.begin("GET", GET)
        connection.expect_within(0, "")
        assert connection.deadline == NEVER


async def test_an_idle_connection_is_ended_by_its_deadline():
    """The deadline of an idle connection closes it, and nobody is told."""
    async with connected(saying(EMPTY, stay=True)) as connection:
        await answer(connection)
        connection.release(0)
        connection.on_deadline()
        assert not connection.reusable
        await settled(lambda: connection._transport is None)
        connection.abort()
        assert repr(connection) == "<UpstreamConnection closed, 1 exchanges>"


async def test_one_exchange_after_the_other():
    """A connection carries many answers, after each kind of them."""
    answers = [
        EMPTY,
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
        b"HTTP/1.1 204 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"ok"),
        b"HTTP/1.1 304 No\r\n\r\n",
        EMPTY,
    ]
    methods = ["GET", "HEAD", "GET", "GET", "GET", "HEAD"]

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        for data in answers:
            await upstream.request(connection)
            await connection.send(data)

    async with connected(script) as connection:
        for method, data in zip(methods, answers, strict=True):
            assert await answer(connection, method) == (b"ok" if b"chunked" in data else b"")
            assert b"%d" % connection.status in data
            connection.release(0)
        assert connection.exchanges == len(answers)
