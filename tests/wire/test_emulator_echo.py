"""The echo API over real sockets: whom it lets in, what it tells, and what its other routes do."""

import asyncio
import gzip
import hashlib
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from proxy.emulator import AuthorizationServer, EchoApi, digest

CLIENT = {"client_id": "0oa1", "client_secret": "hush-hush", "scopes": ("api.read", "api.write")}


async def token(url, scope="api.read"):
    """A fresh access token from the token endpoint at *url*."""
    form = {"grant_type": "client_credentials", "scope": scope, "client_id": "0oa1", "client_secret": "hush-hush"}
    async with aiohttp.ClientSession() as client, client.post(url, data=form) as response:
        return (await response.json())["access_token"]


@asynccontextmanager
async def api_with_client(**settings):
    """An org, its API, and a client that has a token."""
    async with (
        AuthorizationServer(**(CLIENT | settings)) as okta,
        EchoApi(okta) as api,
        aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as client,
    ):
        client.headers["Authorization"] = f"Bearer {await token(okta.token_url)}"
        yield okta, api, client


async def connect(api):
    """A raw connection to the API."""
    host, port = api.base_url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def hang_up(writer):
    """Close a raw connection."""
    writer.close()
    await writer.wait_closed()


async def test_a_request_is_told_byte_for_byte():
    """The answer has the raw target, the header lines in order and spelling, and what the token grants."""
    async with api_with_client(clock=lambda: 1_700_000_000.0) as (_, api, client):
        bearer = client.headers["Authorization"].encode()
        reader, writer = await connect(api)
        writer.write(
            b"DELETE /a%2Fb//c/../d?x=%zz&&y=a+b? HTTP/1.1\r\nhOsT: api\r\nX-A: 1\r\nCookie: a=1\r\nx-a:  caf\xe9 \r\n"
            b"Cookie: b=2\r\nAuthorization: " + bearer + b"\r\nConnection: close\r\n\r\n"
        )
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        await hang_up(writer)
    answer = json.loads(body)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer == {
        "method": "DELETE",
        "path": "/a%2Fb//c/../d?x=%zz&&y=a+b?",
        "headers": [
            ["hOsT", "api"],
            ["X-A", "1"],
            ["Cookie", "a=1"],
            ["x-a", "caf\xe9"],
            ["Cookie", "b=2"],
            ["Authorization", f"Bearer {digest(bearer[7:].decode())}"],
            ["Connection", "close"],
        ],
        "token": {"sub": "0oa1", "scp": ["api.read"], "expires_in": 3600},
        "body": {"length": 0, "sha256": hashlib.sha256().hexdigest(), "text": ""},
    }
    record = api.requests[0]
    assert (record.method, record.target, record.status, record.complete) == ("DELETE", answer["path"], 200, True)
    assert record.values("x-A") == ["1", "caf\xe9"]
    assert record.headers[0] == (b"hOsT", b"api")
    assert bearer[7:].decode() not in repr(api.requests) + head.decode() + body.decode()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY"])
async def test_every_method_is_echoed(method):
    """Whatever the method, it and its body are told."""
    async with api_with_client() as (_, api, client):
        async with client.request(method, f"{api.base_url}/x", data="gr\xfc\xdfe") as response:
            answer = await response.json()
        assert (answer["method"], answer["path"]) == (method, "/x")
        assert answer["body"] == {
            "length": 7,
            "sha256": hashlib.sha256("gr\xfc\xdfe".encode()).hexdigest(),
            "text": "gr\xfc\xdfe",
        }


async def test_head_has_the_length_and_no_body():
    """HEAD is answered like GET without the body."""
    async with api_with_client() as (_, api, client), client.head(api.base_url) as response:
        assert response.status == 200
        assert int(response.headers["Content-Length"]) > 100
        assert await response.read() == b""


async def test_a_big_upload_is_hashed_and_not_shown():
    """Length and hash are told for any size; the text only up to 64 KiB, and only if it is UTF-8."""
    async with api_with_client() as (_, api, client):
        for body, shown in (
            (b"x" * 65_536, "x" * 65_536),
            (b"x" * 65_537, None),
            (b"\xff", None),
            (gzip.compress(b"x", mtime=0), None),
        ):
            async with client.post(api.base_url, data=body, headers={"X-Coding": "kept"}) as response:
                answer = await response.json()
            assert answer["body"] == {"length": len(body), "sha256": hashlib.sha256(body).hexdigest(), "text": shown}
        block = bytes(range(256)) * 256

        async def blocks():
            for _ in range(64):
                yield block

        async with client.put(api.base_url, data=blocks()) as response:
            assert response.status == 200
        assert api.requests[-1].body_length == 64 * len(block)
        assert api.requests[-1].body_sha256 == hashlib.sha256(block * 64).hexdigest()


async def test_a_coded_body_is_not_decoded():
    """`Content-Encoding: gzip` leaves the bytes as they came."""
    body = gzip.compress(b"hello")
    async with api_with_client() as (_, api, client):
        async with client.post(api.base_url, data=body, headers={"Content-Encoding": "gzip"}) as response:
            assert response.status == 200
        assert api.requests[0].body_sha256 == hashlib.sha256(body).hexdigest()


async def test_a_cut_upload_is_recorded_as_incomplete():
    """What had come is counted; the request is not complete and was never answered."""
    async with api_with_client() as (_, api, client):
        _, writer = await connect(api)
        writer.write(
            b"POST /cut HTTP/1.1\r\nHost: a\r\nAuthorization: "
            + client.headers["Authorization"].encode()
            + b"\r\nContent-Length: 10\r\n\r\nabc"
        )
        await api.requested(1)
        (running,) = api._listener._running
        writer.close()
        await asyncio.wait([running])
        assert (api.requests[0].body_length, api.requests[0].complete, api.requests[0].status) == (3, False, None)


@pytest.mark.parametrize(
    ("headers", "status", "challenge"),
    [
        ([], 401, 'Bearer realm="api://default"'),
        ([("Authorization", "Basic eDp5")], 401, 'Bearer realm="api://default"'),
        (
            [("Authorization", "Bearer e.f.g")],
            401,
            'Bearer realm="api://default", error="invalid_token", error_description="The access token is invalid."',
        ),
    ],
)
async def test_who_has_no_token_is_challenged(headers, status, challenge):
    """401, with an error code only for a token; the request is recorded with its body and status."""
    async with AuthorizationServer(**CLIENT) as okta, EchoApi(okta) as api, aiohttp.ClientSession() as client:
        async with client.post(f"{api.base_url}/stream", headers=headers, data=b"abc") as response:
            assert (response.status, response.headers["WWW-Authenticate"]) == (status, challenge)
            assert (await response.json())["error_description"]
        assert (api.requests[0].status, api.requests[0].body_length) == (status, 3)
        assert "e.f.g" not in repr(api.requests)


async def test_two_authorization_headers_are_400():
    """Even if both hold the same good token."""
    async with api_with_client() as (_, api, client):
        line = f"Authorization: {client.headers['Authorization']}\r\n".encode()
        reader, writer = await connect(api)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + line + line.lower()[:13] + line[13:] + b"\r\n"
        )
        head = (await reader.read()).partition(b"\r\n\r\n")[0]
        await hang_up(writer)
        assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b'WWW-Authenticate: Bearer realm="api://default", error="invalid_request"' in head
        assert len(api.requests[0].values("Authorization")) == 2


async def test_a_revoked_token_is_refused_and_a_new_one_is_not():
    """`revoke_all` counts for what has been issued, not for what comes."""
    async with api_with_client() as (okta, api, client):
        okta.revoke_all()
        async with client.get(api.base_url) as response:
            assert (response.status, (await response.json())["error"]) == (401, "invalid_token")
        headers = {"Authorization": f"Bearer {await token(okta.token_url)}"}
        async with client.get(api.base_url, headers=headers) as response:
            assert response.status == 200


async def test_a_token_expires_on_the_second():
    """By the org's clock, without leeway."""
    now = 1_700_000_000.0
    async with api_with_client(clock=lambda: now, lifetime=300.0) as (_, api, client):
        now += 299.9
        async with client.get(api.base_url) as response:
            assert (await response.json())["token"]["expires_in"] == 1
        now += 0.1
        async with client.get(api.base_url) as response:
            assert response.status == 401
            assert "The token has expired." in response.headers["WWW-Authenticate"]


async def test_another_scope_issuer_or_audience_is_refused():
    """Each with its own answer: 403 for the scope, 401 for what is not for this API."""
    async with api_with_client() as (okta, api, client), AuthorizationServer(**CLIENT) as other:
        aus = f"{okta.base_url}/oauth2/aus9o8wzkhckw9TLa0h7z/v1/token"
        okta.audience = "api://elsewhere"
        elsewhere = await token(okta.token_url)
        okta.audience = "api://default"
        for bearer, status, text in (
            (await token(okta.token_url, "api.write"), 403, 'error="insufficient_scope"'),
            (await token(aus), 401, "invalid issuer"),
            (await token(other.token_url), 401, "invalid issuer"),
            (elsewhere, 401, "invalid audience"),
            (await token(okta.token_url, "api.write api.read"), 200, ""),
        ):
            async with client.get(api.base_url, headers={"Authorization": f"Bearer {bearer}"}) as response:
                assert response.status == status
                assert text in response.headers.get("WWW-Authenticate", "")


async def test_events_are_streamed_one_by_one():
    """Each event of /stream comes when the pace gives a permit, and is there at once."""
    async with api_with_client() as (_, api, client):
        api.pace = asyncio.Semaphore(0)
        async with client.get(f"{api.base_url}/stream?n=2") as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            api.pace.release()
            assert await response.content.readuntil(b"\n\n") == b'id: 0\ndata: {"event": 1, "of": 2}\n\n'
            reading = asyncio.create_task(response.content.readuntil(b"\n\n"))
            assert api.requests[0].status is None
            api.pace.release()
            assert await reading == b'id: 1\ndata: {"event": 2, "of": 2}\n\n'
            assert await response.read() == b""


async def test_a_stream_has_its_own_pace_or_none():
    """Five events by default, spaced by an interval in seconds; HEAD has none."""
    async with api_with_client() as (_, api, client):
        async with client.get(f"{api.base_url}/stream") as response:
            assert (await response.read()).count(b"data:") == 5
        async with client.get(f"{api.base_url}/stream?n=3&interval=0.01") as response:
            assert (await response.read()).count(b"data:") == 3
        async with client.head(f"{api.base_url}/stream") as response:
            assert response.status == 200


@pytest.mark.parametrize("size", [0, 1, 65_536, 200_001])
async def test_bytes_come_with_a_length_or_chunked(size):
    """Byte i is i mod 256."""
    expected = (bytes(range(256)) * (size // 256 + 1))[:size]
    async with api_with_client() as (_, api, client):
        async with client.get(f"{api.base_url}/bytes/{size}") as response:
            assert response.headers["Content-Length"] == str(size)
            assert await response.read() == expected
        async with client.get(f"{api.base_url}/bytes/{size}?chunked=1") as response:
            assert response.headers["Transfer-Encoding"] == "chunked"
            assert await response.read() == expected
        async with client.head(f"{api.base_url}/bytes/{size}") as response:
            assert response.headers["Content-Length"] == str(size)


async def test_a_client_that_leaves_a_download_ends_it():
    """A download of a petabyte is over when its client is gone."""
    async with api_with_client() as (_, api, client):
        async with client.get(f"{api.base_url}/bytes/999999999999999") as response:
            assert await response.content.readexactly(3) == b"\x00\x01\x02"
            (running,) = api._listener._running
            response.close()
        await asyncio.wait([running])
        assert api.requests[0].status is None


@pytest.mark.parametrize("status", [200, 204, 205, 304, 401, 404, 409, 418, 503, 799])
async def test_any_final_status_can_be_had(status):
    """204, 205 and 304 have no body, 401 has a challenge."""
    async with api_with_client() as (_, api, client):
        async with client.get(f"{api.base_url}/status/{status}") as response:
            assert response.status == status
            body = await response.read()
            assert body == (b"" if status in {204, 205, 304} else f'{{"status": {status}}}\n'.encode())
            assert ("WWW-Authenticate" in response.headers) == (status == 401)
        assert api.requests[0].status == status


async def test_a_redirect_goes_where_it_is_told():
    """The Location is the decoded `to`, the status 302 or what is asked."""
    async with api_with_client() as (_, api, client):
        for query, status, location in (
            ("", 302, "/"),
            ("?to=https%3A%2F%2Fevil.example%2F%3Fa%3D1&status=308", 308, "https://evil.example/?a=1"),
        ):
            async with client.get(f"{api.base_url}/redirect{query}", allow_redirects=False) as response:
                assert (response.status, response.headers["Location"]) == (status, location)


async def test_headers_are_sent_as_asked():
    """Each parameter becomes a header line, repeated ones too."""
    async with api_with_client() as (_, api, client):
        url = f"{api.base_url}/headers?Set-Cookie=a%3D1%3B%20Domain%3Dx&Set-Cookie=b=2&Link=%3C/x%3E"
        async with client.get(url) as response:
            assert response.headers.getall("Set-Cookie") == ["a=1; Domain=x", "b=2"]
            assert response.headers["Link"] == "</x>"


async def test_a_delay_is_followed_by_the_echo():
    """The request is recorded at once, answered later; closing the API does not wait for it."""
    async with api_with_client() as (okta, api, client):
        async with client.get(f"{api.base_url}/delay/0.01?x") as response:
            assert (await response.json())["path"] == "/delay/0.01?x"
        async with EchoApi(okta) as second:
            waiting = asyncio.create_task(client.get(f"{second.base_url}/delay/3600").__aenter__())
            await second.requested(1)
        # aiohttp's client may have tried once more.
        with pytest.raises(aiohttp.ClientConnectionError):
            await waiting


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_an_answer_may_be_cut(how):
    """Half of what Content-Length promised comes, then the connection is reset or closed."""
    async with api_with_client() as (_, api, client):
        async with client.get(f"{api.base_url}/cut/100000?how={how}") as response:
            assert response.headers["Content-Length"] == "200000"
            with pytest.raises(aiohttp.ClientPayloadError) as error:
                await response.read()
        assert ("reset" in repr(error.value).lower()) == (how == "reset")
        async with client.get(api.base_url) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    "target",
    [
        "/stream?n=abc",
        "/stream?n=-1",
        "/stream?interval=nan",
        "/status/199",
        "/redirect?status=299",
        "/redirect?status=400",
        "/redirect?to=a%0d%0ab",
        "/headers?Content-Length=1",
        "/headers?a%20b=1",
        "/headers?A=%00",
        "/delay/3601",
    ],
)
async def test_a_query_that_makes_no_sense_is_400(target):
    """The reason is told, and nothing is sent that is no HTTP."""
    async with (
        api_with_client() as (_, api, client),
        client.get(api.base_url + target, allow_redirects=False) as response,
    ):
        assert (response.status, (await response.json())["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("target", ["/streams", "/bytes", "/bytes/x", "/status/20", "/delay/", "/cut", "/x/stream"])
async def test_what_only_looks_like_a_route_is_echoed(target):
    """Paths that are none of the routes are like any other."""
    async with api_with_client() as (_, api, client), client.get(api.base_url + target) as response:
        assert (await response.json())["path"] == target


async def test_an_absolute_target_and_a_long_one_are_taken():
    """Absolute-form is accepted (RFC 9112 3.2.2) and told as it came; targets may be long."""
    async with api_with_client() as (_, api, client):
        bearer = client.headers["Authorization"].encode()
        for target in (b"http://api/status/202", b"/" + b"x" * 30_000):
            reader, writer = await connect(api)
            writer.write(
                b"GET "
                + target
                + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: "
                + bearer
                + b"\r\n\r\n"
            )
            answer = await reader.read()
            await hang_up(writer)
            assert answer.startswith((b"HTTP/1.1 202 ", b"HTTP/1.1 200 "))
            assert api.requests[-1].target == target.decode()
        assert [request.status for request in api.requests] == [202, 200]


async def test_only_the_last_requests_are_kept():
    """The record is bounded; the representation tells how many came."""
    async with AuthorizationServer(**CLIENT) as okta, aiohttp.ClientSession() as client:
        api = EchoApi(okta, keep=2)
        assert repr(api) == "<EchoApi not started [0 requests]>"
        async with api:
            for path in ("/1", "/2", "/3"):
                async with client.get(api.base_url + path) as response:
                    assert response.status == 401
            assert [request.target for request in api.requests] == ["/2", "/3"]
            assert repr(api) == f"<EchoApi {api.base_url} [3 requests]>"
