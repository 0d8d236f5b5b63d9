"""How a WebSocket ends: each end is passed on as what it was; an idle one and a drain's last are ended."""

import asyncio
import hashlib
import ssl
from pathlib import Path

import pytest
from kit import RawConnection, RawUpstream, every_loop, proxied, raw_client, settled
from promise_kit import logged
from websocket_kit import (
    HANDSHAKE,
    LOG,
    SWITCH,
    SWITCHED,
    Switching,
    connected,
    digest,
    ended,
    fill,
    line_of,
    over_tls,
    sends,
    tunnel,
)

SHORT = 0.2


# Ends and breaks.


@every_loop
@pytest.mark.parametrize("first", ["client", "upstream"])
async def test_half_a_close_is_passed_on(first: str):
    """The end of one direction arrives as such, while the other goes on, until it ends too; both ended well."""
    with logged() as log:
        async with tunnel(**LOG) as both:
            one, other = both.client, both.upstream
            if first == "upstream":
                one, other = other, one
            await one.send(b"last")
            one.half_close()
            assert await other.ending() == (b"last", False)
            for _ in range(3):
                await sends(other, one, b"more")
            other.half_close()
            assert await one.ending() == (b"", False)
            await ended(both.app)
    assert line_of(log) == (101, 12 if first == "client" else 4, None)


@every_loop
async def test_a_client_may_end_its_half_with_the_handshake():
    """Handshake, frames and FIN in one piece: the upstream gets the frames and the end, the client what comes back."""
    async with proxied(script := Switching()) as (app, _), raw_client(app) as client:
        await client.send(HANDSHAKE + b"hello")
        client.half_close()
        peer = await script.peer()
        assert await peer.ending() == (b"hello", False)
        await peer.send(b"bye")
        await peer.close()
        assert await client.ending() == (SWITCHED + b"bye", False)


@every_loop
async def test_an_upstream_that_ends_with_its_101():
    """What came with the 101 reaches the client, and then the end, a good one."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(SWITCH + b"bye")

    async with proxied(script) as (app, _), raw_client(app) as client:
        await client.send(HANDSHAKE)
        assert await client.ending() == (SWITCHED + b"bye", False)


@every_loop
async def test_an_upstream_that_ends_wholly_takes_no_more():
    """A client that still sends learns that it was not taken: its connection breaks."""
    with logged() as log:
        async with tunnel(**LOG) as both:
            await both.upstream.close()
            assert await both.client.ending() == (b"", False)
            with pytest.raises(ConnectionError):
                await send_for_ever(both.client)
            await ended(both.app)
    assert line_of(log) == (101, 0, "upstream_broke_off")


@every_loop
async def test_a_client_that_breaks_off_breaks_the_upstreams_connection():
    """A reset is passed on as one: no upstream takes it for a client that has said all."""
    with logged() as log:
        async with tunnel(**LOG) as both:
            await sends(both.client, both.upstream, b"hello")
            both.client.reset()
            assert await both.upstream.ending() == (b"", True)
            await ended(both.app)
    assert line_of(log) == (499, 0, "client_left")


@every_loop
async def test_an_upstream_that_breaks_off_breaks_the_clients_connection():
    """The client gets what came before, and then a reset."""
    with logged() as log:
        async with tunnel(**LOG) as both:
            await sends(both.upstream, both.client, b"hello")
            both.upstream.reset()
            assert await both.client.ending() == (b"", True)
            await ended(both.app)
    assert line_of(log) == (101, 5, "upstream_broke_off")


@every_loop
async def test_what_came_before_a_break_reaches_a_client_that_is_slow():
    """The reset waits for what the upstream had sent: a client that reads in time gets all of it."""
    async with tunnel() as both:
        (client,) = both.app._server.clients
        sent = await fill(both.client, both.upstream, client.transport.get_write_buffer_size)
        both.upstream.reset()
        await settled(lambda: not both.app._proxy.pool._active)
        both.client.writer.transport.resume_reading()
        assert await both.client.ending() == (b"x" * sent, True)


# TLS with the upstream.


@every_loop
async def test_an_upstream_with_tls_ends_it_well(tmp_path: Path):
    """Bytes pass both ways; when the upstream closes, the client gets the last of them and a good end."""
    script = Switching(SWITCH + b"first")
    with logged() as log:
        async with over_tls(tmp_path, script) as app, connected(app, script, HANDSHAKE + b"mine") as both:
            assert await both.client.exactly(5) == b"first"
            assert await both.upstream.exactly(4) == b"mine"
            await both.upstream.send(b"bye")
            both.upstream.writer.close()
            assert await both.client.ending() == (b"bye", False)
            await ended(both.app)
    assert line_of(log) == (101, 8, None)


@every_loop
async def test_a_client_that_ends_ends_an_upstream_with_tls(tmp_path: Path):
    """TLS has no half of an end here: what the client sent arrives, then the end, and the client gets one too."""
    script = Switching()
    with logged() as log:
        async with over_tls(tmp_path, script) as app, connected(app, script) as both:
            await both.client.send(b"x" * 1_000_000)
            both.client.half_close()
            assert await both.upstream.ending() == (b"x" * 1_000_000, False)
            both.upstream.writer.close()
            assert await both.client.ending() == (b"", False)
            await ended(both.app)
    assert line_of(log) == (101, 0, None)


@every_loop
async def test_what_was_not_taken_yet_arrives_before_the_end_with_tls(tmp_path: Path):
    """An upstream that was slow gets the last of what the client sent, also when the client has ended since."""
    script = Switching()
    async with over_tls(tmp_path, script) as app, connected(app, script) as both:
        (upstream,) = app._proxy.pool._active
        sent = await fill(both.upstream, both.client, upstream._transport.get_write_buffer_size)
        both.client.half_close()
        await settled(upstream._transport.is_closing)
        both.upstream.writer.transport.resume_reading()
        assert await both.upstream.ending() == (b"x" * sent, False)


@every_loop
async def test_a_client_may_end_while_an_upstream_with_tls_sends(tmp_path: Path):
    """What is not taken any more is no failure: the client gets a good end."""
    script = Switching()
    with logged() as log:
        async with over_tls(tmp_path, script) as app, connected(app, script) as both:
            sending = asyncio.ensure_future(send_for_ever(both.upstream))
            await both.client.exactly(10_000)
            both.client.half_close()
            assert not (await both.client.ending()).reset
            await asyncio.wait({sending})
            assert isinstance(sending.exception(), (ConnectionError, ssl.SSLError))
            await ended(both.app)
    assert line_of(log)[::2] == (101, None)


async def send_for_ever(connection: RawConnection) -> None:
    """Send until that fails: only what follows the first piece is refused, by the kernels in between."""
    while not connection.writer.is_closing():
        await connection.send(b"x" * 1000)
        await asyncio.sleep(0)
    raise ConnectionResetError


@every_loop
@pytest.mark.parametrize("who", ["client", "upstream"])
async def test_a_reset_is_passed_on_with_tls(who: str, tmp_path: Path):
    """Who breaks off breaks the other's connection, TLS or not."""
    script = Switching()
    async with over_tls(tmp_path, script) as app, connected(app, script) as both:
        await sends(both.client, both.upstream, b"hello")
        one, other = (both.client, both.upstream) if who == "client" else (both.upstream, both.client)
        one.reset()
        assert await other.ending() == (b"", True)
        await ended(both.app)


# Idle.


@every_loop
async def test_one_that_idles_is_ended():
    """With nothing either way for upstream.idle_timeout both sides are ended, well; it was no failure."""
    with logged() as log:
        async with tunnel(upstream_={"idle_timeout": SHORT}, **LOG) as both:
            await sends(both.upstream, both.client, b"hello")
            assert await both.client.ending() == (b"", False)
            assert await both.upstream.ending() == (b"", False)
            await both.client.close()
            await ended(both.app)
    assert line_of(log) == (101, 5, None)


@pytest.mark.parametrize("sender", ["client", "upstream"])
async def test_bytes_either_way_keep_it_open(sender: str):
    """One that is spoken on, by one side alone, outlives another that began later and is not."""
    async with (
        proxied(script := Switching(), upstream_={"idle_timeout": SHORT}) as (app, _),
        connected(app, script) as both,
    ):
        one, other = (both.client, both.upstream) if sender == "client" else (both.upstream, both.client)
        async with connected(app, script) as witness:
            over = asyncio.ensure_future(witness.client.ending())
            while not over.done():
                await sends(one, other, b"still here")
                await asyncio.wait({over}, timeout=SHORT / 8)
        await sends(other, one, b"and here")


@every_loop
@pytest.mark.parametrize("lazy", ["client", "upstream"])
async def test_the_idle_timeout_stands_still_while_a_side_is_held_back(lazy: str):
    """One side does not read what the proxy has: another that began later is ended, this one when all is read."""
    async with (
        proxied(script := Switching(), upstream_={"idle_timeout": SHORT}) as (app, _),
        connected(app, script) as both,
    ):
        (client,), (upstream,) = app._server.clients, app._proxy.pool._active
        reader, writer = (both.client, both.upstream) if lazy == "client" else (both.upstream, both.client)
        sent = await fill(reader, writer, lambda: (client if lazy == "client" else upstream).is_write_paused)
        async with connected(app, script) as witness:
            assert await witness.client.ending() == (b"", False)
        assert upstream.is_open
        reader.writer.transport.resume_reading()
        assert await digest(reader, sent) == hashlib.sha256(b"x" * sent).digest()
        assert await reader.ending() == (b"", False)


async def test_nought_is_no_idle_timeout():
    """With upstream.idle_timeout 0 one may stand still for ever: no other time-out of the proxy has to do with it."""
    short = dict.fromkeys(("header_timeout", "body_timeout", "keepalive_timeout"), SHORT)
    keys = {"upstream_": {"idle_timeout": 0.0, "response_timeout": SHORT}, "limits": short}
    async with proxied(script := Switching(), **keys) as (app, _), connected(app, script) as both:
        async with raw_client(app) as witness:
            await witness.send(HANDSHAKE[:9])
            assert (await witness.message()).status == 408
        await sends(both.client, both.upstream, b"still here")


# The process.


@every_loop
async def test_an_open_one_outlives_the_beginning_of_a_drain():
    """It is spoken on for lifecycle.drain and then cut on both sides; the process ends in time."""
    with logged() as log:
        async with tunnel(lifecycle={"drain": 0.3}, **LOG) as both:
            loop = asyncio.get_running_loop()
            began, run = loop.time(), asyncio.create_task(both.app.run())
            both.app.stop()
            await settled(lambda: both.app._proxy.draining)
            await sends(both.client, both.upstream, b"still")
            await sends(both.upstream, both.client, b"here")
            assert not run.done()
            assert await both.client.ending() == (b"", True)
            assert await both.upstream.ending() == (b"", True)
            async with asyncio.timeout(2):
                await run
            assert 0.3 <= loop.time() - began < 5
            await ended(both.app)
    assert line_of(log) == (499, 4, "cut_at_drain_end")


async def test_one_that_ends_lets_the_process_end():
    """A drain waits no longer than for the last WebSocket."""
    async with tunnel(lifecycle={"drain": 60.0}) as both:
        run = asyncio.create_task(both.app.run())
        both.app.stop()
        await settled(lambda: both.app._proxy.draining)
        await both.upstream.close()
        assert await both.client.ending() == (b"", False)
        await both.client.close()
        async with asyncio.timeout(2):
            await run
