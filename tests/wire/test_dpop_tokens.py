"""Tokens that are bound to a key (RFC 9449), from a token endpoint and to an API that check every proof."""

import asyncio
import hashlib
import json
from base64 import urlsafe_b64encode

import pytest
from clocks import HandClock
from private_keys import jwk, make, public_jwk
from strict_idp import StrictIdp, check_proof, read_proof
from token_servers import RawServer, endpoint, fetched, response

from proxy.config import Secret
from proxy.tokens.answer import read_answer
from proxy.tokens.endpoint import Fetched
from proxy.tokens.failure import Failure
from proxy.tokens.source import Token

KEY = json.dumps(jwk(make("P-256")))


def side_of(url, **oauth):
    """Return our side, with DPoP and a private key."""
    keys = {"client_secret": None, "private_key": Secret(KEY), "dpop": True}
    return endpoint(f"{url}/token", **(keys | oauth))


async def result_of(side):
    """Fetch, and return what came of it."""
    result = await side.fetch()
    return read_answer(result.answer, result.secret) if isinstance(result, Fetched) else result


async def token_of(side):
    """Fetch, and expect a bound token."""
    token = await result_of(side)
    assert isinstance(token, Token), token
    assert token.scheme == "DPoP"
    assert token.prover is not None
    return token


async def test_a_proof_goes_with_the_first_request():
    """No request is sent to find out: a failed one stands in Okta's System Log (okta-sdk-golang#598)."""
    idp = StrictIdp(public_jwk(make("P-256")), dpop=True)
    async with RawServer(idp) as server:
        await token_of(side_of(server.url))
    assert len(server.requests) == 1
    assert idp.errors == []


async def test_a_nonce_is_answered_with_all_new_ids():
    """One challenge, one more request with another proof and another assertion, and no failure."""
    idp = StrictIdp(public_jwk(make("P-256")), dpop=True, nonce="nonce-1")
    async with RawServer(idp) as server:
        side = side_of(server.url)
        await token_of(side)
        assert idp.errors == ["Authorization server requires nonce in DPoP proof."]
        await token_of(side)
    assert [claims.get("nonce") for _, claims in idp.proofs] == [None, "nonce-1", "nonce-1"]
    assert len({claims["jti"] for _, claims in idp.proofs + idp.assertions}) == 6
    assert len({json.dumps(header["jwk"]) for header, _ in idp.proofs}) == 1


async def test_a_nonce_that_is_replaced_between_two_fetches():
    """The next answer's nonce counts, also a success's; an old one costs one more request."""
    idp = StrictIdp(public_jwk(make("P-256")), dpop=True, nonce="one")
    async with RawServer(idp) as server:
        side = side_of(server.url)
        for nonce, requests in (("one", 2), ("two", 4), ("two", 5), ("three", 7)):
            idp.nonce = nonce
            await token_of(side)
            assert len(server.requests) == requests


async def test_a_nonce_of_a_success_is_used_next():
    """RFC 9449 8.2: it comes with any answer, and saves the challenge."""
    idp = StrictIdp(public_jwk(make("P-256")), dpop=True)
    async with RawServer(idp) as server:
        side = side_of(server.url)
        idp.nonce = None
        first = response(200, {"token_type": "DPoP", "access_token": "t", "expires_in": 60}, "DPoP-Nonce: early")
        server.answers.insert(0, first)
        await token_of(side)
        idp.nonce = "early"
        await token_of(side)
    assert idp.errors == []


async def test_a_server_that_always_wants_another_nonce_is_asked_twice():
    """No loop: a failure that passes, for the nonce may have been replaced on the way."""
    again = [
        response(400, {"error": "use_dpop_nonce", "error_description": "again"}, f"DPoP-Nonce: n{number}")
        for number in range(9)
    ]
    async with RawServer(*again) as server:
        failure = await result_of(side_of(server.url))
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.error) == ("failed", "use_dpop_nonce")
    assert len(server.requests) == 2


async def test_a_challenge_without_a_nonce_is_not_repeated():
    """There is nothing new to say."""
    async with RawServer(response(400, {"error": "use_dpop_nonce"})) as server:
        assert (await result_of(side_of(server.url))).outcome == "failed"
    assert len(server.requests) == 1


async def test_a_secret_may_ask_for_a_bound_token():
    """DPoP is no client authentication: it goes with each of them."""
    ok = response(200, {"token_type": "dpop", "access_token": "t", "expires_in": 60})
    async with RawServer(ok) as server:
        side = side_of(server.url, private_key=None, client_secret=Secret("s3cret"))
        await token_of(side)
    request = server.requests[0]
    assert b"client_secret=s3cret" in request.body
    read_proof(request.value("DPoP"))


async def test_a_bearer_token_is_not_what_was_asked_for():
    """RFC 9449 5: it is discarded; the failure needs a person, and says which key and which box."""
    bearer = response(200, {"token_type": "Bearer", "access_token": "t", "expires_in": 60})
    async with RawServer(bearer) as server:
        failure = await result_of(side_of(server.url))
    assert isinstance(failure, Failure)
    assert failure.outcome == "refused"
    assert "bearer token" in failure.message
    assert "oauth.dpop: false" in failure.remedy


async def test_without_dpop_no_proof_is_sent():
    """A server that demands one is told of in the remedy."""
    idp = StrictIdp(public_jwk(make("P-256")), dpop=True)
    async with RawServer(idp) as server:
        failure = await result_of(side_of(server.url, dpop=False))
    assert failure.outcome == "refused"
    assert "oauth.dpop: true" in failure.remedy
    assert server.requests[0].value("DPoP") is None


@pytest.mark.parametrize(("ahead", "reason"), [(-700, "in the future"), (700, "five minutes in the past")])
async def test_a_clock_that_is_off_is_made_up_for(ahead, reason):
    """A proof too old or too new is made again by the server's clock, and so are those for the API."""
    clock = HandClock()
    idp = StrictIdp(dpop=True, clock=lambda: clock.wall() + ahead)
    idp._check_signature = lambda *_: None
    idp._check_claims = lambda *_: None
    async with RawServer(idp) as server:
        side = side_of(server.url, clock=clock)
        result = await fetched(side)
        token = read_answer(result.answer, result.secret)
        assert result.ahead == pytest.approx(ahead, abs=1)
        claims = read_proof(token.prover.proof("GET", "https://api.example.com/"))[1]
        check_proof(claims, "GET", "https://api.example.com/", clock.wall() + ahead, set())
        await token_of(side)
    assert len(server.requests) == 3
    assert reason in idp.errors[0]


class Api:
    """An API that takes bound tokens: an answer for `RawServer`. With a `nonce` it wants that in each proof."""

    def __init__(self, thumbprint):
        self.thumbprint = thumbprint
        self.nonce = None
        self.spent = set()

    async def __call__(self, request, writer):
        method, path, _ = request.line.split(" ")
        scheme, token = request.value("Authorization").split(" ")
        assert scheme == "DPoP"
        _, claims, thumbprint = read_proof(request.value("DPoP"))
        assert thumbprint == self.thumbprint, "the token is bound to another key"
        url = f"http://{request.value('Host')}{path.partition('?')[0]}"
        check_proof(claims, method, url, claims["iat"], self.spent)
        assert claims["ath"] == urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        if claims.get("nonce") != self.nonce:
            challenge = 'WWW-Authenticate: DPoP error="use_dpop_nonce"'
            writer.write(response(401, {}, challenge, f"DPoP-Nonce: {self.nonce}"))
        else:
            writer.write(response(200, {"ok": True}))


async def call(server, token, path):
    """Send one request as the forwarding side does; return its status, and what it was told about a nonce."""
    url = f"{server.url}{path}"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        f"Authorization: {token.scheme} {token.value}",
        f"DPoP: {token.prover.proof('GET', url)}",
    ]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    writer.close()
    for line in head.split("\r\n"):
        if line.startswith("DPoP-Nonce: "):
            token.prover.note_nonce(url, line.removeprefix("DPoP-Nonce: "))
    return int(head.split(" ")[1])


async def test_twenty_calls_and_a_nonce_that_changes():
    """An API takes what the prover says, asks for its own nonce once, and an older token's prover stays good."""
    idp = StrictIdp(public_jwk(make("P-256")), dpop=True, nonce="of-the-server")
    async with RawServer(idp) as server:
        side = side_of(server.url)
        old, new = await token_of(side), await token_of(side)
    api = Api(read_proof(old.prover.proof("GET", "http://a/"))[2])
    async with RawServer(api) as server:
        assert [await call(server, new, f"/items/{number}?q=1") for number in range(20)] == [200] * 20
        api.nonce = "of-the-api"
        assert [await call(server, new, "/items") for _ in range(3)] == [401, 200, 200]
        assert await call(server, old, "/items") == 200
    assert "of-the-api" not in {claims.get("nonce") for _, claims in idp.proofs}
