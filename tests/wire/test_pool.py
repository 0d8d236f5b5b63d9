"""The connections to the upstream against real sockets: how they are opened, kept, and why they cannot be."""

import asyncio
import contextlib
import datetime as dt
import itertools
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from kit import OK, RawConnection, RawUpstream, always, closing, every_loop, with_names
from pools import GET, NONE, body, exchange, pool_for, serving

from proxy.errors import UpstreamError
from proxy.forwarding.pool import MOST_IDLE, Pool

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Give a certificate authority of our own."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    """Give the path of its root, as `upstream.ca_file` has it."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@every_loop
async def test_tls_is_verified_against_the_configured_root(authority: trustme.CA, ca_file: str):
    """A certificate of `upstream.ca_file`'s authority for the right name is trusted, on every connection."""
    async with (
        RawUpstream(always(OK), tls=serving(authority, "127.0.0.1")) as upstream,
        pool_for(upstream.url, ca_file=ca_file) as pool,
    ):
        for _ in range(2):
            connection = await pool.connect()
            assert await exchange(connection) == b"ok"
            connection.abort()
            pool.release(connection)


async def test_the_name_is_announced_and_http_1_1_offered(authority: trustme.CA, ca_file: str):
    """The server sees the upstream's name (SNI) and the one protocol that we speak (ALPN)."""
    seen: list[object] = []
    context = serving(authority, "localhost")
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda _, name, __: seen.append(name)

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        seen.append(connection.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await always(OK)(upstream, connection)

    async with (
        RawUpstream(script, tls=context) as upstream,
        pool_for(f"https://localhost:{upstream.port}", ca_file=ca_file) as pool,
    ):
        await exchange(await pool.connect())
    assert seen == ["localhost", "http/1.1"]


async def fails(pool: Pool) -> tuple[str, str, int]:
    """Return code, Proxy-Status and status of the failure to connect."""
    with pytest.raises(UpstreamError) as caught:
        await asyncio.wait_for(pool.connect(), 10)
    assert pool.counts() == NONE
    assert "upstream" in caught.value.detail
    return caught.value.code, caught.value.proxy_status, caught.value.status


UNTRUSTED = ("upstream_unreachable", "tls_certificate_error", 502)


@every_loop
@pytest.mark.parametrize(
    ("names", "more"),
    [(["other.test"], {}), (["localhost"], {}), (["127.0.0.1"], {"not_before": LONG_AGO, "not_after": LONG_AGO})],
)
async def test_a_certificate_that_does_not_fit(
    authority: trustme.CA, ca_file: str, names: list[str], more: dict[str, Any]
):
    """A wrong name and an expired certificate are `tls_certificate_error`, and no byte of HTTP is sent."""
    async with (
        RawUpstream(always(OK), tls=serving(authority, *names, **more)) as upstream,
        pool_for(upstream.url, ca_file=ca_file) as pool,
    ):
        assert await fails(pool) == UNTRUSTED
        assert upstream.heads == []


async def test_an_unknown_authority(ca_file: str):
    """A certificate of an authority that is neither the system's nor configured is not trusted."""
    async with RawUpstream(always(OK), tls=serving(trustme.CA(), "127.0.0.1")) as upstream:
        async with pool_for(upstream.url) as pool:
            assert await fails(pool) == UNTRUSTED
        async with pool_for(upstream.url, ca_file=ca_file) as pool:
            assert await fails(pool) == UNTRUSTED
        assert upstream.heads == []


async def test_plain_http_behind_https():
    """A server that does not speak TLS is `tls_protocol_error`."""

    async def script(_: RawUpstream, connection: RawConnection) -> None:
        await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await connection.rest()

    async with RawUpstream(script) as upstream, pool_for(f"https://127.0.0.1:{upstream.port}") as pool:
        assert await fails(pool) == ("upstream_unreachable", "tls_protocol_error", 502)


async def test_an_old_version_of_tls(authority: trustme.CA, ca_file: str):
    """Less than TLS 1.2 is refused."""
    context = serving(authority, "127.0.0.1")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    def serve(listener: socket.socket) -> None:
        # asyncio would close without the alert that tells why.
        accepted, _ = listener.accept()
        with accepted, pytest.raises(ssl.SSLError):
            context.wrap_socket(accepted, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = asyncio.ensure_future(asyncio.to_thread(serve, listener))
        async with pool_for(f"https://127.0.0.1:{listener.getsockname()[1]}", ca_file=ca_file) as pool:
            assert await fails(pool) == ("upstream_unreachable", "tls_protocol_error", 502)
        await served


@every_loop
async def test_a_server_that_hangs_up_within_the_handshake():
    """No answer to our hello is a terminated connection."""

    async def script(_: RawUpstream, connection: RawConnection) -> None:
        await connection.exactly(5)

    async with RawUpstream(script) as upstream, pool_for(f"https://127.0.0.1:{upstream.port}") as pool:
        assert await fails(pool) == ("upstream_unreachable", "connection_terminated", 502)


@every_loop
async def test_tls_that_ends_without_a_close_notify_cuts_a_body_without_length(authority: trustme.CA, ca_file: str):
    """RFC 9112 9.8: without the closing alert an attacker could have cut the body, so it is not complete."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        path = (await upstream.request(connection)).split(b" ")[1]
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\nok")
        if path == b"/cut":
            # The socket below TLS ends, so no alert is sent.
            with socket.socket(fileno=os.dup(connection.writer.get_extra_info("socket").fileno())) as below:
                below.shutdown(socket.SHUT_WR)

    async with (
        RawUpstream(script, tls=serving(authority, "127.0.0.1")) as upstream,
        pool_for(upstream.url, ca_file=ca_file) as pool,
    ):
        assert await exchange(await pool.connect()) == b"ok"
        connection = await pool.connect()
        connection.begin("GET", GET.replace(b"/ ", b"/cut "))
        connection.finish_request()
        await connection.head()
        with pytest.raises(UpstreamError, match="broke off"):
            await body(connection)


@every_loop
async def test_garbage_within_tls_is_a_failure_of_tls(authority: trustme.CA, ca_file: str):
    """Bytes that TLS cannot decrypt end the answer: `tls_protocol_error`."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
        await go.wait()
        os.write(connection.writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x05hello")
        await connection.ending()

    go = asyncio.Event()
    async with (
        RawUpstream(script, tls=serving(authority, "127.0.0.1")) as upstream,
        pool_for(upstream.url, ca_file=ca_file) as pool,
    ):
        connection = await pool.connect()
        connection.begin("GET", GET)
        connection.finish_request()
        await connection.head()
        await connection.more(5)
        assert connection.take() == b"ok"
        go.set()
        with pytest.raises(UpstreamError) as caught:
            await connection.more(5)
        assert caught.value.proxy_status == "tls_protocol_error"


@every_loop
async def test_a_server_that_wants_a_client_certificate(authority: trustme.CA, ca_file: str):
    """A missing client certificate is a failure of TLS, though TLS 1.3 tells it only after the handshake."""
    context = serving(authority, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            with context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as secured:
                with pytest.raises(ssl.SSLError):
                    secured.do_handshake()
                # To close with bytes unread would be a reset, which can overtake the alert.
                while os.read(secured.fileno(), 2**16):
                    pass

        served = asyncio.ensure_future(asyncio.to_thread(serve))
        async with pool_for(f"https://127.0.0.1:{listener.getsockname()[1]}", ca_file=ca_file) as pool:
            connection = await pool.connect()
            with pytest.raises(UpstreamError) as caught:
                await exchange(connection)
            assert caught.value.proxy_status == "tls_protocol_error"
        await served


async def test_a_root_that_cannot_be_read_says_so(tmp_path: Path):
    """A file that went away, or is none, is named by its key."""
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    for path in (str(tmp_path / "gone.pem"), str(broken)):
        async with pool_for("https://127.0.0.1:1", ca_file=path) as pool:
            with pytest.raises(UpstreamError, match=r"upstream\.ca_file") as caught:
                await pool.connect()
            assert caught.value.proxy_status == "tls_certificate_error"
            assert str(tmp_path) not in caught.value.detail


@contextlib.contextmanager
def free_port(host: str = "127.0.0.1") -> Iterator[int]:
    """Give a port that nobody listens on, and that nobody else gets."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind((host, 0))
        yield sock.getsockname()[1]


@contextlib.contextmanager
def black_hole(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Give a port whose queue is full, so that the kernel ignores who wants to connect."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock, contextlib.ExitStack() as clients:
        sock.bind((host, port))
        sock.listen(0)
        for _ in range(4):
            client = clients.enter_context(socket.socket(family))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(sock.getsockname())
        yield sock.getsockname()[1]


@every_loop
async def test_nobody_listens():
    """`connection_refused`."""
    with free_port() as port:
        async with pool_for(f"http://127.0.0.1:{port}") as pool:
            assert await fails(pool) == ("upstream_unreachable", "connection_refused", 502)


@every_loop
async def test_nobody_answers():
    """An upstream that does not accept is a connection time-out after `upstream.connect_timeout`."""
    with black_hole() as port:
        async with pool_for(f"http://127.0.0.1:{port}", connect_timeout=0.05) as pool:
            assert await fails(pool) == ("upstream_timeout", "connection_timeout", 504)


@every_loop
async def test_the_time_to_connect_holds_tls_too():
    """An upstream that accepts and says nothing is a connection time-out too."""

    async def script(_: RawUpstream, connection: RawConnection) -> None:
        await connection.rest()

    async with (
        RawUpstream(script) as upstream,
        pool_for(f"https://127.0.0.1:{upstream.port}", connect_timeout=0.05) as pool,
    ):
        assert await fails(pool) == ("upstream_timeout", "connection_timeout", 504)


@with_names
async def test_a_name_that_does_not_exist():
    """`dns_error`."""
    async with pool_for("http://nothing.invalid") as pool:
        assert await fails(pool) == ("upstream_unreachable", "dns_error", 502)


@with_names
async def test_both_families_refuse():
    """A refusal in each family is one refusal."""
    with free_port() as port:
        async with pool_for(f"http://api.test:{port}") as pool:
            assert await fails(pool) == ("upstream_unreachable", "connection_refused", 502)


@with_names
@pytest.mark.parametrize("first", ["refused", "silent"])
async def test_one_dead_family_does_not_matter(first: str):
    """Happy Eyeballs: when ::1 refuses or ignores us, 127.0.0.1 is tried at once or after a quarter of a second."""
    async with RawUpstream(always(OK)) as upstream:
        with black_hole("::1", upstream.port) if first == "silent" else contextlib.nullcontext():
            async with pool_for(f"http://api.test:{upstream.port}", connect_timeout=5) as pool:
                assert await exchange(await pool.connect()) == b"ok"


async def test_whoever_is_cancelled_leaves_no_connection():
    """A caller that leaves while it connects leaves nothing behind."""
    with black_hole() as port:
        async with pool_for(f"http://127.0.0.1:{port}") as pool:
            task = asyncio.ensure_future(pool.connect())
            await asyncio.sleep(0.01)  # the connection is being made: there is no event for it
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert repr(pool) == f"<Pool 127.0.0.1:{port} [0 active, 0 idle, 0 connecting, 0 waiting]>"


async def test_the_newest_idle_connection_is_used_first():
    """Connections are kept while they are idle, and the one that was used last is taken first."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url) as pool:
        assert pool.take_idle() is None
        one, two = await pool.connect(), await pool.connect()
        for connection in (one, two):
            await exchange(connection)
            pool.release(connection)
        assert repr(pool).endswith("[0 active, 2 idle, 0 connecting, 0 waiting]>")
        assert pool.take_idle() is two
        assert pool.take_idle() is one
        assert pool.take_idle() is None
        assert pool.counts() == NONE | {"active": 2}
        assert upstream.connections == 2


async def test_what_is_not_clean_is_not_kept():
    """A connection whose answer was not taken to its end is closed when it comes back."""
    async with RawUpstream(always(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")) as upstream:
        async with pool_for(upstream.url) as pool:
            connection = await pool.connect()
            connection.begin("GET", GET)
            connection.finish_request()
            await connection.head()
            pool.release(connection)
            assert pool.counts() == NONE
        await upstream.closed.wait()


async def test_an_idle_connection_ends_after_its_time():
    """An idle connection is closed before the servers' own time-outs, and not counted any more."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, idle_timeout=0.02) as pool:
        connection = await pool.connect()
        await exchange(connection)
        pool.release(connection)
        await upstream.closed.wait()
        assert pool.counts() == NONE
        assert pool.take_idle() is None


async def test_nothing_is_kept_with_no_time_for_it():
    """With an idle time of 0 each request has a connection of its own."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, idle_timeout=0) as pool:
        connection = await pool.connect()
        await exchange(connection)
        pool.release(connection)
        assert pool.take_idle() is None


async def test_sleep_ends_idle_connections():
    """After a laptop's sleep the boot clock says that an idle connection is too old, though no timer ran."""
    clock = Clock()
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, boot=clock) as pool:
        connection = await pool.connect()
        await exchange(connection)
        pool.release(connection)
        clock.now += 16
        assert pool.take_idle() is None
        await upstream.closed.wait()


async def test_what_the_upstream_closed_is_passed_over():
    """An idle connection that the upstream ended is not given out; one that lives behind it is."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url) as pool:
        kept = await pool.connect()
        dead = await pool.connect()
        for connection in (kept, dead):
            await exchange(connection)
            pool.release(connection)
        dead.abort()
        assert pool.take_idle() is kept


async def test_how_many_are_kept_is_bounded():
    """A burst does not leave hundreds of idle connections behind, and dead ones take no room from living ones."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url) as pool:
        made = [await pool.connect() for _ in range(MOST_IDLE + 1)]
        for connection in made:
            await exchange(connection)
            pool.release(connection)
        assert pool.counts() == NONE | {"idle": MOST_IDLE}
        kept = pool.take_idle()
        assert kept is not None
        for connection in made[: MOST_IDLE - 1]:
            connection.abort()
        another = await pool.connect()
        await exchange(another)
        pool.release(another)
        pool.release(kept)
        assert pool.counts() == NONE | {"idle": 2}


async def test_close_ends_everything():
    """`close` ends active and idle connections alike."""
    async with RawUpstream(always(OK)) as upstream:
        async with pool_for(upstream.url) as pool:
            active, idle = await pool.connect(), await pool.connect()
            await exchange(idle)
            pool.release(idle)
            pool.close()
            assert repr(pool).endswith("[0 active, 0 idle, 0 connecting, 0 waiting]>")
            assert not active.reusable
        for _ in itertools.repeat(None):
            await upstream.closed.wait()
            upstream.closed.clear()
            if not upstream._tasks:
                break


async def test_a_body_to_the_end_uses_its_connection_up():
    """What ends with the connection leaves none."""
    async with RawUpstream(closing(b"HTTP/1.1 200 OK\r\n\r\nok")) as upstream, pool_for(upstream.url) as pool:
        connection = await pool.connect()
        assert await exchange(connection) == b"ok"
        pool.release(connection)
        assert pool.take_idle() is None
