"""What the doctor makes of names, connections, certificates, outbound proxies and metadata."""

import asyncio
import datetime as dt
import json
import socket
import ssl
import threading

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kit import RawUpstream, url

from proxy.cli.doctor import certificates, connecting, discovery, network, places
from proxy.cli.doctor.certificates import Certificate
from proxy.cli.doctor.discovery import Reason
from proxy.cli.doctor.places import Place
from proxy.config import OAuth, Upstream
from proxy.forwarding.tunnel import OutboundProxyError

NOW = 1_700_000_000.0
DAY = 86400.0
UPSTREAM = Place("upstream", url("https://api.example.com"), "upstream.url")
OKTA = Place("token endpoint", url("https://dev-1.okta.com"), "oauth.issuer")
PROXIED = Place(
    "token endpoint", url("https://dev-1.okta.com"), "oauth.issuer", proxy=url("http://proxy:3128"), proxy_key="P"
)
CERTIFICATE = Certificate("Acme", ("a.example.com",), NOW - 10 * DAY, NOW + 30 * DAY)


# Places.


def oauth(**keys):
    """Return the settings of a client with these keys."""
    return OAuth(client_id="0oa1", **keys)


@pytest.mark.parametrize(
    ("keys", "role", "authority", "key"),
    [
        ({"token_url": "https://idp.example.com/t?x=1"}, "token endpoint", "idp.example.com", "oauth.token_url"),
        ({"issuer": "https://dev-1.okta.com/oauth2/default"}, "token endpoint", "dev-1.okta.com", "oauth.issuer"),
        ({"issuer": "https://login.example.com:8443/x"}, "issuer", "login.example.com:8443", "oauth.issuer"),
    ],
)
def test_what_is_asked_first(keys, role, authority, key):
    """The token endpoint is asked where it is known, else the issuer; both with the key that names them."""
    place = places.first_asked(oauth(**keys), {})
    assert (place.role, place.url.authority, place.key, place.ca_key) == (role, authority, key, "oauth.ca_file")
    assert place.name == f"{role} {authority}"


@pytest.mark.parametrize(
    ("keys", "environ", "proxy", "named"),
    [
        ({}, {}, None, ""),
        ({"proxy": "http://u:p@h:1"}, {"HTTPS_PROXY": "http://other:2"}, "http://h:1", "oauth.proxy"),
        ({}, {"HTTPS_PROXY": "http://h:1"}, "http://h:1", "HTTPS_PROXY"),
        ({}, {"https_proxy": "socks5://h:1", "ALL_PROXY": "h:1"}, "http://h:1", "ALL_PROXY"),
        ({}, {"HTTPS_PROXY": "http://h:1", "NO_PROXY": "okta.com"}, None, ""),
    ],
)
def test_the_outbound_proxy_is_known_with_what_named_it(keys, environ, proxy, named):
    """The outbound proxy of the token endpoint comes with the key or variable that named it, and without a password."""
    place = places.first_asked(oauth(issuer="https://dev-1.okta.com/oauth2/default", **keys), environ)
    assert (None if place.proxy is None else str(place.proxy), place.proxy_key) == (proxy, named)
    assert "u:p" not in repr(place)


@pytest.mark.parametrize(
    ("keys", "environ", "proxy", "named"),
    [
        ({}, {}, None, ""),
        ({"proxy": "https://u:p@h:1"}, {"HTTPS_PROXY": "http://other:2"}, "https://h:1", "upstream.proxy"),
        ({}, {"HTTPS_PROXY": "https://u:p@h:1"}, "https://h:1", "HTTPS_PROXY"),
        ({}, {"HTTPS_PROXY": "http://h:1", "NO_PROXY": "example.com"}, None, ""),
    ],
)
def test_the_upstream_has_keys_of_its_own(keys, environ, proxy, named):
    """The upstream has its own outbound proxy, authorities and client certificate."""
    settings = Upstream(url=url("https://api.example.com/v1"), ca_file="/ca.pem", client_cert_file="/c.pem", **keys)
    place = places.upstream(settings, environ)
    assert (None if place.proxy is None else str(place.proxy), place.proxy_key) == (proxy, named)
    assert (place.ca_file, place.ca_key, place.cert_file, place.key_file) == (
        "/ca.pem",
        "upstream.ca_file",
        "/c.pem",
        None,
    )
    assert "u:p" not in repr(place)


def test_two_places_are_one_server_when_scheme_host_and_port_are():
    """The path makes no other server."""
    one, other = oauth(token_url="https://a.example.com/x"), oauth(token_url="https://a.example.com:444/x")
    first = places.first_asked(one, {})
    assert places.is_same_server(first, places.discovered("https://a.example.com/y", one, {}))
    assert not places.is_same_server(first, places.first_asked(other, {}))


# Names.


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), "the resolver did not answer within 10 s"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "no DNS server answered"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "there is no such name"),
        (UnicodeError("label too long"), "there is no such name"),
    ],
)
def test_each_failure_of_the_resolver_has_its_words(error, expected):
    """A name that is wrong is told from a network that is down; an outbound proxy only helps the token endpoint."""
    assert expected in connecting.unresolved(UPSTREAM, error).text
    assert "oauth.proxy" not in connecting.unresolved(UPSTREAM, error).remedy[0]
    assert "oauth.proxy" in connecting.unresolved(OKTA, error).remedy[0]


async def test_many_addresses_are_cut_short():
    """Each address is shown once, four of them at most."""

    def lookup(host, port, **_):
        assert (host, port) == ("api.example.com", None)
        return [(socket.AF_INET, 1, 6, "", (f"192.0.2.{number % 5}", 0)) for number in range(20)]

    verdict = await connecting.dns(UPSTREAM, lookup)
    assert verdict.text == "upstream api.example.com is at 192.0.2.0, 192.0.2.1, 192.0.2.2, 192.0.2.3, ..."


async def test_a_name_that_cannot_be_encoded_is_no_crash():
    """What the resolver cannot even ask for is a name that does not exist."""

    def lookup(*_, **__):
        raise UnicodeError

    assert (await connecting.dns(UPSTREAM, lookup)).outcome == "FAIL"


async def test_a_resolver_that_hangs_is_left_behind():
    """The step ends in time, and what the resolver says later disturbs nobody."""
    release = threading.Event()

    def lookup(*_, **__):
        release.wait(30)
        return []

    with pytest.raises(TimeoutError):
        await network.resolve("api.example.com", lookup, seconds=0.01)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "resolver"]
    release.set()
    await asyncio.to_thread(thread.join)
    await asyncio.sleep(0)


def test_a_resolver_that_outlives_the_loop_is_silent():
    """A late answer of the resolver finds no loop any more, and that is all right."""
    release = threading.Event()

    def lookup(*_, **__):
        release.wait(30)
        return []

    with pytest.raises(TimeoutError):
        asyncio.run(network.resolve("api.example.com", lookup, seconds=0.01))
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "resolver"]
    release.set()
    thread.join()


# Connections.


@pytest.mark.parametrize(
    ("place", "error", "expected"),
    [
        (UPSTREAM, TimeoutError(), "no connection within 10 s"),
        (UPSTREAM, ConnectionRefusedError(), "it refused the connection"),
        (UPSTREAM, ConnectionResetError(), "the connection broke"),
        (UPSTREAM, ssl.SSLError(), "it does not speak TLS as it should"),
        (PROXIED, ssl.SSLError(), "it does not speak TLS as it should"),
        (PROXIED, ConnectionResetError(), "the connection through the outbound proxy http://proxy:3128 broke"),
        (PROXIED, OutboundProxyError("unreachable"), "the outbound proxy http://proxy:3128 cannot be reached"),
        (
            PROXIED,
            OutboundProxyError("unreachable", cause=ssl.SSLCertVerificationError()),
            "the outbound proxy http://proxy:3128 has a certificate that is not trusted",
        ),
        (PROXIED, OutboundProxyError("refused", status=407), "wants credentials"),
        (PROXIED, OutboundProxyError("closed"), "did not answer as an HTTP proxy"),
        (PROXIED, OutboundProxyError("refused", status=503), "answered 503 when asked for dev-1.okta.com"),
    ],
)
def test_each_failure_to_connect_has_its_words(place, error, expected):
    """A refusal, a silence, a broken TLS and an outbound proxy are told apart."""
    verdict = connecting.unconnected(place, error)
    assert verdict.outcome == "FAIL"
    assert expected in verdict.text


async def test_a_silent_server_is_not_waited_for():
    """A handshake that does not come to an end is cut."""

    async def silent(_, connection):
        await connection.rest()

    async with RawUpstream(silent) as raw:
        place = Place("upstream", url(raw.url.replace("http://", "https://")), "upstream.url")
        with pytest.raises(TimeoutError):
            await network.handshake(place, network.unverified(), seconds=0.2)
        await raw.closed.wait()


async def test_a_ca_file_that_went_bad_is_a_failure(tmp_path):
    """A file of authorities that cannot be read any more is named by its key."""
    place = Place("upstream", url("https://127.0.0.1:1"), "upstream.url", ca_file=str(tmp_path / "gone.pem"))
    verdict = await connecting.tls(place)
    assert verdict.text == "upstream 127.0.0.1:1: upstream.ca_file cannot be used"


async def test_a_client_certificate_that_went_bad_is_a_failure(tmp_path):
    """A client certificate that cannot be read any more is named by its key."""
    place = Place("upstream", url("https://127.0.0.1:1"), "upstream.url", cert_file=str(tmp_path / "gone.pem"))
    verdict = await connecting.tls(place)
    assert "upstream.client_cert_file names a file that cannot be read" in verdict.text


async def test_a_certificate_that_cannot_be_had_is_not_shown():
    """When the second look at a refused certificate fails, the first verdict stands without it."""
    place = Place("upstream", url("https://127.0.0.1:1"), "upstream.url")
    assert await connecting._certificate(place) is None


# Certificates.


def refusal(code, message="because"):
    """Return OpenSSL's refusal of a certificate."""
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("code", "known", "expected"),
    [
        (10, CERTIFICATE._replace(not_after=NOW - 3 * DAY), "its certificate expired 3 days ago."),
        (10, CERTIFICATE._replace(not_after=NOW - 60), "its certificate expired less than a day ago."),
        (10, None, "its certificate expired."),
        (9, CERTIFICATE._replace(not_before=NOW + 1.5 * DAY), "is not valid yet for 1 day more."),
        (9, None, "its certificate is not valid yet."),
        (62, CERTIFICATE, "not for this name. It is for a.example.com."),
        (64, CERTIFICATE._replace(names=tuple("abcdefg")), "It is for a, b, c, d, e, ..."),
        (62, CERTIFICATE._replace(names=()), "its certificate is not for this name."),
        (18, CERTIFICATE, "its certificate is self-signed. It is signed by Acme."),
        (20, CERTIFICATE, "authority is unknown to this machine. It is signed by Acme."),
        (19, None, "authority is unknown to this machine."),
        (66, CERTIFICATE, "key or signature is too weak"),
        (26, CERTIFICATE, "its certificate is not trusted: because. It is signed by Acme."),
        (26, None, "its certificate is not trusted: because."),
    ],
)
def test_each_refusal_of_a_certificate_has_its_words(code, known, expected):
    """Expired, early, for another name, self-signed, of an unknown authority, weak: each has its words and a remedy."""
    verdict = certificates.untrusted(UPSTREAM, refusal(code), known, NOW)
    assert verdict.outcome == "FAIL"
    assert expected in verdict.text
    assert verdict.remedy


def test_a_refusal_without_a_reason_is_one():
    """OpenSSL may give no words."""
    assert "no reason given" in certificates.untrusted(UPSTREAM, refusal(1, ""), None, NOW).text


@pytest.mark.parametrize(
    ("days", "outcome", "expected"),
    [
        (30.5, "PASS", "for 30 days more"),
        (14.0, "PASS", "for 14 days more"),
        (13.9, "WARN", "for 13 days more"),
        (0.5, "WARN", "for less than a day more"),
    ],
)
def test_a_certificate_that_ends_soon_is_a_warning(days, outcome, expected):
    """Two weeks before its end a certificate is worth a warning."""
    verdict = certificates.trusted(UPSTREAM, "TLSv1.3", CERTIFICATE._replace(not_after=NOW + days * DAY), NOW)
    assert verdict.outcome == outcome
    assert expected in verdict.text
    assert "speaks TLSv1.3" in verdict.text


def test_a_trusted_certificate_that_cannot_be_read_is_trusted():
    """OpenSSL's verdict stands, whatever we can make of the certificate."""
    assert certificates.trusted(UPSTREAM, "TLSv1.3", certificates.read(b"no certificate"), NOW).outcome == "PASS"


def test_a_certificate_is_read():
    """Signer, names and dates of a certificate are read."""
    leaf = trustme.CA(organization_name="Acme").issue_cert(
        "a.example.com", "192.0.2.1", not_after=dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
    )
    found = certificates.read(ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode()))
    assert found.issuer == "Acme"
    assert found.names == ("a.example.com", "192.0.2.1")
    assert found.not_after == dt.datetime(2040, 1, 1, tzinfo=dt.UTC).timestamp()


def test_a_bare_certificate_is_read():
    """A certificate without names and without a named signer is read too."""
    key = ec.generate_private_key(ec.SECP256R1())
    when = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 1, when, when + dt.timedelta(1))
    der = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    assert certificates.read(der)[:2] == ("an unnamed authority", ())


# Metadata.

ISSUER = "https://idp.example.com/x"


def metadata(**fields):
    """Return a metadata document."""
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, metadata(issuer=ISSUER, token_endpoint="https://idp.example.com/t"), "https://idp.example.com/t"),
        (200, metadata(issuer=ISSUER + "/", token_endpoint="https://a.b/t"), "https://a.b/t"),
        (404, b"<html>", "404"),
        (302, b"", "302 (redirects are not followed)"),
        (404, metadata(errorCode="E0000007", errorSummary="Not found"), "404, E0000007: Not found"),
        (200, b"<html>", "it is not a JSON object"),
        (200, b"[]", "it is not a JSON object"),
        (200, b"[" * 100000, "it is not a JSON object"),
        (200, metadata(issuer="https://dev-1.okta.com"), "it is the document of https://dev-1.okta.com"),
        (200, metadata(issuer=7), "it is the document of an unnamed issuer"),
        (200, metadata(issuer=ISSUER), "it has no token_endpoint"),
        (200, metadata(issuer=ISSUER, token_endpoint="http://a.b/t"), "its token_endpoint is no https address"),
    ],
)
def test_each_metadata_document_is_judged(status, body, expected):
    """A document gives a token endpoint, or a reason in a few words."""
    found = discovery.judge(status, body, ISSUER, allow_http=False)
    assert (found.what if isinstance(found, Reason) else found) == expected


def test_the_reason_that_tells_most_gives_the_remedy():
    """A document that was there and of no use counts more than those that were not there."""
    reasons = {
        "u1": Reason("404", "Compare."),
        "u2": Reason("it is the document of https://b", "Write it."),
        "u3": Reason("404", "Compare."),
    }
    verdict = discovery.nothing_found(reasons)
    assert verdict.remedy == ("u1: 404", "u2: it is the document of https://b", "u3: 404", "Write it.")
