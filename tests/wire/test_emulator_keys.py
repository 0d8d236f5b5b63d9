"""The emulated Okta over real sockets, for clients with keys: assertions, the org's own server, rotation, https."""

import ssl
from contextlib import asynccontextmanager

import aiohttp
import pytest
import trustme
from joserfc.jwk import OctKey
from signed import CLIENT_ID, assertion, assertion_form, certificate, ec, public, rsa

from proxy.emulator import AuthorizationServer, EchoApi, faults

SECRET = "a-secret-of-at-least-thirty-two-characters"
ORG_SCOPE = "okta.users.read"


@asynccontextmanager
async def org(**settings):
    """An org whose client has an RSA key, and a client."""
    common = {"client_id": CLIENT_ID, "client_keys": public(rsa()), "scopes": ("api.read", ORG_SCOPE)}
    async with (
        AuthorizationServer(**(common | settings)) as okta,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
    ):
        yield okta, client


async def ask(client, url, text, **form):
    """The status and the body of a token request with the assertion *text*."""
    async with client.post(url, data=assertion_form(text, **form)) as response:
        return response.status, await response.json()


async def test_an_assertion_gets_a_token_once():
    """A key authenticates; the same assertion again, or one for another server, is refused in Okta's words."""
    async with org() as (okta, client):
        text = assertion(rsa(), okta.token_url)
        status, body = await ask(client, okta.token_url, text)
        assert (status, body["token_type"], body["scope"]) == (200, "Bearer", "api.read")
        assert await ask(client, okta.token_url, text) == (
            401,
            {
                "error": "invalid_client",
                "error_description": "The client_assertion token has already been used.",
            },
        )
        _, body = await ask(client, okta.token_url, assertion(rsa(), okta.token_url_of("aus9o8wzkhckw9TLa0h7z")))
        assert body["error_description"] == (
            "The audience claim for client_assertion must be the endpoint invoked for the request."
        )


async def test_the_url_counts_as_the_client_wrote_it():
    """A doubled slash is no token endpoint, and the host is the one that was called."""
    async with org() as (okta, client):
        doubled = okta.token_url.replace("/oauth2", "//oauth2")
        async with client.post(doubled, data=assertion_form(assertion(rsa(), doubled))) as response:
            assert response.status == 404
        port = okta.base_url.rpartition(":")[2]
        by_name = f"http://okta.example:{port}/oauth2/default/v1/token"
        headers = {"Host": f"okta.example:{port}"}
        form = assertion_form(assertion(rsa(), by_name))
        async with client.post(okta.token_url, data=form, headers=headers) as response:
            assert response.status == 200
        form = assertion_form(assertion(rsa(), okta.token_url))
        async with client.post(okta.token_url, data=form, headers=headers) as response:
            assert response.status == 401


async def test_a_record_has_what_the_assertion_said_and_not_its_signature():
    """Header and claims are there for tests of a client; the assertion itself is stars."""
    async with org() as (okta, client):
        text = assertion(rsa(), okta.token_url, jti="the-jti")
        await ask(client, okta.token_url, text)
        (request,) = okta.token_requests
    assert request.method == "private_key_jwt"
    assert request.assertion.header == {"alg": "RS256", "kid": "rsa"}
    assert (request.assertion.text("jti"), request.assertion.claims["aud"]) == ("the-jti", okta.token_url)
    assert ("client_assertion", "***") in request.parameters
    assert text.rpartition(".")[2] not in repr(request)
    assert request.proof is None


async def test_a_refusal_on_demand_uses_the_assertion_up():
    """Whoever sends the same one again after a fault that Okta itself answers is found out."""
    async with org() as (okta, client):
        okta.fail(faults.Refused("temporarily_unavailable"), faults.HTML_503)
        text = assertion(rsa(), okta.token_url)
        assert (await ask(client, okta.token_url, text))[1]["error"] == "temporarily_unavailable"
        async with client.post(okta.token_url, data=assertion_form(text)) as response:
            assert response.status == 503
        assert (await ask(client, okta.token_url, text))[1]["error_description"] == (
            "The client_assertion token has already been used."
        )


async def test_keys_rotate():
    """Two keys work at once, each by its `kid`; one that is retired, or replaced, is not known any more."""
    async with org(client_keys=[public(rsa()), public(ec())]) as (okta, client):

        async def status(key):
            code, body = await ask(client, okta.token_url, assertion(key, okta.token_url))
            return code, body.get("error_description")

        unknown = (401, "The client_assertion JWT kid is invalid.")
        assert await status(rsa()) == await status(ec()) == (200, None)
        okta.retire("rsa")
        assert (await status(rsa()), await status(ec())) == (unknown, (200, None))
        okta.accept_keys(public(rsa("next")))
        assert (await status(ec()), await status(rsa("next"))) == (unknown, (200, None))
        with pytest.raises(KeyError):
            okta.retire("rsa")


async def test_two_secrets_sign_at_once():
    """`client_secret_jwt` works with either of two secrets until one is gone."""
    old = "the-old-secret-that-is-long-enough-too"
    async with org(client_secret=(SECRET, old), client_keys=()) as (okta, client):
        for secret in (SECRET, old):
            text = assertion(OctKey.import_key(secret), okta.token_url)
            assert (await ask(client, okta.token_url, text))[0] == 200
        okta.accept(SECRET)
        status, body = await ask(client, okta.token_url, assertion(OctKey.import_key(old), okta.token_url))
        assert (status, body["error_description"]) == (401, "The client_assertion signature is invalid.")
        assert {request.method for request in okta.token_requests} == {"client_secret_jwt"}


async def test_oktas_own_server_gives_opaque_tokens_for_granted_scopes():
    """From the bare issuer: a key is wanted, the token is no JWT, and Okta's own API takes it."""
    async with org(client_secret=SECRET) as (okta, client), EchoApi(okta, org=True, required_scope=ORG_SCOPE) as api:
        url = okta.token_url_of(None)
        async with client.get(f"{okta.base_url}/.well-known/openid-configuration") as response:
            assert (await response.json())["token_endpoint"] == url == f"{okta.base_url}/oauth2/v1/token"
        status, body = await ask(client, url, assertion(rsa(), url), scope=f"{ORG_SCOPE} okta.apps.read")
        assert (status, body["scope"], body["token_type"]) == (200, ORG_SCOPE, "Bearer")
        assert "." not in body["access_token"]
        assert okta.claims(body["access_token"])["aud"] == okta.base_url
        headers = {"Authorization": f"Bearer {body['access_token']}"}
        async with client.get(f"{api.base_url}/api/v1/users", headers=headers) as response:
            assert response.status == 200
        status, body = await ask(client, url, assertion(rsa(), url))
        assert (status, body["error"]) == (400, "invalid_scope")
        status, body = await ask(client, url, assertion(rsa(), url), scope="okta.apps.read")
        assert (status, body["error_description"]) == (400, "You are not allowed any of the requested scopes.")
        by_secret = assertion(OctKey.import_key(SECRET), url)
        assert "must use the private_key_jwt" in (await ask(client, url, by_secret))[1]["error_description"]


async def test_an_api_of_ones_own_refuses_oktas_own_token():
    """What is for Okta's APIs is for nobody else, and the reverse."""
    async with org() as (okta, client), EchoApi(okta) as api, EchoApi(okta, org=True) as own:
        url = okta.token_url_of(None)
        _, body = await ask(client, url, assertion(rsa(), url), scope=ORG_SCOPE)
        headers = {"Authorization": f"Bearer {body['access_token']}"}
        async with client.get(api.base_url, headers=headers) as response:
            assert response.status == 401
            assert "invalid issuer" in response.headers["WWW-Authenticate"]
        _, body = await ask(client, okta.token_url, assertion(rsa(), okta.token_url))
        headers = {"Authorization": f"Bearer {body['access_token']}"}
        async with client.get(own.base_url, headers=headers) as response:
            assert response.status == 401


async def test_the_clock_decides():
    """A client whose clock is off is told so, in either direction."""
    now = 1_700_000_000.0
    async with org(clock=lambda: now) as (okta, client):

        async def description(at, **claims):
            text = assertion(rsa(), okta.token_url, now=at, **claims)
            return (await ask(client, okta.token_url, text))[1].get("error_description")

        assert await description(now) is None
        assert await description(now + 1) == "The client_assertion token must be issued before the current time."
        assert await description(now - 300) == "The client_assertion token is expired."
        assert await description(now, exp=now + 3601) == (
            "The client_assertion token has an expiration too far into the future."
        )


async def test_https_is_spoken_with_a_context():
    """Both servers' addresses begin with https, and so does the audience that is wanted."""
    ca = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(tls)
    trust = ssl.create_default_context()
    ca.configure_trust(trust)
    async with org(tls=tls) as (okta, client), EchoApi(okta, tls=tls) as api:
        assert okta.issuer.startswith("https://127.0.0.1:")
        form = assertion_form(assertion(rsa(), okta.token_url))
        async with client.post(okta.token_url, data=form, ssl=trust) as response:
            token = (await response.json())["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with client.get(api.base_url, headers=headers, ssl=trust) as response:
            assert response.status == 200


async def test_entra_takes_a_certificate_by_its_digest():
    """PS256 with `x5t#S256`; anything else is refused with a number, an id and a time."""
    settings = {"manner": "entra", "client_keys": certificate(), "audience": "api://example"}
    async with org(**settings) as (okta, client):
        digest = okta._client.keys[0].thumbprint
        form = {"client_id": CLIENT_ID, "scope": "api://example/.default"}
        text = assertion(rsa(), okta.token_url, header={"alg": "PS256", "x5t#S256": digest, "kid": None})
        status, body = await ask(client, okta.token_url, text, **form)
        assert (status, body["token_type"], body["expires_in"], body["ext_expires_in"]) == (200, "Bearer", 3599, 3599)
        assert "scope" not in body
        text = assertion(rsa(), okta.token_url, header={"alg": "PS256", "x5t#S256": "AAAA"})
        status, body = await ask(client, okta.token_url, text, **form)
        assert (status, body["error"], body["error_codes"]) == (401, "invalid_client", [700027])
        assert set(body) == {
            "error",
            "error_description",
            "error_codes",
            "timestamp",
            "trace_id",
            "correlation_id",
            "error_uri",
        }


@pytest.mark.parametrize(
    ("manner", "path", "status", "body"),
    [
        ("keycloak", "/realms/nope/protocol/openid-connect/token", 404, {"error": "Realm does not exist"}),
        ("entra", "/nope/oauth2/v2.0/token", 400, {"error": "invalid_request"}),
        ("pingone", "/nope/as/token", 404, None),
        ("auth0", "/nope", 404, None),
    ],
)
async def test_what_is_not_there_is_not_found(manner, path, status, body):
    """An unknown realm or tenant is refused as the product does it; nothing of Okta's is in the answer."""
    async with org(manner=manner) as (okta, client), client.post(okta.base_url + path, data={"a": "b"}) as response:
        assert response.status == status
        assert "x-okta-request-id" not in response.headers
        if body is None:
            assert response.content_type == "text/html"
        else:
            assert (await response.json()).items() >= body.items()


async def test_a_product_answers_with_its_own_fields_and_none_of_oktas_headers():
    """Keycloak's success has its zeros; a refusal at Cognito is one word; JSON is no form anywhere."""
    for manner, extra in (("keycloak", {"refresh_expires_in": 0, "not-before-policy": 0}), ("cognito", {})):
        async with org(manner=manner, client_secret=SECRET) as (okta, client):
            form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": SECRET}
            async with client.post(okta.token_url, data=form) as response:
                body = await response.json()
                assert response.status == 200
                assert body.items() >= extra.items()
                assert response.headers["Cache-Control"] == "no-store"
                assert not [name for name in response.headers if name.lower().startswith(("x-okta", "x-rate"))]
                assert "Set-Cookie" not in response.headers
            async with client.post(okta.token_url, json=form) as response:
                assert (response.status, (await response.json())["error"]) == (400, "invalid_request")
    async with org(manner="cognito", client_secret=SECRET) as (okta, client):
        async with client.post(okta.token_url, data={"grant_type": "client_credentials"}) as response:
            assert (response.status, await response.json()) == (400, {"error": "invalid_client"})
        okta.fail(faults.Refused("invalid_scope"))
        async with client.post(okta.token_url, data={"grant_type": "client_credentials"}) as response:
            assert (response.status, await response.json()) == (400, {"error": "invalid_scope"})


async def test_cognitos_pool_leads_to_its_domain():
    """The metadata is below the pool's issuer, the token endpoint is not."""
    async with org(manner="cognito") as (okta, client):
        assert okta.issuer == f"{okta.base_url}/eu-west-1_Example1"
        async with client.get(f"{okta.issuer}/.well-known/openid-configuration") as response:
            document = await response.json()
        assert (document["issuer"], document["token_endpoint"]) == (okta.issuer, f"{okta.base_url}/oauth2/token")


def test_dpop_where_it_is_not_known_is_refused_at_once():
    """A server that would never bind a token cannot require it."""
    with pytest.raises(ValueError, match="cognito does not know DPoP"):
        AuthorizationServer(client_id=CLIENT_ID, manner="cognito", dpop_required=True)
