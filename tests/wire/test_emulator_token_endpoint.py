"""The emulated Okta over real sockets: tokens, refusals, keys, metadata, limits, records."""

import asyncio
import base64
import json
import logging
import socket
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from urllib.parse import quote_plus

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from proxy.emulator import AuthorizationServer

CLIENT = {"client_id": "0oa1", "client_secret": "hush-hush"}
FORM = {"grant_type": "client_credentials", "scope": "api.read", **CLIENT}


@asynccontextmanager
async def org(**settings):
    """An org and a client."""
    async with (
        AuthorizationServer(**(CLIENT | settings)) as okta,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
    ):
        yield okta, client


async def ask(client, url, form=FORM, **options):
    """The status, the JSON and the headers of a token request."""
    async with client.post(url, data=form, **options) as response:
        return response.status, await response.json(), response.headers


def basic(client_id, secret):
    """The header of Basic credentials as they stand."""
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


async def test_a_token_has_oktas_claims_and_a_published_signature():
    """The answer has four fields; the JWT is RS256 with Okta's claims and verifies against the key set."""
    async with org(clock=lambda: 1_700_000_000.9, lifetime=300.0) as (okta, client):
        status, body, headers = await ask(client, okta.token_url)
        async with client.get(f"{okta.issuer}/v1/keys") as response:
            keys = KeySet.import_key_set(await response.json())
        token = jwt.decode(body["access_token"], keys, algorithms=["RS256"])
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert {name: body[name] for name in body if name != "access_token"} == {
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "api.read",
    }
    assert set(body) == {"token_type", "expires_in", "scope", "access_token"}
    assert body["access_token"].startswith("eyJraWQiOi")
    assert set(token.header) == {"kid", "alg"}
    assert token.claims.pop("jti").startswith("AT.")
    assert token.claims == {
        "ver": 1,
        "iss": okta.issuer,
        "aud": "api://default",
        "iat": 1_700_000_000,
        "exp": 1_700_000_300,
        "cid": "0oa1",
        "scp": ["api.read"],
        "sub": "0oa1",
    }


async def test_each_token_is_another():
    """Two requests in the same second get different tokens; the count goes up."""
    async with org() as (okta, client):
        first = (await ask(client, okta.token_url))[1]["access_token"]
        second = (await ask(client, okta.token_url))[1]["access_token"]
        assert first != second
        assert okta.issued == 2
        assert repr(okta) == f"<AuthorizationServer {okta.base_url} [2 tokens issued]>"


async def test_success_and_refusal_carry_oktas_headers():
    """Both have the request id, the rate limit, no-store, a Date by the server's clock, and several cookies."""
    async with org(clock=lambda: 1_700_000_000.0) as (okta, client):
        for form, expected in ((FORM, 200), ({}, 401)):
            status, _, headers = await ask(client, okta.token_url, form or {"a": "b"})
            assert status == expected
            assert headers["Cache-Control"] == "no-cache, no-store"
            assert (headers["Pragma"], headers["Expires"]) == ("no-cache", "0")
            assert len(headers["x-okta-request-id"]) > 10
            assert len(headers.getall("Set-Cookie")) >= 3
            assert headers["x-rate-limit-limit"] == "1200"
            assert parsedate_to_datetime(headers["Date"]).timestamp() == 1_700_000_000
            assert headers["x-rate-limit-reset"] == "1700000060"


async def test_odd_secrets_work_with_both_methods():
    """A secret with every kind of special character works in the form, and form-encoded in a Basic header."""
    secret = "o+d%20d:s/e c=r&e?t"
    form = {"grant_type": "client_credentials", "scope": "api.read"}
    async with org(client_secret=secret) as (okta, client):
        status, _, _ = await ask(client, okta.token_url, form | {"client_id": "0oa1", "client_secret": secret})
        assert status == 200
        status, _, _ = await ask(client, okta.token_url, form, headers=basic("0oa1", quote_plus(secret)))
        assert status == 200
        assert [request.method for request in okta.token_requests] == ["client_secret_post", "client_secret_basic"]


async def test_secrets_rotate():
    """Several secrets are accepted at once, and `accept` replaces them."""
    async with org(client_secret=("new", "old")) as (okta, client):
        for secret in ("new", "old"):
            assert (await ask(client, okta.token_url, FORM | {"client_secret": secret}))[0] == 200
        okta.accept("new")
        status, body, _ = await ask(client, okta.token_url, FORM | {"client_secret": "old"})
        assert (status, body["error"]) == (401, "invalid_client")


async def test_the_settings_can_change_at_any_time():
    """Lifetime, policy, DPoP and default scopes count from the next request on."""
    async with org() as (okta, client):
        okta.lifetime = 6.5
        assert (await ask(client, okta.token_url))[1]["expires_in"] == 6
        okta.policy = False
        status, body, _ = await ask(client, okta.token_url)
        assert (status, body["error"]) == (401, "access_denied")
        okta.dpop_required = True
        status, body, _ = await ask(client, okta.token_url)
        assert (status, body["error_description"]) == (400, "The DPoP proof JWT header is missing.")
        okta.policy, okta.dpop_required, okta.default_scopes = True, False, ("api.default",)
        assert (await ask(client, okta.token_url, FORM | {"scope": ""}))[1]["scope"] == "api.default"
        status, body, _ = await ask(client, okta.token_url, headers={"DPoP": "e.e.e"})
        assert (status, body["error"]) == (400, "invalid_dpop_proof")


async def test_credentials_in_the_query_are_refused():
    """Okta's text for a secret in the URL, whatever the form says."""
    async with org() as (okta, client):
        status, body, _ = await ask(client, okta.token_url, params={"client_secret": "x"})
        assert status == 400
        assert body == {
            "error": "invalid_request",
            "error_description": "Client credentials cannot be supplied via query parameters.",
        }


@pytest.mark.parametrize(
    ("body", "headers", "status", "error"),
    [
        (json.dumps(FORM).encode(), {"Content-Type": "application/json"}, 400, "E0000021"),
        (b"grant_type=client_credentials", {"Content-Type": ""}, 400, "E0000021"),
        (b"a=%ff", {"Content-Type": "application/x-www-form-urlencoded"}, 400, "invalid_request"),
        (b"a=" + b"x" * 70_000, {"Content-Type": "Application/X-WWW-Form-Urlencoded"}, 413, "413"),
        (b"a=b", {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}, 401, "invalid_client"),
    ],
)
async def test_a_body_that_is_no_form_is_refused(body, headers, status, error):
    """JSON, no type, bytes that are no UTF-8, and too many of them."""
    async with org() as (okta, client):
        async with client.post(okta.token_url, data=body, headers=headers) as response:
            assert response.status == status
        assert okta.token_requests[0].error == error


async def test_an_unknown_authorization_server_is_okta_s_404():
    """The error has the other shape, for tokens, keys and metadata alike."""
    async with org() as (okta, client):
        status, body, _ = await ask(client, f"{okta.base_url}/oauth2/aus404/v1/token")
        assert status == 404
        assert body.pop("errorId").startswith("oae")
        assert body == {
            "errorCode": "E0000007",
            "errorSummary": "Not found: Resource not found: aus404 (AuthorizationServer)",
            "errorLink": "E0000007",
            "errorCauses": [],
        }
        for path in ("/oauth2/aus404/v1/keys", "/oauth2/aus404/.well-known/openid-configuration"):
            async with client.get(okta.base_url + path) as response:
                assert (response.status, (await response.json())["errorCode"]) == (404, "E0000007")
        assert [request.error for request in okta.token_requests] == ["E0000007"]


async def test_other_paths_and_methods_have_okta_s_errors():
    """An unknown path is E0000008, a wrong method E0000022 with Allow; neither counts as a token request."""
    async with org() as (okta, client):
        for method, path, status, code, allow in (
            ("GET", "/oauth2/default/v1/authorize", 404, "E0000008", None),
            ("GET", "/oauth2/default/v1/token", 405, "E0000022", "POST"),
            ("PUT", "/oauth2/v1/token", 405, "E0000022", "POST"),
            ("POST", "/oauth2/default/v1/keys", 405, "E0000022", "GET"),
        ):
            async with client.request(method, okta.base_url + path) as response:
                assert (response.status, response.headers.get("Allow")) == (status, allow)
                assert (await response.json())["errorCode"] == code
                assert "x-okta-request-id" in response.headers
        assert okta.token_requests == []


async def test_the_org_server_wants_a_key():
    """Okta's own authorization server refuses a secret, right or wrong, each with its text."""
    async with org() as (okta, client):
        url = f"{okta.base_url}/oauth2/v1/token"
        status, body, _ = await ask(client, url)
        assert (status, body["error"]) == (401, "invalid_client")
        assert "must use the private_key_jwt" in body["error_description"]
        status, body, _ = await ask(client, url, FORM | {"client_secret": "wrong"})
        assert "client secret supplied" in body["error_description"]


async def test_all_discovery_documents_lead_to_their_token_endpoint():
    """Both documents of both custom servers, in both places, and the org's own, name an issuer that has them."""
    async with org() as (okta, client):
        for server in ("default", "aus9o8wzkhckw9TLa0h7z"):
            issuer = f"{okta.base_url}/oauth2/{server}"
            for url in (
                f"{issuer}/.well-known/openid-configuration",
                f"{issuer}/.well-known/oauth-authorization-server",
                f"{okta.base_url}/.well-known/oauth-authorization-server/oauth2/{server}",
            ):
                async with client.get(url) as response:
                    document = await response.json()
                assert document["issuer"] == issuer
                assert (await ask(client, document["token_endpoint"]))[0] == 200
                async with client.get(document["jwks_uri"]) as response:
                    assert response.headers["Cache-Control"] == "max-age=3600, must-revalidate"
                    assert len((await response.json())["keys"]) == 1
        for name in ("openid-configuration", "oauth-authorization-server"):
            async with client.get(f"{okta.base_url}/.well-known/{name}") as response:
                assert (await response.json())["issuer"] == okta.base_url
            async with client.head(f"{okta.base_url}/.well-known/{name}") as response:
                assert response.status == 200
                assert await response.read() == b""


async def test_the_other_server_has_its_own_issuer():
    """A token of the second authorization server says so."""
    async with org() as (okta, client):
        _, body, _ = await ask(client, f"{okta.base_url}/oauth2/aus9o8wzkhckw9TLa0h7z/v1/token")
        assert okta.claims(body["access_token"])["iss"] == f"{okta.base_url}/oauth2/aus9o8wzkhckw9TLa0h7z"


async def test_the_rate_limit_is_oktas():
    """N a minute pass, then 429 with E0000047 and the second of the next window, which serves again."""
    now = 1_700_000_000.0
    async with org(rate_limit=2, clock=lambda: now) as (okta, client):
        remaining = [(await ask(client, okta.token_url))[2]["x-rate-limit-remaining"] for _ in range(2)]
        assert remaining == ["1", "0"]
        status, body, headers = await ask(client, okta.token_url)
        assert (status, body["errorCode"]) == (429, "E0000047")
        assert body["errorSummary"] == "API call exceeded rate limit due to too many requests."
        assert "Retry-After" not in headers
        assert (headers["X-Rate-Limit-Limit"], headers["X-Rate-Limit-Remaining"]) == ("2", "0")
        wait = int(headers["X-Rate-Limit-Reset"]) - parsedate_to_datetime(headers["Date"]).timestamp()
        assert wait == 60
        async with client.get(f"{okta.issuer}/v1/keys") as response:
            assert response.status == 200
        now += wait
        assert (await ask(client, okta.token_url))[0] == 200


async def test_records_hold_what_came_but_no_secret():
    """A record has time, method, scope, parameters, headers, status and error; secrets are stars."""
    secret = CLIENT["client_secret"]
    header = basic("0oa1", secret)
    async with org(clock=lambda: 5.0) as (okta, client):
        await ask(client, okta.token_url, FORM | {"audience": "x"}, headers={"X-Test": "1"})
        await ask(client, okta.token_url, {"grant_type": "password", "scope": "a b"}, headers=header)
        await ask(client, okta.token_url, {"client_assertion": "e.f.g"})
        first, second, third = okta.token_requests
        shown = repr(okta) + repr(okta.token_requests) + repr(vars(okta))
    assert (first.time, first.method, first.scope, first.status, first.error) == (
        5.0,
        "client_secret_post",
        "api.read",
        200,
        None,
    )
    assert ("audience", "x") in first.parameters
    assert ("client_secret", "***") in first.parameters
    assert ("X-Test", "1") in first.headers
    assert (second.method, second.scope, second.error) == ("client_secret_basic", "a b", "unauthorized_client")
    assert ("Authorization", "***") in second.headers
    assert (third.method, third.parameters) == ("client_assertion", (("client_assertion", "***"),))
    for hidden in (secret, header["Authorization"][6:], "e.f.g"):
        assert hidden not in shown


async def test_a_body_that_waits_for_100_continue_is_invited():
    """`Expect: 100-continue` is answered with 100, then with the token."""
    async with org() as (okta, _):
        host, port = okta.base_url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = "&".join(f"{name}={value}" for name, value in FORM.items()).encode()
        writer.write(
            b"POST /oauth2/default/v1/token HTTP/1.1\r\nHost: o\r\nExpect: 100-continue\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n"
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        await writer.wait_closed()


async def test_nothing_is_printed_for_what_a_peer_does(caplog, capfd):
    """Garbage, a broken body and a departure cause no log line and no output."""
    caplog.set_level(logging.DEBUG)
    async with org() as (okta, _):
        host, port = okta.base_url.removeprefix("http://").split(":")
        for sent in (
            b"\x16\x03\x01 GARBAGE\r\n\r\n",
            b"POST /oauth2/default/v1/token HTTP/1.1\r\nHost: o\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"POST /oauth2/default/v1/token HTTP/1.1\r\nHost: o\r\nContent-Length: 9\r\n\r\nabc",
        ):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(sent)
            writer.write_eof()
            await reader.read()
            writer.close()
            await writer.wait_closed()
    assert [record for record in caplog.records if record.name.startswith(("proxy", "aiohttp"))] == []
    assert capfd.readouterr() == ("", "")


async def test_a_mistake_of_our_own_is_logged(caplog):
    """What is our bug and not a peer's doing is a 500 with a log line."""

    def broken():
        raise ZeroDivisionError

    async with org(clock=broken) as (okta, client), client.post(okta.token_url, data=FORM) as response:
        assert response.status == 500
    assert "ZeroDivisionError" in caplog.text


async def test_the_key_is_made_once_and_shared():
    """Servers of one process publish the same key and still refuse each other's issuer."""
    async with org() as (first, client), AuthorizationServer(**CLIENT) as second:
        kids = []
        for okta in (first, second):
            async with client.get(f"{okta.issuer}/v1/keys") as response:
                kids.append((await response.json())["keys"][0]["kid"])
        assert kids[0] == kids[1]
        assert first.issuer != second.issuer


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_behind():
    """Entering fails with OSError; leaving a server that never started does nothing."""
    async with org() as (okta, _):
        port = int(okta.base_url.rpartition(":")[2])
        other = AuthorizationServer(**CLIENT, port=port)
        assert (other.base_url, repr(other)) == ("", "<AuthorizationServer not started [0 tokens issued]>")
        with pytest.raises(OSError, match="in use"):
            await other.__aenter__()
        await other.__aexit__()


async def test_ipv6_loopback_is_served_with_brackets():
    """On ::1 the addresses have brackets and work."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    async with org(host="::1") as (okta, client):
        assert okta.base_url.startswith("http://[::1]:")
        assert (await ask(client, okta.token_url))[0] == 200


def test_a_lifetime_under_a_second_is_refused():
    """`expires_in` counts whole seconds."""
    with pytest.raises(ValueError, match=r"lifetime is 0\.5"):
        AuthorizationServer(**CLIENT, lifetime=0.5)
