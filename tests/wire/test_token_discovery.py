"""Discovery against real servers: which documents are asked for, believed and remembered."""

import asyncio
import time

import pytest
from clocks import engine
from kit import CLIENT_ID, CLIENT_SECRET
from token_servers import RawServer, endpoint, failed, fetched, response

from proxy.emulator import AuthorizationServer
from proxy.tokens.answer import read_answer
from proxy.tokens.endpoint import Fetched
from proxy.tokens.source import Token

OPENID = "/t/.well-known/openid-configuration"
RFC8414 = "/.well-known/oauth-authorization-server/t"
APPENDED = "/t/.well-known/oauth-authorization-server"
NOT_FOUND = response(404, {})


class Site(RawServer):
    """A server with an issuer at `/t`: metadata at some paths, the token endpoint at `/t/token`."""

    def __init__(self, *paths: str, **metadata: object) -> None:
        super().__init__(self._route)
        self.paths = paths
        self.metadata = metadata
        self.token = response()

    @property
    def issuer(self) -> str:
        return f"{self.url}/t"

    @property
    def asked(self) -> list[str]:
        return [request.line.split(" ")[1] for request in self.requests]

    async def _route(self, request, writer):
        path = request.line.split(" ")[1]
        document = {"issuer": self.issuer, "token_endpoint": f"{self.issuer}/token"} | self.metadata
        if path == "/t/token":
            writer.write(self.token)
        else:
            writer.write(response(200, document) if path in self.paths else NOT_FOUND)


@pytest.mark.parametrize(
    ("path", "asked"), [(OPENID, [OPENID]), (RFC8414, [OPENID, RFC8414]), (APPENDED, [OPENID, RFC8414, APPENDED])]
)
async def test_each_form_of_metadata_is_found(path, asked):
    """OpenID's document first, then RFC 8414's, then the appended one; then comes the token."""
    async with Site(path) as site:
        assert (await fetched(endpoint(None, issuer=site.issuer))).answer.status == 200
    assert site.asked == [*asked, "/t/token"]


async def test_the_emulators_issuer_is_discovered():
    """An Okta on another host than Okta's is asked, and gives a token."""
    async with AuthorizationServer(client_id=CLIENT_ID, client_secret=CLIENT_SECRET) as okta:
        for issuer in (okta.issuer, okta.base_url):
            side = endpoint(None, issuer=issuer, scopes=("api.read",))
            result = await fetched(side)
            if issuer == okta.issuer:
                assert isinstance(read_answer(result.answer, result.secret), Token)
        assert okta.token_requests.total == 2


async def test_the_address_is_remembered():
    """Further tokens need no further discovery."""
    async with Site(OPENID) as site:
        side = endpoint(None, issuer=site.issuer)
        for _ in range(3):
            await fetched(side)
    assert site.asked == [OPENID, "/t/token", "/t/token", "/t/token"]
    assert "/t/token" in repr(side)


async def test_a_cookie_of_the_metadata_is_not_sent_with_the_secret():
    """Each request of a call stands for itself."""
    async with Site() as site:
        issuer = f"http://localhost:{site.port}/t"
        document = {"issuer": issuer, "token_endpoint": f"{issuer}/token"}
        site.answers = [response(200, document, "Set-Cookie: sid=1; Path=/"), response()]
        await fetched(endpoint(None, issuer=issuer))
        assert [request.value("Cookie") for request in site.requests] == [None, None]


@pytest.mark.parametrize("trouble", [response(404, {}), b""])
async def test_an_address_that_fails_is_asked_for_again(trouble):
    """After a 404 or a broken connection the next try begins with discovery."""
    async with Site(OPENID) as site:
        side = endpoint(None, issuer=site.issuer)
        await fetched(side)
        good, site.token = site.token, trouble
        await side.fetch()
        site.token = good
        await fetched(side)
    assert site.asked == [OPENID, "/t/token", "/t/token", OPENID, "/t/token"]


@pytest.mark.parametrize("trouble", [response(401, {"error": "invalid_client"}), response(500, {})])
async def test_a_refusal_does_not_forget_the_address(trouble):
    """Only an address that is wrong is asked for again."""
    async with Site(OPENID) as site:
        side = endpoint(None, issuer=site.issuer)
        site.token = trouble
        await fetched(side)
        await fetched(side)
    assert site.asked == [OPENID, "/t/token", "/t/token"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example.com/t"},
        {"issuer": None},
        {"token_endpoint": None},
        {"token_endpoint": "http://login.example.com/token"},
        {"token_endpoint": "https://user:password@login.example.com/token"},
        {"token_endpoint": "/t/token"},
        {"token_endpoint": "file:///etc/passwd"},
    ],
)
async def test_a_document_of_no_use_gets_no_secret(metadata):
    """Another issuer's, or one that points to where no secret may go: a failure that is retried, and names the key."""
    async with Site(OPENID, RFC8414, APPENDED, **metadata) as site:
        failure = await failed(endpoint(None, issuer=site.issuer))
    assert site.asked == [OPENID, RFC8414, APPENDED]
    assert failure.outcome == "failed"
    assert "No metadata document of oauth.issuer" in failure.message
    assert "oauth.token_url" in failure.remedy


async def test_allow_http_is_for_discovered_endpoints_too():
    """With `oauth.allow_http` a document may point to a plain endpoint beyond loopback."""
    async with Site(OPENID, token_endpoint="http://idp.test/token") as site, RawServer(response()) as proxy:
        await fetched(endpoint(None, issuer=site.issuer, allow_http=True, proxy=proxy.url))
    assert [request.line for request in proxy.requests] == ["POST http://idp.test/token HTTP/1.1"]


@pytest.mark.parametrize(
    "first",
    [
        response(302, {}, "Location: /t/.well-known/oauth-authorization-server"),
        response(200, None, body=b"<html>" + b"x" * 100_000),
        response(200, None, body=b"<html></html>"),
        response(500, {}),
    ],
)
async def test_a_form_that_answers_something_else_is_passed_over(first):
    """A redirect is not followed, and a page, however long, is no document: the next form is asked."""
    async with Site() as site:
        good = response(200, {"issuer": site.issuer, "token_endpoint": f"{site.issuer}/token"})
        site.answers = [first, good, response()]
        await fetched(endpoint(None, issuer=site.issuer))
    assert site.asked == [OPENID, RFC8414, "/t/token"]


async def test_all_forms_have_one_deadline():
    """A server that is slow with each form is given up after the call's time, not after three times as long."""

    async def slow(_, writer):
        await asyncio.sleep(0.15)  # the slow server is what is tested
        writer.write(NOT_FOUND)

    started = time.monotonic()
    async with RawServer(slow) as server:
        failure = await failed(endpoint(None, issuer=f"{server.url}/t", timeouts={"total_timeout": 0.25}))
    assert time.monotonic() - started < 1
    assert failure.outcome == "unreachable"
    assert "did not answer in time" in failure.message
    assert len(server.requests) == 2


async def test_discovery_that_fails_is_tried_again():
    """It is a token failure, not a start failure: the refresher retries it and then has its token."""
    async with Site() as site:
        side = endpoint(None, issuer=site.issuer)
        async with engine(await failed(side)) as it:
            assert it.refresher.failure is not None
            assert it.refresher.failure.outcome == "failed"
            assert it.endpoint.count == 1
            await it.clock.advance(5)
            assert it.endpoint.count > 1
        site.paths = (OPENID,)
        assert isinstance(await side.fetch(), Fetched)
