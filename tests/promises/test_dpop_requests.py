"""A token that is bound to a key travels with a proof of it, a new one with each sending (RFC 9449)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kit import (
    CLIENT_ID,
    CLIENT_SECRET,
    GET,
    FixedTokens,
    RawUpstream,
    always,
    answering,
    chunked,
    fetch,
    get,
    make_token,
    post,
    proxied,
    raw_client,
    running,
    settings,
)

from proxy.app import App
from proxy.emulator import AuthorizationServer, EchoApi
from proxy.tokens.source import Token

ANSWER_401 = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n%b\r\n"
ASKS = ANSWER_401 % b'DPoP-Nonce: n1\r\nWWW-Authenticate: DPoP error="use_dpop_nonce"\r\n'
REFUSES = ANSWER_401 % b'WWW-Authenticate: DPoP error="invalid_token"\r\n'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Numbered:
    """A prover whose proofs tell what they were made for."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []
        self.nonces: list[tuple[str, str]] = []

    def proof(self, method: str, url: str) -> str:
        self.made.append((method, url))
        return f"proof-{len(self.made)}"

    def note_nonce(self, url: str, nonce: str) -> None:
        self.nonces.append((url, nonce))


def bound_token(value: str, prover: Numbered) -> Token:
    """Return a token with a prover."""
    token = make_token(value)
    token.scheme, token.prover = "DPoP", prover
    return token


def bound_tokens() -> tuple[FixedTokens, Numbered]:
    """Return a token source whose token has a prover, and that."""
    tokens, prover = FixedTokens(), Numbered()
    tokens.current = bound_token("bound", prover)
    return tokens, prover


class Renewed(FixedTokens):
    """Tokens with provers: the first is followed by another when it is suspected."""

    def __init__(self) -> None:
        super().__init__()
        self.current = self.first = bound_token("bound", Numbered())

    def suspect(self, token: Token) -> None:
        super().suspect(token)
        if token is self.first:
            self.current = bound_token("newer", Numbered())


@contextlib.asynccontextmanager
async def bound(**changed: Any) -> AsyncIterator[tuple[App, AuthorizationServer, EchoApi]]:
    """Run the proxy with DPoP, between an authorization server and an API that both want nonces."""
    async with (
        AuthorizationServer(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, dpop_required=True, **changed) as okta,
        EchoApi(okta, dpop_nonce=True) as api,
        running(settings(api.base_url, okta.token_url, oauth={"dpop": True})) as app,
    ):
        yield app, okta, api


async def test_twenty_calls_between_servers_that_want_nonces():
    """GET and POST with a body, one connection or many, a nonce that is changed in the middle: none is lost."""
    async with bound() as (app, _, api):
        for number in range(20):
            if number == 10:
                api.rotate_nonce(forget=True)
            answer = await fetch(app, get(b"/x/%d?q=1" % number) if number % 2 else post(b"body"))
            assert answer.status == 200, answer.body
        async with raw_client(app) as client:
            for _ in range(3):
                await client.send(GET)
                assert (await client.message()).status == 200
        good = [request for request in api.requests if request.status == 200]
        assert len(good) == 23
        assert len(list(api.requests)) == 25


async def test_a_crowd_gets_a_proof_each():
    """Requests at the same time, whose bodies come in one piece, in chunks and late, each have a `jti` of their own."""
    async with bound() as (app, _, api):
        assert (await fetch(app, GET)).status == 200
        answers = await asyncio.gather(
            *(fetch(app, post(b"x" * size)) for size in (1, 1000, 60_000, 200_000)),
            *(fetch(app, get(b"/%d" % number)) for number in range(20)),
            fetch(app, b"PUT /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc")),
        )
        assert [answer.status for answer in answers] == [200] * 25
        proofs = [dict(request.headers)[b"DPoP"] for request in api.requests]
        assert len(set(proofs)) == len(proofs)


async def test_a_proof_is_for_what_the_upstream_gets():
    """Method and URL are those of the request upstream: its scheme, authority, base path, the client's bytes."""
    tokens, prover = bound_tokens()
    async with proxied(answering(OK), tokens, base="/v1") as (app, upstream):
        for sent in (get(b"/a%20b?q=%2F"), post(b"x")):
            assert (await fetch(app, sent)).body == b"ok"
        at = f"http://127.0.0.1:{upstream.port}/v1"
        assert prover.made == [("GET", f"{at}/a%20b?q=%2F"), ("POST", f"{at}/")]
        assert upstream.last.value(b"authorization") == b"DPoP bound"
        assert upstream.last.value(b"dpop") == b"proof-2"


@pytest.mark.parametrize("name", [b"DPoP", b"dpop", b"D-PoP", b"DPoP_"])
async def test_a_clients_own_proof_never_travels(name: bytes):
    """There is one DPoP line, and it is ours; without a bound token there is none."""
    tokens, _ = bound_tokens()
    async with proxied(answering(OK), tokens) as (app, upstream):
        await fetch(app, get(b"/", name + b": forged"))
        assert [line for line in upstream.last.lines if line.lower().startswith(b"dpop")] == [b"DPoP: proof-1"]
    async with proxied(answering(OK)) as (app, upstream):
        await fetch(app, get(b"/", b"DPoP: forged"))
        assert [line for line in upstream.last.lines if line.lower().startswith(b"dpop")] == []


async def test_a_nonce_is_asked_for_once():
    """A 401 with `use_dpop_nonce` is answered with the same token and a new proof; it suspects no token."""
    tokens, prover = bound_tokens()
    async with proxied(answering(ASKS, OK, ASKS, ASKS), tokens) as (app, upstream):
        assert (await fetch(app, post(b"kept"))).body == b"ok"
        assert [head.count(b"DPoP bound") for head in upstream.heads] == [1, 1]
        assert prover.nonces == [(f"http://127.0.0.1:{upstream.port}", "n1")]
        answer = await fetch(app, GET)
        assert answer.status == 401
        assert len(upstream.heads) == 4
    assert tokens.suspected == []


@pytest.mark.parametrize("order", [(ASKS, REFUSES), (REFUSES, ASKS)])
async def test_a_nonce_and_a_newer_token_may_both_be_missing(order: tuple[bytes, ...]):
    """One replay for each: neither 401 was acted on by the API, so the request is not lost between them."""
    tokens = Renewed()
    async with proxied(answering(*order, OK, ASKS, REFUSES, ASKS, OK), tokens) as (app, upstream):
        assert (await fetch(app, post(b"kept"))).body == b"ok"
        assert b"DPoP newer\r\n" in upstream.heads[-1]
        assert tokens.suspected == ["bound"]
        assert (await fetch(app, GET)).status == 401
        assert len(upstream.heads) == 5


async def test_a_nonce_for_a_body_that_is_gone_is_for_the_next_request():
    """A body too large to be kept cannot be sent again: the client gets the 401, the nonce is noted."""
    tokens, prover = bound_tokens()
    async with proxied(always(ASKS), tokens) as (app, upstream):
        assert (await fetch(app, post(b"x" * 70_000))).status == 401
        assert len(upstream.heads) == 1
    assert [nonce for _, nonce in prover.nonces] == ["n1"]


async def test_every_answer_may_bring_a_nonce():
    """RFC 9449 8.2: also a success, whole or streamed, and a refusal of the token itself."""
    tokens, prover = bound_tokens()
    heads = [OK.replace(b"200 OK\r\n", b"200 OK\r\nDPoP-Nonce: n%d\r\n" % number) for number in (1, 2)]
    late = b"HTTP/1.1 403 Forbidden\r\nDPoP-Nonce: n3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"no")
    async with proxied(answering(*heads, late), tokens) as (app, _):
        for status in (200, 200, 403):
            assert (await fetch(app, GET)).status == status
    assert [nonce for _, nonce in prover.nonces] == ["n1", "n2", "n3"]


async def test_without_a_prover_a_nonce_is_nobodys():
    """A bearer token's 401 with `use_dpop_nonce` is handled like any other 401."""
    tokens = FixedTokens("one", "two")
    async with RawUpstream(answering(ASKS, OK)) as upstream, running(settings(upstream.url), tokens) as app:
        assert (await fetch(app, GET)).body == b"ok"
    assert tokens.suspected == ["one"]
