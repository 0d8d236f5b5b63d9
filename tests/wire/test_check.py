"""`okta-proxy check` against the emulated Okta and raw servers: what it says of each thing that can be wrong."""

import asyncio
import datetime as dt
import json
import re
import ssl
import time
from contextlib import asynccontextmanager
from email.utils import formatdate
from functools import partial
from urllib.parse import urlsplit

import pytest
import trustme
from doctor import CLIENT_ID, OPAQUE, SECRET, emulated
from kit import RawUpstream, always

from proxy.emulator import faults


@pytest.fixture
def world(capsys):
    """Give a context manager that starts the servers."""
    return partial(emulated, capsys)


@asynccontextmanager
async def tls_front(behind, certificate, *, host="127.0.0.1"):
    """Accept TLS on a port of its own and pass what comes to *behind* (a URL) as plain TCP; yields the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    target = urlsplit(behind)
    async with piped(lambda: asyncio.open_connection(target.hostname, target.port), host, ssl=context) as port:
        yield port


@asynccontextmanager
async def piped(connect, host="127.0.0.1", handshake=None, **options):
    """Serve each connection with the bytes of another one; *handshake* comes first and may end it."""
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            if handshake is not None and not await handshake(reader, writer):
                return
            far_reader, far_writer = await connect()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(pour(reader, far_writer))
                    group.create_task(pour(far_reader, writer))
            finally:
                far_writer.transport.abort()
        except (OSError, ExceptionGroup, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            tasks.discard(asyncio.current_task())

    async def pour(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, host, 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


@pytest.fixture(scope="module")
def authority():
    """Give a certificate authority that no machine knows."""
    return trustme.CA(organization_name="Acme Inspection")


@pytest.fixture
def ca_file(authority, tmp_path):
    """Give its certificate as a file."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


async def test_everything_is_fine(world):
    """With nothing wrong each step has its PASS, what is plain http is said so, and the exit code is 0."""
    async with world() as it:
        out = await it.check()
    assert it.code == 0
    assert it.steps() == [
        ("PASS", "config"),
        ("PASS", "dns"),
        ("PASS", "dns"),
        ("SKIP", "tls"),
        ("SKIP", "tls"),
        ("PASS", "clock"),
        ("PASS", "token"),
        ("PASS", "claims"),
        ("PASS", "upstream"),
    ]
    assert it.said("PASS", "token") == "a Bearer token that lives for 3600 s, scope api.read"
    assert f"aud api://default, sub {CLIENT_ID}, cid {CLIENT_ID}, scopes api.read, expires in 3" in out
    assert out.endswith("7 checks passed, 2 skipped.\n")
    assert len(it.okta.token_requests) == 1


async def test_the_api_gets_the_request_that_the_proxy_would_send(world):
    """The one request is a GET of the base path, with the configured headers and the token."""
    async with world() as it:
        await it.check(UPSTREAM__URL=f"{it.api.base_url}/v1", UPSTREAM__HEADERS="{X-Requested-With: tool}")
        (request,) = it.api.requests
    assert it.code == 0
    assert (request.method, request.target, request.status) == ("GET", "/v1/", 200)
    assert request.values("X-Requested-With") == ["tool"]
    assert request.values("Authorization")[0].startswith("Bearer sha256:")


async def test_an_issuer_that_is_not_okta_is_asked_for_its_token_endpoint(world):
    """Discovery has a line of its own, which shows the token endpoint."""
    async with world() as it:
        await it.check(OAUTH__TOKEN_URL="", OAUTH__ISSUER=it.okta.issuer)
    assert it.code == 0
    assert it.said("PASS", "discovery") == f"the issuer names {it.okta.token_url} as its token endpoint"
    assert it.said("PASS", "config").endswith(f"tokens come from the issuer {it.okta.issuer}")


async def test_a_token_endpoint_on_another_server_is_looked_at_too(world):
    """A discovered token endpoint elsewhere gets lines for its own name and its own TLS."""
    async with world() as it:
        issuer = ""
        document = lambda: json.dumps({"issuer": issuer, "token_endpoint": it.okta.token_url}).encode()  # noqa: E731

        async def metadata(upstream, connection):
            await upstream.request(connection)
            body = document()
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

        async with RawUpstream(metadata) as idp:
            issuer = idp.url
            await it.check(OAUTH__TOKEN_URL="", OAUTH__ISSUER=issuer)
    assert it.code == 0
    assert [step for _, step in it.steps()][4:8] == ["tls", "discovery", "dns", "tls"]
    assert it.said("PASS", "dns").count("token endpoint") == 1


async def test_a_discovered_token_endpoint_that_does_not_resolve_ends_it_there(world):
    """A token endpoint whose name does not resolve is not asked."""
    async with world() as it:
        issuer = ""

        async def metadata(upstream, connection):
            await upstream.request(connection)
            body = json.dumps({"issuer": issuer, "token_endpoint": "https://nowhere.invalid/token"}).encode()
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

        async with RawUpstream(metadata) as idp:
            issuer = idp.url
            await it.check(OAUTH__TOKEN_URL="", OAUTH__ISSUER=issuer)
    assert it.code == 3
    assert "nowhere.invalid" in it.said("FAIL", "dns")
    assert "is not reached" in it.said("SKIP", "token")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "301 (redirects are not followed)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "it is the document of an unnamed issuer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70000, "it is not a JSON object"),
        (b"nonsense\r\n\r\n", "The issuer's answer is not HTTP as it should be"),
    ],
)
async def test_an_issuer_without_usable_metadata_is_told_apart(world, answer, expected):
    """Each kind of useless metadata has words of its own, and no token is asked for."""
    async with world() as it:

        async def script(upstream, connection):
            await upstream.request(connection)
            await connection.send(answer)

        async with RawUpstream(script) as idp:
            await it.check(OAUTH__TOKEN_URL="", OAUTH__ISSUER=idp.url)
    assert it.code == 3
    assert expected in it.said("FAIL", "discovery")
    assert len(it.okta.token_requests) == 0


async def test_a_wrong_authorization_server_is_named(world):
    """A 404 with E0000007 says that there is no such authorization server, at discovery and at the token endpoint."""
    async with world() as it:
        await it.check(OAUTH__TOKEN_URL="", OAUTH__ISSUER=f"{it.okta.base_url}/oauth2/nope")
        assert it.code == 3
        assert "E0000007" in it.said("FAIL", "discovery")
        assert "Compare oauth.issuer with its Issuer URI" in it.said("FAIL", "discovery")
        await it.check(OAUTH__TOKEN_URL=f"{it.okta.base_url}/oauth2/nope/v1/token")
        assert it.code == 3
        assert "there is no such authorization server" in it.said("FAIL", "token")


@pytest.mark.parametrize(
    ("keys", "org", "error", "cause"),
    [
        ({"OAUTH__CLIENT_SECRET": "another-secret-0815"}, {}, "invalid_client", "the client secret is wrong"),
        ({"OAUTH__CLIENT_ID": "0oa1other"}, {}, "invalid_client", "no such client"),
        ({}, {"policy": False}, "access_denied", "no access policy lets this client have these scopes"),
        ({"OAUTH__SCOPES": "api.write"}, {}, "invalid_scope", "a scope is unknown to the authorization server"),
        ({"OAUTH__SCOPES": ""}, {}, "invalid_scope", "no scope was asked for"),
        ({}, {"dpop_required": True}, "invalid_dpop_proof", "the app demands DPoP"),
    ],
)
async def test_okta_refuses(world, keys, org, error, cause):
    """Okta's refusal is shown with its cause, the place in its console and the request's id; the rest is skipped."""
    async with world() as it:
        for name, value in org.items():
            setattr(it.okta, name, value)
        await it.check(**keys)
    told = it.said("FAIL", "token")
    assert it.code == 3
    assert error in told
    assert f"Likely cause: {cause}" in told
    assert "Okta: " in told
    assert re.search(r"x-okta-request-id \S{10,}", told)
    assert ("SKIP", "claims") in it.steps()
    assert "can be reached; without a token nothing is asked of it" in it.said("SKIP", "upstream")
    assert len(it.api.requests) == 0


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (faults.HTML_200, "it is not a JSON object"),
        (faults.HTML_503, "That passes by itself as a rule"),
        (faults.RateLimited(reset_in=30.0), "Try again in 31 s"),
        (faults.RateLimited(reset_in=None), "Try again in"),
        (faults.ERROR_WITH_200, "No client credentials found"),
        (faults.CLOSE, "it closed the connection"),
        (faults.EXPIRES_IN_ZERO, "expires_in is not a usable number"),
    ],
)
async def test_the_token_endpoint_fails(world, fault, expected):
    """An answer without a token is a FAIL that says what came and what to do."""
    async with world() as it:
        it.okta.always(fault)
        await it.check()
    assert it.code == 3
    assert expected in it.said("FAIL", "token")


async def test_no_answer_leaves_the_clock_open(world):
    """Without an answer there is no clock to compare with."""
    async with world() as it:
        it.okta.always(faults.CLOSE)
        await it.check()
    assert it.said("SKIP", "clock") == "no answer of the token endpoint to compare with"


@pytest.mark.parametrize("ahead", [-3600, 3600])
async def test_a_clock_that_is_off_fails(world, ahead):
    """A token endpoint whose Date is far from this machine's clock makes a FAIL that shows by how much."""
    async with world(clock=lambda: time.time() + ahead) as it:
        await it.check()
    assert it.code == 3
    assert re.match(rf"this machine is 60 min {'behind' if ahead > 0 else 'ahead of'} ", it.said("FAIL", "clock"))
    # The token's own times are judged by the clock that made them.
    assert ("PASS", "claims") in it.steps()


async def test_an_answer_without_a_date_leaves_the_clock_open(world):
    """A token endpoint that sends no Date cannot be compared with; the token is judged all the same."""
    body = json.dumps({"access_token": OPAQUE, "token_type": "bearer"}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with world() as it, RawUpstream(always(answer)) as idp:
        await it.check(OAUTH__TOKEN_URL=f"{idp.url}/token")
    assert it.said("SKIP", "clock") == "the token endpoint's answer has no Date"
    assert "no expires_in: 300 s are assumed" in it.said("WARN", "token")


async def test_scopes_that_were_not_granted_are_a_warning(world):
    """A scope that was asked for and not granted is a WARN, which fails nothing."""
    async with world(scopes=("api.read", "api.write")) as it:
        it.okta.always(faults.Altered(scope="api.read"))
        await it.check(OAUTH__SCOPES="api.read api.write")
    assert it.code == 0
    assert it.said("WARN", "token").startswith("not granted, though asked for in oauth.scopes: api.write")
    assert it.out.endswith("7 checks passed, 1 warning, 2 skipped.\n")


async def test_a_dpop_token_is_a_warning(world):
    """A token that is bound to a key although DPoP is off is a WARN with both ways out."""
    async with world() as it:
        it.okta.always(faults.Altered(token_type="DPoP"))
        await it.check()
    told = it.said("WARN", "token")
    assert "oauth.dpop is off" in told
    assert "Set oauth.dpop: true" in told
    assert 'Okta: untick "Require Demonstrating' in told


async def test_an_opaque_token_is_not_looked_into(world):
    """An opaque token skips the claims, is tried at the API all the same, and is not shown."""
    async with world() as it:
        it.okta.always(faults.Altered(access_token=OPAQUE))
        await it.check()
    assert it.said("SKIP", "claims").startswith("the token is opaque")
    assert ("FAIL", "upstream") in it.steps()


async def test_a_token_that_an_api_echoes_is_not_shown(world):
    """A token and a secret in the API's own words are stars in ours."""
    challenge = f'Bearer error="invalid_token", error_description="{OPAQUE} and {SECRET} are no good"'
    answer = f"HTTP/1.1 401 No\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n".encode()
    async with world() as it, RawUpstream(always(answer)) as api:
        it.okta.always(faults.Altered(access_token=OPAQUE))
        await it.check(UPSTREAM__URL=api.url)
    assert "*** and *** are no good" in it.said("FAIL", "upstream")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (faults.REVOKED_TOKEN, "the token was revoked"),
        (faults.EXPIRED_TOKEN, "takes the token for expired"),
    ],
)
async def test_the_api_refuses_the_token(world, fault, expected):
    """A 401 of the API is a FAIL that shows its WWW-Authenticate, says whose it is and what may be the cause."""
    async with world() as it:
        it.okta.always(fault)
        await it.check()
    told = it.said("FAIL", "upstream")
    assert it.code == 3
    assert 'WWW-Authenticate: Bearer realm="api://default", error="invalid_token"' in told
    assert "That is the API's own answer" in told
    assert expected in told


async def test_an_expired_token_is_seen_in_its_claims(world):
    """A token that had run out when it came is a FAIL of the claims."""
    async with world() as it:
        it.okta.always(faults.EXPIRED_TOKEN)
        await it.check()
    assert it.said("FAIL", "claims").startswith("the token had been expired for 6")


async def test_a_missing_scope_at_the_api_fails(world):
    """A 403 with insufficient_scope is a FAIL that names oauth.scopes."""
    async with world(scopes=("other",)) as it:
        await it.check(OAUTH__SCOPES="other")
    assert it.code == 3
    assert "oauth.scopes" in it.said("FAIL", "upstream")


async def test_an_upstream_that_is_down_fails(world):
    """A refused connection is a FAIL with the key to look at, with a token and without."""
    async with world() as it:
        async with RawUpstream(always(b"")) as gone:
            url = gone.url
        await it.check(UPSTREAM__URL=url)
        assert it.code == 3
        assert "refused the connection. Is it running at upstream.url?" in it.said("FAIL", "upstream")
        it.okta.policy = False
        await it.check(UPSTREAM__URL=url)
    assert "refused the connection" in it.said("FAIL", "upstream")


async def test_an_upstream_that_does_not_speak_http_fails(world):
    """An answer that is not HTTP is a FAIL."""
    async with world() as it, RawUpstream(always(b"SSH-2.0-hello\r\n")) as api:
        await it.check(UPSTREAM__URL=api.url)
    assert "not valid HTTP" in it.said("FAIL", "upstream")


async def test_names_that_do_not_resolve_fail_and_what_needs_them_is_skipped(world):
    """A name that DNS does not have is a FAIL, and no step behind it is tried."""
    async with world() as it:
        await it.check(OAUTH__TOKEN_URL="https://nowhere.invalid/token", UPSTREAM__URL="https://nothing.invalid")
    assert it.code == 3
    assert it.steps() == [
        ("PASS", "config"),
        ("FAIL", "dns"),
        ("FAIL", "dns"),
        ("SKIP", "tls"),
        ("SKIP", "tls"),
        ("SKIP", "clock"),
        ("SKIP", "token"),
        ("SKIP", "claims"),
        ("SKIP", "upstream"),
    ]
    assert "oauth.token_url" in it.said("FAIL", "dns")
    assert "upstream.url" in it.said("FAIL", "dns")


# TLS.


async def test_trusted_tls_shows_version_authority_and_days(world, authority, ca_file):
    """A certificate of the authority in ca_file is trusted; version, signer and days left are shown."""
    certificate = authority.issue_cert("localhost")
    async with (
        world() as it,
        tls_front(it.okta.base_url, certificate) as one,
        tls_front(it.api.base_url, certificate) as two,
    ):
        await it.check(
            OAUTH__TOKEN_URL=f"https://localhost:{one}/oauth2/default/v1/token",
            OAUTH__CA_FILE=ca_file,
            UPSTREAM__URL=f"https://localhost:{two}",
            UPSTREAM__CA_FILE=ca_file,
        )
    assert it.code == 0
    assert [step for step in it.steps() if step[1] in ("tls", "files")] == [("PASS", "files")] * 2 + [
        ("PASS", "tls")
    ] * 2
    assert re.search(r"speaks TLSv1\.3 with .* by Acme Inspection, for \d+ days more", it.said("PASS", "tls"))
    assert it.out.endswith("All 11 checks passed.\n")


async def test_an_unknown_authority_is_named(world, authority):
    """A certificate of an unknown authority is a FAIL that names it, and the key for its root."""
    async with world() as it, tls_front(it.okta.base_url, authority.issue_cert("localhost")) as port:
        await it.check(OAUTH__TOKEN_URL=f"https://localhost:{port}/token")
    told = it.said("FAIL", "tls")
    assert it.code == 3
    assert "authority is unknown to this machine. It is signed by Acme Inspection" in told
    assert "inspects TLS here, give its root certificate (PEM) in oauth.ca_file" in told
    assert "is not reached" in it.said("SKIP", "token")
    assert len(it.okta.token_requests) == 0


async def test_a_self_signed_certificate_is_told_apart(world):
    """A certificate that signs itself is a FAIL that says so."""
    alone = trustme.CA()
    async with world() as it:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        alone.configure_trust(context)
        with alone.private_key_pem.tempfile() as key, alone.cert_pem.tempfile() as cert:
            context.load_cert_chain(cert, key)
        target = urlsplit(it.api.base_url)
        async with piped(lambda: asyncio.open_connection(target.hostname, target.port), ssl=context) as port:
            await it.check(UPSTREAM__URL=f"https://localhost:{port}")
    assert "self-signed" in it.said("FAIL", "tls")
    assert "upstream.ca_file" in it.said("FAIL", "tls")
    assert it.said("SKIP", "upstream") == "it is not reached"


async def test_a_certificate_for_another_name_shows_its_names(world, authority, ca_file):
    """A certificate for other names is a FAIL that shows them."""
    async with world() as it, tls_front(it.api.base_url, authority.issue_cert("api.example.com", "10.0.0.1")) as port:
        await it.check(UPSTREAM__URL=f"https://localhost:{port}", UPSTREAM__CA_FILE=ca_file)
    assert "not for this name. It is for api.example.com, 10.0.0.1." in it.said("FAIL", "tls")


async def test_an_expired_certificate_says_since_when(world, authority, ca_file):
    """An expired certificate is a FAIL that says for how long, and doubts this machine's clock too."""
    now = dt.datetime.now(dt.UTC)
    old = authority.issue_cert(
        "localhost", not_before=now - dt.timedelta(days=40), not_after=now - dt.timedelta(days=9, hours=1)
    )
    async with world() as it, tls_front(it.api.base_url, old) as port:
        await it.check(UPSTREAM__URL=f"https://localhost:{port}", UPSTREAM__CA_FILE=ca_file)
    assert "its certificate expired 9 days ago." in it.said("FAIL", "tls")
    assert "clock" in it.said("FAIL", "tls")


async def test_a_server_that_does_not_speak_tls_fails(world):
    """An https address for a plain http port is a FAIL that asks about the address."""
    async with world() as it:
        await it.check(UPSTREAM__URL=it.api.base_url.replace("http://", "https://"))
    assert "Is upstream.url an https address?" in it.said("FAIL", "tls")


# The outbound proxy.


def tunnel(answer=b"HTTP/1.1 200 Connection established\r\n\r\n"):
    """Return a handshake that answers a CONNECT with *answer*, and the list of the heads that came."""
    heads = []

    async def handshake(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        return answer.startswith(b"HTTP/1.1 200")

    return handshake, heads


async def test_an_outbound_proxy_is_used_and_its_password_not_shown(world, authority, ca_file):
    """Through an outbound proxy no name is resolved here, TLS goes through the tunnel, and its password stays out."""
    handshake, heads = tunnel()
    certificate = authority.issue_cert("login.invalid")
    async with (
        world() as it,
        tls_front(it.okta.base_url, certificate) as front,
        piped(lambda: asyncio.open_connection("127.0.0.1", front), handshake=handshake) as port,
    ):
        await it.check(
            OAUTH__TOKEN_URL="https://login.invalid/oauth2/default/v1/token",
            OAUTH__CA_FILE=ca_file,
            OAUTH__PROXY=f"http://me:pass%20word@127.0.0.1:{port}",
        )
    assert it.code == 0
    assert it.said("SKIP", "dns").endswith(f"the outbound proxy http://127.0.0.1:{port} resolves it (oauth.proxy)")
    assert heads[0].startswith(b"CONNECT login.invalid:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6cGFzcyB3b3Jk\r\n" in heads[0]
    assert "pass" not in it.out.replace("passed", "")


@pytest.mark.parametrize("by", ["key", "environment"])
async def test_the_upstream_is_asked_through_its_outbound_proxy(world, authority, ca_file, by):
    """Each step that concerns the upstream goes the proxy's way: no name, TLS in the tunnel, the request in it too."""
    handshake, heads = tunnel()
    async with (
        world() as it,
        tls_front(it.api.base_url, authority.issue_cert("api.invalid")) as front,
        piped(lambda: asyncio.open_connection("127.0.0.1", front), handshake=handshake) as port,
    ):
        address = f"http://me:pass%20word@127.0.0.1:{port}"
        keys = {"UPSTREAM__PROXY": address} if by == "key" else {"environ": {"HTTPS_PROXY": address}}
        await it.check(UPSTREAM__URL="https://api.invalid", UPSTREAM__CA_FILE=ca_file, **keys)
    named = "upstream.proxy" if by == "key" else "HTTPS_PROXY"
    assert it.code == 0
    assert it.said("SKIP", "dns").endswith(f"the outbound proxy http://127.0.0.1:{port} resolves it ({named})")
    assert "it can be reached" in it.said("PASS", "upstream")
    assert [head.split()[:2] for head in heads] == [[b"CONNECT", b"api.invalid:443"]] * 2
    assert "pass" not in it.out.replace("passed", "")


async def test_a_client_certificate_is_shown_by_the_doctor_too(world, authority, ca_file, tmp_path):
    """An upstream that asks for a client certificate gets it from each step."""
    pem = tmp_path / "client.pem"
    authority.issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(pem)
    async with world() as it:
        target = urlsplit(it.api.base_url)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        async with piped(lambda: asyncio.open_connection(target.hostname, target.port), ssl=context) as port:
            address = f"https://127.0.0.1:{port}"
            await it.check(UPSTREAM__URL=address, UPSTREAM__CA_FILE=ca_file, UPSTREAM__CLIENT_CERT_FILE=str(pem))
            assert it.code == 0
            assert "speaks TLSv1.2" in it.said("PASS", "tls")
            await it.check(UPSTREAM__URL=address, UPSTREAM__CA_FILE=ca_file)
            assert it.code == 3


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 407 No\r\n\r\n", "wants credentials, or others (407)"),
        (b"HTTP/1.1 403 No\r\n\r\n", "answered 403 when asked for login.invalid"),
        (b"SSH-2.0-hello\r\n\r\n", "did not answer as an HTTP proxy"),
        (b"HTTP/1.1 2", "did not answer as an HTTP proxy"),
    ],
)
async def test_an_outbound_proxy_that_refuses(world, answer, expected):
    """An outbound proxy that gives no tunnel is a FAIL that names where it was configured."""
    handshake, _ = tunnel(answer)
    async with world() as it, piped(None, handshake=handshake) as port:
        await it.check(
            OAUTH__TOKEN_URL="https://login.invalid/token", environ={"HTTPS_PROXY": f"http://127.0.0.1:{port}"}
        )
    assert it.code == 3
    assert expected in it.said("FAIL", "tls")
    assert "HTTPS_PROXY" in it.said("FAIL", "tls")


async def test_an_outbound_proxy_that_is_down(world):
    """An outbound proxy that refuses the connection is a FAIL of its own kind."""
    async with world() as it:
        async with RawUpstream(always(b"")) as gone:
            url = gone.url
        await it.check(OAUTH__TOKEN_URL="https://login.invalid/token", OAUTH__PROXY=url)
    assert f"the outbound proxy {url} cannot be reached" in it.said("FAIL", "tls")


async def test_an_okta_issuer_needs_no_discovery(world):
    """For an issuer of Okta's own the token endpoint is known, and only the network is asked from there on."""
    handshake, heads = tunnel(b"HTTP/1.1 502 No\r\n\r\n")
    async with world() as it, piped(None, handshake=handshake) as port:
        await it.check(
            OAUTH__TOKEN_URL="",
            OAUTH__ISSUER="https://dev-123456.okta.com/oauth2/default",
            OAUTH__PROXY=f"http://127.0.0.1:{port}",
        )
    assert "tokens come from https://dev-123456.okta.com/oauth2/default/v1/token" in it.said("PASS", "config")
    assert ("FAIL", "tls") in it.steps()
    assert "discovery" not in it.out
    assert heads[0].startswith(b"CONNECT dev-123456.okta.com:443 ")


# The upstream's other answers.


@pytest.mark.parametrize(
    ("head", "outcome", "expected"),
    [
        (b"404 Not Found", "PASS", "answered 404"),
        (b"405 No\r\nAllow: POST", "PASS", "answered 405"),
        (b"302 Found\r\nLocation: https://login.example.com/x?secret=1", "PASS", "(to https://login.example.com/x)"),
        (b"429 Slow down", "WARN", "is limiting requests"),
        (b"503 Busy", "WARN", "has trouble of its own"),
        (b"403 No", "WARN", "does not allow this request"),
        (b"401 No", "FAIL", "without a WWW-Authenticate"),
        (b'401 No\r\nWWW-Authenticate: Basic realm="x"', "FAIL", "asks for another kind of credentials"),
        (b'400 No\r\nWWW-Authenticate: Bearer error="invalid_request"', "FAIL", "answered 400"),
        (b"502 Bad\r\nProxy-Status: okta-proxy; error=dns_error", "FAIL", "the answer of an okta-proxy"),
    ],
)
async def test_the_upstream_answers(world, head, outcome, expected):
    """What is no refusal of the token passes, what says nothing about it is a warning, a refusal fails."""
    answer = b"HTTP/1.1 " + head + b"\r\nContent-Length: 0\r\nDate: " + formatdate(usegmt=True).encode() + b"\r\n\r\n"
    async with world() as it, RawUpstream(always(answer)) as api:
        await it.check(UPSTREAM__URL=api.url)
    assert expected in it.said(outcome, "upstream")
    assert it.code == (3 if outcome == "FAIL" else 0)
    assert "secret=1" not in it.out
