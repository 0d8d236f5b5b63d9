"""The token endpoint through an outbound proxy: a real CONNECT proxy, and names that are this machine."""

import asyncio
import base64
import socket

import pytest
import trustme
from kit import CLIENT_SECRET
from token_servers import ConnectProxy, RawServer, closed_port, endpoint, failed, fetched, response, server_tls

OK = response()
IDP = "https://idp.test/token"


@pytest.fixture(scope="module")
def ca():
    """A private root."""
    return trustme.CA()


@pytest.fixture
def roots(ca, tmp_path):
    """The root's file."""
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """Names under .test are this machine, but not the identity provider's: only the proxy can reach that."""
    original = socket.getaddrinfo

    def lookup(host, *args, **kwargs):
        if host in ("idp.test", "dev-1.okta.com"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return original("127.0.0.1" if str(host).endswith(".test") else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


async def test_the_configured_proxy_tunnels(ca, roots):
    """`oauth.proxy` gets a CONNECT for the endpoint's name, and nothing of the request: that is inside TLS."""
    async with RawServer(OK, tls=server_tls(ca, "idp.test")) as server, ConnectProxy(server.port) as proxy:
        await fetched(endpoint(IDP, ca_file=roots, proxy=proxy.url, auth_method="client_secret_basic"))
    (head,) = proxy.heads
    assert head.startswith(b"CONNECT idp.test:443 HTTP/1.1\r\n")
    assert b"authorization" not in head.lower()
    assert b"cookie" not in head.lower()
    (request,) = server.requests
    assert request.line == "POST /token HTTP/1.1"
    assert request.value("Host") == "idp.test"
    assert request.value("Proxy-Authorization") is None


async def test_a_proxys_password_goes_to_the_proxy_alone(ca, roots):
    """User and password of the proxy's URL are its credentials, and the endpoint never sees them."""
    async with RawServer(OK, tls=server_tls(ca, "idp.test")) as server, ConnectProxy(server.port) as proxy:
        url = proxy.url.replace("http://", "http://user:pass%20word@")
        side = endpoint(IDP, ca_file=roots, proxy=url)
        await fetched(side)
    expected = base64.b64encode(b"user:pass word")
    assert b"Proxy-Authorization: Basic " + expected in proxy.heads[0]
    assert server.requests[0].value("Proxy-Authorization") is None
    assert "pass%20word" not in repr(side) + repr(side._settings)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_the_environment_names_the_proxy(ca, roots, name):
    """Without `oauth.proxy` the usual variables do."""
    async with RawServer(OK, tls=server_tls(ca, "idp.test")) as server, ConnectProxy(server.port) as proxy:
        await fetched(endpoint(IDP, ca_file=roots, environ={name: proxy.url}))
        assert len(proxy.heads) == 1


async def test_the_configured_proxy_wins(ca, roots):
    """`oauth.proxy` stands before the environment, and NO_PROXY is the environment's."""
    async with RawServer(OK, tls=server_tls(ca, "idp.test")) as server, ConnectProxy(server.port) as proxy:
        environ = {"HTTPS_PROXY": f"http://127.0.0.1:{closed_port()}", "NO_PROXY": "*"}
        await fetched(endpoint(IDP, ca_file=roots, proxy=proxy.url, environ=environ))
        assert len(proxy.heads) == 1


@pytest.mark.parametrize("no_proxy", ["direct.test", ".test", "*", "example.com, direct.test:PORT"])
async def test_no_proxy_makes_an_exception(ca, roots, no_proxy):
    """A host that NO_PROXY names, alone or by its domain, is reached directly."""
    async with RawServer(OK, tls=server_tls(ca, "direct.test")) as server, ConnectProxy(server.port) as proxy:
        environ = {"HTTPS_PROXY": proxy.url, "NO_PROXY": no_proxy.replace("PORT", str(server.port))}
        await fetched(endpoint(f"https://direct.test:{server.port}/", ca_file=roots, environ=environ))
        assert proxy.heads == []
        assert len(server.requests) == 1


@pytest.mark.parametrize("configured", [True, False])
async def test_this_machine_is_never_reached_through_a_proxy(configured):
    """A token endpoint on loopback is asked directly, whatever is configured."""
    async with RawServer(OK) as server, ConnectProxy(server.port) as proxy:
        keys = {"proxy": proxy.url} if configured else {"environ": {"ALL_PROXY": proxy.url, "HTTP_PROXY": proxy.url}}
        await fetched(endpoint(server.url, **keys))
        assert proxy.heads == []


async def test_a_plain_endpoint_goes_through_the_proxy_as_a_whole():
    """With `oauth.allow_http` the proxy is asked for the absolute URL (RFC 9112 3.2.2)."""
    async with RawServer(OK) as proxy:
        await fetched(endpoint("http://idp.test/token", allow_http=True, proxy=proxy.url))
    (request,) = proxy.requests
    assert request.line == "POST http://idp.test/token HTTP/1.1"
    assert request.value("Host") == "idp.test"


async def test_a_proxy_that_nobody_runs():
    """The failure blames the proxy and names its keys."""
    failure = await failed(endpoint(IDP, proxy=f"http://127.0.0.1:{closed_port()}"))
    assert failure.outcome == "unreachable"
    assert "outbound proxy cannot be reached" in failure.message
    assert "oauth.proxy" in failure.remedy
    assert "NO_PROXY" in failure.remedy


@pytest.mark.parametrize("status", [403, 407, 502])
async def test_a_proxy_that_refuses(status):
    """Its status is not taken for the token endpoint's: nobody is sent to Okta's console."""
    refusal = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
    async with ConnectProxy(1, refusal) as proxy:
        failure = await failed(endpoint(IDP, proxy=proxy.url))
    assert failure.outcome == "unreachable"
    assert "outbound proxy refused" in failure.message
    assert CLIENT_SECRET.encode() not in b"".join(proxy.heads)


async def test_a_proxy_that_hangs_up():
    """A proxy that closes instead of answering is a failure with a name."""
    async with ConnectProxy(1, b"") as proxy:
        failure = await failed(endpoint(IDP, proxy=proxy.url))
    assert failure.outcome == "unreachable"


async def test_a_proxy_that_hangs_is_cut_at_the_connect_timeout():
    """The tunnel belongs to the connection: 3 s, here less."""

    async def silence(_, __):
        await asyncio.Event().wait()

    async with RawServer(silence) as proxy:
        failure = await failed(endpoint(IDP, proxy=proxy.url, timeouts={"connect_timeout": 0.1}))
    assert "did not answer in time" in failure.message


async def test_a_proxy_that_inspects_tls_needs_its_root(roots):
    """With a certificate of the proxy's own the failure leads to `oauth.ca_file`."""
    async with RawServer(OK, tls=server_tls(trustme.CA(), "idp.test")) as server, ConnectProxy(server.port) as proxy:
        failure = await failed(endpoint(IDP, ca_file=roots, proxy=proxy.url))
    assert "certificate is not trusted" in failure.message
    assert "oauth.ca_file" in failure.remedy
    assert server.requests == []


@pytest.mark.parametrize(
    ("issuer", "path"),
    [
        ("https://dev-1.okta.com", "/oauth2/v1/token"),
        ("https://dev-1.okta.com/oauth2/default", "/oauth2/default/v1/token"),
    ],
)
async def test_oktas_issuers_are_asked_for_a_token_at_once(ca, roots, issuer, path):
    """No discovery comes before the first token request to Okta."""
    async with RawServer(OK, tls=server_tls(ca, "dev-1.okta.com")) as server, ConnectProxy(server.port) as proxy:
        await fetched(endpoint(None, issuer=issuer, ca_file=roots, proxy=proxy.url))
    assert [request.line for request in server.requests] == [f"POST {path} HTTP/1.1"]


async def test_discovery_goes_through_the_proxy_too(ca, roots):
    """The metadata and then the token, each through a tunnel of its own."""
    document = {"issuer": "https://idp.test", "token_endpoint": IDP}
    async with (
        RawServer(response(200, document), OK, tls=server_tls(ca, "idp.test")) as server,
        ConnectProxy(server.port) as proxy,
    ):
        await fetched(endpoint(None, issuer="https://idp.test", ca_file=roots, proxy=proxy.url))
    assert len(proxy.heads) == 2
    assert [request.line for request in server.requests] == [
        "GET /.well-known/openid-configuration HTTP/1.1",
        "POST /token HTTP/1.1",
    ]
