"""The client certificate, against servers that ask for one: shown, missing, exchanged while the proxy runs."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from kit import OK, RawConnection, RawUpstream, Script, always, every_loop
from pools import NONE, asking, exchange, pool_for, serving
from structlog.testing import capture_logs

from proxy.errors import UpstreamError
from proxy.forwarding.pool import Pool
from proxy.forwarding.tls import TlsFiles

each_version = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Give the authority of servers and clients."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    """Give the path of its root."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


class Pair:
    """A certificate and its key in two files, both behind a link to their folder, as Kubernetes mounts a Secret."""

    def __init__(self, folder: Path, leaf: trustme.LeafCert) -> None:
        self._folder = folder
        self._count = 0
        self.cert_file = str(folder / "now" / "tls.crt")
        self.key_file = str(folder / "now" / "tls.key")
        self.swap(leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes())

    def swap(self, certificate: bytes, key: bytes) -> None:
        """Put other files in their place, both at once."""
        self._count += 1
        version = self._folder / str(self._count)
        version.mkdir()
        (version / "tls.crt").write_bytes(certificate)
        (version / "tls.key").write_bytes(key)
        link = self._folder / "link"
        link.symlink_to(version)
        link.replace(self._folder / "now")

    def swap_for(self, leaf: trustme.LeafCert) -> None:
        """Put another pair in its place."""
        self.swap(leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes())

    @property
    def keys(self) -> dict[str, str]:
        """The pair as keys of the configuration."""
        return {"client_cert_file": self.cert_file, "client_key_file": self.key_file}


@pytest.fixture
def pair(authority: trustme.CA, tmp_path: Path) -> Pair:
    """Give the certificate of client 1."""
    return Pair(tmp_path, client(authority, "1"))


def client(authority: trustme.CA, name: str) -> trustme.LeafCert:
    """Return a client's certificate."""
    return authority.issue_cert(f"{name}@clients.test", common_name=name)


def noting(names: list[str]) -> Script:
    """Return a script that answers, and notes whose certificate it was shown."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        shown = connection.writer.get_extra_info("ssl_object").getpeercert()
        names.extend(value for ((name, value),) in shown["subject"] if name == "commonName")
        await always(OK)(upstream, connection)

    return script


async def once(pool: Pool) -> bytes:
    """Make one exchange on a connection of its own."""
    connection = await pool.connect()
    try:
        return await exchange(connection)
    finally:
        connection.abort()
        pool.release(connection)


@every_loop
@each_version
async def test_the_certificate_is_shown(authority: trustme.CA, ca_file: str, pair: Pair, version: ssl.TLSVersion):
    """A server that asks for a client certificate gets ours, from two files."""
    context = asking(authority, "127.0.0.1", clients=authority)
    context.minimum_version = context.maximum_version = version
    names: list[str] = []
    async with (
        RawUpstream(noting(names), tls=context) as upstream,
        pool_for(upstream.url, ca_file=ca_file, **pair.keys) as pool,
    ):
        assert await once(pool) == b"ok"
    assert names == ["1"]


async def test_the_key_may_stand_beside_the_certificate(authority: trustme.CA, ca_file: str, tmp_path: Path):
    """One file will do for both."""
    both = tmp_path / "both.pem"
    client(authority, "1").private_key_and_cert_chain_pem.write_to_path(both)
    names: list[str] = []
    async with (
        RawUpstream(noting(names), tls=asking(authority, "127.0.0.1", clients=authority)) as upstream,
        pool_for(upstream.url, ca_file=ca_file, client_cert_file=str(both)) as pool,
    ):
        await once(pool)
    assert names == ["1"]


@contextlib.asynccontextmanager
async def refusing(context: ssl.SSLContext) -> AsyncIterator[str]:
    """Give the address of a server whose handshake fails, and which then stays: asyncio's would hang up instead."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            with context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as secured:
                with pytest.raises(ssl.SSLError):
                    secured.do_handshake()
                # To close with bytes unread would be a reset, which can overtake the alert.
                with contextlib.suppress(ConnectionError):
                    while os.read(secured.fileno(), 2**16):
                        pass

        served = asyncio.ensure_future(asyncio.to_thread(serve))
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        await served


@every_loop
@each_version
async def test_a_missing_certificate_is_named(authority: trustme.CA, ca_file: str, version: ssl.TLSVersion):
    """With TLS 1.2 the handshake fails, with 1.3 the request; either way the detail names the key that is missing."""
    context = asking(authority, "127.0.0.1", clients=authority)
    context.minimum_version = context.maximum_version = version
    async with refusing(context) as address, pool_for(address, ca_file=ca_file) as pool:
        with pytest.raises(UpstreamError, match=r"upstream\.client_cert_file") as caught:
            await once(pool)
        assert (caught.value.code, caught.value.proxy_status) == ("upstream_unreachable", "tls_protocol_error")
        assert pool.counts() == NONE


@every_loop
@each_version
async def test_a_certificate_of_another_authority_is_named(
    authority: trustme.CA, ca_file: str, pair: Pair, version: ssl.TLSVersion
):
    """A server that does not trust our certificate is told from one that does not speak TLS."""
    context = asking(authority, "127.0.0.1", clients=trustme.CA())
    context.minimum_version = context.maximum_version = version
    async with refusing(context) as address, pool_for(address, ca_file=ca_file, **pair.keys) as pool:
        with pytest.raises(UpstreamError, match=r"wants a client certificate, or another.*upstream\.client_cert_file"):
            await once(pool)


@every_loop
async def test_a_new_pair_is_shown_by_the_next_connection(authority: trustme.CA, ca_file: str, pair: Pair):
    """When the files are swapped, as Kubernetes does, open connections stay and new ones show the new pair."""
    names: list[str] = []
    async with (
        RawUpstream(noting(names), tls=asking(authority, "127.0.0.1", clients=authority)) as upstream,
        pool_for(upstream.url, ca_file=ca_file, **pair.keys) as pool,
    ):
        kept = await pool.connect()
        await exchange(kept)
        with capture_logs() as logs:
            pair.swap_for(client(authority, "2"))
            await once(pool)
            await once(pool)
        assert await exchange(kept) == b"ok"
    # The session of client 1 is not resumed with the new certificate.
    assert names == ["1", "2", "2"]
    assert [entry["event"] for entry in logs] == ["upstream_files_read"]


@pytest.mark.parametrize("broken", ["mismatch", "half key", "half certificate", "empty", "gone"])
async def test_a_broken_pair_keeps_the_one_before(
    authority: trustme.CA, ca_file: str, pair: Pair, broken: str, tmp_path: Path
):
    """Whatever is wrong with the new files, connections go on with the old pair, and one warning says what it is."""
    names: list[str] = []
    second = client(authority, "2")
    certificate, key = second.cert_chain_pems[0].bytes(), second.private_key_pem.bytes()
    async with (
        RawUpstream(noting(names), tls=asking(authority, "127.0.0.1", clients=authority)) as upstream,
        pool_for(upstream.url, ca_file=ca_file, **pair.keys) as pool,
    ):
        await once(pool)
        with capture_logs() as logs:
            if broken == "mismatch":
                pair.swap(certificate, client(authority, "3").private_key_pem.bytes())
            elif broken == "half key":
                pair.swap(certificate, key[:90])
            elif broken == "half certificate":
                pair.swap(certificate[:90], key)
            elif broken == "empty":
                pair.swap(b"", b"")
            else:
                (tmp_path / "now").unlink()
            for _ in range(2):
                await once(pool)
        (entry,) = logs
        assert (entry["event"], entry["log_level"]) == ("upstream_files_unusable", "warning")
        assert "upstream.client_" in entry["note"]
        assert str(tmp_path) not in entry["note"]
        if broken != "gone":
            pair.swap(certificate, key)
            await once(pool)
    assert names == ["1", "1", "1"] + ["2"] * (broken != "gone")


async def test_a_pair_that_never_was_usable_is_an_error_with_its_name(tmp_path: Path, pair: Pair):
    """Without a pair from before no connection is made: the detail names the key, and holds no path."""
    (tmp_path / "now").unlink()
    async with pool_for("https://127.0.0.1:1", **pair.keys) as pool:
        with pytest.raises(
            UpstreamError, match=r"upstream\.client_cert_file names a file that cannot be read"
        ) as caught:
            await pool.connect()
        assert caught.value.proxy_status == "proxy_configuration_error"
        assert str(tmp_path) not in caught.value.detail


async def test_files_that_looked_wrong_are_tried_again(tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch):
    """A reading that failed for another reason than the files (no descriptors left) is repeated after a while."""
    import proxy.forwarding.tls as module  # noqa: PLC0415 - one function of it is made to fail

    calls: list[int] = []
    original = module.tls_context

    def failing(*files: str | None) -> module.ResumingContext:
        calls.append(len(calls))
        if len(calls) == 1:
            raise OSError(24, "Too many open files")
        return original(*files)

    monkeypatch.setattr(module, "tls_context", failing)
    files = TlsFiles(None, pair.cert_file, pair.key_file, retry_after=0)
    with pytest.raises(UpstreamError):
        await files.context()
    context = await files.context()
    assert await files.context() is context
    assert len(calls) == 2
    patient = TlsFiles(None, pair.cert_file, str(tmp_path / "gone"), retry_after=3600)
    for _ in range(2):
        with pytest.raises(UpstreamError, match="client_key_file"):
            await patient.context()
    assert len(calls) == 3


async def test_the_same_trouble_is_told_once(tmp_path: Path, pair: Pair, authority: trustme.CA):
    """Files that stay as they are are tried again in silence; other ones are told of, and that they will do at last."""
    files = TlsFiles(None, pair.cert_file, pair.key_file, retry_after=0)
    await files.context()
    leaf = client(authority, "2")
    certificate, key = leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()
    with capture_logs() as logs:
        pair.swap(certificate, b"")
        for _ in range(3):
            await files.context()
        pair.swap(certificate, b"none")
        await files.context()
        pair.swap(certificate, key)
        for _ in range(2):
            await files.context()
    assert [entry["event"] for entry in logs] == [*["upstream_files_unusable"] * 2, "upstream_files_read"]
    assert str(tmp_path) not in repr(logs)


@every_loop
async def test_a_new_root_is_trusted_by_the_next_connection(authority: trustme.CA, tmp_path: Path):
    """`upstream.ca_file` is read again too; a damaged one changes nothing."""
    path = tmp_path / "roots.pem"
    trustme.CA().cert_pem.write_to_path(path)
    async with (
        RawUpstream(always(OK), tls=serving(authority, "127.0.0.1")) as upstream,
        pool_for(upstream.url, ca_file=str(path)) as pool,
    ):
        with pytest.raises(UpstreamError, match=r"upstream\.ca_file"):
            await pool.connect()
        replace(path, authority.cert_pem.bytes())
        assert await once(pool) == b"ok"
        with capture_logs() as logs:
            replace(path, authority.cert_pem.bytes()[:200])
            assert await once(pool) == b"ok"
        assert [entry["event"] for entry in logs] == ["upstream_files_unusable"]


def replace(path: Path, data: bytes) -> None:
    """Put another file in the place of *path*."""
    other = path.with_suffix(".new")
    other.write_bytes(data)
    other.replace(path)
