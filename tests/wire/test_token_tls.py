"""The token endpoint over TLS: whose certificates are believed, and what is said of the others."""

import datetime as dt
import socket
import ssl

import aiohttp
import pytest
import trustme
from token_servers import RawServer, closed_port, endpoint, failed, fetched, response, server_tls

from proxy.emulator import AuthorizationServer
from proxy.tokens.endpoint import translate

OK = response()
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def ca():
    """A private root."""
    return trustme.CA()


def roots(ca, tmp_path):
    """Return the name of a file with the root."""
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def names(monkeypatch):
    """Names of the test's own, all of this machine; others are unknown. No query leaves it."""
    original = socket.getaddrinfo

    def lookup(host, *args, **kwargs):
        if host == "unknown.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return original("127.0.0.1" if str(host).endswith(".test") else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


async def test_a_private_root_is_believed_from_ca_file(ca, tmp_path):
    """With `oauth.ca_file` a certificate of that root is good."""
    async with RawServer(OK, tls=server_tls(ca)) as server:
        assert (await fetched(endpoint(server.url, ca_file=roots(ca, tmp_path)))).answer.status == 200


async def test_the_systems_roots_stay_beside_ca_file(ca, tmp_path):
    """`oauth.ca_file` is added to the system's store and does not replace it."""
    context = endpoint("https://127.0.0.1:1/", ca_file=roots(ca, tmp_path))._roots()
    assert context.cert_store_stats()["x509_ca"] == 1 + ssl.create_default_context().cert_store_stats()["x509_ca"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("with_file", [True, False])
async def test_an_unknown_root_is_not_believed(ca, tmp_path, with_file):
    """Nothing is sent, and the remedy names the key: an inspecting proxy is the usual reason."""
    keys = {"ca_file": roots(trustme.CA(), tmp_path)} if with_file else {}
    async with RawServer(OK, tls=server_tls(ca)) as server:
        failure = await failed(endpoint(server.url, **keys))
    assert failure.outcome == "unreachable"
    assert "certificate is not trusted" in failure.message
    assert "oauth.ca_file" in failure.remedy
    assert server.requests == []


@pytest.mark.parametrize(
    "validity",
    [{"not_before": NOW - 9 * DAY, "not_after": NOW - DAY}, {"not_before": NOW + DAY, "not_after": NOW + 9 * DAY}],
)
async def test_a_certificate_out_of_its_time_is_not_believed(ca, tmp_path, validity):
    """Expired and not yet valid: no secret is sent."""
    async with RawServer(OK, tls=server_tls(ca, **validity)) as server:
        failure = await failed(endpoint(server.url, ca_file=roots(ca, tmp_path)))
    assert "certificate is not trusted" in failure.message
    assert server.requests == []


@pytest.mark.usefixtures("names")
async def test_a_certificate_for_another_name_is_not_believed(ca, tmp_path):
    """The name in the certificate must be the one that was asked for."""
    async with RawServer(OK, tls=server_tls(ca, "other.test")) as server:
        failure = await failed(endpoint(f"https://idp.test:{server.port}/", ca_file=roots(ca, tmp_path)))
        assert "certificate is not trusted" in failure.message
        assert server.requests == []
        side = endpoint(f"https://other.test:{server.port}/", ca_file=roots(ca, tmp_path))
        assert (await fetched(side)).answer.status == 200


async def test_a_plain_server_is_no_tls_server():
    """TLS to a port that speaks http says that TLS failed, and asks whether it is an https address."""
    async with AuthorizationServer(client_id="0oa1", client_secret="hush") as okta:
        failure = await failed(endpoint(okta.token_url.replace("http:", "https:")))
    assert failure.outcome == "unreachable"
    assert "TLS with it failed" in failure.message
    assert "https address" in failure.remedy


async def test_a_tls_server_is_no_plain_server(ca):
    """A plain request to a port that speaks TLS is a failure with a name."""
    async with RawServer(OK, tls=server_tls(ca)) as server:
        failure = await failed(endpoint(server.url.replace("https:", "http:")))
    assert failure.outcome in {"failed", "unreachable"}
    assert failure.remedy


async def test_tls_1_2_is_the_oldest(ca, tmp_path):
    """A server of TLS 1.2 is spoken to, and nothing older is offered."""
    context = server_tls(ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with RawServer(OK, tls=context) as server:
        assert (await fetched(endpoint(server.url, ca_file=roots(ca, tmp_path)))).answer.status == 200
    side = endpoint(server.url, ca_file=roots(ca, tmp_path))
    assert side._roots().minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_a_ca_file_of_no_use_is_a_refusal_that_names_the_key(tmp_path):
    """Missing, empty, or no PEM: nothing is sent, and a person must put it right."""
    path = tmp_path / "ca.pem"
    async with RawServer(OK) as server:
        for content in (None, b"", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", b"\xff\x00"):
            if content is not None:
                path.write_bytes(content)
            failure = await failed(endpoint(server.url, ca_file=str(path)))
            assert failure.outcome == "refused"
            assert "oauth.ca_file" in failure.message
    assert server.connections == 0


async def test_a_changed_ca_file_is_read_with_the_next_request(ca, tmp_path):
    """A rotated private root needs no restart."""
    path = roots(trustme.CA(), tmp_path)
    async with RawServer(OK, tls=server_tls(ca)) as server:
        side = endpoint(server.url, ca_file=path)
        await failed(side)
        ca.cert_pem.write_to_path(path)
        assert (await fetched(side)).answer.status == 200


@pytest.mark.usefixtures("names")
async def test_a_name_that_nobody_knows():
    """A failed look-up says so and leads to the issuer."""
    failure = await failed(endpoint("https://unknown.test/token"))
    assert failure.outcome == "unreachable"
    assert "its name, unknown.test, cannot be resolved" in failure.message
    assert "oauth.issuer" in failure.remedy


@pytest.mark.usefixtures("names")
async def test_a_name_that_is_none():
    """A host with a label that is too long is a failure too, no crash."""
    failure = await failed(endpoint(f"https://{'x' * 70}.test/token"))
    assert failure.remedy


def test_no_failure_holds_an_exceptions_text():
    """An exception of aiohttp may hold the request's headers; what they mean is said in our own words."""
    info = aiohttp.RequestInfo("http://x/", "POST", {"Authorization": "Basic tell-nobody"}, "http://x/")
    for error in (
        aiohttp.ClientResponseError(info, (), message="tell-nobody"),
        aiohttp.ClientHttpProxyError(info, (), message="tell-nobody"),
        aiohttp.ClientPayloadError("tell-nobody"),
        aiohttp.ServerDisconnectedError("tell-nobody"),
        aiohttp.ClientOSError(104, "tell-nobody"),
        aiohttp.InvalidURL("http://tell-nobody"),
        ValueError("tell-nobody"),
        OSError("tell-nobody"),
        TimeoutError("tell-nobody"),
    ):
        assert "tell-nobody" not in repr(translate(error))


async def test_a_refused_connection_over_tls_says_so(ca, tmp_path):
    """Nobody listens at all: TLS is not blamed."""
    failure = await failed(endpoint(f"https://127.0.0.1:{closed_port()}/", ca_file=roots(ca, tmp_path)))
    assert "refused the connection" in failure.message
