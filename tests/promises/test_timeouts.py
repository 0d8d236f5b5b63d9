"""
How long the proxy waits for the upstream, and what does not count as waiting.

A test that must outlast a time-out waits for a *witness*: another request that began later and has met the same one.
"""

import asyncio
import contextlib

import pytest
import trustme
from kit import (
    GET,
    LAST_CHUNK,
    OK,
    FixedTokens,
    RawConnection,
    RawUpstream,
    always,
    every_loop,
    get,
    post,
    proxied,
    raw_client,
    running,
    settings,
    settled,
)
from promise_kit import assert_ours, tls_server

from proxy.app import App

SHORT = 0.1
LARGE = 24 * 1024 * 1024
"""Bytes: more than all the buffers between two processes hold."""
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
QUIET = {"admin": {"enabled": False}, "log": {"level": "warning"}}


class Stage:
    """An upstream that is silent on /silent, stops in the middle of its answer on /stalls, and else waits for `go`."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.taken = 0
        """Bytes of the last body that was read."""

    async def __call__(self, upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            head = await upstream.request(connection)
            path = head.split(b" ")[1]
            if path == b"/silent":
                await connection.rest()
                return
            if path == b"/stalls":
                await connection.send(CHUNKED_HEAD + b"5\r\nhello\r\n")
                await connection.rest()
                return
            await self._serve(head, connection)

    async def _serve(self, head: bytes, connection: RawConnection) -> None:
        # Not even into a buffer: what the kernel takes instead would grow with what was read.
        transport: asyncio.ReadTransport = connection.writer.transport  # type: ignore[assignment]
        transport.pause_reading()
        await self.go.wait()
        transport.resume_reading()
        length = next((line for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), b": 0")
        self.taken = len(await connection.exactly(int(length.split(b":")[1])))
        await connection.send(OK)


async def assert_timeout(client: RawConnection, error: str, key: str) -> None:
    """Check that the answer is the 504 of a time-out, and names it."""
    assert key in assert_ours(await client.message(), 504, "upstream_timeout", error)


async def response_witness(app: App) -> None:
    """Return when a request that began now has met upstream.response_timeout."""
    async with raw_client(app) as client:
        await client.send(get(b"/silent"))
        await assert_timeout(client, "http_response_timeout", "upstream.response_timeout")


async def idle_witness(app: App) -> None:
    """Return when an answer that began now has met upstream.idle_timeout."""
    async with raw_client(app) as client:
        await client.send(get(b"/stalls"))
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 200 ")
        assert not (await client.ending()).data.endswith(LAST_CHUNK)


# upstream.response_timeout


@every_loop
async def test_an_upload_may_take_longer_than_the_response_timeout():
    """The time counts from the last byte of the request: however slow an upload is, it does not run."""
    stage = Stage()
    async with proxied(stage, upstream_={"response_timeout": SHORT}) as (app, _), raw_client(app) as client:
        data = post(b"hello" * 100)
        await client.send(data[:-200])
        await response_witness(app)
        await client.send(data[-200:-100])
        await response_witness(app)
        stage.go.set()
        await client.send(data[-100:])
        assert (await client.message()).body == b"ok"


@every_loop
async def test_the_response_timeout_runs_from_the_last_byte():
    """After an upload in pieces the upstream has upstream.response_timeout for its answer, and no more."""
    async with proxied(Stage(), upstream_={"response_timeout": SHORT}) as (app, _), raw_client(app) as client:
        data = post(b"hello")
        await client.send(data[:-2])
        await response_witness(app)
        await client.send(data[-2:])
        await assert_timeout(client, "http_response_timeout", "upstream.response_timeout")


@pytest.mark.parametrize(
    "piece", [b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX: "]
)
async def test_a_head_that_trickles_does_not_put_it_off(piece: bytes):
    """Interim answers and single bytes of a head are no answer: the time is for the whole head."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(piece)
        ended = asyncio.create_task(connection.ending())
        try:
            while not ended.done():
                await connection.send(piece if b"103" in piece else b"y")
                await asyncio.wait({ended}, timeout=0.01)
        finally:
            await asyncio.wait({ended})

    async with proxied(script, upstream_={"response_timeout": SHORT}) as (app, _), raw_client(app) as client:
        await client.send(GET)
        await assert_timeout(client, "http_response_timeout", "upstream.response_timeout")


async def test_the_connection_is_not_used_again():
    """An answer that comes too late is nobody's: the next request has a connection of its own."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        if upstream.connections > 1:
            await connection.send(OK)
        await connection.rest()

    async with proxied(script, upstream_={"response_timeout": SHORT}) as (app, upstream), raw_client(app) as client:
        await client.send(GET)
        await assert_timeout(client, "http_response_timeout", "upstream.response_timeout")
        await client.send(GET)
        assert (await client.message()).body == b"ok"
        assert upstream.connections == 2


async def test_a_timeout_does_not_outlive_its_request():
    """A kept upstream connection is not cut by the time-out of a request that it has answered."""
    stage = Stage()
    stage.go.set()
    times = {"response_timeout": SHORT, "idle_timeout": SHORT}
    async with proxied(stage, upstream_=times) as (app, upstream), raw_client(app) as client:
        witness = asyncio.create_task(response_witness(app))
        await settled(lambda: upstream.heads)
        await client.send(GET)
        assert (await client.message()).body == b"ok"
        await witness
        await client.send(GET)
        assert (await client.message()).body == b"ok"
        assert upstream.connections == 2


# upstream.idle_timeout


@every_loop
@pytest.mark.parametrize(
    "start", [CHUNKED_HEAD + b"5\r\nhello\r\n", CHUNKED_HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"]
)
async def test_an_answer_that_stands_still_is_cut(start: bytes):
    """What came is delivered, then the connection breaks: the answer never looks complete."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(start)
        await connection.rest()

    async with proxied(script, upstream_={"idle_timeout": SHORT}) as (app, _), raw_client(app) as client:
        await client.send(GET)
        assert (await client.head()).startswith(b"HTTP/1.1 200 OK")
        assert (await client.ending()).data == start.partition(b"\r\n\r\n")[2]


@every_loop
async def test_an_answer_without_a_length_that_stands_still_is_reset():
    """An HTTP/1.0 client, for which an end is a good end, gets a reset behind the bytes that came."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(CHUNKED_HEAD + b"5\r\nhello\r\n")
        await connection.rest()

    async with proxied(script, upstream_={"idle_timeout": SHORT}) as (app, _), raw_client(app) as client:
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        ending = await client.ending()
        assert ending.data.endswith(b"\r\n\r\nhello")
        assert ending.reset


async def test_an_answer_that_trickles_goes_on():
    """The time is between two pieces: a stream with an event now and then outlives it for ever."""
    stop = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        if b"/stalls" in await upstream.request(connection):
            await connection.send(CHUNKED_HEAD)
            await connection.rest()
        await connection.send(CHUNKED_HEAD)
        waiting = asyncio.create_task(stop.wait())
        while not waiting.done():
            await connection.send(b"1\r\nx\r\n")
            await asyncio.wait({waiting}, timeout=0.02)
        await connection.send(LAST_CHUNK)

    async with proxied(script, upstream_={"idle_timeout": 2 * SHORT}) as (app, _), raw_client(app) as client:
        await client.send(GET)
        await client.head()
        await idle_witness(app)
        stop.set()
        assert set(await client.chunks()) == set(b"x")


@every_loop
async def test_it_stands_still_while_the_client_does_not_read():
    """A client that takes its time holds the upstream back, and meets no time-out of the upstream's."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        if b"/stalls" in await upstream.request(connection):
            await connection.send(CHUNKED_HEAD)
            await connection.rest()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
        await connection.send(b"x" * LARGE)
        await connection.rest()

    async with proxied(script, upstream_={"idle_timeout": SHORT}) as (app, _), raw_client(app) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(GET)
        for _ in range(2):
            await idle_witness(app)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await client.message()).body) == LARGE


@every_loop
async def test_an_upload_that_the_upstream_does_not_take():
    """An upstream that stops reading a request's body is a 504, though the client could go on."""
    async with proxied(Stage(), upstream_={"idle_timeout": SHORT}) as (app, _), raw_client(app) as client:
        client.writer.write(post(b"x" * LARGE))
        await assert_timeout(client, "http_response_timeout", "upstream.idle_timeout")


async def test_the_clients_time_stands_still_while_the_upstream_does_not_take():
    """limits.body_timeout is for the client: it does not run while the upstream holds the upload back."""
    stage = Stage()
    async with proxied(stage, limits={"body_timeout": SHORT}) as (app, _), raw_client(app) as client:
        client.writer.write(post(b"x" * LARGE))
        async with raw_client(app) as witness:
            await witness.send(get(b"/silent", b"Content-Length: 5", method=b"POST"))
            assert (await witness.message()).status == 408
        stage.go.set()
        assert (await client.message()).body == b"ok"
        assert stage.taken == LARGE


# Never.


@pytest.mark.parametrize(
    ("key", "witness", "data"),
    [("response_timeout", response_witness, GET), ("idle_timeout", idle_witness, post(b"x" * LARGE))],
    ids=["response_timeout", "idle_timeout"],
)
async def test_nought_is_no_timeout_of_the_upstreams(key: str, witness, data: bytes):
    """With 0 the proxy waits for as long as the upstream takes: for its answer, and to take a body."""
    stage = Stage()
    async with (
        RawUpstream(stage) as upstream,
        running(settings(upstream.url, **QUIET, upstream_={key: 0.0}), FixedTokens()) as app,
        running(settings(upstream.url, **QUIET, upstream_={key: SHORT}), FixedTokens()) as other,
        raw_client(app) as client,
    ):
        client.writer.write(data)
        await witness(other)
        await witness(other)
        stage.go.set()
        assert (await client.message()).body == b"ok"


async def test_nought_is_no_idle_timeout():
    """With upstream.idle_timeout 0 an answer may stand still for ever."""
    go = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(CHUNKED_HEAD + b"5\r\nhello\r\n")
        await go.wait()
        await connection.send(LAST_CHUNK)

    async with (
        RawUpstream(script) as upstream,
        running(settings(upstream.url, **QUIET, upstream_={"idle_timeout": 0.0}), FixedTokens()) as app,
        running(settings(upstream.url, **QUIET, upstream_={"idle_timeout": SHORT}), FixedTokens()) as other,
        raw_client(app) as client,
    ):
        await client.send(GET)
        await client.head()
        await idle_witness(other)
        go.set()
        assert await client.chunks() == b"hello"


async def test_nought_is_no_connect_timeout(tmp_path):
    """With upstream.connect_timeout 0 a handshake may take its time."""
    authority, go = trustme.CA(), asyncio.Event()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    keys = {"ca_file": str(tmp_path / "ca.pem")}

    async def held_back(_: RawUpstream, connection: RawConnection) -> None:
        await go.wait()
        async with raw_client(f"http://127.0.0.1:{server.port}") as behind:
            await asyncio.gather(pipe(connection, behind), pipe(behind, connection))

    async with (
        RawUpstream(always(OK), tls=tls_server(authority, "127.0.0.1")) as server,
        RawUpstream(held_back) as upstream,
        running(
            settings(f"https://127.0.0.1:{upstream.port}", **QUIET, upstream_={"connect_timeout": 0.0, **keys}),
            FixedTokens(),
        ) as app,
        running(
            settings(f"https://127.0.0.1:{upstream.port}", **QUIET, upstream_={"connect_timeout": SHORT, **keys}),
            FixedTokens(),
        ) as other,
        raw_client(app) as client,
        raw_client(other) as witness,
    ):
        await client.send(GET)
        await witness.send(GET)
        await assert_timeout(witness, "connection_timeout", "upstream.connect_timeout")
        go.set()
        assert (await client.message()).body == b"ok"


async def pipe(source: RawConnection, sink: RawConnection) -> None:
    """Pass on what comes, until it ends."""
    while data := await source.reader.read(2**16):
        await sink.send(data)
    with contextlib.suppress(OSError):
        sink.half_close()


@pytest.mark.parametrize(
    ("key", "start", "rest"),
    [
        ("header_timeout", b"", GET),
        ("header_timeout", GET[:9], GET[9:]),
        ("body_timeout", post(b"hello")[:-2], b"lo"),
        ("keepalive_timeout", GET, GET),
    ],
)
async def test_nought_is_no_limit_of_the_clients(key: str, start: bytes, rest: bytes):
    """With 0 a client may take its time too: for a head, for a body, and between two requests."""
    stage = Stage()
    stage.go.set()
    async with (
        RawUpstream(stage) as upstream,
        running(settings(upstream.url, **QUIET, limits={key: 0.0}), FixedTokens()) as app,
        running(settings(upstream.url, **QUIET, limits={key: SHORT}), FixedTokens()) as other,
        raw_client(app) as client,
        raw_client(other) as witness,
    ):
        for one in (client, witness):
            await one.send(start)
            if start == GET:
                assert (await one.message()).body == b"ok"
        await witness.ending()
        await client.send(rest)
        assert (await client.message()).body == b"ok"
