"""Assertions as different servers want them: their audience, their header, and clocks that are not ours."""

import asyncio
import base64
import datetime as dt
import hashlib
import json

import pytest
import trustme
from clocks import HandClock
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from private_keys import jwk, make, pem, public_jwk
from strict_idp import StrictIdp
from token_servers import ConnectProxy, RawServer, endpoint, failed, fetched, response, server_tls

from proxy.config import Assertion, Secret
from proxy.tokens.answer import read_answer
from proxy.tokens.source import Token


def side_of(url, kind="P-256", **oauth):
    """Return our side with a key of *kind*."""
    return endpoint(url, client_secret=None, private_key=Secret(pem(make(kind)).decode()), **oauth)


async def token_of(side):
    """Fetch, and expect a token."""
    result = await fetched(side)
    token = read_answer(result.answer, result.secret)
    assert isinstance(token, Token), token
    return result


def certificate(kind):
    """Return a certificate of the key of *kind*."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "okta-proxy")])
    today = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder(name, name, make(kind).public_key(), 4711)
        .not_valid_before(today)
        .not_valid_after(today + dt.timedelta(days=1))
        .sign(make(kind), hashes.SHA256())
    )


async def test_entra_ids_manner(tmp_path):
    """PS256, the certificate's digest in the place of a kid, `nbf`, and the client's id in the form as well."""
    path = tmp_path / "certificate.pem"
    made = certificate("RSA")
    path.write_bytes(made.public_bytes(Encoding.PEM))
    assertion = Assertion(algorithm="PS256", certificate_file=str(path))
    idp = StrictIdp(public_jwk(make("RSA")))
    async with RawServer(idp) as server:
        side = side_of(f"{server.url}/t/oauth2/v2.0/token", "RSA", assertion=assertion, scopes=("api://x/.default",))
        await token_of(side)
    header, claims = idp.assertions[0]
    digest = hashlib.sha256(made.public_bytes(Encoding.DER)).digest()
    assert header == {
        "alg": "PS256",
        "typ": "JWT",
        "x5t#S256": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
    }
    assert claims["nbf"] == claims["iat"]
    assert b"client_id=" in server.requests[0].body


async def test_a_certificate_that_is_renewed_with_its_key(tmp_path):
    """Both files are read again, and one of another key is a failure with a name."""
    key, path = tmp_path / "key.pem", tmp_path / "certificate.pem"
    idp = StrictIdp(public_jwk(make("P-256")), public_jwk(make("P-384"), kid="384"))
    async with RawServer(idp) as server:
        side = endpoint(
            f"{server.url}/token",
            client_secret=None,
            private_key_file=str(key),
            assertion=Assertion(certificate_file=str(path)),
        )
        for kind in ("P-256", "P-384"):
            idp.keys = [public_jwk(make(kind))]
            key.write_bytes(pem(make(kind)))
            path.write_bytes(certificate(kind).public_bytes(Encoding.PEM))
            await token_of(side)
        path.write_bytes(certificate("P-256").public_bytes(Encoding.PEM))
        failure = await failed(side)
        assert failure.message.startswith("oauth.assertion: certificate_file names a certificate of another key")
        path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        assert "has no certificate in PEM form" in (await failed(side)).message
    assert len({header["x5t#S256"] for header, _ in idp.assertions}) == 2


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_issuer_as_audience_has_the_servers_spelling(slash):
    """RFC 10070: the issuer is the only value, and Auth0's ends in a slash that nobody writes."""
    idp = StrictIdp(public_jwk(make("P-256")), typ="client-authentication+jwt")

    async def site(request, writer):
        if "/.well-known/" in request.line:
            document = {"issuer": f"{server.url}{slash}", "token_endpoint": f"{server.url}/oauth/token"}
            writer.write(response(200, document))
        else:
            await idp(request, writer)

    async with RawServer(site) as server:
        idp.audience = f"{server.url}{slash}"
        assertion = Assertion(audience="issuer", typ="client-authentication+jwt")
        await token_of(side_of(None, issuer=server.url, assertion=assertion))
    assert idp.errors == []


async def test_the_issuer_that_is_configured_beside_a_token_url():
    """Nothing is asked then, and the issuer is what stands there."""
    idp = StrictIdp(public_jwk(make("P-256")), audience="https://issuer.example/oauth2")
    async with RawServer(idp) as server:
        await token_of(
            side_of(
                f"{server.url}/token", issuer="https://issuer.example/oauth2", assertion=Assertion(audience="issuer")
            )
        )
    assert len(server.requests) == 1


async def test_a_literal_audience():
    """Whatever else stands there is sent as it is."""
    idp = StrictIdp(public_jwk(make("P-256")), audience="https://example.auth0.com/")
    async with RawServer(idp) as server:
        await token_of(side_of(f"{server.url}/token", assertion=Assertion(audience="https://example.auth0.com/")))


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (-8 * 3600, "too far into the future"),
        (8 * 3600, "is expired"),
        (-2, "before the current time"),
        (301, "expired"),
    ],
)
async def test_a_clock_that_is_off_costs_one_request(ahead, said):
    """The server's `Date` is believed; the next fetch needs no second request, also after our clock was set."""
    clock = HandClock()
    idp = StrictIdp(public_jwk(make("P-256")), clock=lambda: clock.boot() + offset, longest=3600)
    offset = clock.wall() - clock.boot() + ahead
    async with RawServer(idp) as server:
        side = side_of(f"{server.url}/token", clock=clock)
        first = await token_of(side)
        assert first.ahead == pytest.approx(ahead, abs=1)
        await clock.set_wall(-1000)
        second = await token_of(side)
    assert second.ahead is None
    assert len(server.requests) == 3
    assert len(idp.errors) == 1
    assert said in idp.errors[0]


async def test_a_server_without_a_date_is_no_help():
    """Then it is the failure that it was, with the clock as its remedy, and one request."""
    expired = response(401, {"error": "invalid_client", "error_description": "The client_assertion token is expired."})
    async with RawServer(expired) as server:
        result = await fetched(side_of(f"{server.url}/token"))
    failure = read_answer(result.answer, result.secret)
    assert failure.outcome == "failed"
    assert "NTP" in failure.remedy
    assert len(server.requests) == 1


async def test_a_server_that_never_agrees_is_asked_twice():
    """A broken clock there is no reason for a loop."""
    text = {"error": "invalid_client", "error_description": "The client_assertion token is expired."}
    async with RawServer(response(401, text, "Date: Tue, 24 Nov 2026 16:00:00 GMT")) as server:
        result = await fetched(side_of(f"{server.url}/token"))
    assert read_answer(result.answer, result.secret).outcome == "failed"
    assert len(server.requests) == 2


async def test_an_id_that_was_used_is_made_again_once():
    """Two of ours cannot be alike, but a server may think so."""
    text = {"error": "invalid_client", "error_description": "The client_assertion token has already been used."}
    idp = StrictIdp(public_jwk(make("P-256")))
    async with RawServer(response(401, text), idp) as server:
        side = side_of(f"{server.url}/token")
        await token_of(side)
        server.answers = [response(401, text)]
        result = await fetched(side)
    assert read_answer(result.answer, result.secret).outcome == "failed"
    assert len(server.requests) == 4


async def test_every_reason_at_once_is_bounded():
    """A nonce, a clock, a used id and two refused keys: at most five requests, then it is told."""
    texts = [
        ("use_dpop_nonce", "x"),
        ("invalid_client", "The client_assertion token is expired."),
        ("invalid_client", "The client_assertion token has already been used."),
        ("invalid_client", "The client_assertion JWT kid is invalid."),
    ]
    answers = [
        response(
            401,
            {"error": error, "error_description": text},
            f"DPoP-Nonce: n{number}",
            "Date: Tue, 24 Nov 2026 16:00:00 GMT",
        )
        for number, (error, text) in enumerate(texts)
    ]
    keys = json.dumps({"keys": [jwk(make("P-256"), kid="a"), jwk(make("RSA"), kid="b")]})
    async with RawServer(*answers) as server:
        side = endpoint(f"{server.url}/token", client_secret=None, private_key=Secret(keys), dpop=True)
        result = await fetched(side)
    assert len(server.requests) == 5
    assert (result.credential, result.refused) == ("b", ("a",))


async def test_all_requests_of_a_fetch_share_its_time():
    """A server that is slow with each challenge does not get eight seconds for each."""

    async def slow(_, writer):
        await asyncio.sleep(0.15)  # slowness is what is tested
        writer.write(response(400, {"error": "use_dpop_nonce"}, "DPoP-Nonce: n"))

    async with RawServer(slow) as server:
        side = side_of(f"{server.url}/token", dpop=True, timeouts={"total_timeout": 0.25})
        failure = await failed(side)
    assert "did not answer in time" in failure.message
    assert len(server.requests) == 2


OKTA = "dev-1.okta.com"


@pytest.mark.parametrize(
    ("issuer", "path"),
    [(f"https://{OKTA}", "/oauth2/v1/token"), (f"https://{OKTA}/oauth2/default", "/oauth2/default/v1/token")],
)
@pytest.mark.parametrize("dpop", [False, True])
async def test_oktas_two_kinds_of_authorization_server(issuer, path, dpop, tmp_path):
    """From the issuer alone, over TLS; the audience is the URL, and the token may be anything at all."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    idp = StrictIdp(public_jwk(make("RSA")), dpop=dpop, nonce="n" if dpop else None, scheme="https")
    tls = server_tls(ca, OKTA)
    async with RawServer(idp, tls=tls) as server, ConnectProxy(server.port) as proxy:
        side = side_of(
            None,
            "RSA",
            issuer=issuer,
            ca_file=str(tmp_path / "ca.pem"),
            proxy=proxy.url,
            scopes=("okta.users.read",),
            dpop=dpop,
        )
        for _ in range(2):
            await token_of(side)
    assert {claims["aud"] for _, claims in idp.assertions} == {f"https://{OKTA}{path}"}
    assert {claims["htu"] for _, claims in idp.proofs} == ({f"https://{OKTA}{path}"} if dpop else set())
    assert b"scope=okta.users.read" in server.requests[0].body
    assert len(server.requests) == (3 if dpop else 2)
