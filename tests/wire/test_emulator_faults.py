"""The emulated Okta on demand out of order: each fault over real sockets."""

import asyncio
import gzip
import json
import socket
import struct
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from proxy.emulator import AuthorizationServer, EchoApi, faults
from proxy.emulator.answers import RATE_LIMIT_TEXTS, Answer
from proxy.emulator.errors import names, oauth_error

CLIENT = {"client_id": "0oa1", "client_secret": "hush-hush"}
FORM = {"grant_type": "client_credentials", "scope": "api.read", **CLIENT}


@asynccontextmanager
async def org(**settings):
    """An org, and a client that follows nothing, keeps nothing and decodes nothing."""
    async with (
        AuthorizationServer(**(CLIENT | settings)) as okta,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as client,
    ):
        yield okta, client


async def ask(okta, client, form=FORM):
    """The status, the body's bytes and the headers of a token request that follows no redirect."""
    async with client.post(okta.token_url, data=form, allow_redirects=False) as response:
        return response.status, await response.read(), response.headers


async def test_faults_come_in_order_and_then_everything_is_well():
    """Each request takes one fault from the queue; the one of `always` comes when the queue is empty."""
    async with org() as (okta, client):
        okta.fail(faults.HTML_500, faults.HTML_502)
        okta.always(faults.HTML_503)
        assert [(await ask(okta, client))[0] for _ in range(4)] == [500, 502, 503, 503]
        okta.always(None)
        assert (await ask(okta, client))[0] == 200
        assert [request.status for request in okta.token_requests] == [500, 502, 503, 503, 200]
        assert [request.error for request in okta.token_requests] == ["500", "502", "503", "503", None]
        assert okta.issued == 1


@pytest.mark.parametrize("name", names())
async def test_each_refusal_of_okta_can_be_had(name):
    """A right request meets the refusal, with its status and its text."""
    expected = oauth_error(name)
    async with org() as (okta, client):
        okta.fail(faults.Refused(name))
        status, body, headers = await ask(okta, client)
    assert status == expected.status
    assert json.loads(body) == {"error": expected.error, "error_description": expected.description}
    assert ("dpop-nonce" in headers) == (name == "use_dpop_nonce")
    assert "x-okta-request-id" in headers


@pytest.mark.parametrize(
    ("fault", "content_type", "body"),
    [
        (faults.TRUNCATED_JSON, "application/json", b'{"token_type":"Bearer","expires_in":3600,"access_tok'),
        (faults.EMPTY_OBJECT, "application/json", b"{}"),
        (faults.NULL, "application/json", b"null"),
        (faults.EMPTY_LIST, "application/json", b"[]"),
        (faults.JSON_STRING, "application/json", b'"token"'),
        (faults.HTML_200, "text/html", b"<html><body>Sign in to the hotel's network</body></html>"),
    ],
)
async def test_a_success_may_be_none(fault, content_type, body):
    """A 200 whose body is no token."""
    async with org() as (okta, client):
        okta.fail(fault)
        status, received, headers = await ask(okta, client)
        assert (status, received, headers["Content-Type"]) == (200, body, content_type)
        assert (okta.token_requests[0].error, okta.issued) == ("unusable", 0)
        assert "x-okta-request-id" not in headers


async def test_a_front_end_answers_in_html():
    """5xx pages are HTML and carry no header of Okta's."""
    async with org() as (okta, client):
        okta.fail(faults.HTML_503, Answer(599, b"x", "text/plain", (("X-A", "1"), ("X-A", "2"))))
        status, body, headers = await ask(okta, client)
        assert (status, headers["Content-Type"]) == (503, "text/html")
        assert b"<title>503 Service Temporarily Unavailable</title>" in body
        assert "Set-Cookie" not in headers
        status, body, headers = await ask(okta, client)
        assert (status, body, headers.getall("X-A")) == (599, b"x", ["1", "2"])


async def test_a_redirect_points_elsewhere():
    """302 with a Location and no body, to the address that was given."""
    async with org() as (okta, client):
        okta.fail(faults.REDIRECT, faults.redirect("http://127.0.0.2:9/", 307))
        status, body, headers = await ask(okta, client)
        assert (status, body) == (302, b"")
        assert headers["Location"] == "https://login.example.com/oauth2/default/v1/token"
        status, _, headers = await ask(okta, client)
        assert (status, headers["Location"]) == (307, "http://127.0.0.2:9/")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (faults.RATE_LIMITED, {"Limit": "150", "Remaining": "0", "Reset": "1700000030"}),
        (faults.CONCURRENCY_LIMITED, {"Limit": "0", "Remaining": "0", "Reset": "1700000030"}),
        (faults.RateLimited(reset="17000000300000"), {"Limit": "150", "Remaining": "0", "Reset": "17000000300000"}),
        (faults.RateLimited(reset_in=-5.0), {"Limit": "150", "Remaining": "0", "Reset": "1699999995"}),
        (faults.RateLimited(reset_in=None), {}),
    ],
)
async def test_a_429_says_when(fault, expected):
    """The reset is relative to the answer's own Date, or as given, or not there."""
    async with org(clock=lambda: 1_700_000_000.0) as (okta, client):
        okta.fail(fault)
        status, body, headers = await ask(okta, client)
        assert (status, json.loads(body)["errorCode"]) == (429, "E0000047")
        assert parsedate_to_datetime(headers["Date"]).timestamp() == 1_700_000_000
        limits = {
            name[13:].title(): value for name, value in headers.items() if name.lower().startswith("x-rate-limit")
        }
        assert limits == expected
        assert "Retry-After" not in headers


async def test_a_429_may_have_a_retry_after_and_the_other_text():
    """Retry-After is sent as it stands, and both of Okta's texts can be had."""
    async with org() as (okta, client):
        okta.fail(
            faults.RateLimited(reset_in=None, retry_after="Wed, 21 Oct 2026 07:28:00 GMT", summary=RATE_LIMIT_TEXTS[1])
        )
        _, body, headers = await ask(okta, client)
        assert headers["Retry-After"] == "Wed, 21 Oct 2026 07:28:00 GMT"
        assert json.loads(body)["errorSummary"].startswith("You exceeded the maximum number of requests.")


@pytest.mark.parametrize(
    ("fault", "field", "expected"),
    [
        (faults.NO_EXPIRES_IN, "expires_in", None),
        (faults.EXPIRES_IN_STRING, "expires_in", "3600"),
        (faults.EXPIRES_IN_ZERO, "expires_in", 0),
        (faults.Altered(expires_in=-1), "expires_in", -1),
        (faults.Altered(expires_in=1e300), "expires_in", 1e300),
        (faults.Altered(expires_in=[1]), "expires_in", [1]),
        (faults.ILLEGAL_TOKEN, "access_token", "ey.J\r\nX-Injected: 1"),
        (faults.NO_TOKEN, "access_token", None),
        (faults.Altered(access_token=7), "access_token", 7),
        (faults.TOKEN_TYPE_MAC, "token_type", "mac"),
        (faults.Altered(token_type="bearer"), "token_type", "bearer"),
        (faults.NO_TOKEN_TYPE, "token_type", None),
        (faults.Altered(scope="api.write"), "scope", "api.write"),
    ],
)
async def test_a_success_may_say_something_else(fault, field, expected):
    """One field is another or is left out; the rest stays as it is."""
    async with org() as (okta, client):
        okta.fail(fault)
        status, body, _ = await ask(okta, client)
    answer = json.loads(body)
    assert status == 200
    assert answer.get(field) == expected
    assert len(answer) == (3 if expected is None else 4)


async def test_an_altered_success_is_refused_like_any_other():
    """A wrong secret stays wrong."""
    async with org() as (okta, client):
        okta.fail(faults.NO_EXPIRES_IN)
        assert (await ask(okta, client, FORM | {"client_secret": "wrong"}))[0] == 401


async def test_a_token_may_be_bad_from_the_start():
    """Revoked or expired tokens look like any other, and the API refuses them."""
    async with org() as (okta, client), EchoApi(okta) as api:
        okta.fail(faults.REVOKED_TOKEN, faults.EXPIRED_TOKEN, faults.Altered(lives=10.0))
        found = []
        for _ in range(3):
            answer = json.loads((await ask(okta, client))[1])
            assert answer["expires_in"] == 3600
            headers = {"Authorization": f"Bearer {answer['access_token']}"}
            async with client.get(api.base_url, headers=headers) as response:
                found.append((response.status, response.headers.get("WWW-Authenticate", "")[52:]))
        assert [status for status, _ in found] == [401, 401, 200]
        assert "has been revoked" in found[0][1]
        assert "has expired" in found[1][1]


async def test_a_body_may_be_huge_or_coded():
    """Padding makes the body as big as it says; gzip codes it, and what is inside is a token."""
    async with org() as (okta, client):
        okta.fail(faults.HUGE, faults.GZIP)
        _, body, _ = await ask(okta, client)
        assert len(body) > 8 * 1024 * 1024
        _, body, headers = await ask(okta, client)
        assert headers["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(body))["token_type"] == "Bearer"


async def test_a_slow_answer_comes_when_its_event_is_set():
    """The request is recorded at once and answered only afterwards, with the fault that was to follow."""
    async with org() as (okta, client):
        event = asyncio.Event()
        okta.fail(faults.Slow(event), faults.Slow(event, then=faults.HTML_503), faults.Slow(0.0, then=faults.Slow(0.0)))
        first = asyncio.create_task(ask(okta, client))
        await okta.requested(1)
        second = asyncio.create_task(ask(okta, client))
        await okta.requested(2)
        assert [request.status for request in okta.token_requests] == [None, None]
        assert not first.done()
        event.set()
        assert ((await first)[0], (await second)[0]) == (200, 503)
        assert (await ask(okta, client))[0] == 200


@pytest.mark.parametrize("at", ["head", "body"])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_connection_may_end_without_an_answer(how, at):
    """FIN or RST, before the head or after half of the body; the record says that it was not answered."""
    async with org() as (okta, client):
        okta.fail(faults.Drop(how, at))
        with pytest.raises(
            (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError)
        ) as error:
            await ask(okta, client)
        assert isinstance(error.value, aiohttp.ClientPayloadError) == (at == "body")
        assert ("reset" in repr(error.value).lower()) == (how == "reset")
        assert okta.token_requests[0].status is None
        assert (await ask(okta, client))[0] == 200


async def open_and_send(okta):
    """A raw connection that has sent a good token request."""
    host, port = okta.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = "&".join(f"{name}={value}" for name, value in FORM.items()).encode()
    writer.write(
        b"POST /oauth2/default/v1/token HTTP/1.1\r\nHost: o\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )
    return reader, writer


async def test_a_hang_in_the_body_gives_half_of_what_was_promised():
    """The head and half of the body come, and then nothing."""
    async with org() as (okta, _):
        okta.fail(faults.HANG_IN_BODY)
        reader, writer = await open_and_send(okta)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert len(await reader.readexactly(length // 2)) == length // 2
        reading = asyncio.create_task(reader.read(1))
        assert (await ask_again(okta)) == 200
        assert not reading.done()
        writer.close()
        await writer.wait_closed()
        await asyncio.gather(reading, return_exceptions=True)


async def ask_again(okta):
    """The status of a token request on a connection of its own."""
    async with aiohttp.ClientSession() as client, client.post(okta.token_url, data=FORM) as response:
        return response.status


@pytest.mark.parametrize("fault", [faults.HANG, faults.HANG_IN_BODY, faults.Slow(3600.0)])
async def test_closing_the_server_ends_what_hangs(fault):
    """Leaving the server does not wait for hanging answers; their clients see the connection end."""
    async with AuthorizationServer(**CLIENT) as okta:
        okta.always(fault)
        connections = [await open_and_send(okta) for _ in range(20)]
        await okta.requested(20)
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started < 2
    for reader, writer in connections:
        await reader.read()
        writer.close()


async def test_a_client_that_leaves_ends_its_hanging_answer():
    """The handler of a request that hangs is gone once the client is, by FIN or by RST."""
    async with org() as (okta, _):
        okta.always(faults.HANG)
        for reset in (False, True):
            _, writer = await open_and_send(okta)
            await okta.requested(okta.token_requests.total + 1)
            running = set(okta._listener._running)
            assert len(running) == 1
            if reset:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            await asyncio.wait(running)
            assert all(task.cancelled() for task in running)
        assert [request.status for request in okta.token_requests] == [None, None]


@pytest.mark.parametrize("name", sorted(faults.NAMED))
async def test_every_ready_made_fault_leaves_a_working_server(name):
    """After each fault the next request gets a token."""
    async with org() as (okta, client):
        okta.fail(faults.NAMED[name])
        task = asyncio.create_task(ask(okta, client))
        await okta.requested(1)
        if name.startswith("hang"):
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None or isinstance(task.exception(), aiohttp.ClientError)
        assert (await ask(okta, client))[0] == 200
