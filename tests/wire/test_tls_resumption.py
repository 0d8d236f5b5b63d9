"""TLS sessions are resumed: what the servers see of it, on both loops and with both versions of TLS."""

import asyncio
import contextlib
import gc
import socket
import ssl
from pathlib import Path

import pytest
import trustme
from kit import OK, RawConnection, RawUpstream, Script, always, every_loop, raw_client
from pools import asking, exchange, pool_for, serving

from proxy.forwarding.pool import Pool
from proxy.forwarding.tls import ResumingContext, tls_context

each_version = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


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
def read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read a session whenever there is a newer one, as Pythons do that lose no memory by it."""
    monkeypatch.setattr(ResumingContext, "read_every", 0.0)


def noting(resumed: list[bool | None]) -> Script:
    """Return a script that answers, and notes whether the handshake resumed a session."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        resumed.append(connection.writer.get_extra_info("ssl_object").session_reused)
        await always(OK)(upstream, connection)

    return script


async def once(pool: Pool) -> None:
    """Make one exchange on a connection of its own, and leave nothing of it."""
    connection = await pool.connect()
    assert await exchange(connection) == b"ok"
    connection.abort()
    pool.release(connection)
    del connection
    gc.collect()


@every_loop
@each_version
async def test_every_further_connection_resumes(authority: trustme.CA, ca_file: str, version: ssl.TLSVersion):
    """The first connection makes a whole handshake and the others resume it, when the first is long gone too."""
    context = serving(authority, "127.0.0.1")
    context.minimum_version = context.maximum_version = version
    resumed: list[bool | None] = []
    async with (
        RawUpstream(noting(resumed), tls=context) as upstream,
        pool_for(upstream.url, ca_file=ca_file) as pool,
    ):
        for _ in range(4):
            await once(pool)
    assert resumed == [False, True, True, True]


@every_loop
async def test_a_connection_that_has_not_answered_is_waited_for(authority: trustme.CA, ca_file: str):
    """With TLS 1.3 the session comes with the first answer: until then nothing is read, and nothing resumed."""
    resumed: list[bool | None] = []
    async with (
        RawUpstream(noting(resumed), tls=serving(authority, "127.0.0.1")) as upstream,
        pool_for(upstream.url, ca_file=ca_file) as pool,
    ):
        first, second = await pool.connect(), await pool.connect()
        await exchange(first)
        third = await pool.connect()
        for connection in (second, third):
            await exchange(connection)
    assert resumed == [False, False, True]


@every_loop
async def test_a_server_that_forgot_the_session_gets_a_whole_handshake(authority: trustme.CA, ca_file: str):
    """A server that was restarted, and so has other keys, declines; its new session is the next one."""
    resumed: list[bool | None] = []
    contexts = [serving(authority, "127.0.0.1") for _ in range(2)]

    async with (
        RawUpstream(noting(resumed), tls=contexts[0]) as upstream,
        pool_for(upstream.url, ca_file=ca_file) as pool,
    ):
        await once(pool)
        await once(pool)
        upstream._server.close()
        async with RawUpstream(noting(resumed), tls=contexts[1]) as restarted:
            pool._dialer._resolver._literal = [
                (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", restarted.port))
            ]
            await once(pool)
            await once(pool)
    assert resumed == [False, True, False, True]


@every_loop
async def test_sessions_with_a_client_certificate_resume(authority: trustme.CA, ca_file: str, tmp_path: Path):
    """A server that asks for a client certificate knows the client again by its session."""
    pem = tmp_path / "client.pem"
    authority.issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(pem)
    resumed: list[bool | None] = []
    async with (
        RawUpstream(noting(resumed), tls=asking(authority, "127.0.0.1", clients=authority)) as upstream,
        pool_for(upstream.url, ca_file=ca_file, client_cert_file=str(pem)) as pool,
    ):
        for _ in range(3):
            await once(pool)
    assert resumed == [False, True, True]


@every_loop
async def test_a_server_that_cannot_resume_is_not_asked_again(authority: trustme.CA, ca_file: str):
    """A server that breaks off when it is offered a session gets a whole handshake at once, and from then on."""
    context = serving(authority, "127.0.0.1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    refusals: list[bool] = []

    async def script(_: RawUpstream, connection: RawConnection) -> None:
        hello = await connection.exactly(5)
        hello += await connection.exactly(int.from_bytes(hello[3:]))
        # The ticket (RFC 5077 3.2) of a client that has none is there, and empty.
        refusals.append(b"\x00\x23\x00\x00" not in hello)
        if refusals[-1]:
            await connection.send(b"\x15\x03\x03\x00\x02\x02\x28")
            return
        async with raw_client(behind.url) as far:
            await far.send(hello)
            async with asyncio.TaskGroup() as group:
                group.create_task(pour(connection, far))
                group.create_task(pour(far, connection))

    async def pour(source: RawConnection, target: RawConnection) -> None:
        while data := await source.reader.read(2**16):
            await target.send(data)
        target.writer.close()

    async with (
        RawUpstream(always(OK), tls=context) as behind,
        RawUpstream(script) as upstream,
        pool_for(f"https://127.0.0.1:{upstream.port}", ca_file=ca_file) as pool,
    ):
        for _ in range(3):
            await once(pool)
    assert refusals == [False, True, False, False]


class Waiting:
    """The two sides of a TLS connection in memory."""

    def __init__(self, client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
        bios = [ssl.MemoryBIO() for _ in range(4)]
        self.client = client.wrap_bio(bios[0], bios[1], server_hostname=name)
        self.offered = self.client.session is not None
        self.server = server.wrap_bio(bios[2], bios[3], server_side=True)
        for _ in range(4):
            for side in (self.client, self.server):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
            bios[2].write(bios[1].read())
            bios[0].write(bios[3].read())
        self.server.write(b"x")
        bios[0].write(bios[3].read())
        assert self.client.read(1) == b"x"


def resuming(authority: trustme.CA) -> ResumingContext:
    """Return a client's context that trusts *authority* alone."""
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def test_a_session_belongs_to_its_name_and_its_context(authority: trustme.CA):
    """No other name and no other context is offered it."""
    server, client = serving(authority, "a.test", "b.test"), resuming(authority)
    first = Waiting(client, server, "a.test")
    client.remember("a.test", first.client, lambda: True)
    assert client.has_session
    assert not Waiting(client, server, "b.test").offered
    assert not Waiting(resuming(authority), server, "a.test").offered
    assert Waiting(client, server, "a.test").offered
    client.remember("b.test", Waiting(client, server, "b.test").client, lambda: True)
    assert not Waiting(client, server, "a.test").offered
    assert Waiting(client, server, "b.test").offered


def test_sessions_are_read_no_more_often_than_they_may_be(authority: trustme.CA):
    """Where each reading leaks, the session that was read first is offered until the next may be read."""
    server, client = serving(authority, "a.test"), resuming(authority)
    client.read_every = 3600
    client.remember("a.test", Waiting(client, server, "a.test").client, lambda: True)
    kept = client._newest()
    assert kept is not None
    other = Waiting(resuming(authority), server, "a.test")
    client.remember("a.test", other.client, lambda: True)
    assert client._newest() is kept


def test_a_session_that_cannot_be_resumed_is_not_kept(authority: trustme.CA):
    """A server without tickets and without a memory has nothing to resume."""
    server, client = serving(authority, "a.test"), resuming(authority)
    server.num_tickets = 0
    client.remember("a.test", Waiting(client, server, "a.test").client, lambda: True)
    assert not client.has_session


def test_the_context_is_as_strict_as_pythons_own(ca_file: str):
    """It has the system's roots, and what is given is added; names and certificates are verified."""
    context, default = tls_context(ca_file), ssl.create_default_context()
    assert context.cert_store_stats()["x509_ca"] == default.cert_store_stats()["x509_ca"] + 1
    for attribute in ("verify_mode", "verify_flags", "check_hostname", "options", "minimum_version", "maximum_version"):
        assert getattr(context, attribute) == getattr(default, attribute), attribute
