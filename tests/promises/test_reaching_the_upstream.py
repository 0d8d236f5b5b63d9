"""The upstream is reached as it is configured: through an outbound proxy, over as many connections as it allows."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from kit import (
    GET,
    OK,
    FixedTokens,
    RawConnection,
    RawUpstream,
    always,
    fetch,
    get,
    proxied,
    raw_client,
    settings,
    settled,
)
from pools import serving
from token_servers import ConnectProxy

from proxy.app import App

API = "https://api.example.com/v1"


@contextlib.asynccontextmanager
async def behind_a_proxy(
    tmp_path: Path, *, configured: bool, refusal: bytes | None = None
) -> AsyncIterator[tuple[App, RawUpstream, ConnectProxy]]:
    """Run the proxy with an API that only an outbound proxy reaches, named by the key or by the environment."""
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    async with (
        RawUpstream(always(OK), tls=serving(authority, "api.example.com")) as upstream,
        ConnectProxy(upstream.port, refusal) as outbound,
    ):
        url = outbound.url.replace("://", "://user:s3cret@")
        keys = {"ca_file": str(ca_file)} | ({"proxy": url} if configured else {})
        environ = {} if configured else {"HTTPS_PROXY": url}
        async with App(settings(API, upstream_=keys), environ=environ, tokens=FixedTokens()) as app:
            yield app, upstream, outbound


@pytest.mark.parametrize("configured", [True, False])
async def test_the_outbound_proxy_sees_a_name_and_nothing_else(tmp_path: Path, configured: bool):
    """Request and token travel in TLS through the tunnel; the proxy's password is for the proxy alone."""
    async with behind_a_proxy(tmp_path, configured=configured) as (app, upstream, outbound):
        answer = await fetch(app, get("/x"))
        assert (answer.status, answer.body) == (200, b"ok")
        (asked,) = outbound.heads
        assert asked.startswith(b"CONNECT api.example.com:443 HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic dXNlcjpzM2NyZXQ=\r\n" in asked
        assert b"token-1" not in asked
        (head,) = upstream.heads
        assert head.startswith(b"GET /v1/x HTTP/1.1\r\n")
        assert b"Proxy-Authorization" not in head
        assert "s3cret" not in repr(app.settings)


async def test_an_outbound_proxy_that_refuses_is_named(tmp_path: Path):
    """A client can tell that it is the proxy in between, and which key to look at."""
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 6\r\n\r\ns3cret"
    async with behind_a_proxy(tmp_path, configured=True, refusal=refusal) as (app, upstream, _):
        answer = await fetch(app, GET)
        assert (answer.status, answer.code) == (502, "upstream_unreachable")
        assert answer.value(b"proxy-status") == b"okta-proxy; error=proxy_configuration_error"
        assert "outbound proxy" in answer.problem["detail"]
        assert "upstream.proxy" in answer.problem["detail"]
        assert b"s3cret" not in answer.body
        assert upstream.heads == []


class Held:
    """An upstream that counts the requests that are under way, and answers each when it is let."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Semaphore(0)
        self.now = 0
        self.most = 0

    async def __call__(self, upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            await upstream.request(connection)
            self.now += 1
            self.most = max(self.most, self.now)
            await self.may_answer.acquire()
            self.now -= 1
            await connection.send(OK)


async def test_an_api_that_allows_two_calls_gets_two():
    """With `upstream.connections: 2` ten clients at once are all served, two at a time, on two connections."""
    held = Held()
    async with proxied(held, upstream_={"connections": 2}) as (app, upstream):
        requests = [asyncio.ensure_future(fetch(app, GET)) for _ in range(10)]
        await settled(lambda: app.overview().upstream_connections == counts(active=2, waiting=8))
        await settled(lambda: held.now == 2)
        for _ in requests:
            held.may_answer.release()
        assert {answer.status for answer in await asyncio.gather(*requests)} == {200}
        assert held.most == 2
        assert upstream.connections == 2


def counts(**states: int) -> dict[str, int]:
    """Return the counts of connections by state."""
    return dict.fromkeys(("active", "idle", "connecting", "waiting"), 0) | states


async def test_who_waits_too_long_is_told_that_it_is_busy():
    """503 `too_busy` with Retry-After names the key; the request never reached the upstream."""
    held = Held()
    async with proxied(held, upstream_={"connections": 1, "connect_timeout": 0.3}) as (app, upstream):
        first = asyncio.ensure_future(fetch(app, GET))
        await settled(lambda: held.now)
        answer = await fetch(app, GET)
        assert (answer.status, answer.code) == (503, "too_busy")
        assert answer.value(b"proxy-status") == b"okta-proxy; error=connection_limit_reached"
        assert answer.value(b"retry-after") == b"1"
        assert "upstream.connections" in answer.problem["detail"]
        held.may_answer.release()
        assert (await first).status == 200
        assert len(upstream.heads) == 1


async def test_a_client_that_leaves_the_line_takes_no_turn_with_it():
    """Who waits behind a client that hung up is served as if that had never been there."""
    held = Held()
    async with proxied(held, upstream_={"connections": 1}) as (app, upstream):
        first = asyncio.ensure_future(fetch(app, GET))
        await settled(lambda: held.now)
        async with raw_client(app) as leaver:
            await leaver.send(GET)
            await settled(lambda: app.overview().upstream_connections["waiting"] == 1)
            last = asyncio.ensure_future(fetch(app, GET))
            await settled(lambda: app.overview().upstream_connections["waiting"] == 2)
            leaver.reset()
        await settled(lambda: app.overview().upstream_connections["waiting"] == 1)
        held.may_answer.release()
        held.may_answer.release()
        assert [(await task).status for task in (first, last)] == [200, 200]
        assert len(upstream.heads) == 2


@pytest.mark.parametrize("body", [b"", b"x" * 70_000])
async def test_a_replay_after_a_401_needs_no_second_connection(body: bytes):
    """With one connection allowed the request goes out again with the new token, whether the 401 came whole or not."""
    refusal = b"HTTP/1.1 401 No\r\nContent-Length: 70000\r\n\r\n" + body
    if not body:
        refusal = refusal.replace(b"70000", b"0")

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            head = await upstream.request(connection)
            await connection.send(refusal if b"token-1" in head else OK)

    tokens = FixedTokens("token-1", "token-2")
    async with proxied(script, tokens, upstream_={"connections": 1, "connect_timeout": 2}) as (app, upstream):
        answer = await fetch(app, GET)
        assert (answer.status, answer.body) == (200, b"ok")
        assert [b"token-2" in head for head in upstream.heads] == [False, True]
