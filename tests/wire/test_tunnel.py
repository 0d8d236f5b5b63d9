"""The upstream through an outbound proxy: what the proxy is asked for, and whatever it may answer, on both loops."""

import asyncio
import base64
import socket
import ssl
from pathlib import Path

import pytest
import trustme
from kit import OK, RawConnection, RawUpstream, Script, always, every_loop, settled, url
from pools import NONE, asking, exchange, pool_for, serving

from proxy.config.outbound import read_proxy
from proxy.errors import UpstreamError
from proxy.forwarding.pool import Pool
from proxy.forwarding.tunnel import OutboundProxyError, Tunnel

TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"
API = "https://api.example.com"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Give a certificate authority of our own."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    """Give the path of its root."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(autouse=True)
def no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know no name: only the proxy does."""

    def lookup(host: str, *_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, f"{host} was asked for")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


def tunnelling(port: int, answer: bytes = TUNNEL) -> Script:
    """Return a proxy's script that tunnels to *port* of this machine, whatever it was asked for."""

    async def script(proxy: RawUpstream, connection: RawConnection) -> None:
        await proxy.request(connection)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        far = RawConnection(reader, writer)
        try:
            await connection.send(answer)
            async with asyncio.TaskGroup() as group:
                group.create_task(pour(connection, far))
                group.create_task(pour(far, connection))
        except* ConnectionError:
            pass
        finally:
            writer.close()

    async def pour(source: RawConnection, target: RawConnection) -> None:
        while data := await source.reader.read(2**16):
            await target.send(data)
        target.writer.close()

    return script


def answering_with(*pieces: bytes) -> Script:
    """Return a proxy's script that answers a CONNECT with the first of *pieces*, and what comes then with the next."""

    async def script(proxy: RawUpstream, connection: RawConnection) -> None:
        await proxy.request(connection)
        for piece in pieces:
            await connection.send(piece)
            await connection.reader.read(1)

    return script


def hanging_up(answer: bytes) -> Script:
    """Return a proxy's script that answers a CONNECT with *answer* and hangs up."""

    async def script(proxy: RawUpstream, connection: RawConnection) -> None:
        await proxy.request(connection)
        await connection.send(answer)

    return script


@every_loop
async def test_tls_goes_through_the_tunnel(authority: trustme.CA, ca_file: str):
    """The proxy is asked for host and port and nothing else, the name is not resolved here, the connection is kept."""
    async with (
        RawUpstream(always(OK), tls=serving(authority, "api.example.com")) as upstream,
        RawUpstream(tunnelling(upstream.port)) as proxy,
        pool_for(API, ca_file=ca_file, proxy=proxy.url) as pool,
    ):
        connection = await pool.connect()
        assert await exchange(connection) == b"ok"
        pool.release(connection)
        assert pool.take_idle() is connection
        assert await exchange(connection) == b"ok"
        assert proxy.heads == [b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n"]
        assert [head.split()[0] for head in upstream.heads] == [b"GET", b"GET"]


@every_loop
async def test_a_plain_upstream_goes_through_a_tunnel_too(ca_file: str):
    """An http upstream is reached by CONNECT as well, so its requests are the same with a proxy and without."""
    async with (
        RawUpstream(always(OK)) as upstream,
        RawUpstream(tunnelling(upstream.port)) as proxy,
        pool_for("http://api.example.com", ca_file=ca_file, proxy=proxy.url) as pool,
    ):
        assert await exchange(await pool.connect()) == b"ok"
        assert proxy.heads[0].startswith(b"CONNECT api.example.com:80 HTTP/1.1\r\n")


@every_loop
@pytest.mark.parametrize("size", [2, 3_000_000])
async def test_tls_goes_through_the_tunnel_of_a_tls_proxy(authority: trustme.CA, ca_file: str, size: int):
    """An https:// proxy is spoken to in TLS, with TLS of the upstream inside it."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    async with (
        RawUpstream(always(answer), tls=serving(authority, "api.example.com")) as upstream,
        RawUpstream(tunnelling(upstream.port), tls=serving(authority, "127.0.0.1")) as proxy,
        pool_for(API, ca_file=ca_file, proxy=proxy.url) as pool,
    ):
        assert proxy.url.startswith("https://")
        for _ in range(2):
            connection = await pool.connect()
            assert len(await exchange(connection)) == size
            pool.release(connection)
            assert pool.take_idle() is connection
            assert len(await exchange(connection)) == size


@every_loop
async def test_sessions_resume_inside_the_tunnel(authority: trustme.CA, ca_file: str):
    """A tunnelled connection resumes the session of the one before; the proxy's own session is not mixed up with it."""
    resumed: list[bool | None] = []

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        resumed.append(connection.writer.get_extra_info("ssl_object").session_reused)
        await always(OK)(upstream, connection)

    async with (
        RawUpstream(script, tls=serving(authority, "api.example.com")) as upstream,
        RawUpstream(tunnelling(upstream.port), tls=serving(authority, "127.0.0.1")) as proxy,
        pool_for(API, ca_file=ca_file, proxy=proxy.url) as pool,
    ):
        for _ in range(2):
            await exchange(await pool.connect())
    assert resumed == [False, True]


@pytest.mark.parametrize(
    ("credentials", "plain"),
    [
        ("user:pass%20word", b"user:pass word"),
        ("us%40er", b"us@er:"),
        ("u:p%3Aq:r", b"u:p:q:r"),
        ("u:%C3%A9", b"u:\xc3\xa9"),
    ],
)
async def test_credentials_are_for_the_proxy_alone(authority: trustme.CA, ca_file: str, credentials: str, plain: bytes):
    """User and password of the proxy's URL go to it as Basic credentials; the upstream and a repr never see them."""
    async with (
        RawUpstream(always(OK), tls=serving(authority, "api.example.com")) as upstream,
        RawUpstream(tunnelling(upstream.port)) as proxy,
        pool_for(API, ca_file=ca_file, proxy=proxy.url.replace("://", f"://{credentials}@")) as pool,
    ):
        await exchange(await pool.connect())
        assert b"\r\nProxy-Authorization: Basic " + base64.b64encode(plain) + b"\r\n" in proxy.heads[0]
        assert b"roxy" not in upstream.heads[0]
        shown = repr(pool) + repr(pool._settings) + repr(pool._dialer._proxy)
        assert credentials not in shown
        assert base64.b64encode(plain).decode() not in shown


async def test_an_ip6_address_stands_in_brackets(authority: trustme.CA, ca_file: str):
    """As RFC 9110 4.2 has it."""
    async with (
        RawUpstream(always(OK), tls=serving(authority, "2001:db8::1")) as upstream,
        RawUpstream(tunnelling(upstream.port)) as proxy,
        pool_for("https://[2001:db8::1]:8443", ca_file=ca_file, proxy=proxy.url) as pool,
    ):
        assert await exchange(await pool.connect()) == b"ok"
        assert proxy.heads[0].startswith(b"CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n")


async def test_the_client_certificate_is_not_shown_to_the_proxy(authority: trustme.CA, ca_file: str, tmp_path: Path):
    """It is the upstream's; a proxy that asks for one gets none."""
    pem = tmp_path / "client.pem"
    authority.issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(pem)
    shown: list[object] = []
    context = asking(authority, "127.0.0.1", clients=authority)
    context.verify_mode = context.verify_mode.CERT_OPTIONAL
    async with RawUpstream(always(OK), tls=asking(authority, "api.example.com", clients=authority)) as upstream:

        async def script(proxy: RawUpstream, connection: RawConnection) -> None:
            shown.append(connection.writer.get_extra_info("ssl_object").getpeercert())
            await tunnelling(upstream.port)(proxy, connection)

        async with (
            RawUpstream(script, tls=context) as proxy,
            pool_for(API, ca_file=ca_file, proxy=proxy.url, client_cert_file=str(pem)) as pool,
        ):
            assert await exchange(await pool.connect()) == b"ok"
    assert shown == [None]


async def fails(pool: Pool) -> UpstreamError:
    """Return the failure to connect, which leaves nothing behind and is the proxy's, by its words."""
    with pytest.raises(UpstreamError) as caught:
        await asyncio.wait_for(pool.connect(), 10)
    assert pool.counts() == NONE
    assert "outbound proxy" in caught.value.detail
    assert "upstream.proxy" in caught.value.detail
    return caught.value


@every_loop
@pytest.mark.parametrize(
    ("script", "proxy_status", "said"),
    [
        (hanging_up(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), "proxy_configuration_error", "407"),
        (hanging_up(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"), "connection_refused", "answered 403"),
        (hanging_up(b"HTTP/1.0 503 No\r\n\r\n"), "destination_unavailable", "answered 503"),
        (hanging_up(b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n"), "http_protocol_error", "answered 302"),
        (hanging_up(b"HTTP/1.1 100 Continue\r\n\r\n"), "http_protocol_error", "answered 100"),
        (hanging_up(b""), "connection_terminated", "closed the connection"),
        (hanging_up(b"HTTP/1.1 200 OK\r\nServer: x\r\n"), "http_protocol_error", "did not answer as an HTTP proxy"),
        (answering_with(b"SSH-2.0-OpenSSH\r\n"), "http_protocol_error", "did not answer as an HTTP proxy"),
        (answering_with(b"HTTP/1.1 2000 OK\r\n\r\n"), "http_protocol_error", "did not answer as an HTTP proxy"),
        (answering_with(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 4000), "http_protocol_error", "did not answer as"),
        (answering_with(b"\x00" * 9), "http_protocol_error", "did not answer as an HTTP proxy"),
        (answering_with(TUNNEL + b"hello"), "http_protocol_error", "sent bytes of its own"),
        (answering_with(TUNNEL, b"HTTP/1.1 400 Bad Request\r\n\r\n"), "tls_protocol_error", "TLS with the upstream"),
        (hanging_up(TUNNEL), "connection_terminated", "could not be reached"),
    ],
)
async def test_each_answer_of_no_use_has_its_words(script: Script, proxy_status: str, said: str):
    """Whatever the proxy does instead of tunnelling is a 502 with RFC 9209's word, and blamed on the proxy."""
    async with RawUpstream(script) as proxy, pool_for(API, proxy=proxy.url) as pool:
        error = await fails(pool)
    assert (error.code, error.status, error.proxy_status) == ("upstream_unreachable", 502, proxy_status)
    assert said in error.detail


@every_loop
async def test_bytes_in_front_of_a_plain_upstream_are_nobodys_answer():
    """With an http upstream too, what the proxy sends behind its answer never becomes the answer to a request."""
    async with (
        RawUpstream(answering_with(TUNNEL + OK)) as proxy,
        pool_for("http://api.example.com", proxy=proxy.url) as pool,
    ):
        assert (await fails(pool)).proxy_status == "http_protocol_error"


@every_loop
async def test_a_proxy_that_gave_up_is_a_time_out():
    """504 is the proxy's word for an upstream that it did not reach in time."""
    async with (
        RawUpstream(hanging_up(b"HTTP/1.1 504 Gateway Timeout\r\n\r\n")) as proxy,
        pool_for(API, proxy=proxy.url) as pool,
    ):
        error = await fails(pool)
    assert (error.code, error.status, error.proxy_status) == ("upstream_timeout", 504, "connection_timeout")


@every_loop
@pytest.mark.parametrize("pieces", [(b"",), (b"HTTP/1.1 200 OK\r\n",), (TUNNEL,)])
async def test_a_proxy_that_hangs_is_cut_in_time(pieces: tuple[bytes, ...]):
    """Saying nothing, half a head, or nothing behind the tunnel: `upstream.connect_timeout` holds all of it."""

    async def script(proxy: RawUpstream, connection: RawConnection) -> None:
        await proxy.request(connection)
        for piece in pieces:
            await connection.send(piece)
        await connection.ending()

    async with RawUpstream(script) as proxy, pool_for(API, proxy=proxy.url, connect_timeout=0.2) as pool:
        # To read the system's roots takes a while, of which the proxy is to have its share.
        await pool._dialer._tls.context()
        error = await fails(pool)
        await settled(lambda: not proxy._tasks)
    assert (error.code, error.proxy_status) == ("upstream_timeout", "connection_timeout")
    assert "upstream.connect_timeout" in error.detail


@every_loop
async def test_a_proxy_that_nobody_runs():
    """Its refusal is not taken for the upstream's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    async with pool_for(API, proxy=f"http://127.0.0.1:{port}") as pool:
        error = await fails(pool)
    assert error.proxy_status == "connection_refused"
    assert "NO_PROXY" in error.detail


async def test_a_proxy_whose_name_nobody_knows():
    """Only the proxy's name is looked up."""
    async with pool_for(API, proxy="http://proxy.example.com:3128") as pool:
        assert (await fails(pool)).proxy_status == "dns_error"


@every_loop
async def test_a_tls_proxy_is_verified(authority: trustme.CA):
    """A proxy with a certificate of an authority that is not known is not asked for anything."""
    async with (
        RawUpstream(answering_with(TUNNEL), tls=serving(authority, "127.0.0.1")) as proxy,
        pool_for(API, proxy=proxy.url.replace("://", "://user:secret@")) as pool,
    ):
        with pytest.raises(UpstreamError, match=r"outbound proxy's TLS certificate.*upstream\.ca_file") as caught:
            await pool.connect()
        assert caught.value.proxy_status == "tls_certificate_error"
        assert proxy.heads == []


async def test_a_tls_proxy_that_speaks_no_tls():
    """https:// for a proxy that speaks http is said to be the proxy's."""

    async def script(_: RawUpstream, connection: RawConnection) -> None:
        await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await connection.rest()

    async with RawUpstream(script) as proxy, pool_for(API, proxy=proxy.url.replace("http", "https")) as pool:
        assert (await fails(pool)).proxy_status == "tls_protocol_error"


@every_loop
async def test_an_upstream_that_is_not_trusted_is_not_blamed_on_the_proxy_alone(ca_file: str):
    """A proxy that inspects TLS shows a certificate of its own: the words name both the key for it and the proxy."""
    async with (
        RawUpstream(always(OK), tls=serving(trustme.CA(), "api.example.com")) as upstream,
        RawUpstream(tunnelling(upstream.port)) as proxy,
        pool_for(API, ca_file=ca_file, proxy=proxy.url) as pool,
    ):
        error = await fails(pool)
        assert error.proxy_status == "tls_certificate_error"
        assert "upstream.ca_file" in error.detail
        assert upstream.heads == []


@every_loop
@pytest.mark.parametrize("pieces", [(), (TUNNEL,)])
async def test_who_is_cancelled_leaves_no_tunnel(pieces: tuple[bytes, ...]):
    """A caller that leaves while it waits for the proxy, or for TLS, closes the connection to the proxy."""
    waiting, ended = asyncio.Event(), asyncio.Event()

    async def script(proxy: RawUpstream, connection: RawConnection) -> None:
        await proxy.request(connection)
        for piece in pieces:
            await connection.send(piece)
            await connection.exactly(1)
        waiting.set()
        await connection.ending()
        ended.set()

    async with RawUpstream(script) as proxy, pool_for(API, proxy=proxy.url) as pool:
        task = asyncio.ensure_future(pool.connect())
        await waiting.wait()
        assert pool.counts() == NONE | {"connecting": 1}
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ended.wait()
        assert pool.counts() == NONE


@every_loop
async def test_bytes_while_idle_end_a_tunnelled_connection(authority: trustme.CA, ca_file: str):
    """What comes through a tunnel while nobody asked is nobody's answer: the connection is not used again."""
    go = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        await connection.send(OK)
        await go.wait()
        await connection.send(OK)
        await connection.ending()

    async with (
        RawUpstream(script, tls=serving(authority, "api.example.com")) as upstream,
        RawUpstream(tunnelling(upstream.port)) as proxy,
        pool_for(API, ca_file=ca_file, proxy=proxy.url) as pool,
    ):
        connection = await pool.connect()
        await exchange(connection)
        pool.release(connection)
        go.set()
        await settled(lambda: not connection.is_open)
        assert pool.take_idle() is None


@every_loop
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_an_upstream_that_speaks_first_in_the_tunnel_is_nobodys(
    authority: trustme.CA, ca_file: str, version: ssl.TLSVersion
):
    """What comes with the end of the TLS handshake, before any request, is noticed: there is no such connection."""
    spoken = asyncio.Event()

    async def upstream_script(_: RawUpstream, connection: RawConnection) -> None:
        await connection.send(OK)
        spoken.set()
        await connection.ending()

    async def script(proxy: RawUpstream, connection: RawConnection) -> None:
        await proxy.request(connection)
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        await connection.send(TUNNEL)

        async def onward() -> None:
            while data := await connection.reader.read(2**16):
                writer.write(data)
            writer.close()

        sending = asyncio.ensure_future(onward())
        if version is ssl.TLSVersion.TLSv1_2:
            # Its server has the last word in the handshake; that is held back until it has said more.
            await connection.send(await reader.read(2**16))
            await spoken.wait()
        while data := await reader.read(2**16):
            await connection.send(data)
        await sending

    context = serving(authority, "api.example.com")
    context.minimum_version = context.maximum_version = version
    async with (
        RawUpstream(upstream_script, tls=context) as upstream,
        RawUpstream(script) as proxy,
        pool_for(API, ca_file=ca_file, proxy=proxy.url) as pool,
    ):
        try:
            connection = await pool.connect()
        except UpstreamError as error:
            assert error.proxy_status == "http_protocol_error"  # noqa: PT017 - if it was noticed after that, see below
        else:
            await settled(lambda: not connection.is_open)


async def test_bytes_behind_the_answer_are_noticed_in_a_piece_of_their_own():
    """The proxy's answer and what it sends behind it may come in two pieces before anybody looks."""
    tunnel = Tunnel(asyncio.get_running_loop())
    tunnel.data_received(TUNNEL)
    tunnel.data_received(b"x")
    with pytest.raises(OutboundProxyError, match="spoke"):
        await tunnel.open(url(API), read_proxy("http://proxy.example.com"))
