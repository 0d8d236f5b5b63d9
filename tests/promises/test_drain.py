"""How the proxy ends: what runs is finished, what cannot be is cut visibly, and nobody's request is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from kit import (
    CLIENT_ID,
    CLIENT_SECRET,
    GET,
    LAST_CHUNK,
    OK,
    AwaitedTokens,
    RawConnection,
    RawUpstream,
    always,
    answering,
    every_loop,
    fetch,
    get,
    post,
    proxied,
    raw_client,
    settings,
    settled,
)
from promise_kit import assert_closed as assert_ended

from proxy.app import App
from proxy.emulator import AuthorizationServer

CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextlib.asynccontextmanager
async def draining(app: App) -> AsyncIterator["asyncio.Task[None]"]:
    """Begin the drain and give the task of `run`, which is over when this is."""
    run = asyncio.create_task(app.run())
    try:
        app.stop()
        await settled(lambda: app._proxy.draining)
        yield run
        async with asyncio.timeout(5):
            await run
    finally:
        run.cancel()


async def assert_closed(client: RawConnection) -> None:
    """Check that the proxy ended the connection well, and end it on the client's side too."""
    await assert_ended(client)
    await client.close()


class Gate:
    """An upstream that answers /held when `go` is set and everything else at once."""

    def __init__(self, answer: bytes = OK) -> None:
        self.arrived = asyncio.Event()
        self.go = asyncio.Event()
        self._answer = answer

    async def __call__(self, upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            request = await upstream.take(connection)
            if request.first.split(b" ")[1] == b"/held":
                self.arrived.set()
                await self.go.wait()
            await connection.send(self._answer)


@every_loop
@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (get(b"/held"), OK),
        (post(b"hello", path=b"/held"), OK),
        (get(b"/held"), CHUNKED_HEAD + b"2\r\nok\r\n" + LAST_CHUNK),
        (b"GET /held HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", OK),
    ],
)
async def test_a_request_in_flight_finishes(data: bytes, answer: bytes):
    """Its client gets the whole answer, is told that it is the last one, and the process ends at once after it."""
    gate = Gate(answer)
    async with proxied(gate, lifecycle={"drain": 60.0}) as (app, upstream), raw_client(app) as client:
        await client.send(data)
        await gate.arrived.wait()
        async with draining(app) as run:
            assert not run.done()
            gate.go.set()
            message = await client.message()
            assert (message.status, message.body) == (200, b"ok")
            assert message.value(b"connection") == b"close"
            await assert_closed(client)
        assert len(upstream.heads) == 1


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a drain wait for requests on idle connections for a moment that a test can wait for."""
    for module in ("proxy.app", "proxy.forwarding.connection"):
        monkeypatch.setattr(f"{module}.IDLE_GRACE", 0.05)


class Halves:
    """An upstream that sends the second half of its answers when `go` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            await upstream.take(connection)
            await connection.send(CHUNKED_HEAD + b"5\r\nhello\r\n")
            await self.go.wait()
            await connection.send(b"6\r\n world\r\n" + LAST_CHUNK)


@every_loop
@pytest.mark.usefixtures("short_grace")
async def test_an_answer_that_is_under_way_finishes():
    """A download whose head was sent before the drain is delivered whole; a moment later its connection ends well."""
    halves = Halves()
    async with proxied(halves, lifecycle={"drain": 60.0}) as (app, _), raw_client(app) as client:
        await client.send(GET)
        await client.until(b"hello\r\n")
        async with draining(app):
            halves.go.set()
            assert await client.chunks() == b" world"
            await assert_closed(client)


@every_loop
async def test_who_was_not_told_that_an_answer_is_the_last_may_ask_once_more():
    """A client whose answer began before the drain sends its next request at once, and is served."""
    halves = Halves()
    async with proxied(halves, lifecycle={"drain": 60.0}) as (app, upstream), raw_client(app) as client:
        await client.send(GET)
        head = await client.head()
        assert b"Connection" not in head
        async with draining(app):
            halves.go.set()
            assert await client.chunks() == b"hello world"
            await client.send(GET)
            message = await client.message()
            assert (message.body, message.value(b"connection")) == (b"hello world", b"close")
            await assert_closed(client)
        assert len(upstream.heads) == 2


async def test_an_upload_that_is_under_way_finishes():
    """A body that is half here when the drain begins is taken to its end, and answered."""
    async with proxied(answering(OK), lifecycle={"drain": 60.0}) as (app, upstream), raw_client(app) as client:
        data = post(b"hello" * 100)
        await client.send(data[:200])
        await settled(lambda: app.counters.in_flight)
        async with draining(app):
            await client.send(data[200:])
            message = await client.message()
            assert (message.body, message.value(b"connection")) == (b"ok", b"close")
            await assert_closed(client)
            assert upstream.last.body == b"hello" * 100


async def test_a_request_that_waits_for_a_token_is_still_served():
    """Who was let in before the drain and waits for the first token gets an answer with it."""
    tokens = AwaitedTokens()
    async with proxied(answering(OK), tokens) as (app, _), raw_client(app) as client:
        await client.send(GET)
        await tokens.asked.wait()
        async with draining(app):
            tokens.arrived.set()
            assert (await client.message()).body == b"ok"
            await assert_closed(client)


# The drain's end.


@every_loop
@pytest.mark.parametrize(
    "start", [CHUNKED_HEAD + b"7\r\ndata: 1\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ndata: 1"]
)
async def test_a_stream_is_cut_at_the_drains_end(start: bytes):
    """An event stream ends without its last chunk, a download short of its length, and so does the upstream's side."""
    ended = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(start)
        await connection.ending()
        ended.set()

    async with proxied(script, lifecycle={"drain": 0.1}) as (app, _), raw_client(app) as client:
        await client.send(GET)
        await client.until(b"data: 1")
        async with draining(app):
            ending = await client.ending()
            assert ending.data in {b"", b"\r\n"}
        await ended.wait()


@every_loop
async def test_an_http_1_0_stream_is_reset_at_the_drains_end():
    """A client that takes an end for a good end gets a reset."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(CHUNKED_HEAD + b"7\r\ndata: 1\r\n")
        await connection.ending()

    async with proxied(script, lifecycle={"drain": 0.1}) as (app, _), raw_client(app) as client:
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        await client.until(b"data: 1")
        async with draining(app):
            ending = await client.ending()
            assert (ending.data, ending.reset) == (b"", True)


async def test_a_request_without_an_answer_is_cut_at_the_drains_end():
    """Nothing is made up for it: its client sees the connection break, and the upstream does too."""
    gate = Gate()
    async with proxied(gate, lifecycle={"drain": 0.1}) as (app, _), raw_client(app) as client:
        await client.send(get(b"/held"))
        await gate.arrived.wait()
        async with draining(app):
            assert (await client.ending()).data == b""


async def test_a_half_sent_request_does_not_hold_up_the_end():
    """A head or a body that is not whole at the drain's end is cut; the upload never looks complete."""
    uploaded: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        uploaded.set_result((await connection.ending()).data)

    async with (
        proxied(script, lifecycle={"drain": 0.1}) as (app, _),
        raw_client(app) as head,
        raw_client(app) as body,
    ):
        await head.send(GET[:9])
        await body.send(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"5\r\nhello\r\n")
        await settled(lambda: app.counters.in_flight)
        async with draining(app):
            assert (await head.ending()).data == b""
            assert (await body.ending()).data == b""
        assert await uploaded == b"5\r\nhello\r\n"


# Idle connections.


@every_loop
async def test_an_idle_connection_has_one_more_request_served():
    """A request that was on its way when the drain began is answered, with `Connection: close`."""
    async with proxied(always(OK), lifecycle={"drain": 60.0}) as (app, upstream), raw_client(app) as client:
        await client.send(GET)
        assert (await client.message()).value(b"connection") is None
        async with draining(app):
            await client.send(GET)
            message = await client.message()
            assert (message.body, message.value(b"connection")) == (b"ok", b"close")
            await assert_closed(client)
        assert len(upstream.heads) == 2


@every_loop
@pytest.mark.usefixtures("short_grace")
async def test_idle_connections_are_closed_after_a_moment():
    """A drain does not wait for connections that carry nothing: used before or not, they end well."""
    async with (
        proxied(always(OK), lifecycle={"drain": 60.0}) as (app, _),
        raw_client(app) as used,
        raw_client(app) as unused,
    ):
        await used.send(GET)
        await used.message()
        await settled(lambda: len(app._server.clients) == 2)
        async with draining(app):
            await assert_closed(used)
            await assert_closed(unused)


@pytest.mark.usefixtures("short_grace")
async def test_a_busy_connection_outlives_the_moment():
    """What closes idle connections leaves those alone that carry a request."""
    gate = Gate()
    async with (
        proxied(gate, lifecycle={"drain": 60.0}) as (app, _),
        raw_client(app) as idle,
        raw_client(app) as busy,
    ):
        await settled(lambda: len(app._server.clients) == 2)
        await busy.send(get(b"/held"))
        await gate.arrived.wait()
        async with draining(app):
            await assert_closed(idle)
            gate.go.set()
            assert (await busy.message()).body == b"ok"
            await assert_closed(busy)


async def test_what_is_pipelined_behind_the_last_answer_is_not_forwarded():
    """Of requests sent ahead only those are carried out whose answers the client gets."""
    gate = Gate()
    async with proxied(gate, lifecycle={"drain": 60.0}) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/held") + get(b"/2") + get(b"/3"))
        await gate.arrived.wait()
        async with draining(app):
            gate.go.set()
            assert (await client.message()).value(b"connection") == b"close"
            await assert_closed(client)
        assert len(upstream.heads) == 1


async def test_our_own_answers_are_the_last_ones_too():
    """A refusal during the drain closes its connection like any other answer."""
    async with proxied(always(OK)) as (app, _), raw_client(app) as client:
        await client.send(GET)
        await client.message()
        async with draining(app):
            await client.send(get(b"/", b"Origin: null"))
            message = await client.message()
            assert (message.status, message.value(b"connection")) == (403, b"close")
            await assert_closed(client)


@every_loop
async def test_no_request_is_lost_when_the_drain_begins():
    """Two hundred requests a second on eight connections: each one that is sent is answered, up to the last."""
    served = 0

    async def caller(number: int) -> bool:
        nonlocal served
        async with raw_client(app) as client:
            await asyncio.wait({run}, timeout=number * 0.005)
            while True:
                await client.send(get(b"/%d" % number))
                message = await client.message()
                assert message.body == b"ok"
                served += 1
                if served == 40:
                    app.stop()
                if message.value(b"connection") == b"close":
                    await assert_closed(client)
                    return run.done()
                await asyncio.wait({run}, timeout=0.04)

    async with proxied(always(OK), lifecycle={"drain": 60.0}) as (app, upstream):
        run = asyncio.create_task(app.run())
        await asyncio.gather(*[caller(number) for number in range(8)])
        async with asyncio.timeout(5):
            await run
        assert len(upstream.heads) == served
        assert served >= 40
        assert app.counters.requests == {("GET", 200): served}


# The rest of the process.


@every_loop
async def test_new_connections_are_refused():
    """From the first moment of the drain nobody new is let in, on either loopback address."""
    gate = Gate()
    async with proxied(gate) as (app, _), raw_client(app) as client:
        await client.send(get(b"/held"))
        await gate.arrived.wait()
        port = urlsplit(app.url).port
        async with draining(app):
            for host in ("127.0.0.1", "::1"):
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection(host, port)
            gate.go.set()
            assert (await client.message()).body == b"ok"
            await assert_closed(client)


@every_loop
async def test_without_connections_it_ends_at_once():
    """A proxy that nobody uses does not wait for the drain, nor for idle connections."""
    async with proxied(always(OK), lifecycle={"drain": 60.0}) as (app, _):
        await fetch(app, GET)
        await settled(lambda: not app._server.clients)
        app.stop()
        app.stop()
        async with asyncio.timeout(0.5):
            await app.run()


async def test_operators_see_the_drain():
    """Readiness says no and why while liveness, status and the metrics still answer."""
    gate = Gate()
    keys: dict[str, Any] = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    async with (
        AuthorizationServer(**keys) as okta,
        RawUpstream(gate) as upstream,
        App(settings(upstream.url, okta.token_url), environ={}) as app,
        raw_client(app) as client,
    ):

        async def admin(path: str) -> tuple[int, bytes]:
            async with raw_client(app.admin_url) as operator:
                await operator.send(get(path, b"Connection: close"))
                message = await operator.message()
                return message.status, message.body

        await client.send(get(b"/held"))
        await gate.arrived.wait()
        assert await admin("/readyz") == (200, b"ok\n")
        async with draining(app):
            status, body = await admin("/readyz")
            assert status == 503
            assert b"Draining" in body
            assert await admin("/livez") == (200, b"ok\n")
            assert b'"state": "draining"' in (await admin("/status"))[1]
            assert (await admin("/metrics"))[0] == 200
            gate.go.set()
            assert (await client.message()).body == b"ok"
            await assert_closed(client)


async def test_an_operator_begins_it():
    """POST /quitquitquit is answered, and does what a signal does."""
    async with proxied(always(OK), admin={"enabled": True}) as (app, _), raw_client(app.admin_url) as operator:
        run = asyncio.create_task(app.run())
        await operator.send(get(b"/quitquitquit", b"Content-Length: 0", method=b"POST"))
        assert (await operator.message()).status == 200
        async with asyncio.timeout(2):
            await run
