"""DPoP over real sockets: bound tokens from the emulated Okta, and an API that wants proofs."""

from contextlib import asynccontextmanager

import aiohttp
import pytest
from signed import CLIENT_ID, assertion, assertion_form, ec, proof, public, rsa
from yarl import URL

from proxy.emulator import AuthorizationServer, EchoApi, faults
from proxy.emulator.freshness import ACCEPTED, RENEWED
from proxy.emulator.proofs import ath

FORM = {"grant_type": "client_credentials", "scope": "api.read", "client_id": CLIENT_ID, "client_secret": "hush-hush"}


@asynccontextmanager
async def org(**settings):
    """An org whose client must use DPoP, its API, and a client."""
    common = {"client_id": CLIENT_ID, "client_secret": "hush-hush", "dpop_required": True}
    async with (
        AuthorizationServer(**(common | settings)) as okta,
        EchoApi(okta) as api,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
    ):
        yield okta, api, client


async def ask(client, url, *proofs, form=FORM):
    """The status, the body and the nonce of a token request with these proofs."""
    headers = [("DPoP", text) for text in proofs]
    async with client.post(url, data=form, headers=headers) as response:
        return response.status, await response.json(), response.headers.get("DPoP-Nonce")


async def bound(okta, client, key=None, **said):
    """A token that is bound to *key*, after as many requests as it takes."""
    key = key or ec()
    nonce = (await ask(client, okta.token_url, proof(key, "POST", okta.token_url, **said)))[2]
    status, body, _ = await ask(client, okta.token_url, proof(key, "POST", okta.token_url, nonce=nonce, **said))
    assert status == 200, body
    return body["access_token"]


async def call(client, url, token, *proofs, scheme="DPoP", method="GET"):
    """The status, the headers and the body of an API call."""
    headers = [("Authorization", f"{scheme} {token}"), *(("DPoP", text) for text in proofs)]
    async with client.request(method, url, headers=headers) as response:
        return response.status, response.headers, await response.json()


async def test_the_dance_of_the_nonce_ends_with_a_bound_token():
    """Challenge with a nonce, then a token that names the key; both answers carry the nonce."""
    async with org() as (okta, _, client):
        status, body, nonce = await ask(client, okta.token_url, proof(ec(), "POST", okta.token_url))
        assert (status, body) == (
            400,
            {
                "error": "use_dpop_nonce",
                "error_description": "Authorization server requires nonce in DPoP proof.",
            },
        )
        status, body, again = await ask(client, okta.token_url, proof(ec(), "POST", okta.token_url, nonce=nonce))
        assert (status, body["token_type"], again) == (200, "DPoP", nonce)
        assert okta.claims(body["access_token"])["cnf"] == {"jkt": ec().thumbprint()}
        challenged, granted = okta.token_requests
    assert (challenged.error, granted.error) == ("use_dpop_nonce", None)
    assert granted.proof.text("nonce") == nonce
    assert challenged.proof.header["typ"] == "dpop+jwt"


async def test_an_app_that_requires_dpop_refuses_to_do_without():
    """Okta's text for a missing proof; it has a nonce with it all the same."""
    async with org() as (okta, _, client):
        status, body, nonce = await ask(client, okta.token_url)
    assert (status, body["error"]) == (400, "invalid_dpop_proof")
    assert body["error_description"] == "The DPoP proof JWT header is missing."
    assert nonce


async def test_an_app_that_does_not_require_dpop_binds_a_token_if_asked():
    """Without a proof the token is a Bearer token and no nonce is given; with one it is bound."""
    async with org(dpop_required=False) as (okta, _, client):
        status, body, nonce = await ask(client, okta.token_url)
        assert (status, body["token_type"], nonce) == (200, "Bearer", None)
        assert "cnf" not in okta.claims(body["access_token"])
        assert "cnf" in okta.claims(await bound(okta, client))


async def test_the_challenge_uses_the_assertion_up():
    """The second request needs a new proof and a new assertion."""
    async with org(client_secret=(), client_keys=public(rsa())) as (okta, _, client):
        form = assertion_form(assertion(rsa(), okta.token_url))
        _, _, nonce = await ask(client, okta.token_url, proof(ec(), "POST", okta.token_url), form=form)
        answered = proof(ec(), "POST", okta.token_url, nonce=nonce)
        status, body, _ = await ask(client, okta.token_url, answered, form=form)
        assert (status, body["error_description"]) == (401, "The client_assertion token has already been used.")
        form = assertion_form(assertion(rsa(), okta.token_url))
        assert (await ask(client, okta.token_url, answered, form=form))[0] == 200


async def test_a_proof_works_once_and_one_is_enough():
    """The same proof again, and two at once, are refused in Okta's words."""
    async with org() as (okta, _, client):
        _, _, nonce = await ask(client, okta.token_url)
        text = proof(ec(), "POST", okta.token_url, nonce=nonce)
        assert (await ask(client, okta.token_url, text))[0] == 200
        assert (await ask(client, okta.token_url, text))[1]["error_description"] == (
            "The DPoP proof JWT has already been used."
        )
        two = [proof(ec(), "POST", okta.token_url, nonce=nonce) for _ in range(2)]
        assert (await ask(client, okta.token_url, *two))[1]["error_description"] == (
            "Multiple DPoP proof JWT headers are not allowed."
        )


async def test_nonces_rotate_with_a_grace():
    """A new nonce comes after a day or on demand, the old one stays good for a while, and not when it is forgotten."""
    now = 1_700_000_000.0
    async with org(clock=lambda: now) as (okta, _, client):

        async def with_nonce(nonce):
            text = proof(ec(), "POST", okta.token_url, now=now, nonce=nonce)
            status, _, given = await ask(client, okta.token_url, text)
            return status, given

        _, _, first = await ask(client, okta.token_url)
        now += RENEWED
        status, second = await with_nonce(first)
        assert (status, second == first) == (200, False)
        okta.rotate_nonce()
        status, third = await with_nonce(second)
        assert (status, third in {first, second}) == (200, False)
        okta.rotate_nonce(forget=True)
        assert (await with_nonce(third))[0] == 400
        now += ACCEPTED
        assert (await with_nonce(okta._nonces._newest))[0] == 400


async def test_nonces_can_be_switched_off():
    """Without them a proof is enough, and no answer has one; a challenge on demand has."""
    async with org() as (okta, _, client):
        okta.dpop_nonce = False
        status, _, nonce = await ask(client, okta.token_url, proof(ec(), "POST", okta.token_url))
        assert (status, nonce) == (200, None)
        okta.fail(faults.Refused("use_dpop_nonce"))
        status, _, nonce = await ask(client, okta.token_url, proof(ec(), "POST", okta.token_url))
        assert (status, bool(nonce)) == (400, True)


async def test_an_api_takes_a_bound_token_with_its_proof():
    """With `ath`, `htm` and `htu` of this very call; the record has what the proof said."""
    async with org() as (okta, api, client):
        token = await bound(okta, client)
        url = f"{api.base_url}/things"
        text = proof(ec(), "POST", url, ath=ath(token))
        status, headers, body = await call(client, f"{url}?q=1", token, text, method="POST")
        assert (status, body["method"]) == (200, "POST")
        assert "DPoP-Nonce" not in headers
        (request,) = api.requests
        assert request.proof.claims["htu"] == url
        status, headers, body = await call(client, url, token, text, method="POST")
        assert (status, body["error"]) == (400, "invalid_dpop_proof")
        assert headers["WWW-Authenticate"] == (
            'DPoP algs="RS256 RS384 RS512 ES256 ES384 ES512", realm="api://default", error="invalid_dpop_proof", '
            'error_description="The DPoP proof JWT has already been used."'
        )


async def test_a_bound_token_is_no_bearer_token():
    """The scheme Bearer, a proof of another key, and no proof are refused."""
    async with org() as (okta, api, client):
        token = await bound(okta, client)
        good = proof(ec(), "GET", f"{api.base_url}/", ath=ath(token))
        for scheme, proofs, error in (
            ("Bearer", (good,), "invalid_request"),
            ("Bearer", (), "invalid_request"),
            ("DPoP", (), "invalid_request"),
            ("DPoP", (proof(ec("thief"), "GET", f"{api.base_url}/", ath=ath(token)),), "invalid_dpop_proof"),
        ):
            status, headers, body = await call(client, api.base_url, token, *proofs, scheme=scheme)
            assert (status, body["error"]) == (400, error)
            assert headers["WWW-Authenticate"].startswith("DPoP ")
        assert (await call(client, api.base_url, token, good))[0] == 200


async def test_a_request_without_a_token_is_challenged_for_dpop_where_it_is_required():
    """The challenge names the scheme that the client must use."""
    async with org() as (okta, api, client):
        async with client.get(api.base_url) as response:
            assert (response.status, response.headers["WWW-Authenticate"][:5]) == (401, "DPoP ")
        okta.dpop_required = False
        async with client.get(api.base_url) as response:
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="api://default"'


async def test_an_api_may_want_nonces_of_its_own():
    """401 with `use_dpop_nonce` and a nonce; a rotated one is good for a while, a forgotten one is challenged anew."""
    async with org() as (okta, api, client):
        token = await bound(okta, client)
        api.dpop_nonce = True

        async def with_nonce(nonce, path="/"):
            url = f"{api.base_url}{path}"
            status, headers, body = await call(client, url, token, proof(ec(), "GET", url, ath=ath(token), nonce=nonce))
            return status, headers["DPoP-Nonce"], headers.get("WWW-Authenticate", ""), body

        status, first, challenge, body = await with_nonce(None)
        assert (status, body["error"]) == (401, "use_dpop_nonce")
        assert 'error="use_dpop_nonce"' in challenge
        assert (await with_nonce(first, "/status/404"))[:2] == (404, first)
        api.rotate_nonce()
        status, second, *_ = await with_nonce(first)
        assert (status, second == first) == (200, False)
        api.rotate_nonce(forget=True)
        assert (await with_nonce(second))[0] == 401


async def test_a_stream_carries_the_nonce_too():
    """Also an answer whose head leaves before its body is known."""
    async with org() as (okta, api, client):
        token = await bound(okta, client)
        api.dpop_nonce = True
        url = f"{api.base_url}/stream"
        _, headers, _ = await call(client, url, token, proof(ec(), "GET", url, ath=ath(token)))
        text = proof(ec(), "GET", url, ath=ath(token), nonce=headers["DPoP-Nonce"])
        async with client.get(f"{url}?n=1", headers={"Authorization": f"DPoP {token}", "DPoP": text}) as response:
            assert (response.status, response.headers["DPoP-Nonce"]) == (200, headers["DPoP-Nonce"])


@pytest.mark.parametrize(
    ("htu", "path", "good", "bad"),
    [
        ("okta", "/users/a%40b.com", "/users/a@b.com", "/users/a%40b.com"),
        ("sent", "/users/a%40b.com", "/users/a%40b.com", "/users/a@b.com"),
    ],
)
async def test_the_path_of_a_proof_is_compared_by_the_apis_rule(htu, path, good, bad):
    """Okta's own APIs compare the decoded path; others what was sent."""
    settings = {"client_id": CLIENT_ID, "client_secret": "hush-hush"}
    async with (
        AuthorizationServer(**settings) as okta,
        EchoApi(okta, htu=htu) as api,
        aiohttp.ClientSession(requote_redirect_url=False) as client,
    ):
        token = await bound(okta, client)

        async def status(said):
            text = proof(ec(), "GET", f"{api.base_url}{said}", ath=ath(token))
            url = URL(f"{api.base_url}{path}", encoded=True)
            return (await call(client, url, token, text))[0]

        assert (await status(good), await status(bad)) == (200, 400)


async def test_a_token_may_be_bound_otherwise_than_said():
    """Faults bind it to nothing or to another key, or say that it is none; the API finds each out."""
    async with org() as (okta, api, client):
        url = f"{api.base_url}/"
        for fault, error in (
            (faults.UNBOUND_TOKEN, "invalid_token"),
            (faults.FOREIGN_TOKEN, "invalid_dpop_proof"),
        ):
            nonce = (await ask(client, okta.token_url))[2]
            okta.fail(fault)
            _, body, _ = await ask(client, okta.token_url, proof(ec(), "POST", okta.token_url, nonce=nonce))
            token = body["access_token"]
            assert body["token_type"] == "DPoP"
            text = proof(ec(), "GET", url, ath=ath(token))
            assert (await call(client, url, token, text))[2]["error"] == error
        nonce = (await ask(client, okta.token_url))[2]
        okta.fail(faults.NOT_SAID_TO_BE_BOUND)
        _, body, _ = await ask(client, okta.token_url, proof(ec(), "POST", okta.token_url, nonce=nonce))
        assert body["token_type"] == "Bearer"
        assert (await call(client, url, body["access_token"], scheme="Bearer"))[2]["error"] == "invalid_request"


async def test_oktas_own_server_binds_opaque_tokens_too():
    """The API of the org knows what an opaque token is bound to."""
    settings = {"client_id": CLIENT_ID, "client_keys": public(rsa()), "scopes": ("okta.users.read",)}
    async with (
        AuthorizationServer(**settings) as okta,
        EchoApi(okta, org=True, required_scope="okta.users.read") as api,
        aiohttp.ClientSession() as client,
    ):
        okta.dpop_nonce = False
        url = okta.token_url_of(None)
        form = assertion_form(assertion(rsa(), url), scope="okta.users.read")
        _, body, _ = await ask(client, url, proof(ec(), "POST", url), form=form)
        token = body["access_token"]
        target = f"{api.base_url}/api/v1/users"
        assert (await call(client, target, token, proof(ec(), "GET", target, ath=ath(token))))[0] == 200
        assert (await call(client, target, token, proof(rsa(), "GET", target, ath=ath(token))))[0] == 400
